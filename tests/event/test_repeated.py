"""The same trouble told again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mether.event.repeated import KEPT, MINUTE, Repeated


class Told:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[tuple[str, str]] = []
        self.repeated = Repeated(self._sink, lambda: self.now)

    def _sink(self, name: str, fields: Mapping[str, Any]) -> None:
        self.lines.append((name, fields["what"]))


def test_the_same_words_are_told_once_a_minute_with_their_number() -> None:
    told = Told()
    for _ in range(1000):
        told.repeated("error", {"what": "the disk is full"})
    assert told.lines == [("error", "the disk is full")]
    told.now = MINUTE
    told.repeated("error", {"what": "the disk is full"})
    assert told.lines[1] == ("error", "the disk is full (999 times more since it was last told)")


def test_the_id_of_a_message_makes_no_other_words() -> None:
    """A file that cannot be written is named after its message."""
    told = Told()
    for ident in ("A1", "B2", "C3"):
        told.repeated("error", {"queue_id": ident, "what": f"incoming/temp.{ident}: read-only"})
    assert told.lines == [("error", "incoming/temp.A1: read-only")]


def test_what_comes_again_after_a_minute_of_quiet_is_told_as_it_is() -> None:
    told = Told()
    for told.now in (0.0, MINUTE):
        told.repeated("warning", {"what": "odd"})
    assert told.lines == [("warning", "odd")] * 2


def test_other_words_and_other_events_are_not_held_back() -> None:
    told = Told()
    for what in ("one", "two"):
        told.repeated("error", {"what": what})
    for _ in range(2):
        told.repeated("noted", {"what": "one"})
    assert [what for _, what in told.lines] == ["one", "two", "one", "one"]


def test_only_so_many_are_remembered() -> None:
    told = Told()
    for number in range(2 * KEPT):
        told.repeated("error", {"what": f"trouble {number}"})
    assert len(told.lines) == 2 * KEPT
    told.repeated("error", {"what": "trouble 0"})
    assert told.lines[-1] == ("error", "trouble 0")
