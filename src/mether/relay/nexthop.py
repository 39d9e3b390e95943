"""One next hop: its connections, kept and reused, and the claims that wait for them.

A `NextHop` takes claims with `offer` and has them worked (`relay.worker`), each over one of its
connections.  How many it may have, how many claims it can use (`room`) and when the next message may go is
`relay.window`'s to say; how many all next hops may have together, `relay.slots`'.  A connection that has
nothing to do is kept for a while and then ended with QUIT.

When no host can be used, the claim in hand gets the outcome and all that wait are given back untried, so
that a dead next hop holds nothing; it is probed by one message, and resumes gradually.  A connection that is
refused while others work is no failure: its claim waits for one of these.

An attempt that outlives its time (`relay.window.patience`) is ended, whatever it is doing.
"""

from __future__ import annotations

import asyncio

from mether.client.session import Lost
from mether.relay import window
from mether.relay.line import Line
from mether.relay.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

    from mether.outcome import Route
    from mether.queue.claim import Claim
    from mether.relay.settings import Settings

FIRST_ROOM: Final = 2 * window.FIRST
"""Claims that a next hop of which nothing is known can use."""

FAREWELL: Final = 0.5
"""Seconds for the replies to QUIT at the end of the service."""

WATCH: Final = 60.0
"""Seconds between two looks for attempts that outlived their time."""


