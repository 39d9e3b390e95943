"""Sets of networks: which clients a listener or a rule means, by address (RFC 2505 section 2.1).

An IPv6 address that holds an IPv4 one (``::ffff:192.0.2.1``) is taken for that.  Raises ValueError for what
is no network.
"""

from __future__ import annotations

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_REMEMBERED = 4096


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
