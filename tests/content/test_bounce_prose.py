"""The shapes of notices that people were meant to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content.bounce_prose import MAX_RECIPIENTS, about, read, replies


def found(text: str, *others: str) -> list[tuple[str, str]]:
    return [(one.recipient, one.diagnostic) for one in read(text.strip("\n").split("\n"), frozenset(others))]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("<bob@example.net>:\n550 no\n\nmore", [("bob@example.net", "550 no")]),
        ("bob@example.net: 550 no\n  at all\n", [("bob@example.net", "550 no at all")]),
        ('"bob@example.net":\n\nthe reason', [("bob@example.net", "the reason")]),
        ("Undeliverable Address: bob@example.net\nReason: it is full", None),
        ("Could not be delivered to: <bob@example.net>\nAs their mailbox is full.", None),
        (
            "Failed addresses follow:\n bob@example.net ... unknown host",
            [("bob@example.net", "... unknown host")],
        ),
        ("could not be delivered:\n\n * bob@example.net\n\nTechnical details:\n550 no", None),
        ("did not reach:\n\nbob@example.net on Fri, 18 Oct 2002\n    not recognized", None),
        (">>> RCPT TO:<bob@example.net>\n<<< 550 no such user", [("bob@example.net", "550 no such user")]),
        ("550 - no such user\nRCPT TO: bob@example.net", [("bob@example.net", "550 - no such user")]),
        (
            "550 <bob@example.net>... User unknown",
            [("bob@example.net", "550 <bob@example.net>... User unknown")],
        ),
        ("Unable to deliver your message to bob@example.net for a reason:\n\n552 full", None),
        ("Your mail to bob@example.net was not accepted.", None),
    ],
)
def test_a_shape(text: str, rows: list[tuple[str, str]] | None) -> None:
    got = found(text)
    if rows is None:
        assert [address for address, _ in got] == ["bob@example.net"]
    else:
        assert got == rows


def test_what_sendmail_made_of_a_reply() -> None:
    text = "<<< 550 5.7.1 relaying denied\n554 <bob@example.net>... Remote protocol error"
    assert found(text)[0][1].startswith("550 5.7.1 relaying denied 554")


def test_who_it_was_expanded_from() -> None:
    (one,) = read(["<bob@example.net> (expanded from <list@example.org>): 550 no"], frozenset())
    assert (one.recipient, one.original) == ("bob@example.net", "list@example.org")
    (one,) = read(
        ["The following address failed:", "  an undisclosed address", "  (generated from a@b.example)"], []
    )
    assert one.recipient == "a@b.example"


def test_others_are_left_out_where_they_are_only_mentioned() -> None:
    text = "Mail of ann@example.org could not be delivered. Ask postmaster@example.net about bob@example.com."
    assert [address for address, _ in found(text, "ann@example.org")] == ["bob@example.com"]
    assert found("<ann@example.org>:\n550 no", "ann@example.org") == [("ann@example.org", "550 no")]


def test_a_text_without_failure() -> None:
    assert found("Write to bob@example.net if you like.") == []


def test_what_is_said_of_one() -> None:
    notice = ["<bob@example.net>:", "550 no", "", "<eve@example.net>:", "552 full"]
    assert about("eve@example.net", notice) == "552 full"
    assert about("ann@example.net", notice) == ""
    assert replies(["hello", "<<< 550 no", "554 never"]) == "550 no 554 never"


@given(st.lists(st.text(max_size=60) | st.sampled_from(["<a@b.example>:", "failed to deliver", "550 no"])))
def test_nothing_is_too_odd(lines: list[str]) -> None:
    for one in read(lines, frozenset()):
        assert "@" in one.recipient


def test_it_is_bounded() -> None:
    lines = [f"<a{number}@example.net>:" for number in range(5000)]
    assert len(read(lines, frozenset())) == MAX_RECIPIENTS
