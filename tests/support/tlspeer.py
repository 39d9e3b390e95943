"""A peer that speaks TLS from a thread, with Python's own sockets: the other side of our streams.

`Peer` listens on loopback and gives each connection to `work(plain socket)`; what that returns is kept in
`results`, and what it raises in `problems`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Peer:
    """One listener and the thread that serves it."""

    def __init__(self, work: Callable[[socket.socket], Any]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port: int = self._listener.getsockname()[1]
        self.results: list[Any] = []
        self.problems: list[Exception] = []
        self._work = work
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(20)
            with sock:
                try:
                    self.results.append(self._work(sock))
                except (OSError, ValueError) as error:
                    self.problems.append(error)

    def close(self) -> None:
        """Stop listening, and wait for the connection in hand."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


@contextlib.contextmanager
def peer(work: Callable[[socket.socket], Any]) -> Iterator[Peer]:
    """A peer for the time of a test."""
    made = Peer(work)
    try:
        yield made
    finally:
        made.close()


def server_context(
    pair: tuple[str, str],
    *,
    least: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """A plain server context of Python's, for the peer's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if most < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version, context.maximum_version = least, most
    return context


def client_context(*, pair: tuple[str, str] | None = None) -> ssl.SSLContext:
    """A plain client context of Python's that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(*pair)
    return context
