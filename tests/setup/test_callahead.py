"""Sessions for call-aheads, begun by a configuration with a real server behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mether.client.session import Lost
from mether.outcome import Route
from mether.routing.callahead import NoSession
from mether.routing.source import TableError, awaited, settled
from mether.setup.callahead import opener
from mether.setup.config import loads

TEXT = '[service]\nhostname = "mx.example.org"\n[[route]]\ndomains = ["example.org"]\nusers = ["callahead"]\n'


async def lmtp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ann is here."""
    writer.write(b"220 here\r\n")
    while line := (await reader.readline()).strip():
        if line == b"QUIT":
            break
        stranger = line.startswith(b"RCPT") and b"ann@" not in line
        writer.write(b"550 5.1.1 nobody\r\n" if stranger else b"250 ok\r\n")
    writer.close()


def test_the_host_of_the_route_is_asked(tmp_path: Path) -> None:
    socket = str(tmp_path / "lmtp")

    async def main() -> list[str | None]:
        listening = await asyncio.start_unix_server(lmtp, socket)
        rule = loads(f'{TEXT}lmtp = "unix:{socket}"\n', environ={}).router().rules[0]
        assert rule.users is not None
        users = rule.users[0]
        keys = ("ann@example.org", "bob@example.org")
        try:
            return [await awaited(lambda key=key: users.get(key)) for key in keys]  # type: ignore[misc]
        finally:
            listening.close()
            await listening.wait_closed()

    assert asyncio.run(main()) == ["", None]


def test_a_host_that_is_down_defers_in_a_program_too(tmp_path: Path) -> None:
    rule = loads(f'{TEXT}lmtp = "unix:{tmp_path}/lmtp"\n', environ={}).router().rules[0]
    assert rule.users is not None
    users = rule.users[0]
    with pytest.raises(TableError, match=r"callahead: .*No such file"):
        settled(lambda: users.get("ann@example.org"))


def test_a_host_without_tls_is_not_spoken_to_where_the_route_demands_it() -> None:
    """The recipients' addresses go no other way than the mail itself."""

    async def main() -> None:
        listening = await asyncio.start_server(lmtp, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        config = loads(f'{TEXT}lmtp = "127.0.0.1:{port}"\ntls = "verify"\n', environ={})
        try:
            with pytest.raises((NoSession, Lost), match="TLS"):
                await opener(config)(Route("lmtp", f"[127.0.0.1]:{port}"))
        finally:
            listening.close()
            await listening.wait_closed()

    asyncio.run(main())
