"""The queue's contract: what is stored, and the verbs that every store implements.

A message is queued at one instant: when the transaction of its batch commits.  Before it nothing
exists; after it the message stays until every recipient is settled.  `Store.apply` is that
transaction: drafts that become messages, settlements that end or reschedule recipients, and what was
learned of next hops, in one sync.  `commit` and `settle` are `apply` with one kind of work.

**Owners and fencing.**  A `Store` object belongs to one owner, a working process.  `claim` (and a
draft with `claim` set) gives its owner a fenced right to try recipients: a `Claim` carries owner and
token, and a settlement is applied only where both still match.  What is refused is returned, and its
reports are not enqueued.  An owner that stops renewing loses its claims to the others; a claim taken
over that way is written down as an attempt whose outcome is unknown, and its message becomes a
suspect.

**How it fails.**  Every verb may raise `StoreError`: `NoSpace` (a full disk: 452 4.3.1), `Damaged`
(what is stored cannot be read), or the plain one (any other trouble: 451 4.3.0).  A verb that raised
changed nothing.  One bad draft of a batch fails alone, by an answer with `error` set.

A store is used by one thread at a time, but for `stage`, `wait` and `fileno`, which another one (the event
loop's) may call meanwhile; `content` objects may be read in any.  Times are Unix seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Literal

    from mether.envelope import Envelope, Recipient
    from mether.outcome import Attempt, Outcome, Route
    from mether.queue.content import Content, Writer


class StoreError(Exception):
    """The queue cannot do this now; str() says what and where, for a person and the log."""

    reply = Reply(451, "4.3.0", "the queue is not available now; please try again later")


class NoSpace(StoreError):
    """The disk (or a quota) is full."""

    reply = Reply(452, "4.3.1", "not enough storage for this message now; please try again later")


class Damaged(StoreError):
    """Something stored cannot be read; nothing was deleted."""


class Arrival:
    """How a message came: for the trace field, the log and `smtpq show`.

    `protocol` is the ``with`` keyword of RFC 3848 ("SMTP", "ESMTP" ...) or "local"; `address` is the client's
    IP address or ""; `host` its verified name or ""; `helo` what it said in EHLO; `at` Unix seconds.  `tls`,
    the cipher it came under, is for the trace field alone and not stored.
    """

    __slots__ = ("address", "at", "helo", "host", "login", "protocol", "tls")

    def __init__(
        self,
        at: float,
        protocol: str = "local",
        *,
        address: str = "",
        host: str = "",
        helo: str = "",
        login: str = "",
        tls: str = "",
    ) -> None:
        self.at = at
        self.protocol = protocol
        self.address = address
        self.host = host
        self.helo = helo
        self.login = login
        self.tls = tls


class Message:
    """The facts of a queued message that all its recipients share.

    `trace` is the field(s) put in front of the content when it is sent on; `size` counts trace and content,
    in octets; `expires` is when it is returned if it still waits; `warn_at` when its sender is next told
    of a delay (None: never); `hold` the reason why it is held, or None; `release_at` the time before which
    nothing makes it tried, returned or warned of (RFC 4865 section 4), 0 for none.
    """

    __slots__ = ("arrival", "envelope", "expires", "hold", "ident", "release_at", "size", "trace", "warn_at")

    def __init__(
        self,
        ident: str,
        envelope: Envelope,
        arrival: Arrival,
        *,
        trace: bytes = b"",
        size: int = 0,
        expires: float,
        warn_at: float | None = None,
        hold: str | None = None,
        release_at: float = 0.0,
    ) -> None:
        self.ident = ident
        self.envelope = envelope
        self.arrival = arrival
        self.trace = trace
        self.size = size
        self.expires = expires
        self.warn_at = warn_at
        self.hold = hold
        self.release_at = release_at

    @property
    def priority(self) -> int:
        """-9 to 9: of what is due at a next hop, the highest goes first (RFC 6710)."""
        return self.envelope.priority

    @property
    def deadline(self) -> float:
        """When its recipients are due whatever their next hop's state: expiry or warning, the earlier."""
        return self.deadline_of(warned=False)

    def deadline_of(self, *, warned: bool) -> float:
        """When a recipient is due in any case, its sender told of the delay or not; never before release."""
        deadline = self.expires if warned or self.warn_at is None else min(self.expires, self.warn_at)
        return deadline if deadline >= self.release_at else self.release_at


