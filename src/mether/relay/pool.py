"""The transports of one process: a `NextHop` for each next hop in use, a `Place` for each route of this host.

Next hops that nothing is going on at are forgotten when there are many, so that ten thousand of them
cost nothing.
"""

from __future__ import annotations

import asyncio

from mether.relay.nexthop import NextHop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.content.classify import Rules
    from mether.outcome import Route
    from mether.relay.local import Local, Place
    from mether.relay.settings import Settings

REMEMBERED: Final = 256
"""Next hops that may be idle before they are forgotten."""


class Pool:
    """Gives the transport of a route."""

    def __init__(self, settings: Settings, local: Local) -> None:
        self._settings = settings
        self._local = local
        self._hops: dict[Route, NextHop] = {}
        self._many = REMEMBERED
        self._runners = 1

    @property
    def rules(self) -> Rules | None:
        """Those by which replies are classified, None for the built-in ones."""
        return self._settings.rules

    def transport(self, route: Route) -> NextHop | Place:
        """Who works claims of this route."""
        if route.transport not in ("smtp", "lmtp"):
            return self._local.at(route)
        hop = self._hops.get(route)
        if hop is None:
            if len(self._hops) >= self._many:
                self._hops = {known: one for known, one in self._hops.items() if not one.rested}
                self._many = max(REMEMBERED, 2 * len(self._hops))
            hop = self._hops[route] = NextHop(route, self._settings, self._runners)
        return hop

    def rooms(self) -> dict[Route, int]:
        """How many claims more each next hop can use soon, of those that have some or have connections."""
        rooms = {route: hop.room for route, hop in self._hops.items() if not hop.idle}
        rooms.update(self._local.rooms())
        return rooms

    def share(self, runners: int) -> None:
        """Keep to one part of so many of every limit of a next hop: as many runners send there."""
        if runners != self._runners:
            self._runners = runners
            for hop in self._hops.values():
                hop.share(runners)

    def leave_off(self) -> None:
        """Give back all that waits for a next hop, or is in hand there but for content that is on its way."""
        for hop in self._hops.values():
            hop.leave_off()

    def break_off(self) -> None:
        """End whatever is in hand at once, but for deliveries on this host."""
        for hop in self._hops.values():
            hop.break_off()

    async def close(self) -> None:
        """Finish what is in hand everywhere, and give back what only waits."""
        await asyncio.gather(*(hop.close() for hop in self._hops.values()), self._local.close())
