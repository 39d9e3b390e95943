"""Where this service itself takes mail, so that none is sent there: it would come back (RFC 5321 5.1).

An `Own` contains (IP address, port) pairs, and for Unix sockets (path, 0).  A listener on every address is
found at each that this host has, which the kernel is asked about: an address can be bound to when it is ours.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from typing import Final

ELSEWHERE: Final = {False: "203.0.113.77", True: "2001:db8::ffff"}
"""Addresses that no host has (RFC 5737, 3849), by whether they are of IPv6."""


def is_local(address: str) -> bool:
    """Whether an IP address is one of this host.  Never raises.

    Where the system lets any address be bound to (ip_nonlocal_bind) nothing can be told, and none is.
    """
    return _can_bind(address) and not _can_bind(ELSEWHERE[":" in address])


def _can_bind(address: str) -> bool:
    import _socket

    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        probe = _socket.socket(family, _socket.SOCK_DGRAM)
    except OSError:
        return False
    try:
        probe.bind((address, 0))
    except OSError:
        return False
    else:
        return True
    finally:
        probe.close()


class Own:
    """Where this service listens: `pairs`, and on every address at the ports in `everywhere`."""

    __slots__ = ("_everywhere", "_is_local", "_pairs")

    def __init__(
        self,
        pairs: Iterable[tuple[str, int]] = (),
        everywhere: Iterable[int] = (),
        *,
        is_local: Callable[[str], bool] = is_local,
    ) -> None:
        self._pairs = frozenset(pairs)
        self._everywhere = frozenset(everywhere)
        self._is_local = is_local

    def __contains__(self, place: object) -> bool:
        if place in self._pairs:
            return True
        if not (isinstance(place, tuple) and len(place) == 2):
            return False
        address, port = place
        return port in self._everywhere and self._is_local(address)


class At:
    """The addresses at which there is something of `own` at a port."""

    __slots__ = ("_own", "_port")

    def __init__(self, own: Container[tuple[str, int]], port: int) -> None:
        self._own = own
        self._port = port

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str) and (address, self._port) in self._own
