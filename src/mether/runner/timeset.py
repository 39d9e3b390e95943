"""When the clock was set: finding what waits for a time that was computed while it was wrong.

The store keeps Unix times, so what was deferred while the clock was ahead waits for a time far away once it
is right again, and so does a next hop that failed then.  No schedule puts anything off by more than its
longest interval (`schedule.longest`): what waits for longer is brought back to that or less, unless its
sender asked for it.  What was put off by a longer schedule than the present one is brought back with it.
These may be very many: the first are tried at once and the others one after another (`sooner`), so that
nobody is overrun.

`Watch` notices that the clock was set, by comparing it with one that nobody sets.  A process that starts
later has nothing to compare; it takes as a sign that a next hop, or all of the queue, is put off for longer
than can be (`wrong`).  `Recall` then goes over the queue, a page at a time, and leaves most of the writer's
time to what is received and due.

A clock set forward makes due what is due by it, and old what is old by it: what expires by that is tried once
more when its own time has come before (`settle.course`), and then returned.
"""

from __future__ import annotations

import asyncio
from functools import partial

from mether.queue.claim import Hop
from mether.queue.store import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final, TypeVar

    from mether.queue.message import Entry
    from mether.queue.store import Store
    from mether.runner.asking import Ask

    T = TypeVar("T")

SET: Final = 30.0
"""Seconds by which two clocks differ at least when one of them was set; less is drift."""

PAGE: Final = 200
"""Messages that are looked at in one turn of the queue."""

REST: Final = 3.0
"""Times as long as a turn took, with all that it waited for, no other follows."""

PACE: Final = 10.0
"""Messages a second that are brought back, and next hops."""


class Watch:
    """Notices when `clock`, which people set, has moved against `steady`, which nobody sets."""

    __slots__ = ("_clock", "_lead", "_steady")

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float]) -> None:
        self._clock = clock
        self._steady = steady
        self._lead = clock() - steady()

    def set_by(self) -> float:
        """By how many seconds the clock was set since this was last asked, back if negative; else 0."""
        before, self._lead = self._lead, self._clock() - self._steady()
        by = self._lead - before
        return by if abs(by) >= SET else 0.0


def wrong(hops: Iterable[Hop], due: float | None, latest: float) -> bool:
    """Whether the times of these next hops, or the queue's earliest, come from a clock that was ahead."""
    return (due is not None and due > latest) or any(hop.not_before > latest for hop in hops)


def astray(entries: Iterable[Entry], latest: float) -> list[Entry]:
    """Those that wait beyond `latest`, though no sender asked for that."""
    return [
        entry
        for entry in entries
        if any(
            row.owner is None and row.next_attempt > max(latest, entry.message.release_at)
            for row in entry.rows
        )
    ]


def sooner(number: int, longest: float, random: float) -> float:
    """Seconds from now until the next try of what is brought back as the `number`-th, from 0."""
    at = (number + random) / PACE
    return at if at <= longest else random * longest


class Recall:
    """Going over the queue once, for what waits longer than `longest` seconds.

    `clock` gives Unix seconds, `random` a number from 0 to 1; `moved` is told the earliest time that
    something is brought back to.  `count` is how many messages were, so far.
    """

    def __init__(
        self,
        call: Ask,
        *,
        longest: float,
        clock: Callable[[], float],
        random: Callable[[], float],
        moved: Callable[[float], None],
    ) -> None:
        self.count = 0
        self._call = call
        self._longest = longest
        self._clock = clock
        self._random = random
        self._moved = moved
        self._hops = 0

    async def run(self) -> None:
        """Do it, page by page, resting in between.  Raises StoreError."""
        while await self._turn(self._look_at_hops):
            pass
        after = ""
        while after := await self._turn(partial(self._page, after)):
            pass

    async def _turn(self, work: Callable[[Store], T]) -> T:
        loop = asyncio.get_running_loop()
        began = loop.time()
        done = await self._call(work)
        await asyncio.sleep(REST * (loop.time() - began))
        return done

    def _look_at_hops(self, store: Store) -> bool:
        """Bring back a page of next hops; whether there may be more."""
        now = self._clock()
        late = [hop for hop in store.hops() if hop.not_before > now + self._longest][:PAGE]
        if late:
            times = [now + sooner(self._hops + n, self._longest, self._random()) for n in range(len(late))]
            self._hops += len(late)
            store.apply(
                hops=[
                    Hop(hop.route, failures=hop.failures, not_before=at, last=hop.last)
                    for hop, at in zip(late, times, strict=True)
                ],
                now=now,
            )
        return len(late) == PAGE

    def _page(self, after: str, store: Store) -> str:
        """Look over one page behind `after`; where to go on, "" at the end."""
        now = self._clock()
        latest = now + self._longest
        entries: Sequence[Entry] = store.entries(Filter(), after, PAGE)
        times: dict[str, tuple[float, float]] = {}
        for entry in astray(entries, latest):
            release = entry.message.release_at
            at = now + sooner(self.count + len(times), self._longest, self._random())
            times[entry.message.ident] = max(latest, release), max(at, release)
        if times:
            self.count += store.advance(times)
            self._moved(min(at for _, at in times.values()))
        return entries[-1].message.ident if len(entries) == PAGE else ""
