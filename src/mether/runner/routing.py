"""What becomes of a claim before it is tried: it is held, moved, or sent to its next hop.

The next hop in the queue is a cached decision.  What is due is decided again, by the rules as they are now
(`settle.reroute`), so that mail follows the configuration.  Three things stay: what a person has pinned, what
an alias said (a file or a program), and what no rule gives a next hop any more.  A rule that holds mail holds
what comes in: what a person released is not held again.

A rule may have to wait for a table.  Its claim stays in hand meanwhile, for LEARN seconds at most.  A table
that cannot be read sends nothing elsewhere, and returns nothing before its time: the recipients are delayed
(451 4.3.0).  So they are when what they are pinned to is gone from the configuration.
"""

from __future__ import annotations

from functools import partial

from mether.event import mail as event
from mether.outcome import Outcome
from mether.queue.claim import Settlement
from mether.reply import Reply
from mether.routing.request import Request
from mether.routing.source import Needs, TableError, awaited
from mether.runner import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from typing import Final

    from mether.address import Address
    from mether.outcome import Route
    from mether.queue.claim import Claim, Decision
    from mether.queue.commit import GroupCommit
    from mether.queue.content import Content
    from mether.queue.message import Message
    from mether.routing.router import Router
    from mether.runner.hand import Hand
    from mether.runner.once import Once
    from mether.runner.schedule import Retry

LEARN: Final = 60.0
"""Seconds that the tables of one decision have to answer."""


class Routing:
    """The beginning of a runner's claims.

    `content` finds the content of a claim; `dispatch` is told the claims that are to be tried, `changed` that
    something was moved, `done` the outcomes of what cannot be, `faulted` what went wrong.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        queue: GroupCommit,
        hand: Hand,
        router: Router,
        retry: Retry,
        clock: Callable[[], float],
        content: Callable[[Claim], Awaitable[Content]],
        dispatch: Callable[[Claim], None],
        changed: Callable[[], None],
        done: Callable[[Claim, list[Outcome], float, float], None],
        faulted: Callable[[Claim, Exception], None],
    ) -> None:
        self._loop = loop
        self._queue = queue
        self._hand = hand
        self._ways = hand.ways
        self._router = router
        self._retry = retry
        self._clock = clock
        self._content = content
        self._dispatch = dispatch
        self._changed = changed
        self._done = done
        self._faulted = faulted
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, router: Router, retry: Retry) -> None:
        """Go by these from now on."""
        self._router = router
        self._retry = retry

    def begin(self, claim: Claim, now: float, once: Once | None) -> None:
        """Send a claim on its way: to be held, to the next hop of a newer configuration, or to be tried."""
        if claim.hop is not None:
            self._ways.told(claim.hop)
        if claim.suspect:
            event.reclaimed(claim.message.ident)
        why = settle.doubt(claim, self._retry)
        if why is not None:
            if once is not None:
                once.tried(claim)
            self.move(claim, settle.stay(claim), why=why)
            return
        try:
            moves = settle.reroute(claim, self._way, now) if claim.due else []
        except Needs:
            self._later(claim, self._learn(claim, once))
            return
        except TableError as error:
            self._unknown(claim, error, once)
            return
        self._go(claim, moves, once)

    def _way(self, recipient: Address, message: Message) -> Route | None:
        """The next hop of a recipient as the configuration is now; None: it has none any more."""
        return self._router.decide(Request.of(recipient, message)).route

    def _go(self, claim: Claim, moves: list[Decision], once: Once | None) -> None:
        if moves:
            self.move(claim, moves)
            return
        if once is not None:
            once.tried(claim)
        if claim.due and claim.route.via and self._router.rule(claim.route) is None:
            what = f"the route {claim.route.via!r} by which this is to go is not in the configuration"
            self._delay(claim, Reply(451, "4.3.5", what))
        elif claim.content is None:
            self._later(claim, self._fetch(claim))
        else:
            self._dispatch(claim)

    async def _learn(self, claim: Claim, once: Once | None) -> Callable[[], None]:
        """Ask the tables, and decide then; what is to be done."""
        import asyncio

        def decide() -> list[Decision]:
            return settle.reroute(claim, self._way, self._clock())

        try:
            async with asyncio.timeout(LEARN):
                moves = await awaited(decide)
        except TimeoutError:
            return partial(self._unknown, claim, TableError(f"no answer within {LEARN:.0f} seconds"), once)
        except TableError as error:
            return partial(self._unknown, claim, error, once)
        return partial(self._go, claim, moves, once)

    def _unknown(self, claim: Claim, error: TableError, once: Once | None) -> None:
        """Nobody knows where the claim is to go."""
        event.error(f"cannot tell where mail goes: {error}", ident=claim.message.ident)
        if once is not None:
            once.tried(claim)
        self._delay(claim, error.reply)

    def _delay(self, claim: Claim, reply: Reply) -> None:
        now = self._clock()
        outcomes = [
            Outcome(one.number, "delayed", reply, scope="transaction", at=now) for one in claim.pending
        ]
        self._done(claim, outcomes, now, now)

    def move(self, claim: Claim, moves: list[Decision], why: str | None = None) -> None:
        """Settle a claim untried: its recipients go to another next hop, or wait on, or it is held."""
        self._queue.settle(Settlement(claim, moves, hold=why), None, partial(self._moved, claim, why))

    def _moved(self, claim: Claim, why: str | None, applied: bool) -> None:
        self._hand.give(claim)
        if applied and why is not None:
            event.held(claim.message.ident, why)
        self._changed()

    async def _fetch(self, claim: Claim) -> Callable[[], None]:
        """Find the content of a claim before it goes to its transport; what is to be done then."""
        claim.content = await self._content(claim)
        return partial(self._dispatch, claim)

    def _later(self, claim: Claim, work: Awaitable[Callable[[], None]]) -> None:
        """Do what has to wait for something; the claim is on its way to its transport meanwhile."""
        self._ways.to[claim.route].coming += 1

        async def waiting() -> None:
            try:
                try:
                    then = await work
                finally:
                    self._ways.to[claim.route].coming -= 1
                then()
            except Exception as error:
                self._faulted(claim, error)

        task = self._loop.create_task(waiting())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
