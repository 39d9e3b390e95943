"""A connection on a blocking socket, for the one-shot programs.

`_socket` is what the standard `socket` module wraps; the wrapper's import (enum, selectors) would cost a
one-shot program as much as the whole interpreter, and it adds nothing that is used here.

Every call may raise OSError; a TimeoutError is one.
"""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SOCK_CLOEXEC = getattr(_socket, "SOCK_CLOEXEC", 0)


class Blocking:
    """One connection; `address` is what it is connected to, for a person."""

    __slots__ = ("_socket", "address")

    def __init__(self, sock: _socket.socket, address: str) -> None:
        self._socket = sock
        self.address = address

    @property
    def local(self) -> str:
        """The IP address of our end, "" for a Unix socket."""
        name = self._socket.getsockname()
        return str(name[0]).partition("%")[0] if isinstance(name, tuple) else ""

    def send(self, data: bytes, timeout: float) -> None:
        """Send all octets; each block has `timeout` seconds."""
        self._socket.settimeout(timeout)
        view = memoryview(data)
        while view:
            view = view[self._socket.send(view[: 1 << 18]) :]

    def receive(self, timeout: float) -> bytes:
        """The next octets, b"" at their end."""
        self._socket.settimeout(timeout)
        return self._socket.recv(65536)

    def close(self) -> None:
        """End the connection."""
        try:
            self._socket.close()
        except OSError:
            pass


def addresses(host: str, port: int) -> list[tuple[int, str]]:
    """The (family, IP address) pairs of a host, in the system's order.  Raises OSError.

    `host` is an IP address or a name in ASCII (A-labels).
    """
    # As octets: for text the interpreter loads its IDNA codec, which takes longer than all the rest.
    found = _socket.getaddrinfo(host.encode("ascii"), port, 0, _socket.SOCK_STREAM)
    return [(family, str(where[0])) for family, _, _, _, where in found]


def connect(candidates: Iterable[tuple[int, str]], port: int, timeout: float) -> Blocking:
    """Connect to the first address that answers.  Raises the last OSError when none does."""
    problem: OSError | None = None
    for family, address in candidates:
        sock = _socket.socket(family, _socket.SOCK_STREAM | SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout)
            sock.connect((address, port))
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return Blocking(sock, address)
    raise problem or OSError("the host has no address")


def connect_unix(path: str, timeout: float) -> Blocking:
    """Connect to a Unix socket.  Raises OSError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return Blocking(sock, path)
