"""Several processes on one queue: workers under a parent, a receiver beside a runner.

What becomes of mail when one of them is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import certificates
import pytest
from daemon import BIN, Client, Daemon

from mether.auth.verifier import make
from mether.queue.open import open_store
from mether.queue.store import Filter

Start = Callable[..., Daemon]

MANY = 8
"""Connections that are opened so that each worker has some: the kernel spreads them by chance."""

NAME = re.compile(rb"^X-Name: (\S+)$", re.M)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Daemon] = []

    def begin(*arguments: str, **more: str) -> Daemon:
        running.append(Daemon(tmp_path, "sqlite:spool", arguments=arguments or ("--workers", "2"), **more))
        return running[-1]

    yield begin
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)


def workers(daemon: Daemon) -> dict[int, int]:
    """The process of each worker, by the last line of the log that tells of it."""
    found: dict[int, int] = {}
    for line in daemon.lines:
        if told := re.search(r"worker (\d+) is process (\d+)", line):
            found[int(told[1])] = int(told[2])
    return found


def events(daemon: Daemon, name: str) -> list[dict[str, object]]:
    """The events of that name in the log."""
    told = [json.loads(line) for line in daemon.lines if line.startswith("{")]
    return [one for one in told if one["event"] == name]


def gone(pid: int) -> None:
    """Wait for the end of a process that is no child of ours."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            import select

            select.select([fd], [], [])
        finally:
            os.close(fd)


def test_workers_share_the_mail(start: Start) -> None:
    """Each receives and delivers; the log says which process did what; the end is in good order."""
    daemon = start()
    clients = [Client(daemon.port) for _ in range(MANY)]
    idents = []
    for client in clients:
        client.say("EHLO client.example")
        answer = client.mail("a@client.example", "bob@example.com")
        assert answer.startswith("250 2.0.0 queued as ")
        idents.append(answer.rpartition(" ")[2])
    for _ in idents:
        daemon.wait_for("removed")
    assert len(daemon.mailbox("bob")) == MANY
    by_pid = Counter(one["pid"] for one in events(daemon, "queued"))
    assert set(by_pid) <= set(workers(daemon).values())
    assert daemon.stop() == 0
    for client in clients:
        assert client.reply().startswith("421 4.3.2 ")
        client.close()
    assert not [line for line in daemon.lines if "Traceback" in line]


def test_a_worker_that_is_killed_under_load_costs_no_message(start: Start, tmp_path: Path) -> None:
    """DAT-5, QUE-5: what it had in hand is taken over, and what was answered 250 arrives."""
    daemon = start()
    answered: SimpleQueue[str | None] = SimpleQueue()
    stop = threading.Event()

    def send(number: int) -> None:
        count = 0
        while not stop.is_set():
            try:
                client = Client(daemon.port)
                client.say("EHLO client.example")
                while not stop.is_set():
                    name = f"{number}-{count}"
                    count += 1
                    content = f"X-Name: {name}\r\n\r\nhello"
                    if client.mail("a@client.example", "bob@example.com", content=content).startswith("250 "):
                        answered.put(name)
                client.say("QUIT")
            except (OSError, AssertionError, IndexError):
                pass  # its worker was killed
            finally:
                client.close()
        answered.put(None)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    accepted: list[str] = []
    for kill in range(3):
        while len(accepted) < 40 * (kill + 1):
            name = answered.get()
            assert name is not None
            accepted.append(name)
        victim = workers(daemon)[kill % 2 + 1]
        os.kill(victim, signal.SIGKILL)
        daemon.wait_for(f"(process {victim}) was killed by SIGKILL; it is started anew")
        daemon.wait_for(f"worker {kill % 2 + 1} is process")
    while len(accepted) < 160:
        name = answered.get()
        assert name is not None
        accepted.append(name)
    stop.set()
    left = len(threads)
    while left:
        name = answered.get()
        left -= name is None
        if name is not None:
            accepted.append(name)
    for thread in threads:
        thread.join()
    store = open_store(f"sqlite:{tmp_path / 'spool'}", now=0.0, create=False)
    try:
        while store.entries(Filter(), limit=1):
            daemon.wait_for("removed")
        assert list(store.check()) == []
    finally:
        store.close()
    assert daemon.stop() == 0
    delivered = Counter(NAME.search(message)[1].decode() for message in daemon.mailbox("bob"))  # type: ignore[index]
    assert set(accepted) <= set(delivered), "answered 250 and lost"
    assert all(count <= 4 for count in delivered.values())


def test_who_waits_in_the_backlog_of_a_dead_worker_is_served_by_the_next(start: Start) -> None:
    """The sockets are the parent's: nobody is refused because a worker died."""
    daemon = start("--workers", "2")
    for pid in workers(daemon).values():
        os.kill(pid, signal.SIGSTOP)  # so that they accept nobody
    waiting = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(MANY)]
    for pid in workers(daemon).values():
        os.kill(pid, signal.SIGKILL)
    for sock in waiting:
        with sock, sock.makefile("rb") as file:
            assert file.readline().startswith(b"220 ")
    assert daemon.stop() == 0


