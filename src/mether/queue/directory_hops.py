"""``queue/.hops``: what is known of next hops, one JSON array in a file.

It holds those that have failures behind them or are suspended.  It is advice: a file that cannot be
understood counts as empty, and the next hops are found out about again.
"""

from __future__ import annotations

from mether.outcome import Route
from mether.queue.claim import Hop
from mether.queue.directory_state import dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def write(hops: Iterable[Hop]) -> bytes:
    """The file's octets."""
    return dump(
        [
            [
                *(hop.route.transport, hop.route.next_hop, hop.route.helo),
                *(hop.failures, hop.not_before, hop.last.encode("utf-8", "replace").decode()),
                *(hop.suspended, hop.suspended_until),
            ]
            for hop in hops
            if hop.failures or hop.suspended is not None
        ]
    ).encode("ascii")


def read(path: str) -> dict[Route, Hop]:
    """The next hops in the file, by route.  Raises OSError."""
    try:
        with open(path, encoding="ascii") as file:
            values = load(file.read())
        hops = {}
        for transport, next_hop, helo, failures, not_before, last, suspended, until in values:
            route = Route(transport, next_hop, helo)
            hops[route] = Hop(
                route,
                failures=int(failures),
                not_before=float(not_before),
                last=last,
                suspended=suspended,
                suspended_until=until,
            )
        return hops
    except (FileNotFoundError, ValueError, TypeError):
        return {}
