"""``queue/.hops``: what is known of next hops, one JSON array in a file.

It holds those that have failures behind them or are suspended.  A file that cannot be understood counts as
empty: failures are found out about again, and `check` tells of suspensions that are lost.
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
                *((hop.route.via,) if hop.route.via else ()),
            ]
            for hop in hops
            if hop.failures or hop.suspended is not None
        ]
    ).encode("ascii")


def read(path: str) -> dict[Route, Hop]:
    """The next hops in the file, by route.  Raises OSError."""
    try:
        return parse(_octets(path))
    except (FileNotFoundError, ValueError):
        return {}


def wrong(path: str) -> str | None:
    """What is wrong with the file, or None.  Raises OSError."""
    try:
        parse(_octets(path))
    except FileNotFoundError:
        pass
    except ValueError as error:
        return f"{path}: {error}; what was suspended is not suspended any more"
    return None


def parse(data: bytes) -> dict[Route, Hop]:
    """The next hops in the file's octets.  Raises ValueError."""
    hops = {}
    try:
        for transport, next_hop, helo, failures, not_before, last, suspended, until, *via in load(
            data.decode("ascii")
        ):
            route = Route(transport, next_hop, helo, *via)
            hops[route] = Hop(
                route,
                failures=int(failures),
                not_before=float(not_before),
                last=last,
                suspended=suspended,
                suspended_until=None if until is None else float(until),
            )
    except TypeError as error:
        raise ValueError(f"no list of next hops ({error})") from None
    return hops


def _octets(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