def test_one_worker_can_be_ended_by_hand(start: Start) -> None:
    """SIGTERM to it alone: its sessions get 421, and another takes its place, with what waits."""
    daemon = start()
    clients = [Client(daemon.port) for _ in range(MANY)]
    for client in clients:
        client.say("EHLO client.example")
    victim = workers(daemon)[1]
    os.kill(victim, signal.SIGTERM)
    daemon.wait_for(f"worker 1 (process {victim}) ended with status 0; it is started anew")
    daemon.wait_for("worker 1 is process")
    with contextlib.closing(Client(daemon.port)) as one:
        assert one.greeting.startswith("220 ")
    assert daemon.stop() == 0
    for client in clients:
        assert client.reply().startswith("421 4.3.2 ")
        client.close()


def test_when_the_parent_is_killed_the_workers_end_in_good_order(start: Start) -> None:
    daemon = start()
    client = Client(daemon.port)
    client.say("EHLO client.example")
    client.say("MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>", "DATA")
    client.socket.sendall(b"Subject: in the middle\r\n\r\n")
    pids = workers(daemon).values()
    daemon.process.send_signal(signal.SIGKILL)
    daemon.wait_for("the parent process is gone; this worker ends")
    daemon.wait_for("the parent process is gone; this worker ends")
    client.socket.sendall(b"the end\r\n.\r\n")
    assert client.reply().startswith("250 ")
    assert client.reply().startswith("421 4.3.2 ")
    client.close()
    for pid in pids:
        gone(pid)
    daemon.ended()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", daemon.port))


@pytest.mark.parametrize("count", ["1", "2"])
def test_at_the_end_the_backlog_is_answered(start: Start, count: str) -> None:
    """RFC 5321 section 3.8: 421, not a connection that is cut without a word."""
    daemon = start("--workers", count)
    pids = [*workers(daemon).values(), daemon.process.pid]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    waiting = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(MANY)]
    os.kill(daemon.process.pid, signal.SIGTERM)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    for sock in waiting:
        with sock, sock.makefile("rb") as file:
            lines = file.read().split(b"\r\n")
            assert lines[-2].startswith(b"421 4.3.2 "), lines
    assert daemon.ended() == 0


