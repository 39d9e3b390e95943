"""Returning messages because a person says so: what `cleansmtpq` and `returnsmtpmail` do.

A claimed message's recipients fail, with the last thing that was said of them, or of their next hop, as the
reason; the report to its sender is queued in the transaction that removes them, one for all claims of it that
are returned at once, with each recipient's own reason.  A message with a null
reverse-path is never returned (RFC 5321 section 6.1), nor is one of whose sender nothing is known any more:
`notify` says who is told instead, and whether it is held.  What a person says beside it, the `remark`, is in
the report as the postmaster's words; in no field of it, as no server said them.

What another owner is trying is not claimed here, and what another has taken over meanwhile is refused by
the store: neither is returned.  `give_back` raises StoreError, and then nothing was done; `foresee` tells
what it would do, and does nothing.
"""

from __future__ import annotations

from mether.content.returned import MAX_RETURNED
from mether.event import mail as event
from mether.outcome import Outcome
from mether.queue.claim import Claim, Decision, Pending, Settlement
from mether.queue.glob import glob
from mether.queue.store import StoreError
from mether.relay import failure
from mether.reply import Reply
from mether.routing.expand import resolve
from mether.routing.request import Request
from mether.routing.source import TableError, settled
from mether.runner import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from mether.outcome import Route
    from mether.queue.claim import Hop
    from mether.queue.message import Draft, Entry, Message, Row
    from mether.queue.store import Store
    from mether.runner.notify import Reporter

UNTRIED: Final = Reply(554, "5.0.0", "returned by the postmaster before it was tried")


class Returned:
    """What becomes of one claim, or would.

    `recipients` of the `message`, at the next hop `route`, were given up, each with its outcome; `reports`
    were queued that say so, to the sender or, with `notice`, to the postmaster (of several claims of a
    message the first has them).  `kept` is why it is held for
    a person instead.  With `refused` the claim was lost, with `trouble` no report could be written, and
    without `recipients` none of them was meant: then nothing was done.  `open` tells that the claim is still
    to be released.
    """

    __slots__ = ("kept", "message", "notice", "open", "recipients", "refused", "reports", "route", "trouble")

    def __init__(self, message: Message, route: Route, recipients: list[tuple[Pending, Outcome]]) -> None:
        self.message = message
        self.route = route
        self.recipients = recipients
        self.reports: list[str] = []
        self.notice = False
        self.kept: str | None = None
        self.open = True
        self.refused = False
        self.trouble = ""

    @property
    def given_up(self) -> set[int]:
        """The numbers of the recipients that are in the queue no more."""
        if self.open or self.refused or self.kept is not None:
            return set()
        return {one.number for one, _ in self.recipients}


def give_back(
    store: Store,
    claims: Sequence[Claim],
    reporter: Reporter,
    now: float,
    *,
    remark: str = "",
    recipient: str | None = None,
) -> list[Returned]:
    """Return what these claims hold, in one transaction; an answer for each.  Raises StoreError.

    With `recipient`, a glob, only those that are like it.
    """
    answers: list[Returned] = []
    messages: dict[str, list[tuple[Returned, Claim]]] = {}
    for claim in claims:
        meant = [one for one in claim.pending if _like(recipient, one)]
        answer = Returned(claim.message, claim.route, _failed(meant, claim.hop))
        answers.append(answer)
        if meant:
            messages.setdefault(claim.message.ident, []).append((answer, claim))
    settlements: list[tuple[list[tuple[Returned, Claim]], Settlement]] = []
    for those in messages.values():
        one = _settlement(those, store, reporter, now, remark)
        if one is not None:
            settlements.append((those, one))
    applied = store.apply((), [one for _, one in settlements], now=now)
    refused = {id(one) for one in applied.refused}
    for those, one in settlements:
        if id(one) in refused and one.also:
            # One of its claims is lost, and the others need not be.
            for answer, claim in those:
                (again,) = give_back(store, [claim], reporter, now, remark=remark, recipient=recipient)
                answers[answers.index(answer)] = again
            continue
        for answer, _ in those:
            answer.open, answer.refused = False, id(one) in refused
        if id(one) not in refused:
            those[0][0].reports = [report.message.ident for report in one.reports]
        _tell([answer for answer, _ in those], reporter, remark)
    for ident in applied.gone:
        event.removed(ident)
    return answers


