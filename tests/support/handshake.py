"""Our client's side of a TLS handshake, blocking or on either loop: `client` returns or raises the same."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import loops

from mether.net import blocking
from mether.net.stream import Stream
from mether.net.tls import Security
from mether.net.tlserror import TlsError

KINDS = ("blocking", *loops.LOOPS)


class Kept(Stream):
    """A stream that keeps what happens to it, and can be waited for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.shaken: asyncio.Future[Security] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.end: asyncio.Future[None] = loop.create_future()
        self.data = bytearray()
        self.got = asyncio.Event()
        self.ends = 0
        self.problems: list[TlsError] = []

    def secured(self) -> None:
        assert self.secure is not None
        self.shaken.set_result(self.secure)

    def insecure(self, error: TlsError) -> None:
        self.problems.append(error)
        self.shaken.set_exception(error)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.got.set()

    def ended(self) -> None:
        self.ends += 1
        if not self.end.done():
            self.end.set_result(None)

    def lost(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    async def receive(self, count: int) -> bytes:
        """The next octets, once there are so many."""
        while len(self.data) < count:
            self.got.clear()
            await self.got.wait()
        data = bytes(self.data[:count])
        del self.data[:count]
        return data


def client(
    kind: str, port: int, terms: Any, *, send: bytes = b"", timeout: float = 20
) -> tuple[Security, bytes]:
    """Shake hands with a server on loopback, send octets and take as many back.  Raises TlsError."""
    if kind == "blocking":
        connection = blocking.connect([(2, "127.0.0.1")], port, 20)
        try:
            security = connection.start_tls(terms, timeout, time.monotonic)
            assert connection.secure is security
            back = b""
            if send:
                connection.send(send, 20)
            while len(back) < len(send):
                piece = connection.receive(20)
                assert piece, "the peer ended too early"
                back += piece
            return security, back
        finally:
            connection.close()
    result: tuple[Security, bytes] = loops.run(kind, _stream(port, terms, send, timeout))
    return result


async def _stream(port: int, terms: Any, send: bytes, timeout: float) -> tuple[Security, bytes]:
    loop = asyncio.get_running_loop()
    made: Any
    _, made = await loop.create_connection(lambda: Kept(loop), "127.0.0.1", port)
    made.start_tls(terms, timeout)
    try:
        security = await made.shaken
        assert made.secure is security
        made.write(send)
        return security, await made.receive(len(send))
    finally:
        made.close()
        await made.gone