def test_what_keeps_workers_from_their_work_ends_the_service(tmp_path: Path) -> None:
    """One line, and the status of sysexits."""
    (tmp_path / "spool").write_text("this is no directory\n")
    done = subprocess.run(
        [BIN / "smtpd", "--workers", "2", "-l", "127.0.0.1:0", "--spool", f"sqlite:{tmp_path / 'spool'}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "METHER_CONFIG": ""},
    )
    assert done.returncode == 75
    (line,) = [line for line in done.stderr.splitlines() if "worker 1 is process" not in line]
    assert line.startswith("smtpd: cannot create the queue ")


def test_a_receiver_and_a_runner_on_one_queue(start: Start, tmp_path: Path) -> None:
    """smtpd --no-runner wakes runsmtpq --daemon for each batch that it has queued."""
    daemon = start("--no-runner")
    runner = subprocess.Popen(
        [BIN / "runsmtpq", "--daemon", "-C", daemon.config], stderr=subprocess.PIPE, text=True
    )
    assert runner.stderr is not None
    lines: list[str] = []

    def until(word: str) -> None:
        for line in runner.stderr or ():
            lines.append(line)
            if word in line:
                return
        raise AssertionError(f"runsmtpq ended:\n{''.join(lines)}")

    try:
        until('"started"')
        client = Client(daemon.port)
        client.say("EHLO client.example")
        began = time.monotonic()
        for _ in range(3):
            assert client.mail("a@client.example", "bob@example.com").startswith("250 ")
            until('"removed"')
        # Without being woken it would look every 15 seconds.
        assert time.monotonic() - began < 14
        client.close()
        assert len(daemon.mailbox("bob")) == 3
        assert not events(daemon, "delivered")
    finally:
        runner.send_signal(signal.SIGTERM)
        runner.stderr.read()
        assert runner.wait() == 0
        runner.stderr.close()
    assert daemon.stop() == 0


def test_workers_take_their_share_of_the_limits(start: Start) -> None:
    """SEC-5: what holds for a listener holds for all of them together."""
    daemon = start(listen="max_connections = 4")
    clients = [Client(daemon.port) for _ in range(16)]
    assert Counter(client.greeting[:3] for client in clients)["220"] <= 4
    for client in clients:
        client.close()
    assert daemon.stop() == 0


def _ending(port: int, queued: Callable[[], None]) -> str:
    """How a session with one message ends: in the words of the last reply, or how it was cut."""
    said = "CONNECT"
    try:
        client = Client(port)
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return f"{error} at the greeting"
    try:
        if not client.greeting.startswith("220"):
            return client.greeting or "nothing at the greeting"
        for said in (
            "EHLO c.example",
            "MAIL FROM:<a@c.example>",
            "RCPT TO:<bob@example.com>",
            "DATA",
            ".",
            "QUIT",
        ):
            (answer,) = client.say(said)
            if said == "." and answer.startswith("250 "):
                queued()
            if not answer.startswith(("250", "354")):
                return answer or f"nothing after {said}"
    except OSError as error:
        return f"{error} after {said}"
    finally:
        client.close()
    raise AssertionError("no end")


@pytest.mark.parametrize("count", ["1", "2"])
def test_at_the_end_nobody_is_cut_without_a_word(start: Start, count: str) -> None:
    """RFC 5321 section 3.8: under load too each session is ended by its client or by 421, and who comes
    later is refused; what was answered 250 is there."""
    daemon = start("--workers", count, "--no-runner")
    ends: SimpleQueue[str] = SimpleQueue()
    queued: SimpleQueue[None] = SimpleQueue()

    def send() -> None:
        while True:
            ends.put(end := _ending(daemon.port, lambda: queued.put(None)))
            if end == "refused":
                return

    threads = [threading.Thread(target=send) for _ in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        queued.get()
    daemon.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert daemon.ended() == 0
    found = Counter(ends.get()[:4] for _ in range(ends.qsize()))
    assert set(found) <= {"221 ", "421 ", "refu"}, found
    store = open_store(f"sqlite:{daemon.base / 'spool'}", now=0.0, create=False)
    try:
        assert store.count(100_000) >= 100 + queued.qsize(), "answered 250 and lost"
        assert list(store.check()) == []
    finally:
        store.close()


def test_each_kind_of_listener_with_workers(start: Start, tmp_path: Path) -> None:
    """A Unix socket, which they share; STARTTLS and TLS from the beginning; a login."""
    chain, key = certificates.pair(tmp_path, "127.0.0.1")
    (tmp_path / "passwords").write_text(f"ann@example.com:{make('scram-sha-256', 'secret', os.urandom)}\n")
    (tmp_path / "passwords").chmod(0o600)
    unix = tmp_path / "local"
    daemon = start(
        listen=f"""
[[listen]]
address = "unix:{unix}"
role = "local"
[[listen]]
address = "127.0.0.1:0"
role = "submission"
tls = "starttls"
[[listen]]
address = "127.0.0.1:0"
role = "submission"
tls = "implicit"
""",
        routes=f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]\n[auth]\npasswords = "passwords"\n',
    )
    (told,) = events(daemon, "started")
    ports = [
        int(str(one).rpartition(":")[2]) for one in told["addresses"] if not str(one).startswith("unix:")
    ]  # type: ignore[attr-defined]
    context = ssl.create_default_context(cafile=certificates.ca_file(tmp_path))
    sent = 0
    for _ in range(MANY // 2):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock, sock.makefile("rb") as file:
            sock.connect(str(unix))
            assert file.readline().startswith(b"220 ")
        for port, kind in zip(ports[1:], ("starttls", "implicit"), strict=True):
            client: smtplib.SMTP
            if kind == "implicit":
                client = smtplib.SMTP_SSL("127.0.0.1", port, context=context)
            else:
                client = smtplib.SMTP("127.0.0.1", port)
                client.starttls(context=context)
            with client:
                client.login("ann@example.com", "secret")
                client.sendmail(
                    "ann@example.com", ["bob@example.com"], "From: ann@example.com\r\n\r\nhello\r\n"
                )
                sent += 1
    for _ in range(sent):
        daemon.wait_for("removed")
    assert len(daemon.mailbox("bob")) == sent
    assert daemon.stop() == 0
    assert not unix.exists()


def test_the_share_of_a_limit_changes_with_who_is_there(start: Start, tmp_path: Path) -> None:
    """SEC-5, QUE-4: another process is counted when it comes, and no more when it is killed."""
    limit = "max_connections_per_client = 4"
    first = start("--no-runner", listen=limit)

    def admitted(daemon: Daemon, expected: int) -> None:
        """Try until it takes so many: at its first look at the queue it knows."""
        while True:
            clients = [Client(daemon.port) for _ in range(6)]
            welcome = sum(client.greeting.startswith("220") for client in clients)
            for client in clients:
                client.close()
            if welcome == expected:
                return
            daemon.wait_for("disconnected")

    admitted(first, 4)
    second = start("--no-runner", listen=limit)
    admitted(second, 2)
    first.stop(signal.SIGKILL)
    third = start("--no-runner", listen=limit)
    admitted(third, 2)
    for daemon in (second, third):
        assert daemon.stop() == 0
    last = start("--no-runner", listen=limit)
    admitted(last, 4)
    assert last.stop() == 0
