"""Who may connect and who may relay, by address (RFC 5321 section 7.9, RFC 2505 section 2.1).

A client may relay when its address is in one of the listener's `relay_from` networks; a name it gives, in
EHLO or MAIL, never counts.  Connections are counted in all and per client address.  `part` is what one of
several processes has of a limit.
"""

from __future__ import annotations

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_REMEMBERED = 4096


def part(limit: int, processes: int) -> int:
    """What each of so many processes has of a limit: at least 1, for 0 stays what it is, no limit."""
    return max(1, limit // max(1, processes)) if limit else 0


class Networks:
    """A set of networks, such as ``192.0.2.0/24`` or ``::1``.  Raises ValueError for what is none."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in networks]
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._look_up(address)
        return known

    def _look_up(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self._networks if network.version == ip.version)


class Counter:
    """Connections that are open: in all at most `limit`, from one address `per_client` (0: no limit)."""

    __slots__ = ("_by_address", "limit", "per_client", "total")

    def __init__(self, limit: int, per_client: int) -> None:
        self.limit = limit
        self.per_client = per_client
        self.total = 0
        self._by_address: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Count one more; False, and nothing counted, when that is one too many."""
        count = self._by_address.get(address, 0)
        if self.total >= self.limit or (self.per_client and count >= self.per_client):
            return False
        self.total += 1
        self._by_address[address] = count + 1
        return True

    def leave(self, address: str) -> None:
        """Count one less."""
        self.total -= 1
        count = self._by_address[address] - 1
        if count:
            self._by_address[address] = count
        else:
            del self._by_address[address]
