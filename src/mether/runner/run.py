"""The runner: what is due -> attempt -> settle.

`Runner` owns the claims of this process.  Fresh messages come to it straight from the commit (`admit`
before, `committed` after); what waits in the store is claimed when it is due.  Each claim goes to the
transport of its route, its outcomes become a settlement (`runner.settle`), and the settlement goes to the
queue's writer.  Nothing here decides when, why or who is told: that is `schedule`, `relay.failure`
and `notify`.

`run` works until `stop`; `once` works what is selected and returns.  A fault in one attempt is an
outcome of that attempt, wherever between its claim and its end it happens; trouble with the store leaves the
messages in the queue.

A claim whose retry time has not come was taken because its time is over, and is returned, or because its
sender is to be told of the delay, and waits on.  What DELIVERBY's mode R lets come too late is not tried.
"""

from __future__ import annotations

import asyncio
from functools import partial

from mether.event import mail as event
from mether.outcome import Outcome
from mether.queue.claim import Hop, Settlement
from mether.queue.store import Select, StoreError
from mether.relay import failure
from mether.runner import settle
from mether.runner.ending import Ending
from mether.runner.lease import Lease
from mether.runner.once import Once
from mether.runner.window import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol, TypeVar

    from mether.address import Address
    from mether.outcome import Route
    from mether.queue.claim import Claim
    from mether.queue.commit import GroupCommit
    from mether.queue.content import Content
    from mether.queue.message import Draft
    from mether.queue.store import Committed, Store
    from mether.runner.notify import Reporter
    from mether.runner.schedule import Retry

    T = TypeVar("T")

    class Transport(Protocol):
        """Whoever takes claims and calls `done` or `returned`."""

        def offer(self, claim: Claim) -> None:
            """Take a claim to work on."""

        async def close(self) -> None:
            """Finish what is in hand."""

    class Table(Protocol):
        """Where mail goes: see routing.table."""

        def route(self, address: Address) -> Route:
            """The next hop of an address."""


POLL: Final = 15.0
"""Seconds at most between two looks at what is due."""

PAUSE: Final = 0.25
"""Seconds at least between two looks that found nothing."""

RETRY: Final = 5.0
"""Seconds until what failed on our own side (the store, a fault) is tried again."""

PER_HOP: Final = 200
"""Claims of one next hop in hand beyond which fresh messages for it wait in the store."""

MAX_HOPS: Final = 10_000
"""Next hops that are remembered."""

STARTED: Final = 10_000
"""Messages that one `start` makes due at most."""


