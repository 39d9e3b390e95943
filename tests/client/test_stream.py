"""The asynchronous client over loopback, on asyncio and uvloop.  test_hostile.py has the bad servers."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import loops
import pytest
from clients import CONTENT, ME, transaction
from clock import running, virtual
from loops import both
from script_server import SILENCE, ScriptServer

from mether.client import connect, transcript
from mether.client.session import Lost, Timeouts
from mether.client.stream import StreamClient
from mether.net.stream import WRITE_LIMIT
from mether.queue.content import Content, in_memory
from mether.smtp import command
from mether.smtp.sasl_client import Credentials

LARGE = b"".join(b".line %d\r\n" % number for number in range(80_000))  # more than 1 MB
BOB = ("bob@example.com",)
SMALL = in_memory(CONTENT)
SENT = ["MAIL", "RCPT", "DATA"]


def in_file(data: bytes) -> Content:
    return Content(None, len(data), lambda: io.BytesIO(data))


@asynccontextmanager
async def session(server: ScriptServer, timeouts: Timeouts | None = None) -> AsyncIterator[StreamClient]:
    """A client that has said hello."""
    await server.start()
    loop = asyncio.get_running_loop()
    client = await connect.connect(loop, "127.0.0.1", server.port, timeouts or Timeouts())
    try:
        await client.hello(ME)
        yield client
    finally:
        client.abort()
        await server.close()
        for task in (left := asyncio.all_tasks() - {asyncio.current_task()}):
            task.cancel()
        if left:
            await asyncio.wait(left)


async def send(client: StreamClient, content: Content = SMALL) -> list[str]:
    """A message to bob; what was said to each recipient."""
    sending = transaction(client.protocol.offer, BOB, content)
    await client.transact(sending, b"", content)
    if sending.reset_needed:
        await client.ask("RSET", command.plain("RSET"))
    return [f"{one.stage} {one.reply}" for one in sending.results if one is not None]


@both
def test_a_session_is_used_again(loop_name: str) -> None:
    """One transaction after the other; RSET only where one was left open."""

    async def main() -> None:
        server = ScriptServer(RCPT=["550 5.1.1 no"])
        async with session(server) as client:
            assert await send(client) == ["RCPT 550 5.1.1 no"]
            assert await send(client) == [". 250 2.0.0 taken"]
            assert await send(client) == [". 250 2.0.0 taken"]
            assert client.alive
            await client.quit()
        assert server.said() == ["EHLO", *SENT, "RSET", *SENT, *SENT, "QUIT"]

    loops.run(loop_name, main())


@both
def test_a_kept_session_that_ends(loop_name: str) -> None:
    """It is not alive from that moment, and whoever uses it all the same is told so at once."""

    async def main() -> None:
        server = ScriptServer()
        async with session(server) as client:
            await send(client)
            server.drop()
            while client.alive:
                await asyncio.sleep(0)
            with pytest.raises(Lost) as caught:
                await send(client)
            assert (caught.value.kind, caught.value.stage) == ("closed", "")
            with pytest.raises(Lost):
                await client.ask("NOOP", command.plain("NOOP"))
            await client.quit()
        assert "QUIT" not in server.said()

    loops.run(loop_name, main())


@both
@pytest.mark.parametrize("content", [in_memory(LARGE), in_file(LARGE)], ids=["memory", "file"])
def test_large_content(loop_name: str, content: Content) -> None:
    """CLI-5: octet for octet, dots and all."""

    async def main() -> None:
        server = ScriptServer(offer=("PIPELINING", "SIZE 100000000"))
        async with session(server) as client:
            assert await send(client, content) == [". 250 2.0.0 taken"]
        assert server.messages[0].content == LARGE

    loops.run(loop_name, main())


class Slow:
    """A server that reads so many octets of the content when it is told to."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.content = b""

    async def begin(self) -> None:
        """Come to where content is sent."""
        loop = asyncio.get_running_loop()
        self.socket, _ = await loop.sock_accept(self.listener)
        self.socket.setblocking(False)
        await loop.sock_sendall(self.socket, b"220 slow\r\n")
        for reply in (b"250 slow", b"250 ok", b"250 ok", b"354 go on"):
            while not (await loop.sock_recv(self.socket, 4096)).endswith(b"\r\n"):
                pass
            await loop.sock_sendall(self.socket, reply + b"\r\n")

    async def read(self) -> None:
        self.content += await asyncio.get_running_loop().sock_recv(self.socket, 32768)

    def close(self) -> None:
        self.socket.close()
        self.listener.close()


@both
def test_a_server_that_reads_slowly(loop_name: str) -> None:
    """PIP-4, TMO-1: content from a file waits for the server, in memory there is never much of it."""
    content = in_file(LARGE * 3)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = Slow()
        serving = loop.create_task(server.begin())
        client = await connect.connect(loop, "127.0.0.1", server.port, Timeouts())
        await client.hello(ME)
        sending = loop.create_task(send(client, content))
        await serving
        most = 0
        while not server.content.endswith(b"\r\n.\r\n"):
            await server.read()
            if client.transport is not None:
                most = max(most, client.transport.get_write_buffer_size())
        await loop.sock_sendall(server.socket, b"250 2.0.0 at last\r\n")
        assert await sending == [". 250 2.0.0 at last"]
        assert server.content.replace(b"\r\n..", b"\r\n.")[1:-3] == LARGE * 3
        assert most < WRITE_LIMIT + 512 * 1024
        client.abort()
        server.close()

    loops.run(loop_name, main())


