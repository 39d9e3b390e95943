"""Delivery status fields, written well and written badly (RFC 3464 section 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import bounce_dsn
from mether.content.bounce_dsn import action, address, mta, read, typed

GOOD = """\
Reporting-MTA: dns; mail.example.org
Original-Envelope-Id: 1

Final-Recipient: rfc822; bob@example.net
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1
    no such user
"""


def test_one_recipient() -> None:
    found = read(GOOD)
    assert (found.host("reporting-mta"), found.message["original-envelope-id"]) == ("mail.example.org", "1")
    (one,) = found.recipients
    assert (one.recipient, one.action, one.status) == ("bob@example.net", "failed", "5.1.1")
    assert one.diagnostic == "550 5.1.1 no such user"


def test_two_without_an_empty_line_between() -> None:
    text = "Final-Recipient: rfc822;a@b.example\nAction: failed\n"
    text += "Final-Recipient: rfc822;c@d.example\nAction: delayed\n"
    assert [(one.recipient, one.action) for one in read(text).recipients] == [
        ("a@b.example", "failed"),
        ("c@d.example", "delayed"),
    ]


def test_an_empty_line_where_none_belongs() -> None:
    text = GOOD.replace("Status:", "\nStatus:")
    assert [one.recipient for one in read(text).recipients] == ["bob@example.net"]


def test_a_diagnostic_that_goes_on_in_the_first_column() -> None:
    text = "Final-Recipient: rfc822;a@b.example\nDiagnostic-Code: smtp; 550 it is\nso full here\n"
    assert read(text).recipients[0].diagnostic == "550 it is so full here"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("rfc822; bob@example.net", "bob@example.net"),
        ("RFC822;<bob@example.net>", "bob@example.net"),
        ("bob@example.net", "bob@example.net"),
        ("rfc822;@relay.example:bob@example.net", "bob@example.net"),
        (r"utf-8; bj\x{F6}rn@example.net", "björn@example.net"),
        ("x400; /S=bob/", ""),
        ("rfc822; |/usr/bin/procmail", ""),
        ("", ""),
    ],
)
def test_an_address(value: str, found: str) -> None:
    """RFC 3464 section 2.3.2; RFC 6533 section 3."""
    assert address(value) == found


def test_the_original_where_the_final_one_cannot_be_mailed_to() -> None:
    text = "Original-Recipient: rfc822;bob@example.net\nFinal-Recipient: x400;/S=bob/\nAction: failed\n"
    assert [(one.recipient, one.original) for one in read(text).recipients] == [("bob@example.net", "")]
    text = "Original-Recipient: rfc822;list@example.net\nFinal-Recipient: rfc822;bob@example.net\n"
    assert [(one.recipient, one.original) for one in read(text).recipients] == [
        ("bob@example.net", "list@example.net")
    ]


@pytest.mark.parametrize(
    ("text", "status", "meaning"),
    [
        ("failed", "", "failed"),
        ("Failure", "", "failed"),
        ("delayed (will retry)", "5.1.1", "delayed"),
        ("relayed", "", "relayed"),
        ("expanded", "", "expanded"),
        ("delivered", "", "delivered"),
        ("expired", "4.4.7", "failed"),
        ("", "2.0.0", "delivered"),
        ("", "4.4.1", "delayed"),
        ("", "", "failed"),
    ],
)
def test_an_action(text: str, status: str, meaning: str) -> None:
    """RFC 3464 section 2.3.3."""
    assert action(text, status) == meaning


def test_values() -> None:
    assert typed("smtp;  550  no") == "550 no"
    assert typed("550 no; really") == "550 no; really"
    assert mta("dns; mx.example.net. (192.0.2.1)") == "mx.example.net"
    assert mta("") == ""


@given(
    st.lists(st.sampled_from([*GOOD.split("\n"), "Final-Recipient:", ";", ":", " "]) | st.text(max_size=20))
)
def test_nothing_is_too_odd(lines: list[str]) -> None:
    for one in read("\n".join(lines)).recipients:
        assert "@" in one.recipient


def test_it_is_bounded() -> None:
    text = "Final-Recipient: rfc822;a@b.example\nAction: failed\n\n" * 10_000
    assert len(read(text).recipients) <= bounce_dsn.MAX_RECIPIENTS


def test_what_a_server_said_makes_no_field_where_it_was_folded() -> None:
    """BNC-10: a line that begins with a space goes on with the field above."""
    text = (
        "Reporting-MTA: dns; mx.example.net\n\n"
        "Final-Recipient: rfc822;bob@example.com\nAction: failed\nStatus: 5.1.1\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no\n Action: delivered\n Final-Recipient: rfc822;eve@example.com\n"
    )
    (one,) = bounce_dsn.read(text).recipients
    assert (one.recipient, one.action, one.status) == ("bob@example.com", "failed", "5.1.1")
    assert one.diagnostic == "550 5.1.1 no Action: delivered Final-Recipient: rfc822;eve@example.com"
    # But where all are indented alike, as in a text that quotes them, each is a field.
    (one,) = bounce_dsn.read("".join(f"  {line}\n" for line in text.splitlines()[2:5])).recipients
    assert (one.recipient, one.action, one.status) == ("bob@example.com", "failed", "5.1.1")
