"""The nearest of known words: what a person who misspelled one probably meant."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most like `word`, or ``""`` when none is much like it."""
    import difflib

    matches = difflib.get_close_matches(word.lower()[:80], list(known), 1, 0.6)
    return matches[0] if matches else ""