class Draft:
    """A message about to be queued.

    `content` is what was received: octets in memory, or a Writer that `stage` gave and whose `sync` has
    returned.  `routes` has one Route per recipient of the envelope; with `pinned`, a person chose
    them and they are kept under any later configuration.  `due` is when to try first.  `key` is a
    submission key: while it is known (until `key_until`), a second draft with it is answered with the
    first one's id and not queued.  With `claim` set the recipients come back already claimed.  `tells`
    are the numbers of the recipients that a report is about, in the envelope of the message reported on.
    """

    __slots__ = ("claim", "content", "due", "key", "key_until", "message", "pinned", "routes", "tells")

    def __init__(
        self,
        message: Message,
        content: bytes | Writer,
        routes: Sequence[Route],
        *,
        due: float = 0.0,
        pinned: bool = False,
        key: str | None = None,
        key_until: float = 0.0,
        claim: bool = False,
        tells: Collection[int] = (),
    ) -> None:
        self.message = message
        self.content = content
        self.routes = routes
        self.due = due
        self.pinned = pinned
        self.key = key
        self.key_until = key_until
        self.claim = claim
        self.tells = tells


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


class Hop:
    """What the queue knows of a next hop.

    `failures` counts consecutive host-scope failures; before `not_before` (Unix seconds) it is not
    tried; `suspended` is the reason it is suspended, until `suspended_until` (None: until resumed).
    `last` is the text of the last host-scope outcome's reply.
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

    def blocked(self, now: float) -> bool:
        """Whether the next hop is not to be tried at `now`."""
        if self.suspended is not None and (self.suspended_until is None or now < self.suspended_until):
            return True
        return now < self.not_before


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
    """

    __slots__ = ("attempt", "claim", "decisions", "hold", "reports", "warn_at", "warned")

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
    ) -> None:
        self.claim = claim
        self.decisions = decisions
        self.attempt = attempt
        self.reports = reports
        self.warned = warned
        self.warn_at = warn_at
        self.hold = hold

    def forgo(self, removed: Collection[int]) -> None:
        """Drop the reports that tell only of recipients in `removed`, which are to go without one."""
        if self.reports and removed:
            everyone = [decision.number for decision in self.decisions]
            self.reports = [one for one in self.reports if not set(one.tells or everyone).issubset(removed)]


class Committed:
    """The answer to one draft.

    `ident` is its queue id, or with `known` the id of the message its submission key already named.
    `claims` are the claims of a draft that asked for them, one per next hop.  `error` is set when
    this draft alone was not queued.
    """

    __slots__ = ("claims", "error", "ident", "known")

    def __init__(
        self,
        ident: str,
        claims: list[Claim] | None = None,
        *,
        known: bool = False,
        error: StoreError | None = None,
    ) -> None:
        self.ident = ident
        self.claims = claims or []
        self.known = known
        self.error = error


class Applied:
    """What `apply` did: one answer per draft in order, the settlements that were `refused`, and the ids of
    the messages that are `gone`, every recipient being settled."""

    __slots__ = ("answers", "gone", "refused")

    def __init__(
        self, answers: list[Committed], refused: list[Settlement], gone: Collection[str] = ()
    ) -> None:
        self.answers = answers
        self.refused = refused
        self.gone = gone


