"""A claim's way: where it goes, on to its transport, and from its outcomes to its end.

`begin` takes a claim that came from the store, `arrived` one that came with its commit.  It may go to another
next hop (`runner.routing`), be returned or have its sender warned (`settle.course`), wait for other reports
(`runner.merging`), or end without a connection since no mail is sent there (`runner.suppressing`); else its
transport gets it, and says `done` or `returned`.  What was decided of its outcomes (`runner.settle`) goes to
its end (`runner.ending`).

A fault on this way is the outcome of the attempt, wherever it happens, so that nobody keeps the claim.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.queue.store import StoreError
from mether.relay import failure
from mether.runner import settle
from mether.runner.ending import Ending
from mether.runner.giving import RETRY
from mether.runner.merging import Merging
from mether.runner.routing import Routing

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mether.outcome import Outcome
    from mether.queue.claim import Claim
    from mether.queue.commit import GroupCommit
    from mether.queue.content import Content
    from mether.routing.router import Router
    from mether.runner.asking import Ask
    from mether.runner.giving import Giving
    from mether.runner.hand import Hand
    from mether.runner.notify import Reporter
    from mether.runner.once import Once
    from mether.runner.schedule import Retry
    from mether.runner.suppressing import Suppressing
    from mether.runner.waking import Waking
    from mether.runner.ways import Transports


class Trying:
    """The ways of a runner's claims; the arguments are those of `runner.run.Runner`, and parts of it.

    Once `giving.stopping` is set no claim goes to a transport any more: it is given back.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        queue: GroupCommit,
        ask: Ask,
        hand: Hand,
        giving: Giving,
        transports: Callable[[], Transports],
        router: Router,
        reporter: Reporter,
        retry: Retry,
        clock: Callable[[], float],
        random: Callable[[], float],
        waking: Waking,
        suppressing: Suppressing,
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._hand = hand
        self._ways = hand.ways
        self._together = hand.together
        self._giving = giving
        self._transports = transports
        self._retry = retry
        self._clock = clock
        self._random = random
        self._changed = waking.changed
        self._suppressing = suppressing
        self._ending = Ending(
            queue=queue,
            reporter=reporter,
            retry=retry,
            together=hand.together,
            ended=hand.give,
            changed=waking.changed,
            waits=waking.by,
        )
        self._routing = Routing(
            loop=loop,
            queue=queue,
            hand=hand,
            router=router,
            retry=retry,
            clock=clock,
            content=self.content,
            dispatch=self._dispatch,
            changed=waking.changed,
            done=self.done,
            faulted=self._faulted,
        )
        self._merging = Merging(
            loop=loop,
            ask=ask,
            hand=hand,
            reporter=reporter,
            clock=clock,
            begin=lambda claim, now: self._routing.begin(claim, now, None),
            offer=self._offer,
            put_off=self._routing.move,
            faulted=self._faulted,
        )

    def adopt(self, router: Router, reporter: Reporter, retry: Retry) -> None:
        """Go by these from now on."""
        self._retry = retry
        self._routing.adopt(router, retry)
        self._ending.adopt(reporter, retry)
        self._merging.adopt(reporter)

    async def content(self, claim: Claim) -> Content:
        """The content of a claim that came without it.  Raises StoreError."""
        return await self._ask(lambda store: store.content(claim.message.ident))

    def begin(self, claim: Claim, now: float, once: Once | None) -> None:
        """Send a claim from the store on its way; `once` is told when it is tried."""
        try:
            self._routing.begin(claim, now, once)
        except Exception as error:
            if once is not None:
                once.tried(claim)
            self._faulted(claim, error)

    def arrived(self, claim: Claim) -> None:
        """Send a claim that came with its commit on its way: nothing has changed since it was decided."""
        try:
            self._dispatch(claim)
        except Exception as error:
            self._faulted(claim, error)

    def done(
        self, claim: Claim, outcomes: list[Outcome], started: float, connected: float, transcript: str = ""
    ) -> None:
        """A transport has worked a claim."""
        outcomes = self._suppressing.ended(claim, outcomes, self._clock())
        if not self._merging.sent:
            self._worked(claim, outcomes, started, connected, transcript)
            return
        for number, (one, its) in enumerate(self._merging.share(claim, outcomes)):
            self._worked(one, its, started, connected, transcript, again=number > 0)

    def _worked(
        self,
        claim: Claim,
        outcomes: list[Outcome],
        started: float,
        connected: float,
        transcript: str,
        *,
        again: bool = False,
    ) -> None:
        """A claim was worked; `again` where it went with another, so that its next hop is known already."""
        now = self._clock()
        hop = self._ways.to[claim.route].hop
        verdict = settle.decide(claim, outcomes, hop, self._retry, now, self._random)
        if again:
            verdict.hop = None
        if verdict.hop is not None:
            self._ways.learn(verdict.hop)
            if verdict.hop.failures:
                last = next((one for one in outcomes if one.scope == "host"), outcomes[0])
                event.unreachable(
                    claim.route, last.remote_mta, str(last.reply), not_before=verdict.hop.not_before
                )
            else:
                self._changed()  # what waited for this next hop may go now
        self._ending.tell(claim, verdict.decisions, started, connected)
        self._ending.end(claim, verdict, started, now, transcript)

    def returned(self, claims: list[Claim]) -> None:
        """A transport gives claims back untried."""
        claims = self._merging.parts(self._suppressing.returned(claims))
        for claim in claims:
            self._hand.give(claim)
        self._giving.give(claims)

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
        if self._giving.stopping:
            self.returned([claim])
            return
        now = self._clock()
        course = settle.course(claim.message, now, due=claim.due)
        if course == "try":
            self._together.tries(claim)
            if not (claim.message.release_at and self._merging.takes(claim)):
                self._offer(claim)
        elif course == "warn":
            self._ending.warn(claim, now)
        else:
            event.expired(claim.message.ident, claim.message.envelope.reverse_path)
            verdict = settle.expire(claim, now)
            self._ending.tell(claim, verdict.decisions, now, now)
            self._ending.end(claim, verdict, now, now)

    def _offer(self, claim: Claim) -> None:
        """Hand a claim to its transport, unless no mail is sent to any of its recipients."""
        if self._giving.stopping:
            self.returned([claim])
        elif known := self._suppressing.begin(claim, now := self._clock()):
            self.done(claim, known, now, now)
        else:
            self._transports().transport(claim.route).offer(claim)
