"""What the schedule of the directory store (`directory_index`) knows of a message, and what it picks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.outcome import Route
    from mether.queue.store import Select


class Slot:
    """One recipient: its next hop, when it is due, its deadline, whether suspect, the token of its claim or
    0, when its last outcome was, and its mark."""

    __slots__ = ("deadline", "due", "mark", "route", "suspect", "token", "tried")

    def __init__(
        self,
        route: Route,
        due: float,
        deadline: float,
        suspect: bool,
        token: int,
        tried: float,
        mark: str | None,
    ) -> None:
        self.mark = mark
        self.route = route
        self.due = due
        self.deadline = deadline
        self.suspect = suspect
        self.token = token
        self.tried = tried

    def waits(self, select: Select) -> bool:
        """Whether it may be claimed by `select`, its time apart.  What made it suspect was no try."""
        since = select.not_since
        return not self.token and (since is None or self.suspect or self.tried <= since)


class Item:
    """One message.  Before `busy` it is not tried again: something else had its lock; before `release_at`
    it is not tried at all."""

    __slots__ = ("busy", "held", "priority", "release_at", "slots")

    def __init__(self, priority: int, release_at: float, held: bool, slots: dict[int, Slot]) -> None:
        self.priority = priority
        self.release_at = release_at
        self.held = held
        self.slots = slots
        self.busy = 0.0

    @property
    def deadline(self) -> float:
        """The earliest deadline of what is not claimed; infinite when all is."""
        return min((slot.deadline for slot in self.slots.values() if not slot.token), default=float("inf"))

    @property
    def suspect(self) -> bool:
        return any(slot.suspect for slot in self.slots.values())

    def due(self, slot: Slot) -> float:
        return max(slot.due, self.busy)


class Pick:
    """What to claim: recipients `numbers` of `ident` at `route`; `due` as in `Claim`."""

    __slots__ = ("due", "ident", "numbers", "route")

    def __init__(self, ident: str, route: Route, numbers: list[int], due: bool) -> None:
        self.ident = ident
        self.route = route
        self.numbers = numbers
        self.due = due
