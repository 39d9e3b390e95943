"""The server's shell under asyncio, over loopback, on plain asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import loops
import pytest
from loops import both
from wirepair import OK, Taker, dialogue

from mether.reply import Reply
from mether.server.dialogue import Dialogue
from mether.server.stream import MAX_BUFFERED, Connection

GROUP = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"


class Server:
    """One listening server whose connections are kept; `gone` is set when one is lost."""

    def __init__(self, taker: Taker, timeout: float) -> None:
        self.taker = taker
        self.connections: list[Connection] = []
        self.gone = asyncio.Event()
        self.why: list[str] = []
        self._timeout = timeout
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(loop, self._dialogue, self._closed, timeout=self._timeout), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _dialogue(self, connection: Connection) -> Dialogue:
        self.connections.append(connection)
        return dialogue(self.taker)

    def _closed(self, connection: Connection) -> None:
        self.why.append(connection.why)
        self.gone.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self.connections:
            connection.abort()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> bytes:
        while (line := await self.reader.readline())[3:4] == b"-":
            pass
        return line

    async def ask(self, line: bytes) -> bytes:
        self.writer.write(line)
        return await self.reply()

    async def start(self) -> None:
        assert (await self.reply()).startswith(b"220 ")
        assert (await self.ask(b"EHLO c\r\n")).startswith(b"250 ")

    async def content(self) -> None:
        await self.start()
        self.writer.write(GROUP)
        assert [(await self.reply())[:3] for _ in range(3)] == [b"250", b"250", b"354"]


@contextlib.asynccontextmanager
async def session(taker: Taker, timeout: float = 60.0) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(taker, timeout)
    await server.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield server, Client(reader, writer)
    finally:
        writer.close()
        await server.close()


async def until(condition: object) -> None:
    """Let the loop go round until something has happened; the run's own limit ends a wait for nothing."""
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0)


@both
def test_a_large_message(loop_name: str) -> None:
    """DAT-4: far above 64 KiB, octet for octet."""
    content = b"".join(b".%d\r\n" % number for number in range(150_000))

    async def main() -> None:
        taker = Taker()
        async with session(taker) as (_, client):
            await client.content()
            client.writer.write(content.replace(b"\r\n.", b"\r\n..").replace(b".", b"..", 1) + b".\r\n")
            assert await client.reply() == b"250 2.0.0 ok\r\n"
            assert await client.ask(b"QUIT\r\n") == b"221 2.0.0 bye\r\n"
            assert await client.reader.read() == b""
        assert taker.messages[0].content == content

    loops.run(loop_name, main())


@both
def test_half_closed(loop_name: str) -> None:
    """CMD-25: a client that sent everything and ended its side still gets every reply, even one owed."""

    async def main() -> None:
        taker = Taker(later=True)
        async with session(taker) as (server, client):
            await client.content()
            client.writer.write(b"Subject: x\r\n.\r\nNOOP\r\n")
            client.writer.write_eof()
            await until(lambda: taker.owed)
            server.connections[0].decided(Reply(250, "2.0.0", "queued"))
            assert await client.reader.read() == b"250 2.0.0 queued\r\n250 2.0.0 ok\r\n"
            await server.gone.wait()

    loops.run(loop_name, main())


@both
@pytest.mark.parametrize("reset", [True, False])
def test_lost_while_a_decision_is_pending(loop_name: str, reset: bool) -> None:
    """CMD-25, DAT-5: a reset is noticed at once though a reply is owed; a close looks like the end of the
    client's side, and the reply then goes nowhere."""

    async def main() -> None:
        taker = Taker(later=True)
        async with session(taker) as (server, client):
            await client.content()
            client.writer.write(b"Subject: x\r\n.\r\n")
            await until(lambda: taker.owed)
            if reset:
                linger = struct.pack("ii", 1, 0)
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.writer.transport.abort()
            if reset:
                await server.gone.wait()
            server.connections[0].decided(OK)
            await server.gone.wait()
            assert server.connections[0].dialogue.closing
            assert len(taker.messages) == 1

    loops.run(loop_name, main())


@both
def test_lost_in_the_middle(loop_name: str) -> None:
    """DAT-9."""

    async def main() -> None:
        taker = Taker()
        async with session(taker) as (server, client):
            await client.content()
            client.writer.write(b"Subject: x\r\n")
            await client.writer.drain()
            client.writer.transport.abort()
            await server.gone.wait()
            assert server.why == ["lost connection"]
        assert taker.messages == []

    loops.run(loop_name, main())


@both
def test_input_behind_a_decision_is_bounded(loop_name: str) -> None:
    """A client that goes on sending while it waits makes us hold no more than a buffer."""

    async def main() -> None:
        taker = Taker(later=True)
        async with session(taker) as (server, client):
            await client.content()
            client.writer.write(b"Subject: x\r\n.\r\n")
            await until(lambda: taker.owed)
            connection = server.connections[0]
            noops = 100_000
            client.writer.write(b"NOOP\r\n" * noops)
            await until(lambda: connection.dialogue.protocol.buffered >= MAX_BUFFERED)
            held = connection.dialogue.protocol.buffered
            assert held < MAX_BUFFERED + 300_000  # one read more at most
            for _ in range(200):
                await asyncio.sleep(0)
            assert connection.dialogue.protocol.buffered == held
            connection.decided(OK)
            for _ in range(noops + 1):
                assert await client.reader.readline() == b"250 2.0.0 ok\r\n"
            assert len(taker.events) == noops + 5

    loops.run(loop_name, main())


