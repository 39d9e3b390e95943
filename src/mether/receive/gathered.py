"""Who gets a message: the recipients of one transaction, as the queue is to have them.

What a client names may be an alias (`routing.expand`).  What then becomes of its DSN parameters is said in
RFC 3461 section 5.2.7 (checklist DSN-7):

- an alias of one hands them on, and no report is made here;
- an alias of many hands on all but SUCCESS; who asked for that is told that the message was *expanded*;
- for a mailing list, which has an owner, acceptance is delivery: none is handed on, what goes to the members
  is a message of the owner's, and who asked for SUCCESS is told that it was *delivered*.

Where the client gave no ORCPT it is the address that it named.  A member that cannot get the message has
failed: the list's owner is told, or the sender, as NOTIFY has it.

Nobody gets two copies: of who was named himself is reported as it was asked of him, whatever lists he is on.
`parts` are the messages to be queued: those with other reverse-paths, and those to be held, are messages of
their own, at most PARTS of them.  Plain values; nothing here fails.
"""

from __future__ import annotations

from mether import xtext
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence
    from typing import Final

    from mether.address import Address, ReversePath
    from mether.outcome import Action, Route
    from mether.routing.resolution import Delivery, Resolution

PARTS: Final = 20
"""Messages that one transaction may come to."""
MOST: Final = 10_000
"""Recipients that it may come to."""

EXPANDED: Final = Reply(250, "2.1.5", "the address stands for several, to whom the message goes")
TO_A_LIST: Final = Reply(250, "2.1.5", "delivered to the mailing list")
DISCARDED: Final = Reply(250, "2.1.5", "delivered")


NONE: Final[frozenset[tuple[Address | None, str | None]]] = frozenset()


class Part:
    """A message to be queued: its `envelope`, a route for each of its recipients, why it is to be held
    (`hold`) or None, and whether its reverse-path is that of a list's owner (`owned`)."""

    __slots__ = ("envelope", "hold", "owned", "routes")

    def __init__(
        self, envelope: Envelope, routes: list[Route], hold: str | None = None, *, owned: bool = False
    ) -> None:
        self.envelope = envelope
        self.routes = routes
        self.hold = hold
        self.owned = owned


class Notice:
    """What somebody is to be told at once of a recipient: the `outcome`, to the owner of a list (`to`), or
    with None to the message's sender."""

    __slots__ = ("outcome", "recipient", "to")

    def __init__(self, to: Address | None, recipient: Recipient, outcome: Outcome) -> None:
        self.to = to
        self.recipient = recipient
        self.outcome = outcome


class _Taken:
    """A recipient of the queue that an alias came to, or that is to be held."""

    __slots__ = ("hold", "owner", "recipient", "route")

    def __init__(self, recipient: Recipient, delivery: Delivery) -> None:
        self.recipient = recipient
        self.route = delivery.route
        self.owner = delivery.owner
        self.hold = delivery.hold


class Gathered:
    """The recipients of a transaction: `named` counts those that the client named, `dropped` are those whose
    copy is discarded; `expanded` tells whether there was an alias."""

    __slots__ = ("_kinds", "_owed", "_taken", "dropped", "expanded", "first", "named")

    def __init__(self) -> None:
        self._taken: dict[Hashable, _Taken | tuple[Recipient, Route]] = {}
        self._kinds: frozenset[tuple[Address | None, str | None]] = NONE
        self.named = 0
        self.first: Address | None = None
        self.expanded = False
        self._owed: dict[Hashable, Notice] = {}
        self.dropped: tuple[Address, ...] = ()

    def __len__(self) -> int:
        return len(self._taken)

    def add_direct(self, recipient: Recipient, route: Route) -> None:
        """Take one who was named himself, to whom nothing special applies."""
        self._taken[recipient.forward_path] = (recipient, route)
        self.named += 1

    def has(self, path: Address) -> bool:
        """Whether it was named before: one copy is enough."""
        return type(self._taken.get(path)) is tuple

    def add(self, recipient: Recipient, resolution: Resolution, owed: Sequence[Notice] = ()) -> None:
        """Take what a recipient comes to, with the `notices` of that which are owed."""
        deliveries = resolution.deliveries
        if len(deliveries) == 1 and deliveries[0].how == "direct" and deliveries[0].hold is None:
            if not self.has(recipient.forward_path):
                self.add_direct(recipient, deliveries[0].route)
            return
        self.named += 1
        self.first = self.first or recipient.forward_path
        self.expanded = self.expanded or resolution.how != "direct"
        self._kinds |= {(one.owner, one.hold) for one in deliveries}
        if not deliveries and not resolution.refused:
            self.dropped += (recipient.forward_path,)
        params = _Parameters(recipient)
        for one in deliveries:
            self._taken.setdefault(_key(one), _Taken(params.of(one), one))
        self.owe(owed)

    def owe(self, notices: Iterable[Notice]) -> None:
        """Have somebody told; once of each address, however often a list that it is on is named."""
        for one in notices:
            self._owed.setdefault((one.to, one.recipient.forward_path, one.outcome.action), one)

    @property
    def notices(self) -> Sequence[Notice]:
        """The reports that are owed."""
        return tuple(self._owed.values())

    def within(self, resolution: Resolution) -> bool:
        """Whether there is room for what an address comes to; for one alone there always is."""
        many = len(resolution.deliveries)
        if many > 1 and self._taken and len(self._taken) + many > MOST:
            return False
        kinds = {(one.owner, one.hold) for one in resolution.deliveries} - self._kinds
        return len(self._kinds) + len(kinds) < PARTS  # one more is for all the others

    @property
    def only(self) -> Address | None:
        """The address that was named, where it was one alias: what a trace field may show."""
        return self.first if self.named == 1 and self.expanded else None

    def parts(self, envelope: Envelope) -> list[Part]:
        """The messages that become of the one with this envelope; none when all of it is discarded."""
        if not self._kinds:
            plain = list(self._taken.values())
            envelope.recipients = [one[0] for one in plain]  # type: ignore[index]
            return [Part(envelope, [one[1] for one in plain])] if plain else []  # type: ignore[index]
        grouped: dict[tuple[Address | None, str | None], list[tuple[Recipient, Route]]] = {}
        for one in self._taken.values():
            kind, pair = (
                ((None, None), one)
                if isinstance(one, tuple)
                else ((one.owner, one.hold), (one.recipient, one.route))
            )
            grouped.setdefault(kind, []).append(pair)
        return [
            Part(
                _envelope(envelope, owner, [recipient for recipient, _ in those]),
                [route for _, route in those],
                hold,
                owned=owner is not None,
            )
            for (owner, hold), those in grouped.items()
        ]


