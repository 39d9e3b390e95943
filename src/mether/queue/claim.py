"""Claims and what ends them: the values between the store and whoever tries the messages.

A `Claim` carries its owner and a token, and a `Settlement` (a `Decision` for each recipient, the attempt,
the reports that follow) is applied only where both still match: see `queue.store`.  A `Hop` is what the queue
knows of a next hop.  Plain values: nothing here touches the store, and times are Unix seconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mether.envelope import Recipient
    from mether.outcome import Attempt, Outcome, Route
    from mether.queue.content import Content
    from mether.queue.message import Draft, Message, Row


class Hop:
    """What the queue knows of a next hop.

    `failures` counts consecutive host-scope failures; before `not_before` (Unix seconds) it is not
    tried; `suspended` is the reason it is suspended, until `suspended_until` (None: until resumed).
    `last` is the last host-scope outcome's reply and who said it, as `Outcome.words` writes them.
    """

    __slots__ = ("failures", "last", "not_before", "route", "suspended", "suspended_until")

    def __init__(
        self,
        route: Route,
        *,
        failures: int = 0,
        not_before: float = 0.0,
        last: str = "",
        suspended: str | None = None,
        suspended_until: float | None = None,
    ) -> None:
        self.route = route
        self.failures = failures
        self.not_before = not_before
        self.last = last
        self.suspended = suspended
        self.suspended_until = suspended_until

    def suspended_at(self, now: float) -> bool:
        """Whether a person has suspended the next hop, and that is not over at `now`."""
        return self.suspended is not None and (self.suspended_until is None or now < self.suspended_until)

    def blocked(self, now: float) -> bool:
        """Whether the next hop is not to be tried at `now`."""
        return now < self.not_before or self.suspended_at(now)


class Pending:
    """One recipient inside a claim: its `number` in the envelope, and what is known of it.

    `next_attempt` is when it was due, to be kept by a settlement that tried nothing; `pinned` tells that a
    person chose its next hop, so that no configuration changes it; `warned` that the sender has been told of
    its delay.
    """

    __slots__ = ("attempts", "last", "next_attempt", "number", "pinned", "recipient", "warned")

    def __init__(
        self,
        number: int,
        recipient: Recipient,
        attempts: int = 0,
        last: Outcome | None = None,
        next_attempt: float = 0.0,
        pinned: bool = False,
        warned: bool = False,
    ) -> None:
        self.number = number
        self.recipient = recipient
        self.attempts = attempts
        self.last = last
        self.next_attempt = next_attempt
        self.pinned = pinned
        self.warned = warned

    @classmethod
    def of(cls, row: Row) -> Pending:
        """The recipient of a listed row, as it is claimed."""
        return cls(
            row.number, row.recipient, row.attempts, row.last, row.next_attempt, row.pinned, row.warned
        )


class Claim:
    """A fenced right to try the `pending` recipients of one message at one next hop.

    `content` is given when it is small, else read with `Store.content`.  `suspect` marks a message
    whose last claim outlived its owner: it is tried alone.  `hop` is the next hop as the store knew
    it.  `due` tells whether the retry time had come; when it had not, only the expiry or a
    warning had, and the next hop is not to be tried.  `settlement` numbers the claims that were ever
    taken on this message, from 1: no two have the same, so it names the report of the claim's
    settlement (`ident.report_id`).
    """

    __slots__ = (
        "content",
        "due",
        "hop",
        "message",
        "owner",
        "pending",
        "route",
        "settlement",
        "suspect",
        "token",
    )

    def __init__(
        self,
        message: Message,
        route: Route,
        pending: list[Pending],
        *,
        owner: int,
        token: int,
        settlement: int = 1,
        content: Content | None = None,
        hop: Hop | None = None,
        suspect: bool = False,
        due: bool = True,
    ) -> None:
        self.message = message
        self.route = route
        self.pending = pending
        self.owner = owner
        self.token = token
        self.settlement = settlement
        self.content = content
        self.hop = hop
        self.suspect = suspect
        self.due = due


class Decision:
    """What becomes of one claimed recipient: removed when `retry_at` is None, else tried then.

    `outcome` is remembered as its last one (None: nothing was tried, and nothing is recorded).  With
    `route` its next hop is from now on that one; this goes with an outcome of None.
    """

    __slots__ = ("number", "outcome", "retry_at", "route")

    def __init__(
        self, number: int, outcome: Outcome | None, retry_at: float | None, route: Route | None = None
    ) -> None:
        self.route = route
        self.number = number
        self.outcome = outcome
        self.retry_at = retry_at


class Settlement:
    """The end of a claim: a decision for each pending recipient that does not stay as it was, and the reports
    that follow from it.

    `attempt` is kept while the message is queued.  `reports` are drafts enqueued in the same
    transaction; the store empties it when a person has removed meanwhile all that they tell of.  `warned`
    says that the sender is told here of the delay of the claim's recipients; once that holds for all that
    are left of the message, `warn_at` replaces the message's.  `hold` holds the message.

    `also` are the settlements of other claims of the same message: all are applied or none, so that one
    report can tell of the recipients of all.  Each has its own decisions and its own attempt; the reports,
    the warning and the hold of this one are for all of them, and theirs do not count.
    """

    __slots__ = ("also", "attempt", "claim", "decisions", "hold", "reports", "warn_at", "warned")

    def __init__(
        self,
        claim: Claim,
        decisions: list[Decision],
        *,
        attempt: Attempt | None = None,
        reports: Sequence[Draft] = (),
        warned: bool = False,
        warn_at: float | None = None,
        hold: str | None = None,
        also: Sequence[Settlement] = (),
    ) -> None:
        self.also = also
        self.claim = claim
        self.decisions = decisions
        self.attempt = attempt
        self.reports = reports
        self.warned = warned
        self.warn_at = warn_at
        self.hold = hold

    @property
    def parts(self) -> tuple[Settlement, ...]:
        """This one, and those that are applied with it."""
        return (self, *self.also)

    def forgo(self, removed: Collection[int]) -> None:
        """Drop the reports that tell only of recipients in `removed`, which are to go without one."""
        if self.reports and removed:
            everyone = [decision.number for part in self.parts for decision in part.decisions]
            self.reports = [one for one in self.reports if not set(one.tells or everyone).issubset(removed)]
