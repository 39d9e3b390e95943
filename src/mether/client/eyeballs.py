"""Which of a host's addresses is connected to when: happy eyeballs (RFC 8305 sections 4 and 5).

`interleave` has the families take turns, the first as before, so that a family that leads nowhere costs one
address' time and no more.  A `Race` says which attempt begins when: the first at once, each further one when
the last has failed or has had DELAY seconds.  It knows neither sockets nor a clock; `client.connect` acts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

DELAY: Final = 0.25
"""Seconds that an attempt has before the next one begins beside it (RFC 8305 section 5)."""


def interleave(addresses: Iterable[str]) -> list[str]:
    """IP addresses with the families taking turns, each family in its order; none comes twice."""
    families: dict[bool, list[str]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(":" in address, []).append(address)
    longest = max(map(len, families.values()), default=0)
    return [family[turn] for turn in range(longest) for family in families.values() if turn < len(family)]


class Race:
    """The attempts at one host's addresses.  Times are in seconds, of any clock that only goes forward."""

    __slots__ = ("_left", "_next", "_pending")

    def __init__(self, addresses: Iterable[str], now: float) -> None:
        self._left = interleave(addresses)
        self._next = now
        self._pending = 0

    def begin(self, now: float) -> str | None:
        """The address to try now, None when it is not time for one or none is left."""
        if not self._left or now < self._next:
            return None
        self._next = now + DELAY
        self._pending += 1
        return self._left.pop(0)

    def failed(self, now: float) -> None:
        """An attempt came to nothing: the next need not wait."""
        self._pending -= 1
        self._next = now

    def stop(self) -> None:
        """Begin no more."""
        self._left.clear()

    @property
    def over(self) -> bool:
        """Whether nothing is tried any more."""
        return not (self._left or self._pending)

    def wait(self, now: float) -> float | None:
        """Seconds until `begin` has an address, None when only the end of an attempt brings news."""
        return max(self._next - now, 0.0) if self._left else None
