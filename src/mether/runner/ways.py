"""What the runner knows of each next hop: what is in hand for it, its room for more, its troubles.

A `Way` is one next hop's part of the window.  Its transport says how many more claims are of use to it
(`room`); what was admitted and is not with the transport yet is taken off that.  No next hop has more in hand
than its share, half of the window by the next hops that have something in hand: so whatever is slow or dead
leaves the other half to the others.

What is said against a next hop (`Way.hop`) comes from the runner's own attempts, from the store with a claim,
and from the store's list, which also tells what other processes and people have done.  An answer of the store
may be older than an attempt of ours: what was learned since it was asked stays.

What is idle is forgotten at the next look (`rooms`).  Of next hops in trouble MAX_HOPS are remembered, those
that are suspended before others; what is forgotten the store knows.
"""

from __future__ import annotations

from mether.queue.claim import Hop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Final, Protocol

    from mether.outcome import Route
    from mether.queue.claim import Claim
    from mether.queue.store import Select
    from mether.runner.window import Window

    class Transport(Protocol):
        """Whoever takes claims and calls `done` or `returned` of the runner."""

        @property
        def room(self) -> int:
            """How many more claims are of use to it now."""

        def offer(self, claim: Claim) -> None:
            """Take a claim to work on."""

        def withdraw(self, tokens: set[int]) -> None:
            """Give back, by `returned`, those of these that can still be given up."""

        async def close(self) -> None:
            """Finish what is in hand."""

    class Transports(Protocol):
        """The transports of one process."""

        def transport(self, route: Route) -> Transport:
            """Who works claims of this route."""

        def rooms(self) -> Mapping[Route, int]:
            """The room of every next hop that is in use."""

        def share(self, runners: int) -> None:
            """So many processes work this queue: each keeps to its part of every limit."""


MAX_HOPS: Final = 10_000
"""Next hops in trouble that are remembered."""


class Way:
    """One next hop: claims `in_hand`, and how many of them are `coming`, not with the transport yet; whether
    mail waits in the store for room here (`starved`); `hop` is what is known against it, or None."""

    __slots__ = ("coming", "hop", "in_hand", "starved")

    def __init__(self) -> None:
        self.in_hand = 0
        self.coming = 0
        self.starved = False
        self.hop: Hop | None = None

    def open(self, now: float) -> bool:
        """Whether fresh mail may go there: nothing is known against it."""
        hop = self.hop
        return hop is None or not (hop.failures or hop.blocked(now))

    def ready(self, now: float) -> float | None:
        """When it may be tried, `now` or later; None while it is suspended without an end."""
        hop = self.hop
        if hop is None:
            return now
        if hop.suspended is None:
            return max(now, hop.not_before)
        until = hop.suspended_until
        return None if until is None else max(now, hop.not_before, until)


class Known(dict["Route", Way]):
    """A way for each next hop, made when it is first asked for."""

    __slots__ = ()

    def __missing__(self, route: Route) -> Way:
        way = self[route] = Way()
        return way


class Ways:
    """All next hops of a runner with this `window`, whose size may change; `to` has the way to each."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.to = Known()
        self._active = 0
        self._learned: set[Route] = set()
        self._troubled: dict[Route, None] = {}

    @property
    def crowded(self) -> bool:
        """Whether mail waits somewhere for room."""
        return any(way.starved for way in self.to.values())

    # In hand

    def take(self, way: Way) -> None:
        """Count one more in hand."""
        if not way.in_hand:
            self._active += 1
        way.in_hand += 1

    def give(self, way: Way) -> None:
        """Count one less."""
        way.in_hand -= 1
        if not way.in_hand:
            self._active -= 1

    def full(self, way: Way) -> bool:
        """Whether it has its share of the window."""
        return way.in_hand > 0 and 2 * way.in_hand * self._active >= self._window.messages

    def room(self, way: Way, room: int) -> int:
        """How many more may be taken for it, where its transport says `room`."""
        if way.in_hand:
            share = max(1, self._window.messages // (2 * self._active))
            return max(0, min(room - way.coming, share - way.in_hand))
        return max(0, room)

    def rooms(
        self, transports: Transports, each: int, few: int | None = None
    ) -> tuple[dict[Route, int], int]:
        """How many more may be claimed for each next hop that is known, and for any other, where a new one
        takes `each`.  With `few` that many, and only where nothing is in hand.  Whoever has room is not
        `starved` any more: set that again where it is used up."""
        share = max(1, self._window.messages // (2 * (self._active + 1))) if few is None else few
        found = {route: min(room, share) for route, room in transports.rooms().items()}
        idle = []
        for route, way in self.to.items():
            if not way.in_hand:
                room = found.get(route, each)
            elif few is not None:
                room = found[route] = 0
            else:
                room = found[route] if route in found else transports.transport(route).room
                room = found[route] = self.room(way, room)
            if room:
                way.starved = False
            if not way.in_hand and way.hop is None and not way.starved:
                idle.append(route)
        for route in idle:
            del self.to[route]
        return found, min(each, share)

    def used_up(self, claims: Iterable[Claim], select: Select) -> None:
        """These came of a look: where they are as many as there was room for, more may wait."""
        counts: dict[Route, int] = {}
        for claim in claims:
            if claim.due:
                counts[claim.route] = counts.get(claim.route, 0) + 1
        for route, count in counts.items():
            room = select.room.get(route, select.each)
            if room is not None and count >= room:
                self.to[route].starved = True

    # What is known of them

    @property
    def troubled(self) -> Collection[Route]:
        """The next hops against which something is known, those that were learned of last at the end."""
        return self._troubled.keys()

    def asked(self) -> None:
        """The store is asked now: it knows all that was learned so far."""
        self._learned.clear()

    def learn(self, hop: Hop) -> None:
        """An attempt has shown this."""
        self._learned.add(hop.route)
        self._note(hop)

    def told(self, hop: Hop) -> None:
        """The store said this with a claim."""
        if hop.route not in self._learned:
            self._note(hop)

    def know(self, hops: Sequence[Hop]) -> None:
        """The store gave this list of all that are in trouble."""
        listed = {hop.route for hop in hops}
        for route in [route for route in self._troubled if route not in listed]:
            self.told(Hop(route))
        if len(hops) > MAX_HOPS:
            hops = sorted(hops, key=lambda hop: hop.suspended is None)[:MAX_HOPS]
        for hop in hops:
            self.told(hop)

    def _note(self, hop: Hop) -> None:
        route = hop.route
        if hop.failures or hop.not_before or hop.suspended is not None:
            self._troubled.pop(route, None)
            self._troubled[route] = None
            self.to[route].hop = hop
            if len(self._troubled) > MAX_HOPS:
                # The store still knows it.
                self._free(next(filter(self._unsuspended, self._troubled), next(iter(self._troubled))))
        elif route in self._troubled:
            self._free(route)

    def _unsuspended(self, route: Route) -> bool:
        hop = self.to[route].hop
        return hop is None or hop.suspended is None

    def _free(self, route: Route) -> None:
        del self._troubled[route]
        self.to[route].hop = None
