"""Who is owed a report, and the draft of it (RFC 3461 section 5.2, RFC 5321 section 6.1).

A recipient that failed is reported to the reverse-path unless its NOTIFY says otherwise; one report
tells of all that failed at the same time.  A message with a null reverse-path is never returned: it
goes to the postmaster as a notice, or is dropped with a log line, as configured; a notice that fails
itself is dropped, so there is never an error about an error.

The draft is committed in the transaction that removes the recipients.
"""

from __future__ import annotations

from functools import partial

from mether.content import dsn
from mether.queue.ident import report_id
from mether.queue.store import Arrival
from mether.receive import accept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from mether.address import Address
    from mether.outcome import Outcome, Route
    from mether.queue.store import Claim, Draft, Pending

    class Table(Protocol):
        """Where mail goes: see routing.table."""

        def route(self, address: Address) -> Route:
            """The next hop of an address."""


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
        "table",
        "tell_postmaster",
    )

    def __init__(
        self,
        *,
        hostname: str,
        postmaster: Address,
        tell_postmaster: bool,
        table: Table,
        lifetime: float,
        boundary: Callable[[], str],
        offset: Callable[[], int] = lambda: 0,
    ) -> None:
        self.hostname = hostname
        self.postmaster = postmaster
        self.tell_postmaster = tell_postmaster
        self.table = table
        self.lifetime = lifetime
        self.boundary = boundary
        self.offset = offset

    def reports(
        self,
        claim: Claim,
        failed: Sequence[tuple[Pending, Outcome]],
        original: Callable[[], tuple[bytes, bool]],
        now: float,
    ) -> list[Draft]:
        """The drafts owed for recipients of the claim that failed; [] when nobody is to be told.

        `original` gives the beginning of the message, trace included, and whether that is all of it; it
        is asked only when a report is made.
        """
        to = claim.message.envelope.reverse_path
        # NOTIFY is about what a sender is told; reports say NEVER, and their failure is for the postmaster.
        owed = [
            (one, outcome) for one, outcome in failed if to is None or wants_failure(one.recipient.notify)
        ]
        if not owed:
            return []
        items = [dsn.Item(one.recipient, outcome) for one, outcome in owed]
        if to is None and (not self.tell_postmaster or self._about_a_notice(failed)):
            return []
        return [self._draft(to, claim, items, original, now)]

    def _about_a_notice(self, failed: Sequence[tuple[Pending, Outcome]]) -> bool:
        """Whether it is the postmaster who could not be reached, with no reverse-path to fall back on."""
        return any(one.recipient.forward_path == self.postmaster for one, _ in failed)

    def _draft(
        self,
        sender: Address | None,
        claim: Claim,
        items: Sequence[dsn.Item],
        original: Callable[[], tuple[bytes, bool]],
        now: float,
    ) -> Draft:
        """A report to the sender, a notice to the postmaster where there is none."""
        octets, complete = original()
        message = claim.message
        ident = report_id(message.ident, claim.settlement)
        to = self.postmaster if sender is None else sender
        write = dsn.notice if sender is None else partial(dsn.report, to=sender)
        content = write(
            reporting_mta=self.hostname,
            ident=ident,
            boundary=self.boundary(),
            postmaster=self.postmaster,
            arrival=message.arrival.at,
            at=now,
            about=message.envelope,
            items=items,
            original=octets,
            complete=complete,
            original_ident=message.ident,
            offset=self.offset(),
        )
        return accept.draft(
            ident,
            dsn.envelope(to),
            Arrival(now),
            content,
            [self.table.route(to)],
            hostname=self.hostname,
            lifetime=self.lifetime,
            offset=self.offset(),
        )


def wants_failure(notify: str | None) -> bool:
    """Whether a recipient's NOTIFY lets a failure be reported (checklist DSN-5)."""
    return notify is None or "FAILURE" in notify.upper().split(",")
