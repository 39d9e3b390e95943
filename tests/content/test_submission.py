"""A submitted message's header: what is refused, what is added, and that the rest stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, parse
from mether.content import header, submission

DATE = b"Date: Thu, 01 Jan 1970 01:00:00 +0100\r\n"
IDENT = b"Message-ID: <ID@h.example>\r\n"
FULL = b"From: a@x.test\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <i@x.test>\r\nSubject: s\r\n"


def complete(section: bytes, sender: Address | None = None) -> tuple[bytes, bytes]:
    return submission.complete(section, at=0.0, offset=3600, ident="ID", hostname="h.example", sender=sender)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        (b"", "no From"),
        (b"Subject: x\r\n", "no From"),
        (b"X-From: a@x.test\r\n", "no From"),
        (b"From a@x.test\r\n", "no From"),
        (b"From: a@x.test\r\nFROM : b@x.test\r\n", "more than one From"),
        (b"From: a@x.test\r\nSubject: " + b"x" * 990 + b"\r\n", "longer than 998"),
        (b"From: a@x.test\r\nSubject:\r\n " + b"x" * 998 + b"\r\n", "longer than 998"),
    ],
)
def test_what_cannot_be_mended_is_refused(section: bytes, why: str) -> None:
    """DAT-13, SUB-4: 554 5.6.0."""
    reply = submission.refusal(section)
    assert reply is not None
    assert (reply.code, reply.status) == (554, "5.6.0")
    assert why in reply.text


@pytest.mark.parametrize(
    "section",
    [
        FULL,
        b"From: a@x.test\r\n",
        b"from:\r\n a@x.test\r\n",
        b"From: a@x.test, b@x.test\r\nSender: a@x.test\r\n",
        b"From: a@x.test\r\nSubject: " + b"x" * 989 + b"\r\n",
        b"From: a@x.test\r\n" + b"X: y\r\n" * 1000,
    ],
)
def test_what_can_be_taken_is(section: bytes) -> None:
    assert submission.refusal(section) is None


def test_a_full_header_is_left_alone() -> None:
    added, kept = complete(FULL)
    assert added == b""
    assert kept is FULL


def test_what_is_missing_goes_on_top() -> None:
    """SUB-5: Date and Message-ID."""
    section = b"From: a@x.test\r\nSubject: s\r\n"
    added, kept = complete(section)
    assert added == DATE + IDENT
    assert kept is section


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"x@y",
        b"<>",
        b"<x>",
        b"<@y>",
        b"<x@>",
        b"<x y@z>",
        b"<x@y> <z@y>",
        b"<<x@y>>",
        b"a <x@y>",
        b"<x@y\x01>",
        b"<x@y",
    ],
)
def test_an_invalid_message_id_is_replaced(value: bytes) -> None:
    """SUB-5: Message-ID if missing or invalid."""
    added, kept = complete(FULL.replace(b"<i@x.test>", value))
    assert added == IDENT
    assert kept == FULL.replace(b"Message-ID: <i@x.test>\r\n", b"")


@pytest.mark.parametrize(
    "value",
    [
        b" <i@x.test>",
        b"<i@x.test>",
        b"\r\n\t<20260303.1@x.test>",
        b" <i@[192.0.2.1]>",
        b" <i@host>",
        b' <"a.b"@x.test>',
        b" <a@b@c>",
        b" (made up) <i@x.test> (really)",
        b" <i\xc3\xbc@x.test>",
    ],
)
def test_a_valid_message_id_stays(value: bytes) -> None:
    assert complete(FULL.replace(b" <i@x.test>", value))[0] == b""


def test_several_message_ids_become_one() -> None:
    """RFC 5322 section 3.6: at most one."""
    added, kept = complete(FULL + b"message-id: <j@x.test>\r\n")
    assert added == IDENT
    assert b"essage-" not in kept


def test_the_submitter_is_named_only_when_asked_and_not_the_author() -> None:
    """SUB-5: O add Sender; off unless configured."""
    joe = parse("joe@x.test")
    assert complete(FULL, joe) == (b"Sender: <joe@x.test>\r\n", FULL)
    assert complete(FULL, parse("a@X.TEST")) == (b"", FULL)
    for value in (
        b'"joe@x.test" <bigjoe@x.test>',
        b"joe@x.test.example",
        b"root",
        b"(((",
        b"a@x.test (joe@x.test)",
    ):
        assert complete(FULL.replace(b"a@x.test", value), joe)[0] == b"Sender: <joe@x.test>\r\n"
    for value in (
        b"joe@x.test",
        b"Joe\r\n <joe@X.test>",
        b"a@x.test, Joe D <joe@x.test>",
        b"=?utf-8?q?J=C3=B6?= <joe@x.test>",
    ):
        assert complete(FULL.replace(b"a@x.test", value), joe)[0] == b""


def test_a_sender_that_somebody_claims_is_replaced() -> None:
    added, kept = complete(FULL + b"Sender: boss@x.test\r\n", parse("joe@x.test"))
    assert added == b"Sender: <joe@x.test>\r\n"
    assert kept == FULL


@given(
    st.lists(
        st.tuples(
            st.sampled_from((b"Date", b"FROM", b"message-ID", b"Subject", b"Sender", b"x y", b"")),
            st.sampled_from((b": ", b" :", b"", b":\r\n ")),
            st.binary(max_size=20).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b"")),
        ),
        max_size=8,
    )
)
def test_whatever_comes_it_ends_with_one_of_each(lines: list[tuple[bytes, bytes, bytes]]) -> None:
    section = b"".join(name + colon + value + b"\r\n" for name, colon, value in lines)
    submission.refusal(section)
    added, kept = complete(section, parse("joe@x.test"))
    names = [name.lower() for name, _ in header.fields(added + kept)]
    assert names.count(b"message-id") == 1
    assert b"date" in names
    before = [pair for pair in header.fields(section) if pair[0].lower() not in (b"message-id", b"sender")]
    after = [pair for pair in header.fields(kept) if pair[0].lower() not in (b"message-id", b"sender")]
    assert before == after


def test_a_from_field_without_end_is_not_read() -> None:
    """SUB: its parser takes seconds for 64 KiB; the submitter is named, which is never wrong."""
    field = b"From: " + b"<@a,@a,@a,@a,\r\n " * 3900 + b"ann@example.org>\r\n"
    before = submission.mailboxes
    submission.mailboxes = lambda *of: pytest.fail("it was read")
    try:
        added, _ = complete(field, parse("ann@example.org"))
    finally:
        submission.mailboxes = before
    assert b"Sender: <ann@example.org>\r\n" in added
