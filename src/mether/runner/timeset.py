"""When the clock was set: finding what waits for a time that was computed while it was wrong.

The store keeps Unix times, so what was deferred while the clock was ahead waits for a time far away once it
is right again, and so does a next hop that failed then.  No schedule puts anything off by more than its
longest interval (`schedule.longest`): what waits for longer is tried at once, unless its sender asked for it.

`Watch` notices that the clock was set, by comparing it with one that nobody sets.  A process that starts
later has nothing to compare; it takes as a sign that a next hop, or all of the queue, is put off for longer
than can be (`wrong`).  `recall` then goes over the queue, a page at a time, so that nobody waits for it.

A clock set forward makes due what is due by it, and old what is old by it: what expires by that is tried once
more when its own time has come before (`settle.course`), and then returned.
"""

from __future__ import annotations

from functools import partial

from mether.queue.claim import Hop
from mether.queue.store import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from mether.queue.message import Entry
    from mether.queue.store import Store
    from mether.runner.asking import Ask

SET: Final = 30.0
"""Seconds by which two clocks differ at least when one of them was set; less is drift."""

PAGE: Final = 500
"""Messages that are looked at in one turn of the queue."""


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


def astray(entries: Iterable[Entry], latest: float) -> frozenset[str]:
    """The ids of those that wait beyond `latest`, though no sender asked for that."""
    return frozenset(
        entry.message.ident
        for entry in entries
        if any(
            row.owner is None and row.next_attempt > max(latest, entry.message.release_at)
            for row in entry.rows
        )
    )


async def recall(call: Ask, now: float, latest: float) -> int:
    """Make due what waits beyond `latest`, and its next hops; how many messages.  Raises StoreError."""
    await call(lambda store: _hops(store, now, latest))
    count, after = 0, ""
    while True:
        found, after = await call(partial(_page, after, now, latest))
        count += found
        if not after:
            return count


def _hops(store: Store, now: float, latest: float) -> None:
    late = [hop for hop in store.hops() if hop.not_before > latest]
    if late:
        store.apply(
            hops=[Hop(hop.route, failures=hop.failures, not_before=now, last=hop.last) for hop in late],
            now=now,
        )


def _page(after: str, now: float, latest: float, store: Store) -> tuple[int, str]:
    """Look over one page behind `after`: how many were made due, and where to go on, "" at the end."""
    entries: Sequence[Entry] = store.entries(Filter(), after, PAGE)
    idents = astray(entries, latest)
    if idents:
        store.change(Filter(idents=idents), "retry", now=now)
    return len(idents), entries[-1].message.ident if len(entries) == PAGE else ""