@both
def test_a_silent_client(loop_name: str) -> None:
    """TMO: 421 4.4.2, then the end."""

    async def main() -> None:
        async with session(Taker(), timeout=0.02) as (server, client):
            assert (await client.reply()).startswith(b"220 ")
            assert (await client.reply()).startswith(b"421 4.4.2 ")
            assert await client.reader.read() == b""
            await server.gone.wait()
            assert server.why == ["timeout"]

    loops.run(loop_name, main())


@both
def test_nobody_is_timed_out_for_our_slowness(loop_name: str) -> None:
    """TMO: while a reply is owed it is not the client who is silent."""

    async def main() -> None:
        taker = Taker(later=True)
        async with session(taker, timeout=0.02) as (server, client):
            await client.content()
            client.writer.write(b"Subject: x\r\n.\r\n")
            await until(lambda: taker.owed)
            passed = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, passed.set)
            await passed.wait()
            assert not server.gone.is_set()
            server.connections[0].decided(OK)
            assert await client.reply() == b"250 2.0.0 ok\r\n"
            assert (await client.reply()).startswith(b"421 4.4.2 ")

    loops.run(loop_name, main())


@both
def test_a_client_that_takes_no_replies(loop_name: str) -> None:
    """TMO: it is cut off; what it made us write is bounded."""

    async def main() -> None:
        taker = Taker({"HELP": Reply(214, "2.0.0", *["x" * 400] * 20)})
        async with session(taker, timeout=0.2) as (server, client):
            await client.start()
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            with contextlib.suppress(ConnectionError):
                client.writer.write(b"HELP\r\n" * 20_000)
                await client.writer.drain()
            await server.gone.wait()
            assert server.why == ["timeout"]

    loops.run(loop_name, main())


@both
def test_a_client_that_says_quit_and_takes_no_replies(loop_name: str) -> None:
    """TMO: a connection that is closing is not kept for ever by a peer that does not read."""

    async def main() -> None:
        taker = Taker({"HELP": Reply(214, "2.0.0", *["x" * 400] * 20)})
        server = Server(taker, 0.1)
        await server.open()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        await until(lambda: server.connections)
        connection = server.connections[0]
        assert connection.transport is not None
        ours = connection.transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await loop.sock_sendall(sock, b"HELP\r\n" * 25 + b"QUIT\r\n")  # 200 KiB of replies
        await until(lambda: connection.dialogue.closing)
        await server.gone.wait()
        sock.close()
        await server.close()

    loops.run(loop_name, main())


@both
def test_stop(loop_name: str) -> None:
    """CMD-27, ENH-11: 421 4.3.2 at the next safe point, which is after the content."""

    async def main() -> None:
        taker = Taker()
        async with session(taker) as (server, client):
            await client.content()
            client.writer.write(b"Subject: x\r\n")
            await until(lambda: server.connections[0].dialogue.protocol.buffered)
            server.connections[0].stop()
            client.writer.write(b".\r\n")
            assert await client.reply() == b"250 2.0.0 ok\r\n"
            assert (await client.reply()).startswith(b"421 4.3.2 ")
            assert await client.reader.read() == b""
            await server.gone.wait()
            assert server.why == ["shutdown"]
        assert len(taker.messages) == 1

    loops.run(loop_name, main())


@both
def test_the_peer_is_known(loop_name: str) -> None:
    async def main() -> None:
        async with session(Taker()) as (server, client):
            await client.start()
            port = client.writer.get_extra_info("sockname")[1]
            assert server.connections[0].peer == ("127.0.0.1", port)
            assert server.connections[0].local == "127.0.0.1"

    loops.run(loop_name, main())


def test_a_command_that_drips_in_gains_no_time() -> None:
    """TMO: the time-out is for the command, not for each of its octets."""

    class Loop:
        now = 0.0
        at = 0.0

        def time(self) -> float:
            return self.now

        def call_at(self, when: float, *_: object) -> Loop:
            self.at = when
            return self

        def when(self) -> float:
            return self.at

        def cancel(self) -> None: ...

    class Transport:
        def __getattr__(self, name: str) -> object:
            return lambda *_, **__: None

    loop = Loop()
    connection = Connection(loop, lambda _: dialogue(Taker()), lambda _: None, timeout=300)
    connection.connection_made(Transport())
    assert connection._deadline == 300
    for octet in (b"N", b"O", b"O"):
        loop.now += 90
        connection.data_received(octet)
        assert connection._deadline == 300
    connection.data_received(b"P\r\n")
    assert connection._deadline == loop.now + 300
