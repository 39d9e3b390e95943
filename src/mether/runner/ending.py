"""How a claim ends: its settlement, the reports that are queued with it, and what the log is told.

What becomes of each recipient was decided before (`runner.settle`).  Here the reports that follow are made,
and both go to the queue's writer as one settlement.  A report that can't be written keeps its recipients in
the queue: nobody is removed without the report that is owed.  What has failed at several next hops of a
message is one settlement with one report (`runner.together`).  One whose reader has to be looked up in a
table waits for that, and where the table cannot be read is tried TRIES times, AGAIN seconds apart, before.
"""

from __future__ import annotations

from functools import partial

from mether.content.returned import MAX_RETURNED
from mether.event import mail as event
from mether.outcome import Attempt
from mether.queue.claim import Settlement
from mether.queue.store import StoreError
from mether.receive.learning import Learning
from mether.relay import failure
from mether.routing.source import Needs, TableError
from mether.runner.notify import by_number, kind
from mether.runner.schedule import warn_at
from mether.runner.settle import keep, put_off
from mether.runner.together import End

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from mether.outcome import Outcome
    from mether.queue.claim import Claim, Decision, Hop, Pending
    from mether.queue.commit import GroupCommit
    from mether.queue.message import Draft
    from mether.runner.notify import Reporter
    from mether.runner.schedule import Retry
    from mether.runner.settle import Verdict
    from mether.runner.together import Together


TRIES: Final = 20
AGAIN: Final = 10.0


