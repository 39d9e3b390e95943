"""The transports of one process: a `NextHop` for each next hop in use, one `Local` for this host.

Next hops that nothing is going on at are forgotten when there are many, so that ten thousand of them
cost nothing.
"""

from __future__ import annotations

import asyncio

from mether.relay.nexthop import NextHop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.outcome import Route
    from mether.relay.local import Local
    from mether.relay.nexthop import Settings

REMEMBERED: Final = 256
"""Next hops that may be idle before they are forgotten."""


class Pool:
    """Gives the transport of a route."""

    def __init__(self, settings: Settings, local: Local) -> None:
        self._settings = settings
        self._local = local
        self._hops: dict[Route, NextHop] = {}

    def transport(self, route: Route) -> NextHop | Local:
        """Who works claims of this route."""
        if route.transport not in ("smtp", "lmtp"):
            return self._local
        hop = self._hops.get(route)
        if hop is None:
            if len(self._hops) >= REMEMBERED:
                self._hops = {known: one for known, one in self._hops.items() if not one.idle}
            hop = self._hops[route] = NextHop(route, self._settings)
        return hop

    async def close(self) -> None:
        """Finish what is in hand everywhere, and give back what only waits."""
        await asyncio.gather(*(hop.close() for hop in self._hops.values()), self._local.close())
