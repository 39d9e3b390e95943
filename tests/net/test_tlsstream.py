"""TLS on a stream, from clear text on: nothing of the one gets into the other, and every end is seen."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

import certificates
import handshake
import loops
import pytest
import tlspeer
from loops import both

from mether.net.tls import ClientTls
from mether.net.tlserror import TlsError
from mether.net.tlsserver import ServerTls


async def connected(port: int) -> handshake.Kept:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: handshake.Kept(loop), "127.0.0.1", port)
    return made


async def pair(tls: ServerTls, terms: Any) -> tuple[handshake.Kept, handshake.Kept, asyncio.Server]:
    """Our client and our server, both in this loop, under TLS."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[handshake.Kept] = loop.create_future()

    class Accepted(handshake.Kept):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.start_tls(tls.terms(), 20)
            accepted.set_result(self)

    server = await loop.create_server(lambda: Accepted(loop), "127.0.0.1", 0)
    client = await connected(server.sockets[0].getsockname()[1])
    client.start_tls(terms, 20)
    there = await accepted
    await asyncio.gather(client.shaken, there.shaken)
    return client, there, server


@both
def test_clear_text_and_tls_do_not_mix(loop_name: str, tmp_path: Path):
    """TLS-3: octets after the 220 that are not TLS break the handshake and are never seen as input."""

    def work(sock: socket.socket) -> bytes:
        sock.sendall(b"220 go on\r\n")
        hello = sock.recv(65536)
        sock.sendall(b"250 injected\r\n")
        while sock.recv(65536):
            pass
        return hello

    with tlspeer.peer(work) as there:

        async def main() -> None:
            stream = await connected(there.port)
            assert await stream.receive(11) == b"220 go on\r\n"
            stream.start_tls(ClientTls().terms("may"), 20)
            stream.write(b"MAIL FROM:<secret@example.com>\r\n")
            with pytest.raises(TlsError, match="does not speak TLS"):
                await stream.shaken
            stream.write(b"MAIL FROM:<secret@example.com>\r\n")
            await stream.gone
            assert stream.secure is None
            assert stream.data == b""
            assert len(stream.problems) == 1

        loops.run(loop_name, main())
    assert b"secret" not in there.results[0]
    assert there.results[0][:1] == b"\x16"


@both
def test_both_roles_agree_on_the_channel(loop_name: str, tmp_path: Path):
    """AUT: the channel binding is the same octets on both sides, and large data passes both ways."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])
    terms = ClientTls(ca=certificates.ca_file(tmp_path)).terms("verify", names=["mx.example.com"])

    async def main() -> None:
        client, there, server = await pair(tls, terms)
        assert client.secure is not None
        assert there.secure is not None
        assert client.secure.end_point == there.secure.end_point != b""
        assert client.peer == ("127.0.0.1", server.sockets[0].getsockname()[1])
        assert client.local == "127.0.0.1"
        data = bytes(range(256)) * 8192
        for writer, reader in ((client, there), (there, client)):
            writer.write(data)
            assert await reader.receive(len(data)) == data
        client.close()
        client.close()
        await there.end
        there.write(b"too late for anybody, and no harm")
        there.close()
        await asyncio.gather(client.gone, there.gone)
        server.close()
        assert client.transport is None

    loops.run(loop_name, main())


@both
def test_reading_can_be_stopped(loop_name: str, tmp_path: Path):
    """What comes while nobody reads waits in the kernel, and what the peer does not take counts as unsent."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])

    async def main() -> None:
        client, there, server = await pair(tls, ClientTls().terms("may"))
        there.read(False)
        sent = 0
        while client.writable:
            client.write(b"x" * 65536)
            sent += 65536
            await asyncio.sleep(0)
        assert len(there.data) < sent
        there.read(True)
        await there.receive(sent)
        assert client.writable
        client.abort()
        there.abort()
        await asyncio.gather(client.gone, there.gone)
        server.close()

    loops.run(loop_name, main())


@both
@pytest.mark.parametrize("how", ["goodbye", "end", "reset", "damage"])
def test_every_end_is_seen(loop_name: str, how: str, tmp_path: Path):
    """CLI-9: however the peer goes, the stream is told; what came before the end is kept."""
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com"))

    def work(sock: socket.socket) -> None:
        secure = context.wrap_socket(sock, server_side=True)
        secure.sendall(b"last words")
        secure.recv(4)
        if how == "goodbye":
            secure.unwrap()
        raw = socket.socket(fileno=secure.detach())
        if how == "damage":
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            raw.settimeout(20)
            while raw.recv(65536):
                pass
        if how == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    with tlspeer.peer(work) as there:

        async def main() -> None:
            stream = await connected(there.port)
            stream.start_tls(ClientTls().terms("may"), 20)
            await stream.shaken
            assert await stream.receive(10) == b"last words"
            stream.write(b"bye.")
            done, _ = await asyncio.wait({stream.end, stream.gone}, return_when=asyncio.FIRST_COMPLETED)
            assert (stream.end in done) == (how in ("goodbye", "end"))
            assert stream.ends <= 1
            stream.close()
            await stream.gone
            assert stream.problems == []

        loops.run(loop_name, main())


@both
def test_a_stream_may_be_closed_in_the_handshake(loop_name: str):
    """Whoever gives up is told of the loss of the connection, and of nothing else."""

    def work(sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    with tlspeer.peer(work) as there:

        async def main() -> None:
            stream = await connected(there.port)
            stream.start_tls(ClientTls().terms("may"), 20)
            stream.close()
            await stream.gone
            assert stream.problems == []
            assert stream.transport is None
            stream.start_tls(ClientTls().terms("may"), 20)  # too late, and no harm

        loops.run(loop_name, main())


@both
def test_a_late_handshake_is_cut(loop_name: str, tmp_path: Path):
    """TMO: a client that says nothing has so long and no longer."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        here, other = socket.socketpair()
        here.setblocking(False)
        _, stream = await loop.create_connection(lambda: handshake.Kept(loop), sock=here)
        stream.start_tls(tls.terms(), 0.02)
        with pytest.raises(TlsError, match="took too long"):
            await stream.shaken
        await stream.gone
        other.close()

    loops.run(loop_name, main())


def test_renegotiation_is_refused(tmp_path: Path):
    """TLS-7: a client can't make us shake hands again and again (RFC 9325 section 3.5)."""
    terms = ServerTls([certificates.pair(tmp_path, "mx.example.com")]).terms()
    made = terms.object(ssl.MemoryBIO(), ssl.MemoryBIO())
    assert made.context.options & ssl.OP_NO_RENEGOTIATION
    assert made.context.options & ssl.OP_NO_COMPRESSION
