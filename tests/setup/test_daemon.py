"""Reading the configuration again while mail goes on: SIGHUP, in one process and in several."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import Client, Daemon

from mether.outcome import Route
from mether.queue.figures import Live
from mether.queue.memory import MemoryStore
from mether.relay.nexthop import NextHop
from mether.setup import config as config_
from mether.setup import places
from mether.setup.daemon import Daemon as DaemonParts

Start = Callable[..., Daemon]
DONE = "the configuration was read anew"
SAME = "the configuration stays as it was"


@pytest.fixture(params=["1", "2"], ids=["one process", "two workers"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    running: list[Daemon] = []

    def begin(**more: str) -> Daemon:
        running.append(Daemon(tmp_path, arguments=("--workers", request.param), **more))
        return running[-1]

    yield begin
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)


def change(daemon: Daemon, before: str, after: str) -> None:
    """Edit the configuration, and have it read."""
    text = daemon.config.read_text()
    assert before in text
    daemon.config.write_text(text.replace(before, after))
    daemon.process.send_signal(signal.SIGHUP)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def greeting(port: int) -> str:
    client = Client(port)
    client.close()
    return client.greeting


def test_new_sessions_go_by_it_and_open_ones_go_on(start: Start) -> None:
    """A session keeps the structs it began with, and may be in the middle of its content."""
    smtpd = start()
    old = Client(smtpd.port)
    old.say("EHLO client.example")
    old.say("MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>", "DATA")
    old.socket.sendall(b"Subject: hi\r\n\r\n")
    change(smtpd, 'hostname = "mx.example.com"', 'hostname = "new.example.com"')
    smtpd.wait_for(DONE)
    assert all(greeting(smtpd.port).startswith("220 new.example.com ") for _ in range(6))
    old.socket.sendall(b"x\r\n.\r\n")
    assert old.reply().startswith("250 ")
    assert old.say("HELO client.example")[0].startswith("250 mx.example.com")
    old.close()
    assert smtpd.stop() == 0


def test_new_mail_goes_by_its_routes(start: Start, tmp_path: Path) -> None:
    smtpd = start()
    for directory in ("mail", "other"):
        client = Client(smtpd.port)
        client.say("EHLO client.example")
        assert client.mail("a@b.example", "bob@example.com").startswith("250 ")
        smtpd.wait_for("removed")
        assert len(list((tmp_path / directory / "bob" / "new").iterdir())) == 1
        client.close()
        if directory == "mail":
            change(smtpd, 'maildir = "mail/{user}"', 'maildir = "other/{user}"')
            smtpd.wait_for(DONE)
    assert smtpd.stop() == 0


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("[log]", "[log", "c.toml|mether.toml"),
        ("[log]", "[lod]", "lod"),
        ("[log]", '[auth]\npasswords = "none"\nclear_from = ["127.0.0.1"]\n[log]', "auth"),
        ("[log]", '[[listen]]\naddress = "192.0.2.1:2525"\n[log]', "192.0.2.1:2525"),
        ("[log]", '[tls]\ncertificate = ["none.pem"]\n[log]', "none.pem"),
    ],
)
def test_where_it_is_wrong_everything_stays(start: Start, before: str, after: str, why: str) -> None:
    """One line says what; the service goes on, and takes a configuration that is right again."""
    smtpd = start()
    change(smtpd, before, after)
    line = smtpd.wait_for(SAME)
    assert re.search(why, line)
    assert greeting(smtpd.port).startswith("220 mx.example.com ")
    change(smtpd, after, before)
    smtpd.wait_for(DONE)
    assert smtpd.stop() == 0
    assert sum(SAME in line for line in smtpd.lines) == 1


def test_addresses_come_and_go_and_what_stays_is_never_closed(start: Start, tmp_path: Path) -> None:
    """Sessions at an address that is gone go on; who waits there is answered; nobody else is refused."""
    smtpd = start()
    first, second = free_port(), free_port()
    unix = tmp_path / "lmtp"
    extra = f'[[listen]]\naddress = "127.0.0.1:{first}"\n'
    change(smtpd, "[log]", extra + "[log]")
    smtpd.wait_for(DONE)
    there = Client(first)
    there.say("EHLO client.example")
    newer = f'[[listen]]\naddress = "127.0.0.1:{second}"\n[[listen]]\naddress = "unix:{unix}"\n'
    change(smtpd, extra, newer)
    smtpd.wait_for(DONE)
    assert greeting(second).startswith("220 ")
    assert greeting(smtpd.port).startswith("220 ")
    assert unix.exists()
    with pytest.raises(ConnectionRefusedError):
        Client(first)
    assert there.mail("a@b.example", "bob@example.com").startswith("250 ")
    there.close()
    change(smtpd, newer, "")
    smtpd.wait_for(DONE)
    assert not unix.exists()
    assert greeting(smtpd.port).startswith("220 ")
    assert smtpd.stop() == 0


def test_limits_and_the_log_go_by_it(start: Start) -> None:
    smtpd = start(listen="max_connections_per_client = 50")
    change(smtpd, "max_connections_per_client = 50", "max_messages_per_minute = 1")
    smtpd.wait_for(DONE)
    client = Client(smtpd.port)
    client.say("EHLO client.example")
    replies = [
        client.mail("a@b.example", "bob@example.com")[:3],
        client.say("MAIL FROM:<a@b.example>")[0][:3],
    ]
    assert replies == ["250", "450"]
    client.close()
    change(smtpd, 'format = "json"', 'format = "text"')
    assert smtpd.wait_for(DONE)
    change(smtpd, 'format = "text"', 'format = "text"\nlevel = "error"')
    change(smtpd, "[log]", "[lod]")
    smtpd.wait_for("error: ", SAME)
    assert smtpd.stop() == 0


def test_what_cannot_change_is_told(start: Start) -> None:
    smtpd = start()
    change(smtpd, 'spool = "sqlite:spool"', 'spool = "sqlite:other"')
    smtpd.wait_for("queue.spool stays sqlite:", "it can only change by a new start")
    smtpd.wait_for(DONE)
    assert not os.path.exists(smtpd.base / "other")
    assert smtpd.stop() == 0


@pytest.mark.asyncio
async def test_its_part_of_every_limit_changes_as_processes_come_and_go() -> None:
    """QUE-4, SEC-5: per client and per next hop; a limit above 0 never becomes none."""
    text = """
