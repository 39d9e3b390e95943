"""A clock that was set: noticing it, and finding what waits for a time that cannot be."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from clock import T0, Clock, running, virtual
from mail import DAY, HOP, OTHER, draft

from mether.outcome import Route
from mether.queue.claim import Hop
from mether.queue.memory import MemoryStore
from mether.queue.store import Filter
from mether.runner import schedule, timeset
from mether.runner.schedule import Retry
from mether.runner.timeset import SET, Watch

LONGEST = schedule.longest(Retry())
LATEST = T0 + LONGEST


def test_a_clock_that_is_set_is_noticed_once() -> None:
    clock, steady = Clock(), Clock(0.0)
    watch = Watch(clock, steady)
    for by in (3600.0, -3600.0, -1e8):
        clock.now += 10 + by
        steady.now += 10
        assert watch.set_by() == by
        assert watch.set_by() == 0


def test_drift_is_nothing() -> None:
    clock, steady = Clock(), Clock(0.0)
    watch = Watch(clock, steady)
    for _ in range(100):
        clock.now += SET / 2
        assert watch.set_by() == 0


def test_times_that_no_schedule_gives_are_a_sign() -> None:
    assert not timeset.wrong([Hop(HOP, failures=9, not_before=LATEST)], None, LATEST)
    assert not timeset.wrong([], LATEST, LATEST)
    assert timeset.wrong([], LATEST + 1, LATEST)
    assert timeset.wrong([Hop(HOP), Hop(OTHER, failures=1, not_before=LATEST + 1)], T0, LATEST)


def recall(store: MemoryStore, random: float = 0.5) -> int:
    async def call(work: Callable[[Any], Any]) -> Any:
        return work(store)

    async def run() -> int:
        one = timeset.Recall(
            call,  # type: ignore[arg-type]
            longest=LONGEST,
            clock=lambda: T0,
            random=lambda: random,
            moved=lambda at: None,
        )
        await one.run()
        return one.count

    return asyncio.run(run())


def due(store: MemoryStore) -> dict[str, float]:
    return {entry.message.ident: entry.rows[0].next_attempt for entry in store.entries(Filter())}


def test_what_waits_too_long_is_brought_back_and_nothing_else_changes() -> None:
    store = MemoryStore(now=T0)
    far, near, released, held = drafts = [draft(expires=T0 + 1e9) for _ in range(4)]
    far.due, near.due, held.due = T0 + 1e8, T0 + 3600, T0 + 1e8
    released.message.release_at = T0 + 30 * DAY
    store.commit(drafts, now=T0)
    store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 60)], now=T0)
    store.change(Filter(idents=frozenset([held.message.ident])), "hold", now=T0)
    assert recall(store) == 2
    times = due(store)
    assert T0 <= times[far.message.ident] < times[held.message.ident] < T0 + 1
    assert times[near.message.ident] == T0 + 3600
    assert times[released.message.ident] == T0 + 30 * DAY
    assert [hop.not_before for hop in store.hops()] == [T0 + 60], "its next hop is let alone"
    assert recall(store) == 0


def test_what_was_put_off_by_a_longer_schedule_is_spread() -> None:
    """A hundred thousand of them are no thundering herd, and none waits longer than the schedule has it."""
    for random in (0.0, 0.3, 0.999):
        times = [timeset.sooner(number, LONGEST, random) for number in range(100_000)]
        assert times[0] < 1
        assert max(times) <= LONGEST
        seconds = Counter(int(at) for at in times)
        assert max(seconds.values()) <= timeset.PACE + 1
    assert timeset.sooner(10**9, LONGEST, 0.25) == LONGEST / 4


def test_a_next_hop_that_is_left_alone_too_long_is_asked_again() -> None:
    """It keeps its failures, and whoever suspended it is not overruled."""
    store = MemoryStore(now=T0)
    store.apply(
        hops=[
            Hop(HOP, failures=3, not_before=T0 + 1e8, last="no"),
            Hop(OTHER, failures=1, not_before=T0 + 60),
        ],
        now=T0,
    )
    store.suspend([HOP], reason="moving", until=None)
    recall(store)
    hops = {hop.route: hop for hop in store.hops()}
    assert (hops[HOP].failures, hops[HOP].last) == (3, "no")
    assert T0 <= hops[HOP].not_before < T0 + 1
    assert hops[HOP].suspended == "moving"
    assert hops[OTHER].not_before == T0 + 60


def test_a_long_queue_is_gone_over_page_by_page() -> None:
    store = MemoryStore(now=T0)
    routes = [Route("smtp", f"mx{number}.example.net") for number in range(timeset.PAGE + 7)]
    drafts = [draft(routes=route, expires=T0 + 1e9) for route in routes]
    for one in drafts:
        one.due = T0 + 1e8
    store.commit(drafts, now=T0)
    store.apply(hops=[Hop(route, failures=1, not_before=T0 + 1e8) for route in routes], now=T0)
    assert recall(store) == len(drafts)
    last = len(drafts) / timeset.PACE
    assert max(due(store).values()) < T0 + last
    assert max(hop.not_before for hop in store.hops()) < T0 + last


@virtual
async def test_the_writer_is_left_to_the_others_for_most_of_the_time() -> None:
    """However slow it is, and whatever waits before each page."""
    store = MemoryStore(now=T0)
    drafts = [draft(expires=T0 + 1e9) for _ in range(4 * timeset.PAGE)]
    for one in drafts:
        one.due = T0 + 1e8
    store.commit(drafts, now=T0)
    busy = 0.0

    async def call(work: Callable[[Any], Any]) -> Any:
        nonlocal busy
        await asyncio.sleep(2)
        busy += 2
        return work(store)

    one = timeset.Recall(
        call,  # type: ignore[arg-type]
        longest=LONGEST,
        clock=running().clock,
        random=lambda: 0.5,
        moved=lambda at: None,
    )
    await one.run()
    assert one.count == len(drafts)
    assert busy <= running().time() / 4
