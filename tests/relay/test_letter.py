"""What every delivery on this host is given."""

from __future__ import annotations

import pytest
from mail import TRACE, claim

from mether.address import parse
from mether.queue.content import in_memory
from mether.relay.letter import Letter, split


@pytest.mark.parametrize(
    ("local", "delimiter", "parts"),
    [
        ("bob", "+", ("bob", "")),
        ("bob+x", "+", ("bob", "x")),
        ("bob+x+y", "+", ("bob", "x+y")),
        ("bob+", "+", ("bob", "")),
        ("+x", "+", ("+x", "")),
        ("bob+x", "", ("bob+x", "")),
        ('"bob+x y"', "+", ("bob", "x y")),
        ("bob--x", "--", ("bob", "x")),
    ],
)
def test_the_user_stands_before_the_first_delimiter(
    local: str, delimiter: str, parts: tuple[str, str]
) -> None:
    """RFC 5233."""
    assert split(parse(f"{local}@example.com"), delimiter) == parts


def test_of_a_queued_message() -> None:
    message = claim().message
    letter = Letter.of(message, in_memory(b"x"))
    assert letter.prefix == TRACE
    assert (letter.ident, letter.reverse_path) == (message.ident, message.envelope.reverse_path)
    assert letter.arrival is message.arrival
