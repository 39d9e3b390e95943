"""What stands in a notice: addresses, codes, and where the message begins that came back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import bounce_text
from mether.content.bounce_text import (
    DELAYED,
    FAILURE,
    addresses,
    clean,
    is_reply,
    lines,
    notice,
    reply_at,
    status,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("to bob@example.net, or <eve@example.com>", ["eve@example.com"]),
        ("to bob@example.net and bob@example.net.", ["bob@example.net"]),
        ('"b b"@example.net', ['"b b"@example.net']),
        ("<mailto:bob@example.net>", ["bob@example.net"]),
        ("<björn@bücher.example>", ["björn@bücher.example"]),
        ("宛先bob@example.netは", ["bob@example.net"]),
        ("at bob@[192.0.2.1]", ["bob@[192.0.2.1]"]),
        ("a @ b, @example.net, a@b", []),
        ("dda:SMTP=bob@example.net;", ["bob@example.net"]),
    ],
)
def test_addresses(text: str, found: list[str]) -> None:
    assert addresses(text) == found


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("<bob@example.net>", "bob@example.net"),
        ("rfc822;bob@example.net", "bob@example.net"),
        ("@relay.example,@other.example:bob@example.net", "bob@example.net"),
        ("'bob@example.net'", "bob@example.net"),
        ("bob@example.net.", "bob@example.net"),
        ("bob", ""),
        ("bob@exa mple", ""),
        ("bob@a/b", ""),
    ],
)
def test_one_address(text: str, address: str) -> None:
    assert clean(text) == address


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("550 5.1.1 no", "5.1.1"),
        ("(#4.4.2)", "4.4.2"),
        ("from 5.1.1.1 or 15.2.3", ""),
        ("5.0.0 but 5.7.1", "5.7.1"),
        ("2.1.5 then 4.0.0", "4.0.0"),
        ("2.1.5", "2.1.5"),
    ],
)
def test_a_status(text: str, found: str) -> None:
    assert status(text) == found


def test_a_reply() -> None:
    text = "host mx.example.net said: 550 no"
    assert text[reply_at(text) :] == "550 no"
    assert is_reply("421-4.7.0 later")
    assert not is_reply("no 550")
    assert reply_at("port 4500, 512 KB, 192.0.2.550") == 0


@pytest.mark.parametrize(
    "mark",
    [
        "--- Below this line is a copy of the message.",
        "------ This is a copy of the message, including all the headers. ------",
        "   ----- Original message follows -----",
        "   ----- Unsent message follows -----",
        "Original message follows.",
        "Message headers follow.",
        "Included is a copy of the message header:",
        "    Below is a copy of the original message:",
        "|------------------------- Message text follows: ------------------------|",
        "--- The header of the original message is following. ---",
        "A copy of the original message below this line:",
        "------- Returned Message --------",
        "Received: from mail.example.org",
    ],
)
def test_where_the_message_begins(mark: str) -> None:
    assert notice(["Not sent:", "bob@example.net", mark, "Subject: x"]) == 2


@pytest.mark.parametrize(
    "line",
    [
        "   ----- Transcript of session follows -----",
        "   ----- The following addresses had permanent fatal errors -----",
        "--- Session Transcript ---",
        "The following addresses did NOT receive a copy of your message: ",
        "YOUR MESSAGE WAS NOT DELIVERED!",
        "The original message was received at Thu, 29 Apr 1999 23:34:45 -0500 (CDT)",
        "|------------------------- Message log follows: -------------------------|",
        "X-Postfix-Queue-ID: 1",
        "  Message-id: <1@example.org>",
    ],
)
def test_where_it_does_not(line: str) -> None:
    assert notice(["Not sent:", line, "bob@example.net", ""]) == 4


@pytest.mark.parametrize(
    "text",
    [
        "could not be delivered",
        "couldn't deliver",
        "undeliverable",
        "delivery has failed",
        "User unknown",
        "konnte nicht zugestellt werden",
        "送信できませんでした",
        "не может быть доставлено",
    ],
)
def test_words_of_failure(text: str) -> None:
    assert FAILURE.search(text)


def test_words_of_none() -> None:
    assert not FAILURE.search("Thank you for your order. It leaves tomorrow.")
    assert DELAYED.search("THIS IS A WARNING MESSAGE ONLY.")
    assert not DELAYED.search("This is a permanent error.")


@given(st.text(max_size=200))
def test_nothing_is_too_odd(text: str) -> None:
    found = lines(text)
    assert all(char.isprintable() or char == "\t" for line in found for char in line)
    notice(found)
    for address in addresses(text):
        assert "@" in address
    clean(text)
    status(text)
    reply_at(text)


def test_it_is_bounded() -> None:
    assert len(lines("x\n" * 100_000)) <= bounce_text.MAX_LINES
    assert sum(map(len, lines("x" * 1_000_000))) <= bounce_text.MAX_LINE