def _settlement(
    those: Sequence[tuple[Returned, Claim]], store: Store, reporter: Reporter, now: float, remark: str
) -> Settlement | None:
    """What returns these claims of one message, with the report that tells of all; None where nothing is
    done.  Raises StoreError."""
    answers = [answer for answer, _ in those]
    claim = those[0][1]
    try:
        reports = _decide(answers, claim, store, reporter, now, remark)
    except StoreError:
        raise
    except Exception as error:
        # Nobody is removed without the report that is owed; and the others need not wait for it.
        trouble = f"a report cannot be written: {error!r}"
        event.error(trouble, ident=claim.message.ident)
        for answer in answers:
            answer.trouble = trouble
        return None
    kept = answers[0].kept
    if kept is not None and claim.message.hold is not None:
        for answer in answers:
            answer.kept = claim.message.hold
        return None
    parts = [
        Settlement(
            its,
            [Decision(one.number, outcome, None) for one, outcome in answer.recipients]
            if kept is None
            else [],
        )
        for answer, its in those
    ]
    lead = parts[0]
    lead.reports, lead.hold, lead.also = reports, kept, parts[1:]
    return lead


def foresee(
    entry: Entry,
    rows: Sequence[Row],
    hops: Mapping[Route, Hop],
    reporter: Reporter,
    now: float,
    remark: str = "",
) -> list[Returned]:
    """What `give_back` would do with these recipients of an entry, one answer for each next hop.

    `hops` are the next hops in trouble.  Raises StoreError.
    """
    answers: list[Returned] = []
    for route in dict.fromkeys(row.route for row in rows):
        pending = [Pending.of(row) for row in rows if row.route == route]
        answers.append(Returned(entry.message, route, _failed(pending, hops.get(route))))
    if answers:
        lead = answers[0]
        claim = Claim(entry.message, lead.route, [one for one, _ in lead.recipients], owner=0, token=0)
        reports = _decide(answers, claim, None, reporter, now, remark)
        lead.reports = [report.message.ident for report in reports]
        for answer in answers:
            if answer.kept is not None and entry.message.hold is not None:
                answer.kept = entry.message.hold
    return answers


def _like(recipient: str | None, one: Pending) -> bool:
    return recipient is None or glob(recipient, str(one.recipient.forward_path))


def _decide(
    answers: Sequence[Returned],
    claim: Claim,
    store: Store | None,
    reporter: Reporter,
    now: float,
    remark: str,
) -> list[Draft]:
    """Note in the answers on one message who is told, and the reports that do; `claim` is the first one's.
    Raises StoreError."""
    failed = sorted((one for answer in answers for one in answer.recipients), key=lambda one: one[0].number)
    sender = claim.message.envelope.reverse_path
    notice, kept = sender is None, None
    try:
        reports = settled(
            lambda: reporter.reports(claim, failed, lambda: _original(store, claim), now, remark=remark)
        )
        if reports and sender is not None:
            # Where there is nobody behind the sender's address any more, it is the postmaster who is told.
            notice = not settled(lambda: resolve(reporter.router, Request(sender))).deliveries
    except TableError as error:
        raise StoreError(f"nothing is returned, since a report cannot be addressed: {error}") from None
    if not reports and reporter.keeps(claim, failed):
        why = f"cannot be returned, as nobody can be told: {failed[0][1].reply}"
        kept = f"{why} ({remark})" if remark else why
    for answer in answers:
        answer.notice, answer.kept = notice, kept
    return reports


def _failed(pending: Sequence[Pending], hop: Hop | None) -> list[tuple[Pending, Outcome]]:
    """The recipients, each with what is said of it."""
    cause = hop.last if hop is not None else ""
    return [(one, _outcome(one, cause)) for one in pending]


def _outcome(one: Pending, cause: str) -> Outcome:
    if one.last is None and not cause:
        return Outcome(one.number, "failed", UNTRIED)  # and with no time, as there was no attempt
    return settle.give_up(one, one.last, cause)


def _original(store: Store | None, claim: Claim) -> tuple[bytes, bool]:
    """The beginning of the message for its report, and whether that is all."""
    content = claim.content
    try:
        if content is None and store is not None:
            content = store.content(claim.message.ident)
        if content is None:
            return claim.message.trace, False  # nobody will read it
        octets = content.read(MAX_RETURNED)
    except (StoreError, OSError):
        return claim.message.trace, False  # the sender is told all the same
    return claim.message.trace + octets, len(octets) == content.size


def _tell(answers: Sequence[Returned], reporter: Reporter, remark: str) -> None:
    """Tell the log what became of a message."""
    lead = answers[0]
    message = lead.message
    if lead.refused:
        event.refused(message.ident)
        return
    if lead.kept is not None:
        event.held(message.ident, lead.kept)
        return
    if event.sinks:
        event.noted(
            f"returned by a person: {remark}" if remark else "returned by a person", ident=message.ident
        )
        for answer in answers:
            for one, outcome in answer.recipients:
                event.tried(
                    message.ident,
                    one.recipient.forward_path,
                    answer.route,
                    outcome,
                    orcpt=one.recipient.orcpt,
                    arrival=message.arrival.at,
                    attempts=one.attempts,
                    kind=failure.kind(outcome, reporter.rules),
                )
    for report in lead.reports:
        event.reported(message.ident, report, "failed")
    if not lead.reports and message.envelope.reverse_path is None:
        event.dropped(message.ident, "it has no sender to be returned to")