[[listen]]
address = "127.0.0.1:0"
max_connections_per_minute = 60
max_messages_per_minute = 3
[relay]
connections = 8
rate = "12/s"
"""
    config = config_.loads(text, environ={"HOME": "/h"})
    parts = DaemonParts(asyncio.get_running_loop(), config, MemoryStore(now=1.8e9))
    opened = places.opened(config.listen, {}, 1)
    await parts.adopt(parts.prepare(config), {key: place.sockets[0] for key, place in opened.items()})
    parts.begin()
    (listener,) = parts.listeners.values()
    hop = parts.working.pool.transport(Route("smtp", "mx.example.net"))
    assert isinstance(hop, NextHop)
    try:
        for there, expected in (
            (Live(1, 1), (60, 3, 8)),
            (Live(4, 4), (15, 1, 2)),
            (Live(2, 3), (20, 1, 4)),
            (Live(100, 100), (1, 1, 1)),
            (Live(0, 0), (60, 3, 8)),
        ):
            parts.working.pool.share(max(1, there.runners))
            parts.working.runner.shared(there)
            rates = listener.rules.rates
            assert (rates.connections.limit, rates.messages.limit, hop.limits.connections) == expected
    finally:
        parts.stop()
        await parts.close(asyncio.Event())
        for place in opened.values():
            place.end()
