"""Who is owed a report, and the draft of it (RFC 3461 section 5.2, RFC 5321 section 6.1).

`wants` says for one recipient whether its sender is to be told of an outcome: by its NOTIFY, by whether
the next hop has taken over the duty to report, and by what DELIVERBY asks for besides (RFC 2852 section
4.1).  One report tells of all whose time it was at once, those that failed and those that were delivered
alike: RFC 3464 section 2 gives each a block and an action of its own, and a settlement names one report
only, which is what keeps it from being sent twice.

A message with a null reverse-path is never returned: it goes to the postmaster as a notice, or is dropped
with a log line, as configured; a notice that fails itself is dropped, so there is never an error about an
error.  Nobody is told of its success or delay.

The draft is committed in the transaction that removes the recipients, or that puts off the next warning.
"""

from __future__ import annotations

from mether.content import dsn, trace
from mether.queue.ident import report_id
from mether.queue.message import Arrival
from mether.receive import accept
from mether.routing.request import Request
from mether.runner import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from mether.address import Address
    from mether.outcome import Action, Outcome
    from mether.queue.claim import Claim, Pending
    from mether.queue.message import Draft
    from mether.routing.router import Router


_GRAVEST_FIRST: Final[tuple[Action, ...]] = ("failed", "delayed", "delivered", "relayed", "expanded")


class Reporter:
    """How reports are made: our `hostname`, the `postmaster`'s address, whether a report that cannot
    be delivered is shown to the postmaster (`tell_postmaster`) or dropped, and the `lifetime` of a report
    in the queue, in seconds.  `boundary` makes a token."""

    __slots__ = (
        "boundary",
        "hostname",
        "lifetime",
        "offset",
        "postmaster",
        "router",
        "tell_postmaster",
    )

    def __init__(
        self,
        *,
        hostname: str,
        postmaster: Address,
        tell_postmaster: bool,
        router: Router,
        lifetime: float,
        boundary: Callable[[], str],
        offset: Callable[[], int] = lambda: 0,
    ) -> None:
        self.hostname = hostname
        self.postmaster = postmaster
        self.tell_postmaster = tell_postmaster
        self.router = router
        self.lifetime = lifetime
        self.boundary = boundary
        self.offset = offset

    def reports(
        self,
        claim: Claim,
        outcomes: Iterable[tuple[Pending, Outcome]],
        original: Callable[[], tuple[bytes, bool]],
        now: float,
    ) -> list[Draft]:
        """The draft owed for these recipients of the claim; [] when nobody is to be told.

        A *delayed* one among them is a warning: give those only when it is time for one.  `original` gives
        the beginning of the message, trace included, and whether that is all of it; it is asked only when
        a report is made.
        """
        message = claim.message
        late = message.envelope.by is not None and settle.overdue(message, now)
        to = message.envelope.reverse_path
        if to is None:
            # NOTIFY is about what a sender is told; reports say NEVER, and the postmaster hears of them.
            owed = [(one, outcome) for one, outcome in outcomes if outcome.action == "failed"]
            if not self.tell_postmaster or self._about_a_notice(owed):
                return []
        else:
            owed = [
                (one, settle.over(outcome) if late and outcome.action == "delayed" else outcome)
                for one, outcome in outcomes
                if wants(one.recipient.notify, outcome)
            ]
        if not owed:
            return []
        return [self._draft(to, claim, owed, original, now)]

    def delayed(self, claim: Claim, now: float, original: Callable[[], tuple[bytes, bool]]) -> list[Draft]:
        """The draft of a warning that the claim's recipients have not got the message yet.

        [] when none of their senders is to be told.  `original` is that of `reports`.
        """
        return self.reports(claim, settle.waiting(claim), original, now)

    def _about_a_notice(self, failed: Sequence[tuple[Pending, Outcome]]) -> bool:
        """Whether it is the postmaster who could not be reached, with no reverse-path to fall back on."""
        return any(one.recipient.forward_path == self.postmaster for one, _ in failed)

    def _draft(
        self,
        sender: Address | None,
        claim: Claim,
        owed: Sequence[tuple[Pending, Outcome]],
        original: Callable[[], tuple[bytes, bool]],
        now: float,
    ) -> Draft:
        """A report to the sender, a notice to the postmaster where there is none."""
        octets, complete = original()
        message = claim.message
        arrival = message.arrival
        ident = report_id(message.ident, claim.settlement)
        to = self.postmaster if sender is None else sender
        offset = self.offset()
        content = dsn.report(
            reporting_mta=self.hostname,
            ident=ident,
            boundary=self.boundary(),
            to=sender,
            postmaster=self.postmaster,
            at=now,
            about=dsn.About(
                message.envelope,
                message.ident,
                arrival=arrival.at,
                original=octets,
                complete=complete,
                received_from=""
                if arrival.protocol == "local"
                else trace.client(arrival.helo, arrival.address),
            ),
            items=[
                dsn.Item(one.recipient, outcome, will_retry_until=settle.ends(message))
                for one, outcome in owed
            ],
            offset=offset,
        )
        draft = accept.draft(
            ident,
            dsn.envelope(to, message.envelope),
            Arrival(now),
            content,
            [self.router.route(Request(to))],
            hostname=self.hostname,
            lifetime=self.lifetime,
            offset=offset,
        )
        draft.tells = [one.number for one, _ in owed]
        return draft


def wants(notify: str | None, outcome: Outcome) -> bool:
    """Whether the sender is told of this outcome of a recipient with that NOTIFY (DSN-4 to DSN-6).

    What DELIVERBY traces is reported without being asked for, though never against NEVER (RFC 2852 section
    4.1.4).
    """
    asked = ("FAILURE", "DELAY") if notify is None else tuple(notify.upper().split(","))
    if outcome.action == "failed":
        return "FAILURE" in asked
    if outcome.action == "delayed":
        return "DELAY" in asked
    if outcome.traced and outcome.action == "relayed":
        return "NEVER" not in asked
    return "SUCCESS" in asked and not outcome.notifies


def kind(report: Draft, outcomes: Iterable[tuple[Pending, Outcome]]) -> Action:
    """The gravest of what a report tells, for the log; `outcomes` are those that it was made of."""
    told = {outcome.action for one, outcome in outcomes if one.number in report.tells}
    return next((action for action in _GRAVEST_FIRST if action in told), "failed")
