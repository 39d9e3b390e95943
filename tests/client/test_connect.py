"""Reaching a server, and not."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from pathlib import Path
from typing import Any

import loops
import pytest
from clients import ME
from clock import running, virtual
from loops import both
from script_server import ScriptServer

from mether.client import connect
from mether.client.session import Lost, Timeouts
from mether.client.stream import StreamClient


@both
def test_connect(loop_name: str, tmp_path: Path) -> None:
    """To a Unix socket, and to what is not there."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(Lost) as caught:
            await connect.connect(loop, str(tmp_path / "none"), 0, Timeouts())
        assert caught.value.kind == "connect"
        assert str(tmp_path / "none") in str(caught.value)

        gone = asyncio.Event()

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 x\r\n")
            await reader.readline()
            writer.write(b"250 x\r\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()
            gone.set()

        server = await asyncio.start_unix_server(greet, str(tmp_path / "here"))
        client = await connect.connect(loop, str(tmp_path / "here"), 0, Timeouts())
        assert (client.local, client.peer) == ("", ("", 0))
        assert (await client.hello(ME, lmtp=True)).ok
        client.abort()
        await gone.wait()
        server.close()

    loops.run(loop_name, main())


@both
def test_no_descriptor_is_left(loop_name: str) -> None:
    """That is no fault of the server's; and it passes."""

    async def main() -> None:
        server = await ScriptServer().start()
        loop = asyncio.get_running_loop()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
            while True:
                try:
                    taken.append(os.dup(0))
                except OSError:
                    break
            with pytest.raises(Lost) as caught:
                await connect.connect(loop, "127.0.0.1", server.port, Timeouts(), shown="mx.example")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in taken:
                os.close(fd)
        assert caught.value.kind == "shortage"
        assert str(caught.value) == "connecting to mx.example: Too many open files"
        client = await connect.connect(loop, "127.0.0.1", server.port, Timeouts())
        client.abort()
        await server.close()

    loops.run(loop_name, main())


class Failing:
    """An event loop that connects nowhere."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def create_connection(self, *arguments: Any, **named: Any) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "address", "kind"),
    [
        (errno.ENFILE, "127.0.0.1", "shortage"),
        (errno.ENOMEM, "127.0.0.1", "shortage"),
        (errno.ENOBUFS, "127.0.0.1", "shortage"),
        (errno.EADDRINUSE, "127.0.0.1", "shortage"),
        (errno.EADDRNOTAVAIL, "127.0.0.1", "shortage"),
        (errno.EADDRNOTAVAIL, "255.255.255.255", "connect"),
        (errno.ECONNREFUSED, "127.0.0.1", "connect"),
        (errno.ENETUNREACH, "127.0.0.1", "connect"),
    ],
)
@virtual
async def test_whose_fault_it_is(number: int, address: str, kind: str) -> None:
    """Ours when no port is left to connect from; where none of our addresses reaches the server it is not."""
    with pytest.raises(Lost) as caught:
        await connect.connect(Failing(number), address, 25, Timeouts())  # type: ignore[arg-type]
    assert caught.value.kind == kind


class Network:
    """An event loop's connections: each address fails with an errno after so many seconds, or works (0)."""

    def __init__(self, **ends: tuple[float, int]) -> None:
        self.ends = {key.replace("_", ":"): end for key, end in ends.items()}
        self.begun: list[tuple[float, str]] = []
        self.made: dict[str, StreamClient] = {}
        self.cancelled: list[str] = []
        self._loop = running()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, make: Any, address: str, port: int, **more: Any) -> Any:
        self.begun.append((self._loop.time(), address))
        seconds, number = self.ends[address]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        if number:
            raise OSError(number, os.strerror(number))
        made = self.made[address] = make()
        return None, made


async def first(network: Network, *addresses: str) -> StreamClient:
    return await connect.connect_first(network, addresses, 25, Timeouts())  # type: ignore[arg-type]