class Select:
    """Which recipients to claim.

    By default: what is due, next hops that are not blocked, nothing held.  With `regardless`, retry
    times and next hops' states are ignored (held messages still stay), and claims come in order of their
    messages' ids, those after id `after`.  `idents` and `next_hop` (equal to the route's next hop, without
    case) narrow it; so does `not_since` (Unix seconds), which leaves out recipients whose last outcome is
    later than that.  `held` takes held messages too.  What is not to be released yet (`Message.release_at`)
    is taken by none of these: `unreleased`, with `regardless`, is for who returns or removes it, never for
    who tries it.
    """

    __slots__ = ("after", "held", "idents", "next_hop", "not_since", "regardless", "unreleased")

    def __init__(
        self,
        *,
        idents: frozenset[str] | None = None,
        next_hop: str | None = None,
        regardless: bool = False,
        held: bool = False,
        after: str = "",
        not_since: float | None = None,
        unreleased: bool = False,
    ) -> None:
        self.idents = idents
        self.next_hop = next_hop
        self.regardless = regardless
        self.held = held
        self.after = after
        self.not_since = not_since
        self.unreleased = unreleased

    @property
    def plain(self) -> bool:
        """Whether it takes what is taken by default: `claim` then goes by the next hops' schedule."""
        return not (
            self.idents is not None
            or self.next_hop is not None
            or self.regardless
            or self.held
            or self.not_since is not None
        )


class Filter:
    """Which messages to list or change.  What is None does not narrow; all that is given must hold.

    `sender`, `recipient` and `next_hop` are globs without case (``*``, ``?``), the null reverse-path being
    ``<>``; `before` takes what arrived earlier than that (Unix seconds); `status` is one of "active"
    (a claim is out), "deferred" (tried before), "fresh" (not tried yet), "held".
    """

    __slots__ = ("before", "idents", "next_hop", "recipient", "sender", "status")

    def __init__(
        self,
        *,
        idents: frozenset[str] | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        next_hop: str | None = None,
        before: float | None = None,
        status: str | None = None,
    ) -> None:
        self.idents = idents
        self.sender = sender
        self.recipient = recipient
        self.next_hop = next_hop
        self.before = before
        self.status = status


class Row:
    """One recipient of an Entry.  `owner` is None unless a claim is out; `mark` is what a person
    asked for meanwhile ("hold", "remove" or None); `warned` tells that the sender knows of its delay."""

    __slots__ = (
        "attempts",
        "last",
        "mark",
        "next_attempt",
        "number",
        "owner",
        "pinned",
        "recipient",
        "route",
        "suspect",
        "warned",
    )

    def __init__(
        self,
        number: int,
        recipient: Recipient,
        route: Route,
        *,
        attempts: int = 0,
        next_attempt: float = 0.0,
        last: Outcome | None = None,
        owner: int | None = None,
        mark: str | None = None,
        pinned: bool = False,
        suspect: bool = False,
        warned: bool = False,
    ) -> None:
        self.number = number
        self.recipient = recipient
        self.route = route
        self.attempts = attempts
        self.next_attempt = next_attempt
        self.last = last
        self.owner = owner
        self.mark = mark
        self.pinned = pinned
        self.suspect = suspect
        self.warned = warned


class Entry:
    """A queued message as it stands: its facts and a row for each recipient not yet settled.

    The envelope inside `message` lists exactly those recipients, in order of their numbers.
    """

    __slots__ = ("message", "rows")

    def __init__(self, message: Message, rows: list[Row]) -> None:
        self.message = message
        self.rows = rows

    @property
    def status(self) -> str:
        """ "held", "active", "deferred" or "fresh", the first that holds."""
        if self.message.hold is not None:
            return "held"
        if any(row.owner is not None for row in self.rows):
            return "active"
        return "deferred" if any(row.attempts for row in self.rows) else "fresh"


def names(domain: str, next_hop: str) -> bool:
    """Whether `domain` names a next hop, its port apart; with ``@`` in front, or a domain above it."""
    host, wanted = next_hop.lower(), domain.lower()
    before, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in before or before.endswith("]")):
        host = before
    host, below = host.strip("[]"), wanted[:1] == "@"
    wanted = wanted[1:] if below else wanted
    return host == wanted.strip("[]") or (below and wanted != "" and host.endswith(f".{wanted}"))


