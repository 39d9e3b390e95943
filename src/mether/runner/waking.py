"""When the runner looks again at what is due.

It looks at once when something has `changed`, `soon` when a next hop has room again, `by` a time that it was
told of, and when its `pause` is over.  Looks that are asked for `soon` are spaced by what the last one cost:
for as long as it took no other follows, so that looking never takes more than half of the queue's time.

Pauses are measured with the loop's clock, which nobody sets; Unix times are compared with the clock of the
queue when they are asked about, and no pause is longer than POLL.  So a clock that is set forward or back is
noticed within POLL seconds.
"""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

POLL: Final = 15.0
"""Seconds at most between two looks at what is due."""

PAUSE: Final = 0.25
"""Seconds at least between two looks that found nothing."""

CROWDED: Final = 1.0
"""Seconds until the next look while mail waits for room that nobody announces, as under a rate."""


class Waking:
    """The alarms of one runner; `clock` gives Unix seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._changed = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._rested = 0.0
        self.changed = self._changed.set
        """Look again at once."""

    def looking(self) -> float:
        """A look begins; `looked` is to have what this gives."""
        self._changed.clear()
        return self._loop.time()

    def looked(self, began: float) -> None:
        """The look is over."""
        now = self._loop.time()
        self._rested = now + (now - began)

    def soon(self) -> None:
        """Look again as soon as the last look has been paid for."""
        if self._rested <= self._loop.time():
            self._changed.set()
        else:
            self._at(self._rested)

    def by(self, at: float) -> None:
        """Look again at that Unix time: something that the present pause knows nothing of waits for it."""
        left = max(0.0, at - self._clock())
        if left < POLL:  # else the pause is over before
            self._at(self._loop.time() + left)

    def within(self, seconds: float) -> None:
        """Look again in so many seconds, or before."""
        self._at(self._loop.time() + seconds)

    async def wait(self) -> None:
        """Wait until something changes."""
        await self._changed.wait()

    async def pause(self, due: float | None, *, crowded: bool) -> None:
        """Wait until something changes, or until Unix time `due`, or until POLL seconds have passed."""
        wait = POLL if due is None else min(POLL, max(PAUSE, due - self._clock()))
        await self.rest(min(wait, CROWDED) if crowded else wait)

    async def rest(self, seconds: float) -> None:
        """Wait until something changes, so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _at(self, when: float) -> None:
        if self._alarm is not None:
            if self._alarm_at <= when:
                return
            self._alarm.cancel()
        # Kept beside it: what uvloop gives for a time that has come does not tell its own.
        self._alarm_at = when
        self._alarm = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._alarm = None
        self._changed.set()
