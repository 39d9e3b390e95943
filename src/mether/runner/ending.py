"""How a claim ends: its settlement, the reports that are queued with it, and what the log is told.

What becomes of each recipient was decided before (`runner.settle`).  Here the reports that follow are made,
and both go to the queue's writer as one settlement.  A report that can't be written keeps its recipients in
the queue: nobody is removed without the report that is owed.  One whose reader has to be looked up in a table
waits for that, and where the table cannot be read is tried TRIES times, AGAIN seconds apart, before that.
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
from mether.runner.notify import kind
from mether.runner.schedule import warn_at
from mether.runner.settle import keep, put_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from mether.queue.claim import Claim, Decision
    from mether.queue.commit import GroupCommit
    from mether.queue.message import Draft
    from mether.runner.notify import Reporter
    from mether.runner.schedule import Retry
    from mether.runner.settle import Verdict


TRIES: Final = 20
AGAIN: Final = 10.0


class Ending:
    """The last that a runner does for its claims.

    `ended` takes each claim once its settlement was applied or refused; `changed` says that there may be
    something to claim, `waits` that there will be at a time (Unix seconds).
    """

    def __init__(
        self,
        *,
        queue: GroupCommit,
        reporter: Reporter,
        retry: Retry,
        ended: Callable[[Claim], None],
        changed: Callable[[], None],
        waits: Callable[[float], None],
    ) -> None:
        self._queue = queue
        self._reporter = reporter
        self._retry = retry
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
        *,
        tries: int = TRIES,
    ) -> None:
        """Queue what was decided, and the reports that follow; `started` is when the attempt began, and
        `transcript` what was said in it.  `tries` are left to find out where reports go."""
        reports: list[Draft] = []
        ended = [*verdict.failed, *verdict.done]
        if ended:
            try:
                reports = self._reporter.reports(claim, ended, lambda: self._original(claim), now)
            except Exception as error:
                if tries and isinstance(error, (Needs, TableError)):
                    again = partial(self.end, claim, verdict, started, now, transcript, tries=tries - 1)
                    self._wait(error, again)
                    return
                # Nobody is removed without the report that is owed: it is tried again later.
                event.error(f"a report cannot be written: {error!r}", ident=claim.message.ident)
                verdict = put_off(verdict, now + self._retry.intervals[-1])
        if not reports and self._reporter.keeps(claim, verdict.failed):
            verdict = keep(verdict, now)
        attempt = None
        times = [decision.retry_at for decision in verdict.decisions if decision.retry_at is not None]
        if times and (outcomes := [one.outcome for one in verdict.decisions if one.outcome is not None]):
            attempt = Attempt(
                claim.route,
                outcomes,
                started=started,
                seconds=max(0.0, now - started),
                remote_mta=next((one.remote_mta for one in outcomes if one.remote_mta), ""),
                uncertain=any(outcome.uncertain for outcome in outcomes),
                transcript=transcript,
            )
        settlement = Settlement(claim, verdict.decisions, attempt=attempt, reports=reports, hold=verdict.hold)

        def settled(applied: bool) -> None:
            self._ended(claim)
            if claim.suspect:
                self._changed()  # the next one waited for this one's end
            ident = claim.message.ident
            if not applied:
                event.refused(ident)
                return
            if verdict.hold is not None:
                event.held(ident, verdict.hold)
            elif attempt is not None:
                # DELIVERBY's time may come before the next try; it is never put off with that.
                deadline = claim.message.deadline
                self._waits(min(deadline, *times) if deadline > now else min(times))
            for report in settlement.reports:
                event.reported(ident, report.message.ident, kind(report, ended))
                self._changed()
            if verdict.failed and not reports and claim.message.envelope.reverse_path is None:
                event.dropped(ident, "it has no sender to be returned to")

        self._queue.settle(settlement, verdict.hop, settled)

    def warn(self, claim: Claim, now: float, *, tries: int = TRIES) -> None:
        """Tell the sender of the delay of those it does not know of yet; they wait on as they did."""
        reports: list[Draft] = []
        again = warn_at(self._retry, claim.message, now)
        try:
            reports = self._reporter.delayed(claim, now, lambda: self._original(claim))
        except Exception as error:
            if tries and isinstance(error, (Needs, TableError)):
                self._wait(error, partial(self.warn, claim, now, tries=tries - 1))
                return
            event.error(f"a report cannot be written: {error!r}", ident=claim.message.ident)
            again = now + self._retry.intervals[-1]
        settlement = Settlement(claim, [], reports=reports, warned=True, warn_at=again)

        def settled(applied: bool) -> None:
            self._ended(claim)
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

    def _original(self, claim: Claim) -> tuple[bytes, bool]:
        """The beginning of the message for its report, and whether that is all."""
        content, trace = claim.content, claim.message.trace
        if content is None:
            return trace, False
        try:
            octets = content.read(MAX_RETURNED)
        except (OSError, StoreError):
            return trace, False  # the sender is told all the same
        return trace + octets, len(octets) == content.size
