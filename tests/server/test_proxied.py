"""A connection through a proxy begins as if its client were there; any other header is just octets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Container
from typing import Any

import loops
import pytest
from clock import virtual
from loops import both

from mether.net.stream import Stream
from mether.server.proxied import HEADER_SECONDS, Proxied

V1 = b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0"


class Echo(Stream):
    """Greets with whom it sees, and sends back in capitals what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write(f"hello {self.peer[0]} {'' if self.presented is None else self.peer[1]}\n".encode())

    def data_received(self, data: bytes) -> None:
        self.write(data.upper())
        if b"quit" in data:
            self.close()


class Door:
    def __init__(self, proxies: Container[str]) -> None:
        self.proxies = proxies
        self.refused: list[tuple[str, str]] = []
        self.made: list[Echo] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Proxied(
                loop, self.proxies.__contains__, self._make, lambda *said: self.refused.append(said)
            ),
            "127.0.0.1",
            0,
        )
        self.port = self.server.sockets[0].getsockname()[1]

    def _make(self) -> Echo:
        self.made.append(Echo(asyncio.get_running_loop()))
        return self.made[-1]

    async def talk(self, *pieces: bytes) -> bytes:
        """What it answers to these, sent one after another; b"" when it cuts the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        try:
            answer = await reader.read()
        except ConnectionResetError:
            answer = b""
        writer.close()
        return answer


def run(loop_name: str, proxies: Container[str], *pieces: bytes) -> tuple[bytes, Door]:
    door = Door(proxies)

    async def main() -> bytes:
        await door.open()
        answer = await door.talk(*pieces)
        door.server.close()
        return answer

    result: Any = loops.run(loop_name, main())
    return result, door


@both
def test_a_proxy_says_who_is_there(loop_name: str) -> None:
    answer, _ = run(loop_name, {"127.0.0.1"}, V1 + b"quit\n")
    assert answer == b"hello 2001:db8::1 40000\nQUIT\n"


@both
def test_however_it_is_cut(loop_name: str) -> None:
    answer, _ = run(loop_name, {"127.0.0.1"}, V1[:1], V1[1:20], V1[20:], b"qu", b"it quit\n")
    assert answer == b"hello 2001:db8::1 40000\nQUIT QUIT\n"


@both
def test_a_proxys_own_connection_is_its_own(loop_name: str) -> None:
    answer, _ = run(loop_name, {"127.0.0.1"}, LOCAL + b"quit\n")
    assert answer == b"hello 127.0.0.1 \nQUIT\n"


@both
def test_whom_a_proxy_cannot_name_has_no_address(loop_name: str) -> None:
    """SEC-1: an unknown client must not be taken for the proxy, which may be trusted."""
    answer, _ = run(loop_name, {"127.0.0.1"}, b"PROXY UNKNOWN\r\nquit\n")
    assert answer == b"hello  0\nQUIT\n"


@both
def test_from_anybody_else_it_is_no_header(loop_name: str) -> None:
    """SEC-1: nobody chooses his own address."""
    answer, door = run(loop_name, {"192.0.2.1"}, V1 + b"quit\n")
    assert answer == b"hello 127.0.0.1 \n" + V1.upper() + b"QUIT\n"
    assert not door.refused


@both
@pytest.mark.parametrize("said", [b"EHLO x\r\n", b"PROXY TCP4 nonsense\r\n", b"\r\n\r\nx"])
def test_a_proxy_without_a_good_header_is_cut(loop_name: str, said: bytes) -> None:
    answer, door = run(loop_name, {"127.0.0.1"}, said)
    assert answer == b""
    assert not door.made
    assert [address for address, _ in door.refused] == ["127.0.0.1"]


@virtual
async def test_a_silent_proxy_is_cut_in_time() -> None:
    door = Door({"127.0.0.1"})
    await door.open()
    start = asyncio.get_running_loop().time()
    assert await door.talk(V1[:10]) == b""
    assert asyncio.get_running_loop().time() - start == pytest.approx(HEADER_SECONDS, abs=0.1)
    assert door.refused == [("127.0.0.1", "PROXY header: none within 10 seconds")]
    door.server.close()


@virtual
async def test_a_proxy_that_ends_early_is_cut() -> None:
    door = Door({"127.0.0.1"})
    await door.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(V1[:10])
    writer.write_eof()
    assert await reader.read() == b""
    assert door.refused == [("127.0.0.1", "PROXY header: the connection ended before it")]
    writer.close()
    door.server.close()
