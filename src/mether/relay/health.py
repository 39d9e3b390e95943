"""Which hosts could not be used lately.  Pure: the time is an argument.

A host that could not be connected to, greeted us with a refusal, failed at TLS or said 421 goes behind the
others that would do as well: FIRST seconds the first time, twice as long each next time, LONGEST at most.
Then it has its place again, and the next failure or success there decides.  A success clears it.  So a list
of smart hosts does not wait for its dead first one with every connection, and nobody has to say that it is
back.

A host is never left out: where no other is left it is tried, however it did.  What was said of one message
(a reply to MAIL, RCPT or content but for 421) says nothing of the host.

One `Health` is shared by all next hops of a process.  REMEMBERED hosts are kept, those whose trouble is the
latest; a trouble that is long over (STALE) counts no more.  Times are seconds of any clock that does not go
back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, TypeVar

    T = TypeVar("T")

    Key = tuple[str, int]
    """A host's name or address in lower case without brackets, or a path, and its port (0 with a path)."""

FIRST: Final = 30.0
LONGEST: Final = 1800.0
STALE: Final = 2 * LONGEST
"""Seconds after which a trouble that is over is forgotten: a host that is used so seldom begins anew."""
REMEMBERED: Final = 10_000


class Health:
    """The hosts that could not be used lately; true when there are some."""

    __slots__ = ("_troubles",)

    def __init__(self) -> None:
        self._troubles: dict[Key, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._troubles)

    def failed(self, key: Key, now: float) -> None:
        """The host could not be used.

        While it stands behind the others already this changes nothing: connections that fail together are
        one failure.
        """
        times, until = self._troubles.pop(key, (0, 0.0))
        if now >= until:
            times = 0 if now >= until + STALE else times
            until = now + min(FIRST * 2.0**times, LONGEST)
            times = min(times + 1, 20)
        if len(self._troubles) >= REMEMBERED:
            del self._troubles[next(iter(self._troubles))]
        self._troubles[key] = (times, until)

    def worked(self, key: Key) -> None:
        """The host could be used."""
        self._troubles.pop(key, None)

    def down(self, key: Key, now: float) -> bool:
        """Whether the host is to be tried after the others."""
        trouble = self._troubles.get(key)
        return trouble is not None and now < trouble[1]

    def order(
        self,
        items: Iterable[T],
        key: Callable[[T], Key],
        now: float,
        rank: Callable[[T], int] = lambda item: 0,
    ) -> list[T]:
        """The items in their order, those that are down behind the others of the same `rank`."""
        return sorted(items, key=lambda item: (rank(item), self.down(key(item), now)))
