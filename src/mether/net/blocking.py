"""A connection on a blocking socket, for the one-shot programs.

`_socket` is what the standard `socket` module wraps; the wrapper's import (enum, selectors) would cost a
one-shot program as much as the whole interpreter, and it adds nothing that is used here.

Every call may raise OSError; a TimeoutError is one.  `start_tls` alone raises `net.tlserror.TlsError` too.
TLS is `ssl.SSLObject` over two buffers, imported when it is asked for: a plain session pays nothing for it,
and the standard `socket` stays out.
"""

from __future__ import annotations

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from mether.net.tls import Security, Terms

SOCK_CLOEXEC = getattr(_socket, "SOCK_CLOEXEC", 0)


class Blocking:
    """One connection; `address` is what it is connected to, for a person; `secure` is None while in clear."""

    __slots__ = ("_socket", "_tls", "address", "secure")

    def __init__(self, sock: _socket.socket, address: str) -> None:
        self._socket = sock
        self._tls: _Tls | None = None
        self.address = address
        self.secure: Security | None = None

    @property
    def local(self) -> str:
        """The IP address of our end, "" for a Unix socket."""
        name = self._socket.getsockname()
        return str(name[0]).partition("%")[0] if isinstance(name, tuple) else ""

    def start_tls(self, terms: Terms, timeout: float, clock: Callable[[], float]) -> Security:
        """Shake hands within `timeout` seconds by `clock`.  Raises TlsError; the connection is then closed.

        No octet that was read in clear may wait to be looked at (checklist TLS-3).
        """
        from mether.net.tlserror import explain

        try:
            made = _Tls(self._socket, terms)
            self.secure = made.shake(timeout, clock)
        except Exception as error:
            self.close()
            raise explain(error) from None
        self._tls = made
        return self.secure

    def send(self, data: bytes, timeout: float) -> None:
        """Send all octets; each block has `timeout` seconds."""
        self._socket.settimeout(timeout)
        if self._tls is not None:
            self._tls.send(data)
        else:
            _send(self._socket, data)

    def receive(self, timeout: float) -> bytes:
        """The next octets, b"" at their end."""
        self._socket.settimeout(timeout)
        if self._tls is not None:
            return self._tls.receive()
        return self._socket.recv(65536)

    def close(self) -> None:
        """End the connection."""
        if self._tls is not None:
            self._tls.end()
            self._tls = None
        try:
            self._socket.close()
        except OSError:
            pass


class _Tls:
    """TLS over a blocking socket: what `net.tlsstream` is under asyncio."""

    __slots__ = ("_incoming", "_object", "_outgoing", "_socket", "_ssl", "_terms")

    def __init__(self, sock: _socket.socket, terms: Terms) -> None:
        import ssl

        self._ssl: Any = ssl
        self._socket = sock
        self._terms = terms
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object: ssl.SSLObject = terms.object(self._incoming, self._outgoing)

    def shake(self, timeout: float, clock: Callable[[], float]) -> Security:
        """Do the handshake.  Raises what `net.tlserror.explain` explains."""
        until = clock() + timeout
        while True:
            try:
                self._object.do_handshake()
            except self._ssl.SSLWantReadError:
                self._flush()
            except self._ssl.SSLError:
                self._flush()  # the alert that tells the peer why
                raise
            else:
                self._flush()
                return self._terms.judge(self._object)
            left = until - clock()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError
            self._incoming.write(data)

    def send(self, data: bytes) -> None:
        """Send all octets."""
        view = memoryview(data)
        while view:
            # Not all at once: of a large message there would be a second copy in the buffer.
            piece, view = view[: 1 << 18], view[1 << 18 :]
            while piece:
                piece = piece[self._object.write(piece) :]
            self._flush()

    def receive(self) -> bytes:
        """The next octets, b"" at their end.  Raises OSError, as damage under TLS is."""
        while True:
            try:
                return self._object.read(65536)
            except self._ssl.SSLWantReadError:
                self._flush()
            except self._ssl.SSLZeroReturnError:
                return b""
            data = self._socket.recv(65536)
            if not data:
                return b""  # without TLS's goodbye: SMTP says itself what is complete
            self._incoming.write(data)

    def end(self) -> None:
        """Say goodbye, if that can be done without waiting; never raises."""
        self._terms.ending(self._object)
        try:
            self._object.unwrap()
        except (OSError, ValueError):
            pass
        try:
            self._socket.settimeout(0.0)
            self._flush()
        except (OSError, ValueError):
            pass

    def _flush(self) -> None:
        if self._outgoing.pending:
            _send(self._socket, self._outgoing.read())


def _send(sock: _socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[sock.send(view[: 1 << 18]) :]


def addresses(host: str, port: int) -> list[tuple[int, str]]:
    """The (family, IP address) pairs of a host, in the system's order.  Raises OSError.

    `host` is an IP address or a name in ASCII (A-labels).
    """
    # As octets: for text the interpreter loads its IDNA codec, which takes longer than all the rest.
    found = _socket.getaddrinfo(host.encode("ascii"), port, 0, _socket.SOCK_STREAM)
    return [(family, str(where[0])) for family, _, _, _, where in found]


def connect(
    candidates: Iterable[tuple[int, str]], port: int, timeout: float, sources: Mapping[int, str] | None = None
) -> Blocking:
    """Connect to the first address that answers.  Raises the last OSError when none does.

    `sources` has for a family the address of ours to connect from; where it has none the system chooses.
    """
    problem: OSError | None = None
    for family, address in candidates:
        sock = _socket.socket(family, _socket.SOCK_STREAM | SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout)
            if sources and family in sources:
                sock.bind((sources[family], 0))
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
