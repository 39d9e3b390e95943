"""The queue in figures: what `smtpq shape`, `top` and `check` count, and who shares the work.

Plain values, with the generic way to count them from a pass over the entries; a store that has a faster way
overrides `Store.summary` and `Store.shape`.  Times are Unix seconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mether.outcome import Route
    from mether.queue.message import Entry


class Live:
    """How many live owners work the queue: `runners` take claims, `receivers` accept mail.

    Each counts itself where it does that.  A limit that holds over all processes is divided by them.
    """

    __slots__ = ("receivers", "runners")

    def __init__(self, runners: int = 1, receivers: int = 1) -> None:
        self.runners = runners
        self.receivers = receivers


class Summary:
    """Messages by status (see `Entry.status`), and when the time of the `oldest` that is not held began
    (None: there is none): with its arrival, or its release where that is later.  So what only waits for that,
    such as a report for its hour, is not old."""

    __slots__ = ("active", "deferred", "fresh", "held", "oldest")

    def __init__(
        self,
        *,
        fresh: int = 0,
        deferred: int = 0,
        active: int = 0,
        held: int = 0,
        oldest: float | None = None,
    ) -> None:
        self.fresh = fresh
        self.deferred = deferred
        self.active = active
        self.held = held
        self.oldest = oldest

    @property
    def messages(self) -> int:
        """All of them."""
        return self.fresh + self.deferred + self.active + self.held


class Shape:
    """Recipients waiting at one next hop: `counts` has one figure for each age class, the youngest first."""

    __slots__ = ("counts", "route")

    def __init__(self, route: Route, counts: list[int]) -> None:
        self.route = route
        self.counts = counts

    @property
    def recipients(self) -> int:
        """All of them."""
        return sum(self.counts)


class Totals:
    """Running totals since the queue was made: messages `queued`; recipients `done` (delivered or passed on),
    `failed`, and tries that ended `delayed`.  Their differences are rates."""

    __slots__ = ("delayed", "done", "failed", "queued")

    def __init__(self, queued: int = 0, done: int = 0, failed: int = 0, delayed: int = 0) -> None:
        self.queued = queued
        self.done = done
        self.failed = failed
        self.delayed = delayed


def began(entry: Entry) -> float:
    """When the time of a message began: with its arrival, or with its release where that is later."""
    return max(entry.message.arrival.at, entry.message.release_at)


def summary(entries: Iterable[Entry]) -> Summary:
    """Count messages by their status."""
    found = Summary()
    for entry in entries:
        status = entry.status
        setattr(found, status, getattr(found, status) + 1)
        arrived = began(entry)
        if status != "held" and (found.oldest is None or arrived < found.oldest):
            found.oldest = arrived
    return found


def shape(entries: Iterable[Entry], edges: Sequence[float]) -> list[Shape]:
    """Count recipients by next hop and arrival; `edges` falls, and makes one class more than it has items:
    arrived at or after the first, ..., before the last."""
    found: dict[Route, Shape] = {}
    for entry in entries:
        arrived = entry.message.arrival.at
        place = sum(arrived < edge for edge in edges)
        for row in entry.rows:
            one = found.get(row.route)
            if one is None:
                one = found[row.route] = Shape(row.route, [0] * (len(edges) + 1))
            one.counts[place] += 1
    return sorted(found.values(), key=lambda one: (-one.recipients, str(one.route)))