class Ending:
    """The last that a runner does for its claims.

    `together` says which claims are settled together, with one report.  `ended` takes each claim once its
    settlement was applied or refused; `changed` says that there may be
    something to claim, `waits` that there will be at a time (Unix seconds).
    """

    def __init__(
        self,
        *,
        queue: GroupCommit,
        reporter: Reporter,
        retry: Retry,
        together: Together,
        ended: Callable[[Claim], None],
        changed: Callable[[], None],
        waits: Callable[[float], None],
    ) -> None:
        self._queue = queue
        self._reporter = reporter
        self._retry = retry
        self._together = together
        together.end, together.warn = self._settle, self._warn
        self._ended = ended
        self._changed = changed
        self._waits = waits
        self._learning: Learning | None = None

    def adopt(self, reporter: Reporter, retry: Retry) -> None:
        """Write reports and put off by these from now on."""
        self._reporter = reporter
        self._retry = retry

    def end(
        self,
        claim: Claim,
        verdict: Verdict,
        started: float,
        now: float,
        transcript: str = "",
    ) -> None:
        """Queue what was decided, and the reports that follow; `started` is when the attempt began, and
        `transcript` what was said in it."""
        one = End(claim, verdict, started, now, transcript)
        together = self._together
        if together.groups:
            owed = verdict.hold is None and self._reporter.owes(claim, verdict.failed)
            if together.ends(one, owed=owed):
                if verdict.hop is not None and together.waits(claim):
                    self._learn(verdict.hop, now)
                    verdict.hop = None
                return
        if verdict.failed or verdict.done:
            self._settle([one])
        else:
            self._apply([one])

    def _settle(self, ends: list[End], tries: int = TRIES) -> None:
        """Settle these claims of one message together, with the report that is owed.  `tries` are left to
        find out where it goes."""
        lead, claims = ends[0].claim, [one.claim for one in ends]
        now = max(one.now for one in ends)
        ended = by_number(each for one in ends for each in (*one.verdict.failed, *one.verdict.done))
        reports: list[Draft] = []
        try:
            reports = self._reporter.reports(lead, ended, lambda: self._original(claims), now)
        except Exception as error:
            if tries and isinstance(error, (Needs, TableError)):
                self._wait(error, partial(self._settle, ends, tries - 1))
                return
            # Nobody is removed without the report that is owed: it is tried again later.
            event.error(f"a report cannot be written: {error!r}", ident=lead.message.ident)
            for one in ends:
                one.verdict = put_off(one.verdict, now + self._retry.intervals[-1])
        if not reports and any(self._reporter.keeps(lead, one.verdict.failed) for one in ends):
            for one in ends:
                if one.verdict.failed:
                    one.verdict = keep(one.verdict, now)
        self._apply(ends, reports, ended)

    def _apply(
        self, ends: list[End], reports: Sequence[Draft] = (), ended: Sequence[tuple[Pending, Outcome]] = ()
    ) -> None:
        """Queue the settlement of these claims, with these reports of those that have `ended`."""
        first = ends[0]
        verdict = first.verdict
        settlement = Settlement(
            first.claim, verdict.decisions, attempt=_attempt(first), reports=reports, hold=verdict.hold
        )
        hop = verdict.hop
        if len(ends) > 1:
            others = ends[1:]
            settlement.also = [
                Settlement(one.claim, one.verdict.decisions, attempt=_attempt(one)) for one in others
            ]
            for one in others:
                settlement.hold = settlement.hold or one.verdict.hold
                hop = hop or one.verdict.hop  # those that waited have told theirs
        self._queue.settle(settlement, hop, partial(self._settled, ends, settlement, ended, bool(reports)))

    def _settled(
        self,
        ends: list[End],
        settlement: Settlement,
        ended: Sequence[tuple[Pending, Outcome]],
        owed: bool,
        applied: bool,
    ) -> None:
        """A settlement was applied, or refused; `owed`: with a report, unless a person removed meanwhile all
        that it tells of."""
        if not applied and settlement.also:
            # One of the claims is lost, and the others need not be.
            for one in ends:
                self._settle([one])
            return
        for one in ends:
            self._ended(one.claim)
            if one.claim.suspect:
                self._changed()  # the next one waited for this one's end
        message = settlement.claim.message
        if not applied:
            event.refused(message.ident)
            return
        if settlement.hold is not None:
            event.held(message.ident, settlement.hold)
        else:
            for one in ends:
                if (at := _next(one)) is not None:
                    self._waits(at)
        if not ended:
            return
        for report in settlement.reports:
            event.reported(message.ident, report.message.ident, kind(report, ended))
            self._changed()
        if message.envelope.reverse_path is None and not owed and any(one.verdict.failed for one in ends):
            event.dropped(message.ident, "it has no sender to be returned to")

    def warn(self, claim: Claim, now: float) -> None:
        """Tell the sender of the delay of those it does not know of yet; they wait on as they did."""
        together = self._together
        if not (together.groups and together.warns(claim, now)):
            self._warn([claim], now)

    def _warn(self, claims: list[Claim], now: float, tries: int = TRIES) -> None:
        """Tell of these claims of one message together."""
        claim = claims[0]
        reports: list[Draft] = []
        again = warn_at(self._retry, claim.message, now)
        try:
            reports = self._reporter.delayed(claims, now, lambda: self._original(claims))
        except Exception as error:
            if tries and isinstance(error, (Needs, TableError)):
                self._wait(error, partial(self._warn, claims, now, tries - 1))
                return
            event.error(f"a report cannot be written: {error!r}", ident=claim.message.ident)
            again = now + self._retry.intervals[-1]
        settlement = Settlement(claim, [], reports=reports, warned=True, warn_at=again)
        if len(claims) > 1:
            settlement.also = [Settlement(one, []) for one in claims[1:]]

        def settled(applied: bool) -> None:
            if not applied and settlement.also:
                for one in claims:
                    self._warn([one], now)
                return
            for one in claims:
                self._ended(one)
            self._changed()  # its own time may come soon, and the report's has come
            if not applied:
                event.refused(claim.message.ident)
                return
            for report in settlement.reports:
                event.reported(claim.message.ident, report.message.ident, "delayed")

        self._queue.settle(settlement, None, settled)

    def tell(self, claim: Claim, decisions: Iterable[Decision], started: float, connected: float) -> None:
        """Tell the log what was tried, and what comes of it."""
        if not event.sinks:
            return
        for one, decision in zip(claim.pending, decisions, strict=True):
            if decision.outcome is not None:
                event.tried(
                    claim.message.ident,
                    one.recipient.forward_path,
                    claim.route,
                    decision.outcome,
                    orcpt=one.recipient.orcpt,
                    arrival=claim.message.arrival.at,
                    started=started,
                    connected=connected,
                    attempts=one.attempts + 1,
                    retry_at=decision.retry_at,
                    kind=failure.kind(decision.outcome, self._retry.rules),
                )

    def _learn(self, hop: Hop, now: float) -> None:
        """Write down at once what an attempt has shown whose settlement waits."""

        def written(result: object) -> None:
            if isinstance(result, StoreError):
                event.error(f"not remembered of the next hop {hop.route.next_hop}: {result}")

        self._queue.call(lambda store: store.apply((), (), (hop,), now=now), written)

    def _wait(self, trouble: Needs | TableError, again: Callable[[], None]) -> None:
        """A table decides where a report goes: ask it, or wait for it, and go on.  The claim is in hand."""
        import asyncio

        loop = asyncio.get_running_loop()
        if isinstance(trouble, TableError):
            event.error(f"a report cannot be addressed now: {trouble}")
            loop.call_later(AGAIN, again)
            return
        if self._learning is None:
            self._learning = Learning(loop)
        self._learning(trouble, again)

    def _original(self, claims: Sequence[Claim]) -> tuple[bytes, bool]:
        """The beginning of the message for its report, and whether that is all."""
        trace = claims[0].message.trace
        content = next((claim.content for claim in claims if claim.content is not None), None)
        if content is None:
            return trace, False
        try:
            octets = content.read(MAX_RETURNED)
        except (OSError, StoreError):
            return trace, False  # the sender is told all the same
        return trace + octets, len(octets) == content.size


def _attempt(one: End) -> Attempt | None:
    """What is kept of an attempt after which recipients are left; None after any other."""
    for decision in one.verdict.decisions:
        if decision.retry_at is not None:
            break
    else:
        return None
    outcomes = [decision.outcome for decision in one.verdict.decisions if decision.outcome is not None]
    if not outcomes:
        return None
    return Attempt(
        one.claim.route,
        outcomes,
        started=one.started,
        seconds=max(0.0, one.now - one.started),
        remote_mta=next((outcome.remote_mta for outcome in outcomes if outcome.remote_mta), ""),
        uncertain=any(outcome.uncertain for outcome in outcomes),
        transcript=one.transcript,
    )


def _next(one: End) -> float | None:
    """When a recipient of it may be due next; None when none is left."""
    times = [decision.retry_at for decision in one.verdict.decisions if decision.retry_at is not None]
    if not times:
        return None
    # DELIVERBY's time may come before the next try; it is never put off with that.
    deadline = one.claim.message.deadline
    return min(deadline, *times) if deadline > one.now else min(times)