class Store(ABC):
    """The verbs.  Every store passes tests/store/contract.py, which says the same in examples."""

    owner: int
    """This process among the owners; never used twice."""

    single_runner = False
    """Whether only one process may take claims at a time (the directory store)."""

    @abstractmethod
    def stage(self, ident: str) -> Writer:
        """A writer for content too large for memory.  Raises StoreError."""

    @abstractmethod
    def apply(
        self,
        drafts: Sequence[Draft] = (),
        settlements: Sequence[Settlement] = (),
        hops: Sequence[Hop] = (),
        *,
        now: float,
    ) -> Applied:
        """Queue drafts, apply settlements, remember next hops: one transaction, one sync.

        All of it is durable when this returns.  Raises StoreError, and then nothing was done.
        """

    def commit(self, drafts: Sequence[Draft], *, now: float) -> list[Committed]:
        """Queue drafts; an answer for each.  Raises StoreError."""
        return self.apply(drafts, now=now).answers

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[Settlement]:
        """Apply settlements; returns those refused because the claim was lost.  Raises StoreError."""
        return self.apply((), settlements, now=now).refused

    @abstractmethod
    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        """Take up to `limit` claims, next hops in order of their earliest due, fair between them.

        Of what is due at one next hop the highest priority comes first, then what was due earliest.  A
        `select` narrows or widens that; None is a plain Select.

        A next hop with failures behind it gives one claim at a time (a probe); one message that is a
        suspect is claimed at a time, among all owners.  Raises StoreError.
        """

    @abstractmethod
    def renew(self, until: float, now: float) -> bool:
        """Stay an owner until then; False when this owner had been taken for dead.  Raises StoreError."""

    @abstractmethod
    def release(self, claims: Sequence[Claim]) -> None:
        """Give claims back untried: no attempt is counted, they are due as before.  Raises StoreError."""

    @abstractmethod
    def content(self, ident: str) -> Content:
        """The content of a queued message.  Raises StoreError (Damaged, or plain when it is not there)."""

    @abstractmethod
    def entries(self, filter: Filter, after: str = "", limit: int = 1000) -> list[Entry]:
        """Up to `limit` entries in order of id, those after id `after`.  Raises StoreError."""

    @abstractmethod
    def attempts(self, ident: str) -> list[Attempt]:
        """What was tried for a queued message, oldest first.  Raises StoreError."""

    @abstractmethod
    def hops(self) -> list[Hop]:
        """What is known of the next hops that have failures behind them or are suspended."""

    @abstractmethod
    def change(
        self,
        filter: Filter,
        action: Literal["hold", "release", "retry", "remove"],
        *,
        now: float,
        reason: str = "",
    ) -> int:
        """Change what matches; returns how many messages.  Raises StoreError.

        hold: not tried until released.  release: no longer held.  retry: due at `now` (but never before
        `Message.release_at`), and its next hops too, but for those that are suspended.  remove: forgotten
        without a report.  On a claimed recipient hold and remove leave a mark, obeyed when it is settled.
        """

    def start(self, domain: str, *, now: float, limit: int) -> int:
        """Make due what waits for the next hop `domain`, as "retry" does; how many messages wait there.

        With ``@`` in front it is that domain and all below it (RFC 1985 section 5.3); a port in a next hop's
        name does not count.  At most `limit` messages are counted and made due: what is beyond keeps its own
        time.  What is held, being tried or not to be released yet is left alone.  Raises StoreError.
        """
        idents: list[str] = []
        after = ""
        while len(idents) < limit and (page := self.entries(Filter(), after)):
            after = page[-1].message.ident
            idents += [
                entry.message.ident
                for entry in page
                if entry.message.hold is None
                and entry.message.release_at <= now
                and any(row.owner is None and names(domain, row.route.next_hop) for row in entry.rows)
            ]
        del idents[limit:]
        if idents:
            self.change(Filter(idents=frozenset(idents)), "retry", now=now)
        return len(idents)

    @abstractmethod
    def next_due(self, now: float) -> float | None:
        """When `claim` will next find something that is not claimed, or None when nothing waits."""

    @abstractmethod
    def wake(self) -> int:
        """Tell every other working process that there is work; returns how many were told."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a `wake` from another process; True when one came."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when `wait` would return True at once, for an event loop."""

    @abstractmethod
    def check(self) -> Iterator[str]:
        """Look over everything stored; yields a line for each thing that is wrong."""

    @abstractmethod
    def sweep(self, now: float) -> int:
        """Remove files that no row names and whose owner is dead; returns how many."""

    @abstractmethod
    def close(self) -> None:
        """Release what is claimed and let go.  Never raises."""
