"""Listening sockets on the network, for one process or several, and what waits in their backlog.

`listening` makes the sockets of one host and port: with `processes` above 1 one each, bound with
SO_REUSEPORT, between which the kernel spreads the connections.  A socket may outlive the process that accepts
from it: as long as another holds it, connections wait in its backlog.  `dismiss` answers those that wait
there when nobody else will.

Fails with OSError, whose `strerror` is one line.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_ATTACH_FILTER: Final = 26
"""SO_ATTACH_FILTER of Linux (socket(7)), which `socket` has no name for."""

_NO_SYN: Final = (
    (0x30, 0, 0, 13),  # load the octet of flags
    (0x54, 0, 0, 0x12),  # those for SYN and ACK alone
    (0x15, 0, 1, 0x02),  # where it is SYN without ACK
    (0x06, 0, 0, 0),  # drop the segment
    (0x06, 0, 0, 0xFFFFFFFF),  # else take it
)
"""A packet filter, as instructions of classic BPF: code, two jumps, operand."""

_UNREAD: Final = 4096
"""Octets that are read from a client before it is left: with unread ones the kernel takes our last words
back."""


def listening(host: str, port: int, backlog: int, processes: int = 1) -> list[list[socket.socket]]:
    """For each process the sockets that listen at `host` (``""``: every address) and `port` (0: any).

    A name may have several addresses; one of a kind that this system does not have is left out if another is
    there.  Raises OSError.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[list[socket.socket]] = [[] for _ in range(processes)]
    missing: OSError | None = None
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            try:
                each = _bound(family, address, processes)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
                continue
            for mine, sock in zip(made, each, strict=True):
                mine.append(sock)
                sock.listen(backlog)
        if missing is not None and not made[0]:
            raise missing
    except OSError:
        for mine in made:
            for sock in mine:
                sock.close()
        raise
    return made


def _bound(family: int, address: tuple[object, ...], processes: int) -> list[socket.socket]:
    """A socket for each process, bound to one address."""
    made: list[socket.socket] = []
    try:
        for number in range(processes + (processes > 1)):
            sock = socket.socket(family, socket.SOCK_STREAM)
            made.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if number and processes > 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            address = sock.getsockname()
            if not number and processes > 1:
                # Alone it is refused where somebody listens: with SO_REUSEPORT another service of this user
                # would share its connections with us.
                made.pop().close()
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made


def dismiss(sock: socket.socket, words: bytes) -> Iterator[str]:
    """Answer each connection that waits in the backlog, and end it; yields their IP addresses ("" for none).

    `words` may be empty, where nothing can be said.  Nobody new gets into the backlog meanwhile, as far as
    that can be had; the socket is to be closed then.  Never waits, never raises.
    """
    if not _shut(sock):
        return
    while True:
        try:
            client, address = sock.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:
            continue  # it has gone already
        except OSError as error:
            if error.errno in (errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH):
                continue  # what was wrong with one connection is told by accept (accept(2))
            return
        with client:
            try:
                client.setblocking(False)
                client.sendall(words)
                client.shutdown(socket.SHUT_WR)
                client.recv(_UNREAD)
            except OSError:
                pass  # it has sent nothing, or is gone
        yield address[0].partition("%")[0] if isinstance(address, tuple) else ""


def _shut(sock: socket.socket) -> bool:
    """Let nobody new into the backlog; False where it does not listen, or not any more.

    Who came between our last look and the close would be cut without a word.  Dropped, its SYN is sent again
    a second later, and is refused then, or taken by whoever listens next.
    """
    if sock.family != socket.AF_UNIX and sys.platform == "linux":
        steps = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in _NO_SYN))
        try:
            program = struct.pack("HP", len(_NO_SYN), steps.buffer_info()[0])
            sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
        except OSError:
            pass  # then there is only what follows
        else:
            return True
    try:
        sock.listen(0)
    except OSError:
        return False
    return True


def why(error: OSError) -> str:
    """Why there is no socket, in the system's own words."""
    if isinstance(error, socket.gaierror):
        words = error.strerror or str(error)
    else:
        known = error.errno if error.errno is not None and error.errno > 0 else None
        words = os.strerror(known) if known is not None else error.strerror or str(error)
    return words[:1].lower() + words[1:]
