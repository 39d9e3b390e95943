"""What a runner has in hand: its claims, counted by message, by octets and by next hop.

Fresh mail is taken on before its commit (`admit`) where nothing is known against its next hops and they and
the window have room; its claims come with the commit (`arrived`).  What is claimed from the store comes by
`take`.  `give` is the end of either.

Whatever has no room waits in the store, and is looked for again when there is room for it: in the window when
an eighth of it has become free, at a next hop when a quarter of what it takes is free.  So a look finds many,
and no message costs one of its own.  While mail waits in the store for a next hop, that quarter is not given
to fresh mail, which would else overtake it for ever; while mail waits for the window none of it is.

The last quarter of the window is for next hops that have nothing in hand, a FEW messages for each: so those
that are slow, however many, never keep the others from being tried.
"""

from __future__ import annotations

from mether.runner.waking import PAUSE
from mether.runner.ways import Ways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Final

    from mether.outcome import Route
    from mether.queue.claim import Claim
    from mether.queue.message import Draft
    from mether.queue.store import Select
    from mether.runner.together import Together
    from mether.runner.waking import Waking
    from mether.runner.ways import Transports, Way
    from mether.runner.window import Window


FEW: Final = 40
"""In the last quarter of the window a next hop with nothing in hand is given one message in so many."""


class Hand:
    """The claims of one runner within its `window`; `ways` are its next hops, and `together` knows those of
    one message.

    `transports` gives the transports in use, `former` those that only finish what they have; `each` is the
    room of a next hop that is not in use.  With `emptying` set the runner is told when nothing is in hand any
    more.
    """

    def __init__(
        self,
        window: Window,
        transports: Callable[[], Transports],
        each: int,
        waking: Waking,
        together: Together,
    ) -> None:
        self.window = window
        self.ways = Ways(window)
        self.emptying = False
        self.together = together
        together.aside, together.back = self._aside, self._back
        self.former: Callable[[], Iterable[Transports]] = tuple
        self._claims: dict[int, Claim] = {}
        self._transports = transports
        self._each = each
        self._waking = waking
        self._rooms: Mapping[Route, int] = {}
        self._full: int | None = None  # else mail waits for the window until no more than that are in hand

    @property
    def crowded(self) -> bool:
        """Whether mail waits in the store for room."""
        return self._full is not None or self.ways.crowded

    @property
    def tokens(self) -> Collection[int]:
        """Those of the claims in hand."""
        return self._claims.keys()

    def __bool__(self) -> bool:
        return self.window.used > 0

    def admit(self, draft: Draft, now: float) -> bool:
        """Whether there is room for a fresh message; it is then counted."""
        ways, transports = self.ways, self._transports()
        taken = []
        routes = draft.routes
        for route in routes if len(routes) == 1 else next_hops(draft):
            way = ways.to[route]
            if way.hop is not None and not way.open(now):
                return False
            room = transports.transport(route).room - way.coming
            if (
                room <= 0
                or (way.in_hand and ways.full(way))
                or (way.starved and (room == 1 or 3 * room <= way.in_hand))
            ):
                way.starved = True
                return False
            taken.append(way)
        if self._full is not None:
            return False
        if not self.window.admit(draft.message.size, len(taken)):
            self._fill()
            return False
        for way in taken:
            ways.take(way)
            way.coming += 1
        return True

    def arrived(self, draft: Draft, claims: Sequence[Claim]) -> bool:
        """A draft that was admitted is committed, or was not: these are its claims; whether those are all."""
        routes: Collection[Route] = draft.routes
        if len(routes) > 1:
            routes = next_hops(draft)
        for route in routes:
            self.ways.to[route].coming -= 1
        for claim in claims:
            self._claims[claim.token] = claim
        if len(claims) > 1:
            self.together.came(claims)
        if len(claims) == len(routes):
            return True
        claimed = {claim.route for claim in claims}
        for route in routes:
            if route not in claimed:
                self._less(route, draft.message.size)
        return False

    def waits(self, draft: Draft, now: float) -> None:
        """A draft that was not admitted is in the store: it waits for room, or for a time of its own."""
        message = draft.message
        if message.release_at > now:
            self._waking.by(message.release_at)
            return
        for route in next_hops(draft):
            way = self.ways.to[route]
            if way.open(now):
                way.starved = True
                self._look(way, route)
            elif (at := way.ready(now)) is not None:
                self._waking.by(max(at, now + PAUSE))
        self._waking.by(message.deadline)

    def limit(self, select: Select) -> int:
        """How many may be claimed now, with the room of each next hop written into `select`."""
        window = self.window
        limit, kept, few = window.room, window.kept, None
        if limit <= kept:
            self._fill()
            few = max(1, window.messages // FEW)
        room, each = self.ways.rooms(self._transports(), self._each, few)
        if limit and not select.regardless:  # else: see `runner.once`
            limit -= kept if few is None else 0
            select.room, select.each = room, each
        self._rooms = select.room
        self.ways.asked()
        return limit

    def lack(self) -> None:
        """What is due was left in the store: where the last look had no room, mail waits for it."""
        for route, room in self._rooms.items():
            if room <= 0:
                self.ways.to[route].starved = True

    def take(self, claims: Sequence[Claim]) -> None:
        """Count claims that came of one look at the store."""
        for claim in claims:
            self._claims[claim.token] = claim
            self._back(claim)
        if len(claims) > 1:
            self.together.came(claims)

    def give(self, claim: Claim) -> None:
        """The end of a claim."""
        if self.together.groups:
            self.together.over(claim)
        del self._claims[claim.token]
        self._less(claim.route, claim.message.size)

    def withdraw(self, tokens: Collection[int] | None = None) -> None:
        """Have the transports give back these claims (None: all) as far as they are not on their way yet, and
        settle those that only wait for others."""
        found: dict[Route, set[int]] = {}
        for token in list(self._claims) if tokens is None else tokens:
            claim = self._claims.get(token)
            if claim is not None:
                found.setdefault(claim.route, set()).add(token)
        for transports in (self._transports(), *self.former()):
            for route, some in found.items():
                transports.transport(route).withdraw(some)
        self.together.hasten(tokens)

    def _aside(self, claim: Claim) -> None:
        """The claim waits for others of its message: it takes no room until then."""
        self._less(claim.route, claim.message.size)

    def _back(self, claim: Claim) -> None:
        """The claim takes room."""
        self.window.take(claim.message.size)
        self.ways.take(self.ways.to[claim.route])

    def _less(self, route: Route, octets: int) -> None:
        """Count one less, and look again where something waits for that."""
        window, way = self.window, self.ways.to[route]
        window.give(octets)
        self.ways.give(way)
        if self._full is not None and window.used <= self._full:
            self._full = None
            self._waking.soon()
        elif way.starved:
            self._look(way, route)
        if self.emptying and not window.used:
            self._waking.changed()

    def _fill(self) -> None:
        """Mail waits for the window."""
        if self._full is None:
            self._full = max(0, self.window.used - max(1, self.window.messages // 8))

    def _look(self, way: Way, route: Route) -> None:
        """Look for what waits for a next hop once a quarter of what it takes is free."""
        if self._full is not None and way.in_hand:
            return  # the window has a time of its own
        room = self.ways.room(way, self._transports().transport(route).room)
        if room and 3 * room >= way.in_hand:
            way.starved = False
            self._waking.soon()


def next_hops(draft: Draft) -> Collection[Route]:
    """The next hops of a draft, each once."""
    return dict.fromkeys(draft.routes)
