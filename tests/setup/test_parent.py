"""The parent of several workers: what a service manager hears of it, and how it copes with theirs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import BIN, CONFIG, Client, Daemon

Start = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Daemon] = []

    def begin(*arguments: str) -> Daemon:
        running.append(Daemon(tmp_path, arguments=arguments))
        return running[-1]

    yield begin
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's socket, which the service is told of."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def hear(manager: socket.socket, word: str) -> list[str]:
    """The next message that begins with a word; signs of life may come before it."""
    while True:
        lines = manager.recv(4096).decode().split("\n")
        if lines[0] == word:
            return lines
        assert lines == ["WATCHDOG=1"], lines


@pytest.mark.parametrize("count", ["1", "2"])
def test_the_life_of_a_service_as_its_manager_sees_it(
    start: Start, manager: socket.socket, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    """sd_notify(3): ready, signs of life, a reload, one that fails, and the end."""
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    daemon = start("--workers", count)
    ready = hear(manager, "READY=1")
    assert ready[1] == f"MAINPID={daemon.process.pid}"
    assert ready[2].startswith(f"STATUS=listening on 127.0.0.1:{daemon.port}")
    for _ in range(3):
        hear(manager, "WATCHDOG=1")
    daemon.process.send_signal(signal.SIGHUP)
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", hear(manager, "RELOADING=1")[1])
    assert hear(manager, "READY=1")[2] == ready[2]
    text = daemon.config.read_text()
    daemon.config.write_text(text + "[wrong]\n")
    daemon.process.send_signal(signal.SIGHUP)
    hear(manager, "RELOADING=1")
    assert "the configuration stays as it was" in hear(manager, "READY=1")[2]
    daemon.process.send_signal(signal.SIGTERM)
    hear(manager, "STOPPING=1")
    assert daemon.ended() == 0
    assert not [line for line in daemon.lines if "Traceback" in line]


def test_no_sign_of_life_while_a_worker_hangs(
    start: Start, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manager is to see that it does not work, and start it anew."""
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    daemon = start("--workers", "2")
    hear(manager, "READY=1")
    found = re.search(r"worker 2 is process (\d+)", "".join(daemon.lines))
    assert found
    os.kill(int(found[1]), signal.SIGSTOP)
    manager.settimeout(2.0)
    owed = 0
    with contextlib.suppress(TimeoutError):
        while owed < 5:
            hear(manager, "WATCHDOG=1")
            owed += 1
    assert owed < 5, "it goes on telling that it is alive"
    os.kill(int(found[1]), signal.SIGCONT)
    hear(manager, "WATCHDOG=1")
    assert daemon.stop() == 0


def test_a_worker_that_dies_again_and_again_is_given_pauses(start: Start) -> None:
    """The log says when it comes back."""
    daemon = start("--workers", "2")
    for pause in ("at once", "in 1 s", "in 2 s"):
        line = "".join(daemon.lines)
        pid = int(re.findall(r"worker 2 is process (\d+)", line)[-1])
        os.kill(pid, signal.SIGKILL)
        daemon.wait_for(f"(process {pid}) was killed by SIGKILL; it is started anew {pause}")
        if pause != "in 2 s":
            daemon.wait_for("worker 2 is process")
    assert daemon.stop() == 0


def test_a_reload_while_a_worker_is_dead_holds_for_its_successor(start: Start) -> None:
    daemon = start("--workers", "2")
    for _ in range(2):
        pid = int(re.findall(r"worker 1 is process (\d+)", "".join(daemon.lines))[-1])
        os.kill(pid, signal.SIGKILL)
        daemon.wait_for("it is started anew")
        if _ == 0:
            daemon.wait_for("worker 1 is process")
    daemon.config.write_text(daemon.config.read_text().replace('"mx.example.com"', '"new.example.com"'))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("the configuration was read anew")
    daemon.wait_for("worker 1 is process")
    for _ in range(8):
        client = Client(daemon.port)
        assert client.greeting.startswith("220 new.example.com ")
        client.close()
    assert daemon.stop() == 0


def test_a_worker_that_takes_no_word_is_started_anew(start: Start) -> None:
    """A configuration larger than the line to it takes at once is sent by half to one that is stopped."""
    daemon = start("--workers", "2")
    pid = int(re.findall(r"worker 2 is process (\d+)", "".join(daemon.lines))[-1])
    os.kill(pid, signal.SIGSTOP)
    text = daemon.config.read_text()
    routes = "".join(
        f'[[route]]\ndomains = ["d{number}.example"]\nmaildir = "/none/{{user}}/{"x" * 300}"\n'
        for number in range(2000)
    )
    daemon.config.write_text(text.replace('"mx.example.com"', '"big.example.com"') + routes)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("the configuration was read anew")
    log = "".join(daemon.lines)
    assert f"worker 2 (process {pid}) takes no word from its parent, and is to end" in log
    os.kill(pid, signal.SIGCONT)
    daemon.wait_for("worker 2 is process")
    daemon.config.write_text(text.replace('"mx.example.com"', '"new.example.com"'))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("the configuration was read anew")
    for _ in range(8):
        client = Client(daemon.port)
        assert client.greeting.startswith("220 new.example.com ")
        client.close()
    assert daemon.stop() == 0


def test_a_second_signal_ends_all_workers_at_once(start: Start) -> None:
    daemon = start("--workers", "2")
    clients = [Client(daemon.port) for _ in range(6)]
    for client in clients:
        client.say("EHLO client.example")
        client.say("MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>", "DATA")
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for('"stopping"')
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.ended() == 0
    for client in clients:
        client.close()


def test_a_worker_that_is_killed_before_it_is_ready_is_started_anew(tmp_path: Path) -> None:
    """Only one that says why it cannot work ends the service."""
    config = tmp_path / "mether.toml"
    config.write_text(CONFIG.format(spool="sqlite:spool", listen="", routes="", retry=""))
    process = subprocess.Popen(
        [BIN / "smtpd", "-C", config, "--workers", "2"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    lines: list[str] = []
    try:
        while not any('"started"' in line for line in lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
            if (found := re.search(r"worker 1 is process (\d+)", lines[-1])) and len(lines) == 1:
                os.kill(int(found[1]), signal.SIGKILL)
                process.send_signal(signal.SIGHUP)  # comes too early to be of use, and does no harm
        process.send_signal(signal.SIGTERM)
        lines += process.stderr
        assert process.wait() == 0, lines
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert any("was killed by SIGKILL; it is started anew at once" in line for line in lines)
