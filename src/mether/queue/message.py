"""A queued message as a value: how it came, its facts, a draft of one, and an entry of the list.

A `Draft` (being queued) becomes a `Message` with a `Row` for each recipient not yet settled; these together
are an `Entry` (what `smtpq` shows).  A `Claim` (`queue.claim`) is the right to try some of them.

Plain values: nothing here touches the store, and times are Unix seconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mether.envelope import Envelope, Recipient
    from mether.outcome import Outcome, Route
    from mether.queue.content import Writer


class Arrival:
    """How a message came: for the trace field, the log and `smtpq show`.

    `protocol` is the ``with`` keyword of RFC 3848 ("SMTP", "ESMTP" ...) or "local"; `address` is the client's
    IP address or ""; `host` its verified name or ""; `helo` what it said in EHLO; `at` Unix seconds;
    `listener` the name of the ``[[listen]]`` it came by, or "".  `tls`, the cipher it came under, is for the
    trace field alone and not stored.
    """

    __slots__ = ("address", "at", "helo", "host", "listener", "login", "protocol", "tls")

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
        listener: str = "",
    ) -> None:
        self.at = at
        self.protocol = protocol
        self.address = address
        self.host = host
        self.helo = helo
        self.login = login
        self.tls = tls
        self.listener = listener


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


def next_warning(
    envelope: Envelope, arrived: float, begins: float, expires: float, ages: Sequence[float], now: float
) -> float | None:
    """When, after `now`, the sender is next told that its message waits; None: not any more.

    It is told at each of the rising `ages`, in seconds from when its time began (`begins`: its release, or
    else its arrival), and when DELIVERBY's mode N asks for it (RFC 2852 section 4.1.3), which counts from
    the arrival.  When it expires it is returned, so nothing is told from then on; nor is there anybody to
    tell behind a null reverse-path (RFC 5321 section 4.5.5).
    """
    if envelope.reverse_path is None:
        return None
    at = expires
    for age in ages:
        if begins + age > now:
            at = min(at, begins + age)
            break
    by = envelope.by
    if by is not None and by.mode == "N" and arrived + by.seconds > now:
        at = min(at, arrived + by.seconds)
    return at if at < expires else None


class Draft:
    """A message about to be queued.

    `content` is what was received: octets in memory, or a Writer that `stage` gave and whose `sync` has
    returned.  `routes` has one Route per recipient of the envelope; with `pinned`, a person chose
    them and they are kept under any later configuration.  `due` is when to try first.  `key` is a
    submission key: while it is known (until `key_until`), a second draft with it is answered with the
    first one's id and not queued.  With `claim` set the recipients come back already claimed, but
    for those whose next hop the store knows to be in trouble or suspended.  `tells`
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


class Row:
    """One recipient of an Entry.  `owner` is None unless a claim is out; `mark` is what a person
    asked for meanwhile ("hold", "remove", "move" to the next hop `moved`, or None); `warned` tells that the
    sender knows of its delay."""

    __slots__ = (
        "attempts",
        "last",
        "mark",
        "moved",
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
        moved: Route | None = None,
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
        self.moved = moved
        self.pinned = pinned
        self.suspect = suspect
        self.warned = warned

    def obey(self) -> None:
        """Its claim has ended: go where a person sent it meanwhile, and forget the mark."""
        if self.moved is not None:
            self.route, self.pinned, self.moved = self.moved, True, None
        self.mark = None


class Entry:
    """A queued message as it stands: its facts and a row for each recipient not yet settled.

    The envelope inside `message` lists exactly those recipients, in order of their numbers.
    """

    __slots__ = ("message", "rows")

    def __init__(self, message: Message, rows: list[Row]) -> None:
        self.message = message
        self.rows = rows

    def paced(self, now: float) -> bool:
        """Whether it is a report that waits for its hour (`queue.pace`): the first, or untried for another.

        Nobody asked for its release, as of a message that was to go later.
        """
        message = self.message
        if not message.release_at or message.envelope.reverse_path is not None:
            return False
        if message.envelope.hold is not None:
            return False
        return message.release_at > now or all(
            row.last is None and row.owner is None and row.next_attempt > now for row in self.rows
        )

    @property
    def status(self) -> str:
        """ "held", "active", "deferred" or "fresh", the first that holds."""
        if self.message.hold is not None:
            return "held"
        status = "fresh"
        for row in self.rows:
            if row.owner is not None:
                return "active"
            if row.attempts:
                status = "deferred"
        return status