@both
def test_a_server_that_reads_nothing(loop_name: str) -> None:
    """TMO-1: a block of content has its own time-out."""
    content = in_file(LARGE * 20)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = Slow()
        serving = loop.create_task(server.begin())
        client = await connect.connect(loop, "127.0.0.1", server.port, Timeouts(block=0.05))
        await client.hello(ME)
        with pytest.raises(Lost) as caught:
            await send(client, content)
        assert (caught.value.kind, caught.value.stage) == ("timeout", "")
        await serving
        await client.quit()
        server.close()

    loops.run(loop_name, main())


@both
def test_a_server_that_ends_inside_content(loop_name: str) -> None:
    """The sender stops at once, and the message was certainly not taken.  With a reply: test_giving_up."""
    content = in_file(LARGE * 20)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = Slow()
        serving = loop.create_task(server.begin())
        client = await connect.connect(loop, "127.0.0.1", server.port, Timeouts())
        await client.hello(ME)
        sending = loop.create_task(send(client, content))
        await serving
        server.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(Lost) as caught:
            await sending
        assert (caught.value.kind, caught.value.stage) == ("closed", "")
        server.close()
        await client.quit()

    loops.run(loop_name, main())


@both
def test_content_that_cannot_be_read(loop_name: str) -> None:
    """OSError goes to the caller, who aborts: the message must not look whole."""

    class Bad(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    async def main() -> None:
        server = ScriptServer()
        async with session(server) as client:
            with pytest.raises(OSError, match="Input/output"):
                await send(client, Content(None, 10, lambda: io.BufferedReader(Bad())))
            await client.quit()
        assert server.messages == []
        assert "QUIT" not in server.said()

    loops.run(loop_name, main())


@virtual
async def test_a_reply_octet_by_octet() -> None:
    """TMO-1: a reply has its time-out as a whole, however much of it comes meanwhile."""
    loop = running()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 x\r\n")
            await reader.readline()
            for _ in range(1000):
                writer.write(b"250-x\r\n")
                await asyncio.sleep(10)
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    client = await connect.connect(
        loop, "127.0.0.1", server.sockets[0].getsockname()[1], Timeouts(command=25)
    )
    before = loop.time()
    with pytest.raises(Lost, match="did not answer in time") as caught:
        await client.hello(ME)
    assert caught.value.stage == "EHLO"
    assert loop.time() - before == pytest.approx(25, abs=1)
    server.close()


@virtual
async def test_each_reply_has_its_own_time() -> None:
    """TMO-1: a session may be far older than any of its time-outs."""
    loop = running()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 x\r\n")
            for reply in (b"250 x", b"250 x", b"250 x", b"354 x"):
                await reader.readline()
                await asyncio.sleep(20)
                writer.write(reply + b"\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            await asyncio.sleep(40)
            writer.write(b"250 2.0.0 taken\r\n")
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = await connect.connect(loop, "127.0.0.1", port, Timeouts(command=25, data=25, end=50))
    await client.hello(ME)
    await asyncio.sleep(1000)  # a kept session has no time-out of its own
    assert await send(client) == [". 250 2.0.0 taken"]
    assert client.alive
    client.close()
    server.close()


@both
def test_quit_does_not_wait_for_long(loop_name: str) -> None:
    """CLI-10: the reply to QUIT is waited for a little."""

    async def main() -> None:
        server = ScriptServer(QUIT=["silence"])
        async with session(server, Timeouts(quit=0.02)) as client:
            await client.quit()
            assert not client.alive
        assert server.said() == ["EHLO", "QUIT"]

    loops.run(loop_name, main())


QUOTED = "what is AGFubgBzZWNyZXQ=?"


@pytest.mark.parametrize(
    "refusal",
    [
        f"535 5.7.8 {QUOTED}",
        f"535-5.7.8 {QUOTED}\r\n535 5.7.8 no",
        f"535 5.7.8 no\r\n250 {QUOTED}",
        f"535 5.7.8 no\r\n421 4.7.0 {QUOTED}",
        f"535 5.7.8 no\r\n{QUOTED}",
        f"535 5.7.8 {QUOTED}\r\n535 5.7.8 {QUOTED}",
        QUOTED,
    ],
)
@virtual
async def test_a_server_that_quotes_our_credentials_is_not_quoted(refusal: str) -> None:
    """AUT: neither the outcome nor the transcript shows them, whatever they come in."""
    told = []
    async with session(ScriptServer(offer=("AUTH PLAIN",), AUTH=[refusal])) as client:
        try:
            reply, _ = await client.login(Credentials("ann", "secret"))
            told.append(str(reply))
            await client.ask("NOOP", b"NOOP\r\n")
        except Lost as lost:
            told.append(str(lost))
        told += [client.problem, transcript.text([("mx", client.logs, client.problem)])]
    assert told[0]
    assert "AGFubgBz" not in "".join(told)


@virtual
async def test_what_a_server_says_unasked_after_a_login_is_not_quoted() -> None:
    async with session(ScriptServer(offer=("AUTH PLAIN",), AUTH=["535 5.7.8 no"])) as client:
        await client.login(Credentials("ann", "secret"))
        client.data_received(f"250 {QUOTED}\r\n".encode())
        assert client.problem == "a reply to nothing: [hidden]"
        assert "AGFubgBz" not in transcript.text([("mx", client.logs, client.problem)])


@virtual
async def test_an_answer_on_the_heels_of_the_last_octets() -> None:
    """CLI-8, DAT-8: a server may answer a large message before we look up from writing it."""
    async with session(ScriptServer(offer=("PIPELINING",), **{".": [SILENCE]})) as client:
        written = client.write

        def write(data: bytes) -> None:
            written(data)
            if data.endswith(b"\r\n.\r\n") or data == b".\r\n":
                asyncio.get_running_loop().call_soon(client.data_received, b"250 2.0.0 taken\r\n")

        client.write = write  # type: ignore[method-assign]
        assert await send(client, in_file(LARGE)) == [". 250 2.0.0 taken"]
        assert client.alive
