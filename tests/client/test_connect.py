"""Reaching a server, and not."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from pathlib import Path
from typing import Any

import loops
import pytest
from clients import ME
from clock import virtual
from loops import both
from script_server import ScriptServer

from mether.client import connect
from mether.client.session import Lost, Timeouts


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
        assert str(caught.value).lower() == "connecting to mx.example: too many open files"
        client = await connect.connect(loop, "127.0.0.1", server.port, Timeouts())
        client.abort()
        await server.close()

    loops.run(loop_name, main())


class Failing:
    """An event loop that connects nowhere."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def create_connection(self, *arguments: Any) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "address", "kind"),
    [
        (errno.ENFILE, "127.0.0.1", "shortage"),
        (errno.ENOMEM, "127.0.0.1", "shortage"),
        (errno.ENOBUFS, "127.0.0.1", "shortage"),
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
