"""Routes, attempts and outcomes: what was tried for a recipient, and what came of it.

The words are those of RFC 3464.  An `Outcome` says for one recipient which action a report would
name, and its `scope` says what else the same fault taints: only the recipient, the whole
transaction, or the host (so that the next hop is left alone for a while).  Which reply or error
becomes which outcome is decided in one place, `relay.failure`.

A `Route` names a next hop: how to speak (`transport`) and to whom (`next_hop`).  It is the key under
which the queue schedules, and is no more than a name: hosts, ports and limits are looked up in the
configuration when the attempt is made.
"""

from __future__ import annotations

from mether.reply import Reply, from_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    Action = Literal["delivered", "relayed", "expanded", "delayed", "failed"]
    Scope = Literal["host", "transaction", "recipient"]

DONE: Final = frozenset(("delivered", "relayed", "expanded"))
"""The actions after which a recipient has been dealt with well."""

UNCERTAIN: Final = 1
OURS: Final = 2
"""The bits of `Outcome.marks`."""

_SAID: Final = " said: "


class Route:
    """A next hop: `transport` ("smtp", "lmtp", "maildir", "pipe"), `next_hop`, `helo` and `via`.

    `next_hop` is a domain, host, ``host:port``, ``[literal]:port`` or ``unix:/path`` for smtp and lmtp,
    and the name of a local route otherwise.  `helo` is the name to say in EHLO, ``""`` for our own.  `via`
    names the rule whose own connections it has, ``""`` for none: the same host with another login, source
    address or limits is another next hop.
    """

    __slots__ = ("_hash", "helo", "next_hop", "transport", "via")

    def __init__(self, transport: str, next_hop: str, helo: str = "", via: str = "") -> None:
        self.transport = transport
        self.next_hop = next_hop
        self.helo = helo
        self.via = via
        self._hash = hash((transport, next_hop, helo, via))

    def __str__(self) -> str:
        return f"{self.transport}:{self.next_hop}"

    def __repr__(self) -> str:
        via = f", via={self.via!r}" if self.via else ""
        return f"Route({self.transport!r}, {self.next_hop!r}, {self.helo!r}{via})"

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Route)
            and (
                self.next_hop == other.next_hop
                and self.transport == other.transport
                and self.helo == other.helo
                and self.via == other.via
            )
        )

    def __hash__(self) -> int:
        return self._hash


class Outcome:
    """What came of one recipient in one attempt.

    `recipient` is its number in the envelope, from 0; `reply` is the reply that decided it (one made
    by us, with code and status, where no server spoke); `remote_mta` names the host that was tried, as
    `mta` writes it, ``""`` for none; `said` tells whether `reply` is in that host's words, as it is
    unless told otherwise (RFC 3464 section 2.3.6 lets only those be quoted as the host's); `at` is Unix
    time in seconds.  `uncertain` marks a recipient that may have been delivered although no reply said so;
    `notifies` one whose next hop has taken over the duty to report (it offers DSN: RFC 3461 section 5.2.1);
    `traced` one of which DELIVERBY asks for a report that it was relayed (RFC 2852 section 4.1.4).
    """

    __slots__ = (
        "action",
        "at",
        "notifies",
        "recipient",
        "remote_mta",
        "reply",
        "said",
        "scope",
        "traced",
        "uncertain",
    )

    def __init__(
        self,
        recipient: int,
        action: Action,
        reply: Reply,
        *,
        scope: Scope = "recipient",
        remote_mta: str = "",
        said: bool = True,
        at: float = 0.0,
        uncertain: bool = False,
        notifies: bool = False,
        traced: bool = False,
    ) -> None:
        self.recipient = recipient
        self.action = action
        self.reply = reply
        self.scope = scope
        self.remote_mta = remote_mta
        self.said = said and remote_mta != ""
        self.at = at
        self.uncertain = uncertain
        self.notifies = notifies
        self.traced = traced

    def like(
        self,
        *,
        recipient: int | None = None,
        action: Action | None = None,
        at: float | None = None,
        uncertain: bool | None = None,
    ) -> Outcome:
        """The same, but for what is given."""
        return Outcome(
            self.recipient if recipient is None else recipient,
            self.action if action is None else action,
            self.reply,
            scope=self.scope,
            remote_mta=self.remote_mta,
            said=self.said,
            at=self.at if at is None else at,
            uncertain=self.uncertain if uncertain is None else uncertain,
            notifies=self.notifies,
            traced=self.traced,
        )

    def certain(self) -> Outcome:
        """The same, but for the doubt whether it was delivered: a person has decided that."""
        return self.like(uncertain=False)

    @property
    def marks(self) -> int:
        """`uncertain` and `said` as the stores write them: UNCERTAIN, and OURS where our words stand
        beside a host's name."""
        return self.uncertain | (OURS if self.remote_mta and not self.said else 0)

    @property
    def words(self) -> str:
        """The reply with who said it, as `of_words` reads it: ``mx.test[192.0.2.1]:25 said: 421 ...``; where
        they are words of our own, the reply alone."""
        return f"{self.remote_mta}{_SAID}{self.reply}" if self.said else str(self.reply)

    @property
    def status(self) -> str:
        """The enhanced status code of the report, made from the action when the reply has none."""
        if self.reply.status:
            return self.reply.status
        return {"delayed": "4.0.0", "failed": "5.0.0"}.get(self.action, "2.0.0")

    def __repr__(self) -> str:
        return f"Outcome({self.recipient}, {self.action!r}, {str(self.reply)!r}, scope={self.scope!r})"


def of_words(text: str) -> tuple[str, Reply | None]:
    """Who said what `Outcome.words` wrote, "" for us, and what; None where that is no reply."""
    reply = from_text(text)
    if reply is not None:
        return "", reply
    host, _, words = text.partition(_SAID)
    return host, from_text(words)


def mta(name: str, address: str, port: int) -> str:
    """What `Outcome.remote_mta` says of a host: ``name[address]:port``, as Postfix logs it.

    Of a host that is named by its address ``[address]:port``, of a Unix socket (port 0) its path.
    """
    if not port:
        return name
    return f"[{address}]:{port}" if name.strip("[]") == address else f"{name}[{address}]:{port}"


def mta_name(remote_mta: str) -> str:
    """The name alone of what `mta` wrote, an address literal where there is no other."""
    name, bracket, rest = remote_mta.partition("[")
    if not bracket or name.startswith("/"):
        return remote_mta
    return name.rstrip() or f"[{rest.partition(']')[0]}]"


class Attempt:
    """What was tried: one message at one next hop, for the recipients in `outcomes`.

    `started` is Unix time in seconds, `seconds` how long it took.  With `uncertain` set nobody knows whether
    it was delivered: the session ended between the final dot and its reply, or the claim's owner died.
    `transcript` is what was said, credentials and content removed, "" when nothing was or it is not kept.
    """

    __slots__ = ("outcomes", "remote_mta", "route", "seconds", "started", "transcript", "uncertain")

    def __init__(
        self,
        route: Route,
        outcomes: list[Outcome],
        *,
        started: float,
        seconds: float = 0.0,
        remote_mta: str = "",
        uncertain: bool = False,
        transcript: str = "",
    ) -> None:
        self.transcript = transcript
        self.route = route
        self.outcomes = outcomes
        self.started = started
        self.seconds = seconds
        self.remote_mta = remote_mta
        self.uncertain = uncertain
