"""Failed logins, slowed and limited for each address (RFC 4954 section 9).

Each failure adds one to the address's score, which sinks by one every `period` seconds.  The answer to the
next try is held back for a time that doubles with the score; at `limit` the address is blocked until the
score has sunk.  A success takes one failure away and no more, so that one good login does not pay for
guessing at others.  An IPv6 client has a /64, so that is what counts.

A function of values: the time is an argument, in seconds of any clock that does not go back.  Nothing here
raises, and the table has an end: the address whose last failure is the longest ago leaves first.

    throttle = Throttle()
    if throttle.blocked(address, now): ...          # 421 4.7.0, or 454 4.7.0
    wait = throttle.failed(address, now)            # seconds to hold the 535 back
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ADDRESSES: Final = 10_000
"""Addresses remembered."""


class Throttle:
    """The failures of each address."""

    __slots__ = ("_first", "_longest", "_period", "_scores", "_size", "limit")

    def __init__(
        self,
        *,
        limit: int = 10,
        period: float = 60.0,
        first: float = 1.0,
        longest: float = 8.0,
        size: int = ADDRESSES,
    ) -> None:
        """`limit` failures block (0: never); one is forgotten every `period` seconds; the first is answered
        after `first` seconds, and none after more than `longest`."""
        self.limit = limit
        self._period = period
        self._first = first
        self._longest = longest
        self._size = size
        self._scores: dict[str, tuple[float, float]] = {}

    def failed(self, address: str, now: float) -> float:
        """Count a failure; returns `delay` with it."""
        name = network(address)
        score = self._score(name, now) + 1
        if self.limit:
            score = min(score, self.limit + 1.0)  # it shall be over some day
        self._scores.pop(name, None)
        if len(self._scores) >= self._size:
            del self._scores[next(iter(self._scores))]
        self._scores[name] = (score, now)
        return self.delay(address, now)

    def succeeded(self, address: str, now: float) -> None:
        """Count a success."""
        name = network(address)
        score = self._score(name, now) - 1
        if score > 0:
            self._scores[name] = (score, now)
        else:
            self._scores.pop(name, None)

    def delay(self, address: str, now: float) -> float:
        """Seconds for which the answer to a failure is held back."""
        score = self._score(network(address), now)
        if score <= 0:
            return 0.0
        return min(self._longest, self._first * math.pow(2.0, min(score - 1, 30.0)))

    def blocked(self, address: str, now: float) -> bool:
        """Whether the address may not try at all now."""
        return bool(self.limit) and self._score(network(address), now) > self.limit - 1

    def _score(self, name: str, now: float) -> float:
        score, at = self._scores.get(name, (0.0, now))
        return max(0.0, score - max(0.0, now - at) / self._period)

    def __len__(self) -> int:
        return len(self._scores)


def network(address: str) -> str:
    """What is counted as one client: an IPv4 address, the /64 of an IPv6 one, any other text as it is."""
    if ":" not in address:
        return address
    from ipaddress import IPv6Address

    try:
        ip = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{IPv6Address(int(ip) >> 64 << 64)}/64"