class NextHop:
    """The connections to `route`.  `idle` tells whether nothing is going on there, and `rested` whether
    nothing would be lost by forgetting it."""

    def __init__(self, route: Route, settings: Settings, runners: int = 1) -> None:
        self.route = route
        self.settings = settings
        self.limits = settings.limits(route).share(runners)
        self.manner = settings.manner(route)
        self._window = window.Window(self.limits.connections)
        self._rate = window.Rate(self.limits.rate) if self.limits.rate else None
        self._meter = window.Meter()
        self._waiting = Line()
        self._workers: set[Worker] = set()
        self._active = 0
        self._resting: list[tuple[asyncio.Future[bool], float]] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._pacer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def idle(self) -> bool:
        """Whether no claim waits and no connection is open."""
        return not self._workers and not self._waiting

    @property
    def rested(self) -> bool:
        """Whether it is idle, and its rate and its window would be the same anew."""
        now = self.settings.loop.time()
        return self.idle and now >= self._window.slow_until and (self._rate is None or self._rate.rested(now))

    @property
    def held(self) -> int:
        """How many connections there are, or are being made."""
        return len(self._workers)

    @property
    def room(self) -> int:
        """How many more claims can be worked soon."""
        if self._closing:
            return 0
        now = self.settings.loop.time()
        return window.room(
            self._window, self._meter.recent(now), self._rate, len(self._waiting) + self._active, now
        )

    def share(self, runners: int) -> None:
        """Keep to one part of so many of every limit."""
        self.limits = self.settings.limits(self.route).share(runners)
        self._window.limit(self.limits.connections)
        if self._rate is not None:
            self._rate.change(self.limits.rate)

    def offer(self, claim: Claim) -> None:
        """Take a claim to work on; after `close` it is given back."""
        if self._closing:
            self.settings.returned([claim])
            return
        if claim.hop is not None and claim.hop.failures and not self._workers:
            self._window.probe()
        self._waiting.add(claim)
        self._rouse()

    def withdraw(self, tokens: Collection[int]) -> None:
        """Give back the claims with these tokens that have not reached the end of their content."""
        given = self._waiting.withdraw(tokens)
        if given:
            self.settings.returned(given)
        for worker in list(self._workers):
            if worker.claim is not None and worker.claim.token in tokens:
                worker.interrupt(Lost("withdrawn", "", "the message was withdrawn"), late=False)

    def leave_off(self) -> None:
        """Give back what waits, and what is in hand but for content that is on its way.

        What is left to do for `close` takes FAREWELL seconds, or as long as servers take to answer content.
        """
        self._closing = True
        self._give_back()
        for worker in list(self._workers):
            worker.leave_off()
        if self._workers:
            self.settings.loop.call_later(FAREWELL, self._cut)

    def break_off(self) -> None:
        """End whatever is in hand at once: where the end of the content was sent, nobody knows what came of
        it."""
        for worker in list(self._workers):
            worker.interrupt(Lost("withdrawn", "", "the service ended"))
            worker.cut()

    async def close(self) -> None:
        """Give back what waits, finish what is in hand, and end every connection."""
        self._closing = True
        self._give_back()
        while self._resting:
            self.spare()
        if self._workers:
            await asyncio.wait([worker.task for worker in self._workers])

    # For its workers.

    def next(self, worker: Worker) -> Claim | None:
        """The claim to be worked next; None when there is none, or it is not its time, or `worker` is to
        leave."""
        if not self._waiting:
            return None
        settings = self.settings
        slots = settings.slots
        if len(self._workers) > self._window.size or (
            slots.waiting and slots.yields(self, settings.loop.time() - worker.since)
        ):
            worker.leave = True
            return None
        if self._rate is not None and not self._passes(self._rate):
            return None
        self._active += 1
        return self._waiting.popleft()

    async def rest(self) -> bool:
        """Wait for a claim; False when none came in time, or the connection is needed elsewhere."""
        loop = self.settings.loop
        if self._closing:
            return False
        future: asyncio.Future[bool] = loop.create_future()
        self._resting.append((future, loop.time() + self.settings.idle))
        if self._reaper is None:
            self._reaper = loop.call_later(self.settings.idle, self._reap)
        self.settings.slots.rests(self)
        return await future

    def others_work(self, worker: Worker) -> bool:
        """Whether another connection can be used, or may be yet."""
        return any(one.working for one in self._workers if one is not worker)

    def worked(self, worker: Worker) -> None:
        """An attempt is over, and its session goes on."""
        self._active -= 1
        now = self.settings.loop.time()
        self._meter.count(now)
        if self._window.succeeded(now) and self._waiting:
            self._rouse()

    def broken(self, worker: Worker, lost: bool) -> None:
        """An attempt is over, and its session with it; `lost` tells that it was needed still."""
        self._active -= 1
        now = self.settings.loop.time()
        self._meter.count(now)
        if lost and self.others_work(worker):
            self._window.shrink(len(self._workers) - 1, now)

    def refused(self, worker: Worker, claim: Claim) -> None:
        """There is no other connection to be had than those that work: the claim waits for one of them."""
        self._active -= 1
        working = sum(one.working for one in self._workers if one is not worker)
        self._window.shrink(working, self.settings.loop.time())
        if self._closing:
            self.settings.returned([claim])
        else:
            self._waiting.back(claim)
            worker.leave = True

    def slowed(self) -> None:
        """The next hop says that it gets too much from us: it is given less for a while."""
        self._window.slow(self.settings.loop.time())

    def failed(self) -> None:
        """Nothing works there."""
        self._window.fail()
        self._give_back()

    def ended(self, worker: Worker) -> None:
        """A connection is no more."""
        self._workers.discard(worker)
        self.settings.slots.give(last=not self._workers)
        # A claim that came while QUIT was on its way has nobody else to work it.
        if self._waiting:
            self._rouse()
        elif not self._workers and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    # For the slots.

    def granted(self) -> bool:
        """Begin one more connection, if there is work for it."""
        if not self._waiting or len(self._workers) >= self._window.size:
            return False
        self._begin()
        if len(self._waiting) > 1:
            self._rouse()
        return True

    def spare(self) -> None:
        """Let go of the connection that has rested longest."""
        if self._resting:
            self._wake(0, False)

    def _rouse(self) -> None:
        """Have one more connection at work, where that is possible."""
        if self._rate is not None:
            wait = self._rate.wait(self.settings.loop.time())
            if wait > 0:
                self._pace(wait)
                return
        if self._resting:
            self._wake(-1, True)  # the latest one: the others may go to sleep
        elif len(self._workers) < self._window.size and self.settings.slots.take(self):
            self._begin()

    def _begin(self) -> None:
        self._workers.add(Worker(self))
        if self._watch is None:
            self._watch = self.settings.loop.call_later(WATCH, self._look)

    def _passes(self, rate: window.Rate) -> bool:
        """Whether a message may go now: it is then counted, and somebody looks for the next one in time."""
        now = self.settings.loop.time()
        wait = rate.wait(now)
        if wait <= 0:
            rate.take(now)
            if len(self._waiting) > 1:
                self._pace(rate.wait(now))
            return True
        self._pace(wait)
        return False

    def _pace(self, wait: float) -> None:
        if self._pacer is None:
            self._pacer = self.settings.loop.call_later(wait, self._paced)

    def _paced(self) -> None:
        self._pacer = None
        if self._waiting:
            self._rouse()

    def _wake(self, place: int, claim: bool) -> None:
        """Wake one that rests, for a claim or for its end."""
        future, _ = self._resting.pop(place)
        if not self._resting:
            self.settings.slots.wakes(self)
        if not future.done():
            future.set_result(claim)

    def _reap(self) -> None:
        """Let go of the connections that have rested for long; one timer serves them all."""
        now = self.settings.loop.time()
        self._reaper = None
        while self._resting and self._resting[0][1] <= now:
            self.spare()
        if self._resting:
            self._reaper = self.settings.loop.call_at(self._resting[0][1], self._reap)

    def _look(self) -> None:
        """End the attempts that have outlived their time; one timer serves them all."""
        now = self.settings.loop.time()
        self._watch = self.settings.loop.call_later(WATCH, self._look)
        for worker in list(self._workers):
            if worker.overdue(now):
                worker.interrupt(Lost("timeout", "", "the attempt took too long as a whole"))

    def _cut(self) -> None:
        for worker in list(self._workers):
            worker.cut()

    def _give_back(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            self._pacer = None
        self.settings.slots.forget(self)
        if self._waiting:
            self.settings.returned(self._waiting.take_all())
