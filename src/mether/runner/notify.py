"""Who is owed a report, and the draft of it (RFC 3461 section 5.2, RFC 5321 section 6.1).

`wants` says for one recipient whether its sender is to be told of an outcome: by its NOTIFY, by whether
the next hop has taken over the duty to report, and by what DELIVERBY asks for besides (RFC 2852 section
4.1).  One report tells of all whose time it was at once, those that failed and those that were delivered
alike: RFC 3464 section 2 gives each a block and an action of its own, and a settlement names one report
only, which is what keeps it from being sent twice.

A message with a null reverse-path is never returned: it goes to the postmaster as a notice, or is dropped
with a log line, or is held for a person (`Reporter.keeps`), as configured; a notice that fails itself is
dropped, ours or another host's, so there is never an error about an error: not even where the mail of the
postmaster goes on to other hosts and fails there, and that of theirs comes here.  Nobody is told of its
success or delay.

A report goes the way of all mail for its reader: who has an alias gets it where that says.  Where a table
that decides about it cannot be read, or has to be waited for, there is no report yet, and its recipients stay
in the queue until there is (`runner.ending`).

The draft is committed in the transaction that removes the recipients, or that puts off the next warning.
"""

from __future__ import annotations

from mether.content import dsn
from mether.event import mail as event
from mether.queue.ident import report_id
from mether.receive import report
from mether.routing.expand import resolve
from mether.routing.request import Request
from mether.runner import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from mether.address import Address
    from mether.content.classify import Rules
    from mether.content.words_texts import Texts
    from mether.outcome import Action, Outcome
    from mether.queue.claim import Claim, Pending
    from mether.queue.message import Draft
    from mether.queue.pace import Pace
    from mether.routing.router import Router


_GRAVEST_FIRST: Final[tuple[Action, ...]] = ("failed", "delayed", "delivered", "relayed", "expanded")


