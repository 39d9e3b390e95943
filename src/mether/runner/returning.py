"""Returning messages because a person says so: what `cleansmtpq` and `returnsmtpmail` do.

A claimed message's recipients fail, with the last thing that was said of them, or of their next hop, as the
reason; the report to its sender is queued in the transaction that removes it.  A message with a null
reverse-path is never returned (RFC 5321 section 6.1): `notify` says who is told instead.

What another owner is trying is not claimed here, and what another has taken over meanwhile is refused by
the store: neither is returned.  Raises StoreError, and then nothing was done.
"""

from __future__ import annotations

from mether.content.returned import MAX_RETURNED
from mether.event import mail as event
from mether.outcome import Outcome
from mether.queue.claim import Decision, Settlement
from mether.queue.store import StoreError
from mether.relay import failure
from mether.reply import Reply
from mether.routing.source import TableError, settled
from mether.runner import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.address import ReversePath
    from mether.queue.claim import Claim, Pending
    from mether.queue.message import Draft
    from mether.queue.store import Store
    from mether.runner.notify import Reporter

UNTRIED: Final = Reply(554, "5.0.0", "returned by the postmaster before it was tried")


class Returned:
    """What became of one claim: the message's `ident` and `reverse_path`, how many `recipients` were given
    up, and the `reports` that were queued, by id.  With `refused` nothing was done."""

    __slots__ = ("ident", "recipients", "refused", "reports", "reverse_path")

    def __init__(
        self, ident: str, reverse_path: ReversePath, recipients: int, reports: list[str], *, refused: bool
    ) -> None:
        self.ident = ident
        self.reverse_path = reverse_path
        self.recipients = recipients
        self.reports = reports
        self.refused = refused


def give_back(store: Store, claims: Sequence[Claim], reporter: Reporter, now: float) -> list[Returned]:
    """Return what these claims hold, in one transaction; an answer for each.  Raises StoreError."""
    settlements = [_settlement(store, claim, reporter, now) for claim in claims]
    refused = {id(one) for one in store.settle(settlements, now=now)}
    answers = []
    for one in settlements:
        message = one.claim.message
        lost = id(one) in refused
        reports = [] if lost else [report.message.ident for report in one.reports]
        answers.append(
            Returned(message.ident, message.envelope.reverse_path, len(one.decisions), reports, refused=lost)
        )
        _tell(one, lost)
    return answers


def _settlement(store: Store, claim: Claim, reporter: Reporter, now: float) -> Settlement:
    cause = claim.hop.last if claim.hop is not None else ""
    failed = [(one, _outcome(one, cause, now)) for one in claim.pending]
    decisions = [Decision(one.number, outcome, None) for one, outcome in failed]
    try:
        reports: list[Draft] = settled(
            lambda: reporter.reports(claim, failed, lambda: _original(store, claim), now)
        )
    except TableError as error:
        raise StoreError(f"nothing is returned, since a report cannot be addressed: {error}") from None
    return Settlement(claim, decisions, reports=reports)


def _outcome(one: Pending, cause: str, now: float) -> Outcome:
    if one.last is None and not cause:
        return Outcome(one.number, "failed", UNTRIED, at=now)
    outcome = settle.give_up(one, one.last, cause)
    outcome.at = outcome.at or now
    return outcome


def _original(store: Store, claim: Claim) -> tuple[bytes, bool]:
    """The beginning of the message for its report, and whether that is all."""
    content = claim.content
    try:
        if content is None:
            content = store.content(claim.message.ident)
        octets = content.read(MAX_RETURNED)
    except (StoreError, OSError):
        return claim.message.trace, False  # the sender is told all the same
    return claim.message.trace + octets, len(octets) == content.size


def _tell(one: Settlement, lost: bool) -> None:
    message = one.claim.message
    if lost:
        event.refused(message.ident)
        return
    if event.sinks:
        for pending, decision in zip(one.claim.pending, one.decisions, strict=True):
            assert decision.outcome is not None
            event.tried(
                message.ident,
                pending.recipient.forward_path,
                one.claim.route,
                decision.outcome,
                orcpt=pending.recipient.orcpt,
                arrival=message.arrival.at,
                attempts=pending.attempts,
                kind=failure.kind(decision.outcome),
            )
    for report in one.reports:
        event.reported(message.ident, report.message.ident, "failed")
    if not one.reports and message.envelope.reverse_path is None:
        event.dropped(message.ident, "it has no sender to be returned to")
