"""What a report says of which message it is about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content.original import MAX_ID, MAX_SHOWN, named


def found(fields: str) -> tuple[str, str, str]:
    one = named(b"Received: by x\r\n\tfor y; now\r\n" + fields.encode("utf-8") + b"\r\n\r\nSubject: body\r\n")
    return one.message_id, one.subject, one.date


def test_what_the_header_says() -> None:
    assert found(
        "Subject: Lunch\r\nDATE: Tue, 03 Mar 2026 09:12:40 +0000\r\nMessage-Id: <1@example.org>"
    ) == (
        "<1@example.org>",
        "Lunch",
        "Tue, 03 Mar 2026 09:12:40 +0000",
    )
    assert found("X: y") == ("", "", "")
    assert found("Subject: \r\nSubject: second") == ("", "", "")
    assert named(b"").shown == []
    assert named(b"Date: today\r\nSubject: a\r\n\tb\r\n\r\n").shown == ["Subject: a b", "Date: today"]


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?b?IMO8YmVyYWxs?=", "Grüße überall"),
        ("=?iso-8859-1?q?caf=E9?= noir", "café noir"),
        ("Grüße", "Grüße"),
        ("=?nobody?q?x?=", "x"),
        ("=?utf-8?q?a=0D=0A=1B[2Jb?=", "a [2Jb"),
        ("=?utf-8?q?=E2=80=AEgpj?=", "gpj"),
        ("a\tb\r\n  c", "a b c"),
        ("x" * 500, "x" * (MAX_SHOWN - 3) + "..."),
    ],
)
def test_a_subject_is_one_line_that_can_be_read(subject: str, shown: str) -> None:
    assert found(f"Subject: {subject}")[1] == shown


@pytest.mark.parametrize(
    "ident",
    [
        "1@example.org",
        "<1@example.org",
        "<1>",
        "<a b@example.org>",
        "<a@b> <c@d>",
        "<a@b\r\n c>",
        "<a@[b>",
        "<grüße@example.org>",
        "<@>",
        f"<{'a' * MAX_ID}@b>",
    ],
)
def test_what_cannot_stand_in_a_header_is_no_message_id(ident: str) -> None:
    """LIM"""
    assert found(f"Message-ID: {ident}")[0] == ""


@pytest.mark.parametrize("ident", ["<a.b+c=d@[192.0.2.1]>", "<CA+x_y-z/1$2%3@mail.example.com>", "<1@x>"])
def test_what_is_one_is_taken_as_it_is(ident: str) -> None:
    assert found(f"Message-ID:\r\n {ident}")[0] == ident


@given(st.binary(max_size=300))
def test_nobody_else_can_break_a_report(octets: bytes) -> None:
    one = named(b"Subject: " + octets + b"\r\nDate: " + octets + b"\r\nMessage-ID: " + octets + b"\r\n\r\n")
    assert all(line.isprintable() and len(line) <= MAX_SHOWN + 9 for line in one.shown)
    assert one.message_id.isascii() and one.message_id.isprintable() and len(one.message_id) <= MAX_ID