class Runner:
    """The runner of one process.

    `transport` gives the transport of a route; `random` a number from 0 to 1; `clock` Unix seconds.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        queue: GroupCommit,
        transport: Callable[[Route], Transport],
        table: Table,
        reporter: Reporter,
        retry: Retry,
        clock: Callable[[], float],
        random: Callable[[], float],
        window: Window | None = None,
    ) -> None:
        self.window = window or Window()
        self._loop = loop
        self._queue = queue
        self._transport = transport
        self._table = table
        self._retry = retry
        self._clock = clock
        self._random = random
        self._hops: dict[Route, Hop] = {}
        self._in_hand: dict[Route, int] = {}
        self._changed = asyncio.Event()
        self._stopping = False
        self._starved = False
        self._trouble = ""
        self._emptying = False
        self._alarm: asyncio.TimerHandle | None = None
        self._lease = Lease(loop, self._call, clock)
        self._ending = Ending(
            queue=queue,
            reporter=reporter,
            retry=retry,
            ended=self._give,
            changed=self._changed.set,
            waits=self._look_by,
        )

    def adopt(self, *, table: Table, reporter: Reporter, retry: Retry) -> None:
        """Go by a newer configuration from now on; what is in hand ends by it too."""
        self._table = table
        self._retry = retry
        self._ending.adopt(reporter, retry)
        self._changed.set()

    def admit(self, draft: Draft) -> bool:
        """Whether there is room to take a fresh message straight through; it is then counted."""
        if self._stopping or not isinstance(draft.content, bytes):
            return False
        now = self._clock()
        if draft.message.release_at > now:
            return False
        for route in draft.routes:
            hop = self._hops.get(route)
            if hop is not None and (hop.failures or hop.blocked(now)):
                return False
            if self._in_hand.get(route, 0) >= PER_HOP:
                self._starved = True
                return False
        if self.window.admit(draft.message.size):
            return True
        self._starved = True
        return False

    def committed(self, draft: Draft, answer: Committed) -> None:
        """Take what a commit gave: claims when the draft was admitted, else news that something waits."""
        if draft.claim:
            self.window.give(draft.message.size)
            for claim in answer.claims:
                self._take(claim)
                try:
                    self._dispatch(claim)
                except Exception as error:
                    self._faulted(claim, error)
            if not answer.claims:
                self._less_in_hand()
                if answer.error is None and not answer.known:
                    # Another process runs this queue: it is to know of it at once.
                    self._queue.call(lambda store: store.wake(), lambda result: None)
        elif answer.error is None and (draft.message.release_at or not isinstance(draft.content, bytes)):
            # What is small waits for room (`_starved`) or for its next hop; nothing else holds this back, and
            # a release has its own time.
            self._changed.set()
        elif answer.error is None:
            self._look_by(draft.message.deadline)

    def wake(self) -> None:
        """Look again at what is due: another process says that there is something."""
        self._changed.set()

    def start(self, domain: str, done: Callable[[int | StoreError], None]) -> None:
        """Try now what waits for the next hop `domain`, or with ``@`` in front for it and all below (ETRN).

        `done` is told how many messages wait there, counted up to STARTED, or what was wrong with the store.
        Which domain a client may name is not decided here (RFC 1985 section 6).
        """

        def work(store: Store) -> int:
            count = store.start(domain, now=self._clock(), limit=STARTED)
            if count:
                store.wake()  # whoever runs the queue, if it is another process
            return count

        def started(result: int | StoreError) -> None:
            self._changed.set()
            done(result)

        self._queue.call(work, started)

    async def run(self) -> None:
        """Work what is due until `stop`."""
        self._lease.start()
        try:
            while not self._stopping:
                self._changed.clear()
                try:
                    if not await self._claim(Select()):
                        await self._pause()
                except Exception as error:  # the daemon must go on working what it accepts
                    event.error(f"internal error in the runner: {error!r}")
                    await asyncio.sleep(RETRY)
        finally:
            self._kept()

    async def once(self, select: Select) -> int:
        """Work what `select` takes, each message and next hop once; returns how many were tried."""
        self._lease.start()
        once = Once(select, self._clock())
        try:
            while not self._stopping:
                self._changed.clear()
                self._emptying = True
                if not await self._claim(once.select, once):
                    if not self.window.used:
                        break
                    await self._changed.wait()
            return once.count
        finally:
            self._kept()

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished by closing the transports."""
        self._stopping = True
        self._changed.set()

    async def drain(self) -> None:
        """Wait until nothing is in hand; claims are renewed until then."""
        self._emptying = True
        while self.window.used:
            self._changed.clear()
            await self._changed.wait()
        self._kept()

    async def content(self, claim: Claim) -> Content:
        """The content of a claim that came without it.  Raises StoreError."""
        return await self._call(lambda store: store.content(claim.message.ident))

    def done(
        self, claim: Claim, outcomes: list[Outcome], started: float, connected: float, transcript: str = ""
    ) -> None:
        """A transport has worked a claim."""
        now = self._clock()
        hop = self._hop(claim)
        verdict = settle.decide(claim, outcomes, hop, self._retry, now, self._random)
        if verdict.hop is not None:
            self._learn(verdict.hop)
            if verdict.hop.failures:
                last = outcomes[0]
                event.unreachable(
                    claim.route, last.remote_mta, verdict.hop.last, not_before=verdict.hop.not_before
                )
            else:
                self._changed.set()  # what waited for this next hop may go now
        self._ending.tell(claim, verdict.decisions, started, connected)
        self._ending.end(claim, verdict, started, now)

    def returned(self, claims: list[Claim]) -> None:
        """A transport gives claims back untried."""
        for claim in claims:
            self._give(claim)
        self._release(claims)

    def _release(self, claims: list[Claim]) -> None:
        """Give claims back in the store, as often as it takes: else they would be nobody's to try."""

        def released(result: object) -> None:
            if isinstance(result, StoreError):
                event.error(f"cannot give claims back: {result}")
                if not self._stopping:
                    self._loop.call_later(RETRY, self._release, claims)
            self._changed.set()

        self._queue.call(lambda store: store.release(claims), released)

    async def _claim(self, select: Select, once: Once | None = None) -> bool:
        """Claim what is selected; whether to claim again at once."""
        room, now = self.window.room, self._clock()
        if room <= 0:
            self._starved = True
            return False
        try:
            claims = await self._call(lambda store: store.claim(room, now, select))
        except StoreError as error:
            if once is not None:
                raise
            if str(error) != self._trouble:
                self._trouble = str(error)  # told once, until it is another or over
                event.error(f"cannot claim: {error}")
            return False
        self._trouble = ""
        again: list[Claim] = []
        taken = 0
        for claim in claims:
            if once is not None and once.knows(claim):
                again.append(claim)
                continue
            taken += 1
            self._take(claim)
            try:
                self._begin(claim, now, once)
            except Exception as error:
                if once is not None:
                    once.tried(claim)
                self._faulted(claim, error)
        if again:
            await self._put_back(again)
        return taken > 0 if once is None else once.more(claims, taken)

    def _begin(self, claim: Claim, now: float, once: Once | None) -> None:
        """Send a claim on its way: to the next hop of a newer configuration, or to be tried."""
        moves = settle.reroute(claim, self._table.route, now) if claim.due else []
        if once is not None and not moves:
            once.tried(claim)
        if claim.hop is not None:
            self._learn(claim.hop)
        if claim.suspect:
            event.reclaimed(claim.message.ident)
        if moves:
            self._queue.settle(Settlement(claim, moves), None, partial(self._moved, claim))
        elif claim.content is None:
            self._loop.create_task(self._fetch(claim))
        else:
            self._dispatch(claim)

    async def _put_back(self, claims: list[Claim]) -> None:
        """Give back what was not taken on.  Nothing has changed by that: nobody is to look again for it."""
        try:
            await self._call(lambda store: store.release(claims))
        except StoreError:
            self._release(claims)

    def _moved(self, claim: Claim, applied: bool) -> None:
        """A claim was settled by giving its recipients the next hop of a newer configuration."""
        self._give(claim)
        self._changed.set()

    async def _fetch(self, claim: Claim) -> None:
        """Find the content of a claim before it goes to its transport."""
        try:
            claim.content = await self.content(claim)
            self._dispatch(claim)
        except Exception as error:
            self._faulted(claim, error)

    def _faulted(self, claim: Claim, error: Exception) -> None:
        """A fault came between a claim and its transport: that is its outcome, so that nobody keeps it."""
        what = str(error) if isinstance(error, StoreError) else f"internal error: {error!r}"
        now = self._clock()
        try:
            self.done(claim, [failure.of_fault(one.number, what, at=now) for one in claim.pending], now, now)
        except Exception as again:
            event.error(f"internal error in the runner: {again!r}", ident=claim.message.ident)
            self._loop.call_later(RETRY, self.returned, [claim])

    def _dispatch(self, claim: Claim) -> None:
        if self._stopping:
            self.returned([claim])
            return
        timed = claim.message.envelope.by is not None
        if claim.due and not (timed and settle.too_late(claim.message, self._clock())):
            self._transport(claim.route).offer(claim)
            return
        # It was claimed because of its expiry or a warning: the next hop is not to be tried.
        now = self._clock()
        if now < settle.ends(claim.message):
            self._ending.warn(claim, now)
            return
        event.expired(claim.message.ident, claim.message.envelope.reverse_path)
        verdict = settle.expire(claim, now)
        self._ending.tell(claim, verdict.decisions, now, now)
        self._ending.end(claim, verdict, now, now)

    def _hop(self, claim: Claim) -> Hop:
        return self._hops.get(claim.route) or claim.hop or Hop(claim.route)

    def _learn(self, hop: Hop) -> None:
        """Remember a next hop: while something is in hand for it, and as long as it is in trouble.

        Beyond MAX_HOPS the one that was learned first is forgotten; the store still knows it.
        """
        self._hops.pop(hop.route, None)
        self._hops[hop.route] = hop
        if len(self._hops) > MAX_HOPS:
            del self._hops[next(iter(self._hops))]

    def _take(self, claim: Claim) -> None:
        self.window.take(claim.message.size)
        self._in_hand[claim.route] = self._in_hand.get(claim.route, 0) + 1

    def _give(self, claim: Claim) -> None:
        self.window.give(claim.message.size)
        count = self._in_hand[claim.route] - 1
        if count:
            self._in_hand[claim.route] = count
        else:
            del self._in_hand[claim.route]
            hop = self._hops.get(claim.route)
            if hop is not None and not hop.failures and hop.suspended is None:
                del self._hops[claim.route]  # nothing is known against it
        self._less_in_hand()

    def _less_in_hand(self) -> None:
        """Say so where somebody waits for it."""
        if (self._starved and self.window.used <= self.window.messages // 2) or (
            self._emptying and not self.window.used
        ):
            self._starved = False
            self._changed.set()

    def _look_by(self, at: float) -> None:
        """Look again at that time: something that the present pause knows nothing of waits for it."""
        left = max(0.0, at - self._clock())
        if left >= POLL:
            return  # the pause is over before
        when = self._loop.time() + left
        if self._alarm is not None:
            if self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._alarm = None
        self._changed.set()

    async def _pause(self) -> None:
        """Wait until something is due, something changes, or POLL seconds have passed."""
        now = self._clock()
        try:
            due = await self._call(lambda store: store.next_due(now))
        except StoreError as error:
            event.error(str(error))
            due = None
        wait = POLL if due is None else min(POLL, max(PAUSE, due - self._clock()))
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _kept(self) -> None:
        """Renew no more when nothing is in hand: a slow end is not to cost what is."""
        if not self.window.used:
            self._lease.stop()

    async def _call(self, work: Callable[[Store], T]) -> T:
        """Run `work` in the writer thread.  Raises StoreError."""
        future: asyncio.Future[T] = self._loop.create_future()

        def answered(result: T | StoreError) -> None:
            if future.done():
                return
            if isinstance(result, StoreError):
                future.set_exception(result)
            else:
                future.set_result(result)

        self._queue.call(work, answered)
        return await future
