"""Answers kept for their time, up to a number: what was not asked for longest goes first.

Times are seconds of a clock that only goes forward.  How long an answer is kept is clamped, so that neither
a TTL of 0 makes each message ask again nor a huge one keeps a lie for years.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.dns.reading import Reading

SHORTEST: Final = 5.0
LONGEST: Final = 86_400.0
NEGATIVE: Final = 10_800.0
"""Seconds that an answer is kept: at least; at most; at most where there is nothing (RFC 2308 section 5)."""

FAILURE: Final = 5.0
"""Seconds for which a question that got no answer is not asked again (RFC 2308 section 7)."""


def lifetime(ttl: float, *, negative: bool = False) -> float:
    """The seconds for which an answer with this TTL is kept."""
    return min(max(ttl, SHORTEST), NEGATIVE if negative else LONGEST)


class Cache:
    """At most `limit` answers, by (name, kind); `clock` gives the seconds."""

    __slots__ = ("_clock", "_kept", "_limit")

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Reading]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: tuple[str, str]) -> Reading | None:
        """What is known, None when that is nothing or too old."""
        found = self._kept.pop(question, None)
        if found is None or found[0] <= self._clock():
            return None
        self._kept[question] = found  # the latest asked for stands last
        return found[1]

    def put(self, question: tuple[str, str], reading: Reading, seconds: float) -> None:
        """Keep an answer for so long."""
        self._kept.pop(question, None)
        while self._kept and len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        self._kept[question] = (self._clock() + seconds, reading)
