"""What is kept of a transcript."""

from __future__ import annotations

import pytest

from mether.queue.transcript import CUT, LIMIT, kept


@pytest.mark.parametrize("text", ["", "C: EHLO x\nS: 250 y\n", "ü" * (LIMIT // 2), "a" * LIMIT])
def test_what_fits_is_kept_whole(text: str) -> None:
    assert kept(text) == text


def test_of_a_long_one_the_end_is_kept() -> None:
    """What the server said last is why it failed."""
    text = "".join(f"S: 250 line {number}\n" for number in range(5000)) + "S: 451 the end\n"
    short = kept(text)
    assert short.startswith(CUT + "S: 250 line ")
    assert short.endswith("S: 451 the end\n")
    assert LIMIT - 40 < len(short) <= LIMIT


@pytest.mark.parametrize("text", ["ü" * LIMIT, "\N{ENVELOPE}" * LIMIT, "a" + "ü" * LIMIT, "ü" * LIMIT + "\n"])
def test_a_line_that_is_too_long_is_cut_between_characters(text: str) -> None:
    short = kept(text)
    assert set(short.removeprefix(CUT)) <= set(text)
    assert LIMIT - 8 < len(short.encode()) <= LIMIT


def test_what_utf_8_cannot_say_is_replaced() -> None:
    assert kept("\udc80 said") == "? said"