class _Parameters:
    """The DSN parameters of those whom a recipient comes to."""

    def __init__(self, recipient: Recipient) -> None:
        self._notify = recipient.notify
        self._given = recipient.orcpt
        self._orcpt = recipient.orcpt or original(recipient.forward_path)

    def of(self, delivery: Delivery) -> Recipient:
        if delivery.owner is not None:
            return Recipient(delivery.address)
        if delivery.how == "direct":
            return Recipient(delivery.address, orcpt=self._given, notify=self._notify)
        notify = without_success(self._notify) if delivery.how == "list" else self._notify
        return Recipient(delivery.address, orcpt=self._orcpt, notify=notify)


def notices(recipient: Recipient, resolution: Resolution, at: float, sender: ReversePath) -> list[Notice]:
    """What is to be told at once of what a recipient comes to; `at` is now, in Unix seconds, and `sender` the
    reverse-path."""
    out: list[Notice] = []
    asked = (recipient.notify or "FAILURE").upper().split(",")
    path = recipient.forward_path
    # An ORCPT that did not come is not reported (RFC 3461 section 6.3 (d)), but beside another address,
    # which says nothing to the sender.
    told = Recipient(path, orcpt=recipient.orcpt, notify=recipient.notify)
    orcpt = recipient.orcpt or original(path)
    if sender is not None and "SUCCESS" in asked:
        deliveries = resolution.deliveries
        action: Action = "delivered"
        reply = DISCARDED if not deliveries else TO_A_LIST
        if any(one.owner is None for one in deliveries):
            action, reply = "expanded", EXPANDED
        if not deliveries or resolution.how == "list":
            out.append(Notice(None, told, Outcome(0, action, reply, at=at)))
    for refused in resolution.refused:
        outcome = Outcome(0, "failed", refused.reply, at=at)
        if refused.owner is not None:
            out.append(Notice(refused.owner, Recipient(refused.address), outcome))
        elif sender is not None and "FAILURE" in asked:
            out.append(
                Notice(
                    None,
                    Recipient(refused.address, orcpt=told.orcpt if refused.address == path else orcpt),
                    outcome,
                )
            )
    return out


def without_success(notify: str | None) -> str | None:
    """NOTIFY without SUCCESS; NEVER where it asked for nothing else."""
    if notify is None:
        return None
    rest = [one for one in notify.split(",") if one.upper() != "SUCCESS"]
    return ",".join(rest) or "NEVER"


def original(path: Address) -> str:
    """The ORCPT of an address whose sender gave none (RFC 3461 section 4.2, RFC 6533 section 3)."""
    if path.is_ascii:
        return f"rfc822;{xtext.encode(str(path))}"
    return f"utf-8;{xtext.encode_utf8_address(str(path))}"


def _key(delivery: Delivery) -> Hashable:
    """What makes a copy the same: programs and files of one alias are several."""
    route = delivery.route
    if route.transport == "file" or route.next_hop[:1] == "|":
        return delivery.address, route
    return delivery.address


def _envelope(envelope: Envelope, owner: Address | None, recipients: Sequence[Recipient]) -> Envelope:
    """The envelope for some of the recipients; what goes to a list's members is its owner's."""
    theirs = owner is None
    return Envelope(
        envelope.reverse_path if theirs else owner,
        recipients,
        body=envelope.body,
        size=envelope.size,
        smtputf8=envelope.smtputf8 or not all(one.forward_path.is_ascii for one in recipients),
        requiretls=envelope.requiretls,
        ret=envelope.ret if theirs else None,
        envid=envelope.envid if theirs else None,
        auth=envelope.auth,
        by=envelope.by if theirs else None,
        hold=envelope.hold,
        priority=envelope.priority,
    )
