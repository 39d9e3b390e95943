"""What the owners of one queue in memory share: its messages, next hops, keys and owners.

Nothing is indexed and nothing is locked: it is meant for thousands of messages, and used by one thread.
"""

from __future__ import annotations

from mether.queue.claim import Hop
from mether.queue.figures import Totals
from mether.queue.message import Message, Row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.outcome import Attempt, Route
    from mether.queue.memory import MemoryStore

FOREVER: Final = float("inf")


class Recipient:
    """A recipient: its Row, and the token of the claim that is out."""

    __slots__ = ("row", "token")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.token = 0


class Queued:
    """A queued message: `claims` counts those that were ever taken on it, `strikes` the deaths."""

    __slots__ = ("attempts", "claims", "content", "message", "recipients", "strikes")

    def __init__(self, message: Message, content: bytes) -> None:
        self.message = message
        self.content = content
        self.recipients: dict[int, Recipient] = {}
        self.attempts: list[Attempt] = []
        self.claims = 0
        self.strikes = 0


class KnownHop:
    """A next hop, and the claim that probes it."""

    __slots__ = ("hop", "probe")

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.probe: tuple[int, int] | None = None

    def ready(self) -> float:
        """When it may be tried next by itself."""
        if self.probe is not None:
            return FOREVER
        hop = self.hop
        if hop.suspended is None:
            return hop.not_before
        return FOREVER if hop.suspended_until is None else max(hop.not_before, hop.suspended_until)

    def copy(self) -> Hop:
        """What is known of it, to be given out."""
        hop = self.hop
        return Hop(
            hop.route,
            failures=hop.failures,
            not_before=hop.not_before,
            last=hop.last,
            suspended=hop.suspended,
            suspended_until=hop.suspended_until,
        )


class Memory:
    """One queue."""

    def __init__(self) -> None:
        self.messages: dict[str, Queued] = {}
        self.hops: dict[Route, KnownHop] = {}
        self.keys: dict[str, tuple[str, float]] = {}
        self.owners: dict[int, float] = {}
        self.stores: dict[int, MemoryStore] = {}
        self.last_owner = 0
        self.totals = Totals()

    def all(self) -> Iterator[tuple[str, Recipient]]:
        """Every recipient with its message's id, as they were when this was asked."""
        for ident, queued in list(self.messages.items()):
            for each in list(queued.recipients.values()):
                yield ident, each

    def hop(self, route: Route) -> KnownHop:
        """What is known of a next hop, from now on."""
        return self.hops.setdefault(route, KnownHop(Hop(route)))

    def tidy(self, ident: str) -> None:
        """Forget a message that has no recipient left."""
        if not self.messages[ident].recipients:
            del self.messages[ident]


def copy(message: Message, recipients: list[Recipient]) -> Message:
    """The message as it stands, its envelope with these recipients alone."""
    from mether.envelope import Envelope

    old = message.envelope
    envelope = Envelope(
        old.reverse_path,
        [each.row.recipient for each in recipients] if recipients else old.recipients,
        body=old.body,
        size=old.size,
        smtputf8=old.smtputf8,
        requiretls=old.requiretls,
        ret=old.ret,
        envid=old.envid,
        auth=old.auth,
        by=old.by,
        hold=old.hold,
        priority=old.priority,
    )
    return Message(
        message.ident,
        envelope,
        message.arrival,
        trace=message.trace,
        size=message.size,
        expires=message.expires,
        warn_at=message.warn_at,
        hold=message.hold,
        release_at=message.release_at,
    )
