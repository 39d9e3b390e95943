"""When the runner looks again: at once, soon, by a time, after a pause."""

from __future__ import annotations

import asyncio
import time

import pytest
from clock import T0, running, virtual

from mether.runner.waking import CROWDED, PAUSE, POLL, Waking


async def waited(waking: Waking, due: float | None = None, *, crowded: bool = False) -> float:
    began = running().time()
    await waking.pause(due, crowded=crowded)
    return running().time() - began


@virtual
async def test_a_pause_ends_with_what_is_due_and_is_never_too_short_or_long() -> None:
    waking = Waking(running(), running().clock)
    assert await waited(waking) == POLL
    assert await waited(waking, running().clock() + 1000) == POLL
    assert await waited(waking, running().clock() + 4) == 4
    assert await waited(waking, running().clock() - 4) == PAUSE
    assert await waited(waking, crowded=True) == CROWDED


@virtual
async def test_it_looks_by_the_earliest_time_it_was_told_of() -> None:
    waking = Waking(running(), running().clock)
    waking.by(T0 + 9)
    waking.by(T0 + 3)
    waking.by(T0 + 6)
    waking.by(T0 + 2 * POLL)
    assert await waited(waking) == 3


@virtual
async def test_soon_is_at_once_unless_the_last_look_was_long() -> None:
    """Looking takes half of the queue's time at most."""
    loop = running()
    waking = Waking(loop, loop.clock)
    waking.soon()
    assert await waited(waking) == 0
    began = waking.looking()
    await waking.rest(2)
    waking.looked(began)
    waking.soon()
    waking.soon()
    assert await waited(waking) == 2


@virtual
async def test_a_clock_that_is_set_changes_no_pause() -> None:
    """Neither far ahead nor back."""
    ahead = 0.0
    waking = Waking(running(), lambda: running().clock() + ahead)
    waking.by(T0 + 5)
    ahead = -1e9
    assert await waited(waking, T0 + 9) == 5
    waking.looking()
    ahead = 1e9
    assert await waited(waking) == POLL


def test_a_time_that_has_come_may_be_told_twice_on_every_loop() -> None:
    """What uvloop's call_at gives for a time that has come is no timer, and does not tell its own."""
    uvloop = pytest.importorskip("uvloop")

    async def twice() -> bool:
        loop = asyncio.get_running_loop()
        waking = Waking(loop, time.time)
        waking.looking()
        waking.by(0)
        waking.within(-1)
        await waking.wait()
        return True

    assert uvloop.run(twice())
