"""A connection under asyncio, over loopback, on plain asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import loops
import pytest
from clock import running, virtual
from loops import both

from mether.net.stream import WRITE_LIMIT, Stream


class Kept(Stream):
    """Keeps what happens to it, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.events: list[str] = []
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data

    def ended(self) -> None:
        self.events.append("ended")

    def lost(self) -> None:
        self.events.append("lost")

    def drained(self) -> None:
        self.events.append("drained")

    def timed_out(self) -> None:
        self.events.append("timed out")


@asynccontextmanager
async def pair(
    make: Callable[[asyncio.AbstractEventLoop], Any] = Kept,
) -> AsyncIterator[tuple[Any, socket.socket]]:
    """A stream and the plain socket at its other end."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        _, stream = await loop.create_connection(lambda: make(loop), *listener.getsockname())
        peer, _ = await loop.sock_accept(listener)
        peer.setblocking(False)
    try:
        yield stream, peer
    finally:
        stream.abort()
        peer.close()
        while stream.transport is not None:
            await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go round until it is so; the run's own limit ends a wait for nothing."""
    while not condition():
        await asyncio.sleep(0)


async def read_all(peer: socket.socket) -> bytes:
    """Everything up to the end."""
    loop, data = asyncio.get_running_loop(), bytearray()
    while piece := await loop.sock_recv(peer, 1 << 16):
        data += piece
    return bytes(data)


@both
def test_names(loop_name: str) -> None:
    async def main() -> None:
        async with pair() as (stream, peer):
            assert stream.peer == peer.getsockname()
            assert stream.local == "127.0.0.1"
        assert (stream.peer, stream.local) == (("", 0), "")

    loops.run(loop_name, main())


@both
def test_a_unix_socket_has_no_names(loop_name: str, tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[Kept] = []

        def make() -> Kept:
            made.append(Kept(loop))
            return made[-1]

        server = await loop.create_unix_server(make, str(tmp_path / "here"))
        await loop.create_unix_connection(make, str(tmp_path / "here"))
        await until(lambda: len(made) == 2 and all(one.transport is not None for one in made))
        assert all((one.peer, one.local) == (("", 0), "") for one in made)
        for one in made:
            one.abort()
        await until(lambda: all(one.transport is None for one in made))
        server.close()

    loops.run(loop_name, main())


@both
def test_half_closed(loop_name: str) -> None:
    """CMD-25: the peer has ended its side; ours still carries replies, until we close it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with pair() as (stream, peer):
            await loop.sock_sendall(peer, b"QUIT\r\n")
            peer.shutdown(socket.SHUT_WR)
            await until(lambda: stream.events)
            assert (stream.data, stream.events) == (b"QUIT\r\n", ["ended"])
            stream.write(b"221 ")
            stream.write(b"bye\r\n")
            stream.close()
            assert await read_all(peer) == b"221 bye\r\n"
            await until(lambda: stream.transport is None)
            assert stream.events == ["ended", "lost"]
            stream.write(b"nobody is there")  # and nobody is harmed
            stream.close()
            stream.abort()
            stream.read(False)

    loops.run(loop_name, main())


@both
def test_a_reset(loop_name: str) -> None:
    """Nothing is raised: the connection is lost."""

    async def main() -> None:
        async with pair() as (stream, peer):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            await until(lambda: stream.transport is None)
            assert stream.events == ["lost"]

    loops.run(loop_name, main())


@both
def test_a_peer_that_takes_nothing(loop_name: str) -> None:
    """Beyond WRITE_LIMIT it is not writable; once the peer takes octets again, it is told so."""
    data = b"x" * 20_000_000

    async def main() -> None:
        async with pair() as (stream, peer):
            stream.write(b"a little")
            assert stream.writable
            stream.write(data)
            assert not stream.writable
            assert stream.transport.get_write_buffer_size() > WRITE_LIMIT
            stream.close()  # what waits is still sent
            assert await read_all(peer) == b"a little" + data
            await until(lambda: stream.transport is None)
            assert stream.events == ["drained", "lost"]
            assert stream.writable

    loops.run(loop_name, main())


@both
def test_abort_does_not_wait(loop_name: str) -> None:
    async def main() -> None:
        async with pair() as (stream, _):
            stream.write(b"x" * 20_000_000)
            stream.abort()
            await until(lambda: stream.transport is None)
            assert stream.events[-1] == "lost"

    loops.run(loop_name, main())


@both
def test_reading_stops_and_goes_on(loop_name: str) -> None:
    """What the peer sends meanwhile waits in the kernel, and in the peer."""
    data = b"y" * 20_000_000

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with pair() as (stream, peer):
            stream.read(False)
            stream.read(False)
            sent = peer.send(data)
            while True:  # until the kernel takes no more
                try:
                    sent += peer.send(data[sent:])
                except BlockingIOError:
                    break
            assert sent < len(data)
            for _ in range(20):
                await asyncio.sleep(0)
            assert stream.data == b""
            stream.read(True)
            await loop.sock_sendall(peer, data[sent:])
            await until(lambda: len(stream.data) == len(data))

    loops.run(loop_name, main())


@both
@pytest.mark.parametrize("subclass", [True, False])
def test_the_deadline(loop_name: str, subclass: bool) -> None:
    """It calls `timed_out` once; who says nothing else ends the connection."""

    async def main() -> None:
        async with pair(Kept if subclass else Stream) as (stream, _):
            stream.set_deadline(0.01)
            if subclass:
                await until(lambda: stream.events)
                assert stream.events == ["timed out"]
                assert stream.transport is not None
            else:
                await until(lambda: stream.transport is None)

    loops.run(loop_name, main())


async def timed(steps: list[tuple[float, float | None]], length: float) -> list[float]:
    """Set deadlines at these times; when `timed_out` was called."""
    loop = running()
    calls: list[float] = []

    class Timed(Stream):
        def timed_out(self) -> None:
            calls.append(round(loop.time() - began))

    async with pair(Timed) as (stream, _):
        began = loop.time()
        for at, seconds in [*steps, (length, None)]:
            await asyncio.sleep(began + at - loop.time())
            if (at, seconds) != (length, None):
                stream.set_deadline(seconds)
    return calls


@virtual
async def test_the_deadline_is_the_last_one_set() -> None:
    """Later, sooner, never, and again after it has passed."""
    assert await timed([(0, 10)], 100) == [10]
    assert await timed([(0, 10), (5, 10), (12, 10)], 100) == [22]
    assert await timed([(0, 300), (1, 2)], 400) == [3]
    assert await timed([(0, 10), (5, None)], 100) == []
    assert await timed([(0, 10), (5, None), (6, 20)], 100) == [26]
    assert await timed([(0, 10), (20, 10)], 100) == [10, 30]


@virtual
async def test_no_deadline_outlives_the_connection() -> None:
    async with pair() as (stream, _):
        stream.set_deadline(10)
        stream.abort()
        await asyncio.sleep(1)
        stream.set_deadline(10)
        await asyncio.sleep(100)
        assert stream.events == ["lost"]


@virtual
async def test_a_deadline_that_moves_costs_one_timer() -> None:
    """It may be set for every piece of a large message."""
    loop = running()
    async with pair() as (stream, _):
        before = len(loop._scheduled)  # type: ignore[attr-defined]
        for _ in range(10_000):
            stream.set_deadline(300)
        assert len(loop._scheduled) <= before + 1  # type: ignore[attr-defined]