class Reporter:
    """How reports are made: our `hostname`, the `postmaster`'s address, whether a report that cannot
    be delivered is shown to the postmaster (`tell_postmaster`), held (`hold`) or dropped, and the `lifetime`
    of a report in the queue, in seconds.  `boundary` makes a token; `texts` are what people read, None for
    the built-in ones, and `rules` tell what replies mean, None for those alone that come with mether."""

    __slots__ = (
        "boundary",
        "hold",
        "hostname",
        "lifetime",
        "offset",
        "pace",
        "postmaster",
        "router",
        "rules",
        "tell_postmaster",
        "texts",
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
        hold: bool = False,
        pace: Pace | None = None,
        texts: Texts | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.texts = texts
        self.rules = rules
        self.hold = hold
        self.pace = pace
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
        *,
        remark: str | None = None,
    ) -> list[Draft]:
        """The draft owed for these recipients of the claim, or of several claims of its message of which this
        is the first; [] when nobody is to be told, or can be.

        A *delayed* one among them is a warning: give those only when it is time for one.  `original` gives
        the beginning of the message, trace included, and whether that is all of it; it is asked only when
        a report is made.  `remark` is what a person says who returns the message, "" for nothing; None: no
        person does.  Raises TableError or Needs where a table decides where the report goes.
        """
        message = claim.message
        late = message.envelope.by is not None and settle.overdue(message, now)
        to = message.envelope.reverse_path
        if to is None:
            # NOTIFY is about what a sender is told; reports say NEVER, and the postmaster hears of them.
            owed = [(one, outcome) for one, outcome in outcomes if outcome.action == "failed"]
            if not self.tell_postmaster or self._about_a_notice(owed, original):
                return []
        else:
            owed = [
                (one, settle.over(outcome) if late and outcome.action == "delayed" else outcome)
                for one, outcome in outcomes
                if wants(one.recipient.notify, outcome)
            ]
        if not owed:
            return []
        draft = self._draft(to, claim, owed, original, now, remark)
        if draft is None and to is not None and self.tell_postmaster:
            # As with a report that came back: the postmaster has to do.
            owed = [(one, outcome) for one, outcome in owed if outcome.action == "failed"]
            draft = self._draft(None, claim, owed, original, now, remark) if owed else None
        return [] if draft is None else [draft]

    def owes(self, claim: Claim, failed: Sequence[tuple[Pending, Outcome]]) -> bool:
        """Whether somebody is to be told that the recipients `failed`."""
        if claim.message.envelope.reverse_path is None:
            return self.tell_postmaster and bool(failed)
        return any(wants(one.recipient.notify, outcome) for one, outcome in failed)

    def keeps(self, claim: Claim, failed: Sequence[tuple[Pending, Outcome]]) -> bool:
        """Whether the message stays for a person, held, as its recipients `failed` and there is no report."""
        if not self.hold or not failed:
            return False
        return claim.message.envelope.reverse_path is None or any(
            wants(one.recipient.notify, outcome) for one, outcome in failed
        )

    def delayed(
        self, claims: Sequence[Claim], now: float, original: Callable[[], tuple[bytes, bool]]
    ) -> list[Draft]:
        """The draft of a warning that the recipients of these claims of one message have not got it yet.

        [] when none of their senders is to be told.  `original` is that of `reports`.
        """
        late = [each for claim in claims for each in settle.waiting(claim)]
        return self.reports(claims[0], by_number(late), original, now)

    def _about_a_notice(
        self, failed: Sequence[tuple[Pending, Outcome]], original: Callable[[], tuple[bytes, bool]]
    ) -> bool:
        """Whether it is a notice that failed, or the postmaster who could not be reached otherwise, with no
        reverse-path to fall back on, or one whom that address stands for.  Raises TableError or Needs."""
        if not failed:
            return False
        if dsn.is_notice(original()[0]):
            return True
        his = {one.address for one in resolve(self.router, Request(self.postmaster)).deliveries}
        his.add(self.postmaster)
        return any(one.recipient.forward_path in his for one, _ in failed)

    def _draft(
        self,
        sender: Address | None,
        claim: Claim,
        owed: Sequence[tuple[Pending, Outcome]],
        original: Callable[[], tuple[bytes, bool]],
        now: float,
        remark: str | None,
    ) -> Draft | None:
        """A report to the sender, a notice to the postmaster where there is none.

        None where nobody is behind the address, as when a local sender is no user any more.
        Raises TableError or Needs.
        """
        to = self.postmaster if sender is None else sender
        way = resolve(self.router, Request(to))
        octets, complete = original()
        message = claim.message
        terms = report.Terms(
            self.hostname,
            self.postmaster,
            self.boundary,
            self.lifetime,
            self.offset(),
            pace=self.pace,
            texts=self.texts,
            rules=self.rules,
        )
        draft = report.draft(
            report_id(message.ident, claim.settlement),
            terms,
            to=sender,
            way=way,
            envelope=message.envelope,
            about=message.ident,
            arrival=message.arrival,
            items=[
                dsn.Item(
                    one.recipient,
                    outcome,
                    will_retry_until=settle.ends(message),
                    attempts=_attempts(one, outcome) if remark is None else one.attempts,
                )
                for one, outcome in owed
            ],
            original=octets,
            complete=complete,
            now=now,
            remark=remark,
        )
        if draft is None:
            event.dropped(message.ident, f"<{to}> cannot be told: {way.reply or 'mail for it is discarded'}")
            return None
        draft.tells = [one.number for one, _ in owed]
        return draft


def by_number(outcomes: Iterable[tuple[Pending, Outcome]]) -> list[tuple[Pending, Outcome]]:
    """The recipients of several claims, in the order of the envelope."""
    return sorted(outcomes, key=lambda each: each[0].number)


def _attempts(one: Pending, outcome: Outcome) -> int:
    """How often a recipient was tried, with the attempt that had this outcome; one that is given up untried
    has the time of its last."""
    before = one.last.at if one.last is not None else 0.0
    return one.attempts + (outcome.at > before)


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
