"""Which messages are meant: what `Store.claim` is asked for, and what a person lists or changes.

Plain values; `changes`, what a change is of use to; `moves`, which recipients a `Move` is about; and `names`,
by which ETRN names next hops.  Times are Unix seconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final, Literal

    from mether.address import Address
    from mether.outcome import Route
    from mether.queue.message import Entry, Row

    Action = Literal["hold", "release", "retry", "remove", "move"]

MAX_REASON: Final = 255
"""Characters of a person's reason that are kept, with each message and next hop."""


class Select:
    """Which recipients to claim.

    By default: what is due, next hops that are not blocked, nothing held.  With `regardless`, retry
    times and next hops' states are ignored (held messages still stay), and claims come in order of their
    messages' ids, those after id `after`.  `idents` and `next_hop` (see queue.glob) narrow
    it; so does `not_since` (Unix seconds), which leaves out recipients whose last outcome is
    later than that.  `held` takes held messages too.  What is not to be released yet (`Message.release_at`)
    is taken by none of these: `unreleased`, with `regardless`, is for who returns or removes it, never for
    who tries it.

    `each` is how many messages that are due one call takes at most for any one next hop, and `room` says
    it for those that differ (0: none).  So a slow next hop holds no claims that others need.  Expiry and
    warnings are not counted where no next hop is tried for them: the recipient's own time has not come, or
    its next hop is blocked or has its probe out.  Else it is due, waits for room as anything does, and has
    its last try then.
    """

    __slots__ = (
        "after",
        "each",
        "held",
        "idents",
        "next_hop",
        "not_since",
        "regardless",
        "room",
        "unreleased",
    )

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
        each: int | None = None,
        room: Mapping[Route, int] | None = None,
    ) -> None:
        self.each = each
        self.room = room or {}
        self.idents = idents
        self.next_hop = next_hop
        self.regardless = regardless
        self.held = held
        self.after = after
        self.not_since = not_since
        self.unreleased = unreleased

    def room_at(self, route: Route, limit: int) -> int:
        """How many of `limit` claims that are due may be for this next hop."""
        room = self.room.get(route, self.each)
        return limit if room is None else max(0, min(limit, room))

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

    `sender`, `recipient` and `next_hop` (see queue.glob) are globs without case, the null reverse-path being
    ``<>``; `before` takes what arrived earlier than that (Unix seconds); `status` is one of "active"
    (a claim is out), "deferred" (tried before), "fresh" (not tried yet), "held"; `reason` is a glob of why
    one is held.
    """

    __slots__ = ("before", "idents", "next_hop", "reason", "recipient", "sender", "status")

    def __init__(
        self,
        *,
        idents: frozenset[str] | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        next_hop: str | None = None,
        before: float | None = None,
        status: str | None = None,
        reason: str | None = None,
    ) -> None:
        self.reason = reason
        self.idents = idents
        self.sender = sender
        self.recipient = recipient
        self.next_hop = next_hop
        self.before = before
        self.status = status


class Move:
    """Where a person sends recipients: all to `route`, or each to what `each` gives for its forward-path, and
    pinned there; with neither they are pinned no more, and go where the rules send them when they are due."""

    __slots__ = ("each", "route")

    def __init__(self, route: Route | None = None, each: Callable[[Address], Route] | None = None) -> None:
        self.route = route
        self.each = each

    def to(self, row: Row) -> Route | None:
        """The next hop for one recipient."""
        return self.route if self.each is None else self.each(row.recipient.forward_path)

    def apply(self, row: Row, at: float) -> None:
        """Send it there: at once, due then, or by a mark where a claim is out."""
        route = self.to(row)
        if row.owner is None:
            row.pinned, row.next_attempt = route is not None, at
            row.route = route or row.route
        elif route is None:
            row.pinned = False
            row.mark, row.moved = None if row.mark == "move" else row.mark, None
        else:
            row.mark, row.moved = "move", route


def fixed(route: Route) -> bool:
    """Whether a next hop is what an alias said, a file or a program: only the alias can change it."""
    return route.transport == "file" or (route.transport == "pipe" and route.next_hop.startswith("|"))


def moves(filter: Filter, move: Move, row: Row) -> bool:
    """Whether a recipient of a message that matches is one to be moved: it alone must match, too."""
    from mether.queue.glob import glob, next_hop_like

    if fixed(row.route) or (row.owner is not None and row.mark == "remove"):
        return False
    if filter.recipient is not None and not glob(filter.recipient, str(row.recipient.forward_path)):
        return False
    if filter.next_hop is not None and not next_hop_like(filter.next_hop, row.route):
        return False
    route = move.to(row)
    if route is None:
        return True
    if row.owner is not None and row.moved is not None:
        return route != row.moved
    return route != row.route or not row.pinned


def changes(action: str, entry: Entry) -> bool:
    """Whether a change of `Store.change` does anything to a message; of a move `moves` says it."""
    if action == "release":
        return entry.message.hold is not None
    if action == "remove":
        return not entry.rows or any(row.owner is None or row.mark != "remove" for row in entry.rows)
    return entry.message.hold is None


def names(domain: str, next_hop: str) -> bool:
    """Whether `domain` names a next hop, its port apart; with ``@`` in front, or a domain above it."""
    host, wanted = next_hop.lower(), domain.lower()
    before, colon, port = host.rpartition(":")
    if colon and port.isdigit() and (":" not in before or before.endswith("]")):
        host = before
    host, below = host.strip("[]"), wanted[:1] == "@"
    wanted = wanted[1:] if below else wanted
    return host == wanted.strip("[]") or (below and wanted != "" and host.endswith(f".{wanted}"))
