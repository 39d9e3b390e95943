"""The service as a whole: smtpd in a process of its own, from the socket to the mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import BIN, Client, Daemon
from script_server import FOR_EVER, ScriptServer

Start = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Daemon] = []

    def begin(spool: str = "sqlite:spool", **more: str) -> Daemon:
        running.append(Daemon(tmp_path, spool, **more))
        return running[-1]

    yield begin
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)


@pytest.fixture(params=["sqlite:spool", "directory:spool"])
def smtpd(request: pytest.FixtureRequest, start: Start) -> Daemon:
    return start(request.param)


@pytest.fixture
def next_hop() -> Iterator[ScriptServer]:
    """A server that refuses every recipient, in a thread of its own."""
    server = ScriptServer(RCPT=["550 5.1.1 no such user in these parts", FOR_EVER])
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server

    async def end() -> None:
        await server.close()
        loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    thread.join()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_message_is_accepted_and_delivered(smtpd: Daemon) -> None:
    client = Client(smtpd.port)
    assert client.greeting.startswith("220 mx.example.com ")
    client.say("EHLO client.example")
    answer = client.mail("ann@client.example", "bob@example.com", "eve@example.com")
    ident = answer.rpartition(" ")[2]
    assert answer == f"250 2.0.0 queued as {ident}"
    smtpd.wait_for("removed", ident)
    for user in ("bob", "eve"):
        (message,) = smtpd.mailbox(user)
        assert message.startswith(b"Return-Path: <ann@client.example>\n")
        assert ident.encode() in message
        assert message.endswith(b"Subject: hi\n\nhello\n")
    assert client.say("QUIT")[0].startswith("221 ")
    client.close()
    assert smtpd.stop() == 0


def test_a_large_message_is_delivered_whole(smtpd: Daemon) -> None:
    client = Client(smtpd.port)
    client.say("EHLO client.example")
    text = "\r\n".join(f"line {number}" for number in range(100_000))
    assert client.mail("ann@client.example", "bob@example.com", content=f"X: y\r\n\r\n{text}").startswith(
        "250 "
    )
    smtpd.wait_for("removed")
    (message,) = smtpd.mailbox("bob")
    assert message.endswith(text.replace("\r\n", "\n").encode() + b"\n")
    client.close()
    assert smtpd.stop() == 0


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_a_refused_message_comes_back_to_its_local_sender(
    start: Start, next_hop: ScriptServer, kind: str
) -> None:
    """BNC-1: from the next hop's 550 to the report in the sender's mailbox."""
    routes = f'[[route]]\ndomains = ["elsewhere.example"]\nsmtp = "127.0.0.1:{next_hop.port}"\n'
    smtpd = start(f"{kind}:spool", routes=routes)
    client = Client(smtpd.port)
    client.say("EHLO client.example")
    ident = client.mail("ann@example.com", "nobody@elsewhere.example").rpartition(" ")[2]
    smtpd.wait_for("reported", ident)
    smtpd.wait_for("removed", ident)
    smtpd.wait_for("delivered", "ann@example.com")
    (report,) = smtpd.mailbox("ann")
    assert report.startswith(b"Return-Path: <>\n")
    assert b"multipart/report" in report
    assert b"550 5.1.1 no such user in these parts" in report
    assert b"Final-Recipient: rfc822;nobody@elsewhere.example" in report.replace(b"; ", b";")
    assert b"Subject: hi" in report
    client.close()
    assert smtpd.stop() == 0


def test_a_stranger_is_refused_and_local_mail_still_taken(start: Start) -> None:
    """SEC-1"""
    smtpd = start(listen="relay_from = []")
    client = Client(smtpd.port)
    client.say("EHLO client.example")
    client.say("MAIL FROM:<a@b.example>")
    replies = client.say("RCPT TO:<x@elsewhere.example>", "RCPT TO:<bob@example.com>", "RSET")
    assert [reply[:9] for reply in replies] == ["550 5.7.1", "250 2.1.5", "250 2.0.0"]
    client.close()


def test_too_many_connections_are_told_so(start: Start) -> None:
    smtpd = start(listen="max_connections_per_client = 2")
    clients = [Client(smtpd.port) for _ in range(3)]
    assert [client.greeting[:3] for client in clients] == ["220", "220", "421"]
    clients[0].say("QUIT")
    smtpd.wait_for("disconnected")
    clients.append(Client(smtpd.port))
    assert clients[-1].greeting.startswith("220")
    for client in clients:
        client.close()


def test_a_client_that_connects_too_often_is_put_off(start: Start) -> None:
    """SEC-5: rate limits; max_connections_per_minute."""
    smtpd = start(listen="max_connections_per_minute = 2")
    clients = [Client(smtpd.port) for _ in range(3)]
    assert [client.greeting[:9] for client in clients] == ["220 mx.ex", "220 mx.ex", "421 4.7.0"]
    for client in clients:
        client.close()
    assert smtpd.stop() == 0


def test_the_client_behind_a_proxy_is_the_one_who_counts(start: Start) -> None:
    """SEC-1: what a proxy says decides who may relay, and its own address does not."""
    inner = '[[route]]\nclient = ["local"]\nsmtp = "smart.example"\nopen = true\n'
    smtpd = start(listen='proxy_from = ["127.0.0.1"]', routes=inner)
    for source, expected in (
        (b"TCP4 192.0.2.1 127.0.0.1 40000 25", "550 5.7.1"),
        (b"TCP4 127.0.0.9 127.0.0.1 40000 25", "250 2.1.5"),
        (b"UNKNOWN", "550 5.7.1"),
    ):
        client = Client(smtpd.port, first=b"PROXY " + source + b"\r\n")
        assert client.greeting.startswith("220 ")
        client.say("EHLO client.example")
        client.say("MAIL FROM:<a@b.example>")
        assert client.say("RCPT TO:<x@elsewhere.example>")[0].startswith(expected)
        client.say("QUIT")
        client.close()
    assert '"192.0.2.1"' in smtpd.wait_for("rejected", "192.0.2.1")
    with socket.create_connection(("127.0.0.1", smtpd.port)) as plain:
        plain.sendall(b"EHLO client.example\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert plain.recv(100) == b""
    smtpd.wait_for("cut", "PROXY header: something else came")
    assert smtpd.stop() == 0


def test_a_silent_client_is_sent_away(start: Start) -> None:
    """RFC 5321 section 4.5.3.2.7"""
    smtpd = start(listen='command_timeout = "1s"')
    client = Client(smtpd.port)
    assert client.reply().startswith("421 4.4.2 ")
    assert client.reply() == ""
    client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_order(smtpd: Daemon, number: int) -> None:
    """Idle sessions get 421 4.3.2; one in the middle of its content may finish it."""
    idle, busy = Client(smtpd.port), Client(smtpd.port)
    idle.say("EHLO client.example")
    busy.say("EHLO client.example")
    busy.say("MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>", "DATA")
    busy.socket.sendall(b"Subject: in the middle\r\n\r\n")
    smtpd.process.send_signal(number)
    assert idle.reply().startswith("421 4.3.2 ")
    assert idle.reply() == ""
    with pytest.raises(OSError, match=r"refused|reset"):
        Client(smtpd.port)
    busy.socket.sendall(b"the end\r\n.\r\n")
    answer = busy.reply()
    assert answer.startswith("250 ")
    assert busy.reply().startswith("421 4.3.2 ")
    assert smtpd.ended() == 0
    assert not any("Traceback" in line for line in smtpd.lines)
    ident = answer.rpartition(" ")[2]
    smtpd.start()
    if not smtpd.mailbox("bob"):
        smtpd.wait_for("removed", ident)
    (message,) = smtpd.mailbox("bob")
    assert message.endswith(b"the end\n")
    assert smtpd.stop() == 0
    idle.close()
    busy.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_log_says_what_is_listened_on_now(tmp_path: Path, workers: str) -> None:
    """And tells when it begins to stop, and when it has."""
    smtpd = Daemon(tmp_path, arguments=("--workers", workers))
    text = smtpd.config.read_text()
    other = str(tmp_path / "other")
    smtpd.config.write_text(f'{text}[[listen]]\naddress = "unix:{other}"\n')
    smtpd.process.send_signal(signal.SIGHUP)
    smtpd.wait_for(f"listens on unix:{other} too")
    smtpd.wait_for("read anew")
    smtpd.config.write_text(text)
    smtpd.process.send_signal(signal.SIGHUP)
    smtpd.wait_for(f"no longer listens on unix:{other}")
    smtpd.wait_for("read anew")
    assert not any(f"127.0.0.1:{smtpd.port} too" in line for line in smtpd.lines)
    smtpd.process.send_signal(signal.SIGTERM)
    smtpd.wait_for('"stopping"', '"signal"')
    assert smtpd.ended() == 0
    assert '"stopped"' in smtpd.lines[-1]


def test_a_second_signal_ends_it_at_once(smtpd: Daemon) -> None:
    client = Client(smtpd.port)
    client.say("EHLO client.example")
    client.say("MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>", "DATA")
    smtpd.process.send_signal(signal.SIGTERM)
    smtpd.wait_for("stopping")
    smtpd.process.send_signal(signal.SIGTERM)
    assert smtpd.ended() == 0
    client.close()


def test_without_the_runner_it_only_accepts(smtpd: Daemon) -> None:
    assert smtpd.stop() == 0
    smtpd.start("--no-runner")
    client = Client(smtpd.port)
    client.say("EHLO client.example")
    ident = client.mail("a@b.example", "bob@example.com").rpartition(" ")[2]
    client.close()
    assert smtpd.stop() == 0
    assert not smtpd.mailbox("bob")
    smtpd.start()
    starts = [json.loads(line) for line in smtpd.lines if '"started"' in line]
    assert [one["queued"] for one in starts] == [0, 0, 1]
    smtpd.wait_for("removed", ident)
    assert len(smtpd.mailbox("bob")) == 1


def test_an_address_that_is_taken_is_one_clear_line(smtpd: Daemon) -> None:
    done = subprocess.run(
        [str(BIN / "smtpd"), "-C", str(smtpd.config), "-l", f"127.0.0.1:{smtpd.port}", "--no-runner"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 69
    (line,) = [line for line in done.stderr.splitlines() if "cannot listen" in line]
    assert line == f"smtpd: cannot listen on 127.0.0.1:{smtpd.port}: address already in use"
    assert "Traceback" not in done.stderr


def test_what_is_not_as_it_should_be_is_logged_at_the_start(start: Start) -> None:
    """The service starts all the same: what goes by it waits."""
    daemon = start(
        routes='[[route]]\ndomains = ["*"]\nsmtp = "[hub.test]:587"\n'
        '[[login]]\nnext_hop = "hub.tst:587"\nuser = "a"\npassword_command = ["no-such-program"]\n'
    )
    lines = "".join(daemon.lines)
    assert "login.next_hop: no route leads to hub.tst:587 (did you mean hub.test:587?)" in lines
    assert "login.password_command: no-such-program: there is no such program in" in lines


def test_a_queue_that_another_process_works_is_told_of_at_the_start(tmp_path: Path) -> None:
    """A directory is worked by one process: what can do nothing else ends, a listener goes on."""
    smtpd = Daemon(tmp_path, "directory:spool")
    done = subprocess.run(
        [BIN / "runsmtpq", "--daemon", "-C", smtpd.config], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 75
    place = f"{tmp_path}/spool/queue is being run by another process ({smtpd.process.pid})"
    assert done.stderr == f"runsmtpq: {place}\n"
    second = Daemon(tmp_path, "directory:spool")
    assert any(f"{place}: mail is only received here" in line for line in second.lines)
    client = Client(second.port)
    client.say("EHLO client.example")
    assert client.mail("a@b.example", "bob@example.com").startswith("250")
    client.close()
    assert second.stop() == 0
    assert smtpd.stop() == 0