@virtual
async def test_the_first_that_answers_wins_and_the_others_are_ended() -> None:
    """MX-9: RFC 8305; the slow one is still being tried when the other answers."""
    network = Network(_1=(5.0, 0), a=(0.1, 0), b=(0.1, 0))
    client = await first(network, ":1", "a", "b")
    assert (client.address, client.passed) == ("a", ())
    assert network.begun == [(0.0, ":1"), (0.25, "a")]
    await asyncio.sleep(0)
    assert network.cancelled == [":1"]


@virtual
async def test_a_family_that_leads_nowhere_is_no_failure() -> None:
    """MX-9: RFC 5321 section 5.2, RFC 3974."""
    network = Network(_1=(0.0, errno.ENETUNREACH), _2=(0.0, errno.ENETUNREACH), a=(0.1, 0))
    client = await first(network, ":1", ":2", "a")
    assert (client.address, client.passed) == ("a", (":1",))
    assert network.begun == [(0.0, ":1"), (0.0, "a")]


@virtual
async def test_when_none_answers_all_of_them_are_told() -> None:
    """CLI-9."""
    network = Network(_1=(0.0, errno.ENETUNREACH), a=(0.1, errno.ECONNREFUSED))
    with pytest.raises(Lost) as caught:
        await first(network, ":1", "a")
    assert caught.value.kind == "connect"
    assert (
        str(caught.value) == "connecting to :1: Network is unreachable; connecting to a: Connection refused"
    )


@virtual
async def test_an_address_that_never_answers_takes_its_time_alone() -> None:
    network = Network(a=(999.0, 0), b=(999.0, 0))
    with pytest.raises(Lost, match="a took too long; connecting to b took too long"):
        await first(network, "a", "b")
    assert running().time() == Timeouts().connect + 0.25


@virtual
async def test_where_we_lack_a_descriptor_no_other_address_is_tried() -> None:
    network = Network(_1=(0.0, errno.EMFILE), a=(0.0, 0))
    with pytest.raises(Lost) as caught:
        await first(network, ":1", "a")
    assert caught.value.kind == "shortage"
    assert network.begun == [(0.0, ":1")]


@virtual
async def test_one_that_answers_too_late_is_closed() -> None:
    """Two answer in the same turn of the loop: one session is kept, no connection is left open."""
    one, two = await ScriptServer().start(), await ScriptServer().start()
    ports = iter([one.port, two.port])

    class Both(Network):
        async def create_connection(self, make: Any, address: str, port: int, **more: Any) -> Any:
            found = await self._loop.create_connection(make, "127.0.0.1", next(ports))
            self.made[address] = found[1]
            await asyncio.sleep(1.0 - self._loop.time())
            return found

    network = Both()
    client = await first(network, "a", "b")
    assert client.address == "a"
    while not two.sessions or two.open:
        await asyncio.sleep(0.1)
    assert one.open == 1
    client.abort()


@both
def test_the_address_to_connect_from(loop_name: str) -> None:
    """The server sees it, whatever the system would have chosen."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            client = await connect.connect_first(
                loop, ["127.0.0.1"], port, Timeouts(), source=lambda address: "127.0.0.7"
            )
            accepted, (seen, _) = server.accept()
            accepted.close()
        assert client.local == seen == "127.0.0.7"
        client.abort()
        await asyncio.sleep(0)

    loops.run(loop_name, main())


@pytest.mark.parametrize("source", ["192.0.2.7", "2001:db8::7"])
@both
def test_an_address_that_this_host_has_not(loop_name: str, source: str) -> None:
    """That is ours to mend, and no fault of the server's."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        where = "::1" if ":" in source else "127.0.0.1"
        with pytest.raises(Lost) as caught:
            await connect.connect_first(
                loop,
                [where],
                25,
                Timeouts(),
                shown=lambda address: f"mx.test[{address}]:25",
                source=lambda address: source,
            )
        assert caught.value.kind == "source"
        assert str(caught.value) == (
            f"cannot send from {source} to mx.test[{where}]:25: Cannot assign requested address"
        )

    loops.run(loop_name, main())
