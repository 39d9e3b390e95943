"""What others have done to the queue: people who suspend and mark, processes that failed or were answered.

A person's program changes the store and wakes this process, which then reads the list of next hops in trouble
and the marks on its claims, as it does every POLL seconds anyway.  Whatever is suspended takes no fresh mail
from then on; a claim that is marked is withdrawn from its transport, if its content is not all sent yet, and
the store does what the mark says when it is given back.  Whoever wakes us for each message that it queues
makes us read no more often than once in SPACING seconds.

The clock is looked after here too: see `runner.timeset`.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.queue.store import StoreError
from mether.runner import schedule, timeset
from mether.runner.waking import POLL

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection
    from typing import Final

    from mether.queue.claim import Hop
    from mether.queue.store import Store
    from mether.runner.asking import Ask
    from mether.runner.schedule import Retry
    from mether.runner.waking import Waking
    from mether.runner.ways import Ways

SPACING: Final = 1.0
"""Seconds at least between two readings."""

AT_ONCE: Final = 0.01
"""Seconds that are not worth an alarm: a loop's timers may come as much too early as its clock is coarse."""


class News:
    """What one runner hears; with `woken` set it reads at the next occasion.

    `call` asks the store; `withdraw` is told the tokens of claims that were marked; `random` gives a number
    from 0 to 1.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Ask,
        clock: Callable[[], float],
        ways: Ways,
        waking: Waking,
        withdraw: Callable[[Collection[int]], None],
        random: Callable[[], float],
    ) -> None:
        self.woken = False
        self._random = random
        self._loop = loop
        self._call = call
        self._clock = clock
        self._ways = ways
        self._waking = waking
        self._withdraw = withdraw
        self._read: float | None = None
        self._watch = timeset.Watch(clock, loop.time)
        self._recalling: asyncio.Task[None] | None = None

    async def read(self, retry: Retry, *, marks: bool) -> None:
        """Read what there is, if it is time; without `marks` there is no claim that could have one."""
        now, first = self._loop.time(), self._read is None
        if self._read is not None:
            left = self._read + (SPACING if self.woken else POLL) - now
            if left > AT_ONCE:
                if self.woken:
                    self._waking.within(left)
                return
        self.woken, self._read = False, now

        def look(store: Store) -> tuple[list[Hop], dict[int, str], float | None]:
            return (
                store.hops(),
                store.marked() if marks else {},
                store.next_due(self._clock()) if first else None,
            )

        self._ways.asked()
        try:
            hops, marked, due = await self._call(look)
        except StoreError:
            return  # whoever claims says so
        self._ways.know(hops)
        if marked:
            self._withdraw(marked)
        longest = schedule.longest(retry)
        by = self._watch.set_by()
        if by:
            event.warning(f"the clock was set {'forward' if by > 0 else 'back'} by {abs(by):.0f} seconds")
        if by < 0 or (first and timeset.wrong(hops, due, self._clock() + longest)):
            self._recall(longest)

    def close(self) -> None:
        """Hear no more."""
        if self._recalling is not None:
            self._recalling.cancel()

    def _recall(self, longest: float) -> None:
        """Bring back what waits for a time that the schedule would not give now."""
        if self._recalling is None or self._recalling.done():
            recall = timeset.Recall(
                self._call,
                longest=longest,
                clock=self._clock,
                random=self._random,
                moved=self._waking.by,
            )
            self._recalling = self._loop.create_task(self._recalled(recall))

    async def _recalled(self, recall: timeset.Recall) -> None:
        try:
            await recall.run()
        except StoreError as error:
            event.error(f"cannot look for what waits for a wrong time: {error}")
        if recall.count:
            event.warning(f"{recall.count} messages waited for a time too far away and are tried sooner")
