"""Sets of networks: which clients a listener or a rule means, by address (RFC 2505 section 2.1).

An IPv6 address that holds an IPv4 one (``::ffff:192.0.2.1``) is taken for that.  A look-up
costs as much as there are different lengths of prefixes, however many networks have them.  Raises ValueError
for what is no network.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_REMEMBERED = 4096
_MAPPED = bytes(10) + b"\xff\xff"


class Prefixes:
    """Networks, and for each a number of which every bit means something: `find` joins those of all networks
    that an address is in."""

    __slots__ = ("_by_version", "_known")

    def __init__(self) -> None:
        self._by_version: dict[int, dict[int, dict[int, int]]] = {4: {}, 6: {}}
        self._known: dict[str, int] = {}

    def add(self, text: str, bits: int) -> None:
        """Give a network bits.  Raises ValueError."""
        import ipaddress  # slow to load, and most rules ask for no client

        network = ipaddress.ip_network(text)
        shift = network.max_prefixlen - network.prefixlen
        each = self._by_version[network.version].setdefault(shift, {})
        prefix = int(network.network_address) >> shift
        each[prefix] = each.get(prefix, 0) | bits

    def find(self, address: str) -> int:
        """The bits of the networks that it is in, 0 for what is no address."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._look_up(address)
        return known

    def _look_up(self, address: str) -> int:
        six = ":" in address
        try:
            octets = inet_pton(AF_INET6 if six else AF_INET, address.partition("%")[0] if six else address)
        except (OSError, ValueError):
            return 0
        if octets[:12] == _MAPPED:
            six, octets = False, octets[12:]
        number, found = int.from_bytes(octets, "big"), 0
        for shift, each in self._by_version[6 if six else 4].items():
            found |= each.get(number >> shift, 0)
        return found


class Networks:
    """A set of networks, such as ``192.0.2.0/24`` or ``::1``.  Raises ValueError for what is none."""

    __slots__ = ("_prefixes", "networks")

    def __init__(self, networks: Iterable[str]) -> None:
        self.networks = tuple(networks)
        self._prefixes = Prefixes()
        for one in self.networks:
            self._prefixes.add(one, 1)

    def __contains__(self, address: str) -> bool:
        return self._prefixes.find(address) != 0
