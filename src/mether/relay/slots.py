"""The connections that one process may have, handed out among its next hops.

A next hop asks with `take`, and hears `granted` when its turn comes; `give` ends a connection.  Whoever asks
stands in one line, once, and goes to its end after each connection it gets: round robin.  These rules keep a
few dead or slow next hops from having all:

- the last quarter is handed out a few at a time: a next hop gets one of them only as long as it has less than
  a FEW-th of all, or none;
- when somebody waits, connections that are kept idle are given up, the longest idle next hop's first
  (`spare`);
- and a next hop that has more than its share, or has had a connection for TURN seconds, gives it up at the
  end of its message (`yields`).

When the process has no descriptors, memory or ports left for another one (`lack`), `total` becomes what
works, none at all maybe, and grows back by a quarter every GROW seconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    class Holder(Protocol):
        """A next hop, as the slots see it."""

        @property
        def held(self) -> int:
            """How many connections it has."""

        def granted(self) -> bool:
            """Use a connection that is free now; False when none is wanted any more."""

        def spare(self) -> None:
            """Give up an idle connection, if there is one."""


MOST: Final = 500
"""Connections of one process, unless it is told otherwise."""

FEW: Final = 64
"""The part of all connections that a next hop may have when there are few left is one in so many."""

TURN: Final = 5.0
"""Seconds for which a connection may be used while others wait for one."""


GROW: Final = 2.0
"""Seconds until more connections are tried again when there were too many for the process."""


class Slots:
    """At most `total` connections; `waiting` are the next hops that want one."""

    __slots__ = ("_growing", "_holders", "_most", "_resting", "_serving", "_used", "total", "waiting")

    def __init__(self, total: int = MOST) -> None:
        self.total = self._most = total
        self._growing = False
        self.waiting: dict[Holder, None] = {}
        self._resting: dict[Holder, None] = {}
        self._used = 0
        self._holders = 0
        self._serving = False

    @property
    def used(self) -> int:
        """How many connections there are."""
        return self._used

    def take(self, holder: Holder) -> bool:
        """Whether `holder` may have one more connection now; if not, it is told when it may."""
        if holder not in self.waiting:
            if not self._serving and self._may(holder):
                self._count(holder)
                return True
            self.waiting[holder] = None
        if self._resting:
            next(iter(self._resting)).spare()
        return False

    def give(self, *, last: bool) -> None:
        """A connection has ended, the `last` one of its next hop or not."""
        self._used -= 1
        self._holders -= last
        if self.waiting and not self._serving:
            self._serve()

    def forget(self, holder: Holder) -> None:
        """Nothing more is wanted there."""
        self.waiting.pop(holder, None)

    def rests(self, holder: Holder) -> None:
        """A connection of `holder` is idle."""
        self._resting[holder] = None
        if self.waiting:
            holder.spare()

    def wakes(self, holder: Holder) -> None:
        """No connection of `holder` is idle any more."""
        self._resting.pop(holder, None)

    def lack(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        """One that was taken cannot be had: do with those that there are without it.

        `later` calls a function after so many seconds (as `call_later` of an event loop).
        """
        self.total = max(0, min(self.total, self._used) - 1)
        if self._resting:
            next(iter(self._resting)).spare()
        if not self._growing:
            self._growing = True
            later(GROW, lambda: self._grow(later))

    def yields(self, holder: Holder, seconds: float) -> bool:
        """Whether a connection that was had for so long is to be given up for those who wait."""
        others = len(self.waiting) - (holder in self.waiting)
        if self._used < self.total or not others:
            return False
        return holder.held * self._holders > self.total or seconds >= TURN

    def _grow(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        """Try a few more."""
        self.total = min(self._most, self.total + max(1, self.total // 4))
        self._growing = self.total < self._most
        if self._growing:
            later(GROW, lambda: self._grow(later))
        if self.waiting and not self._serving:
            self._serve()

    def _may(self, holder: Holder) -> bool:
        if 4 * self._used < 3 * self.total:
            return True
        return self._used < self.total and holder.held * FEW < max(self.total, FEW)

    def _count(self, holder: Holder) -> None:
        self._used += 1
        self._holders += holder.held == 0

    def _serve(self) -> None:
        """Hand out what is free, to those who wait in turn."""
        self._serving = served = True
        while served and self._used < self.total:
            served = False
            for holder in list(self.waiting):
                if self._may(holder):
                    served = True
                    del self.waiting[holder]
                    self._count(holder)
                    if not holder.granted():
                        self.give(last=holder.held == 0)
        self._serving = False
