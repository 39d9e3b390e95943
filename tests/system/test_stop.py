"""The end of a real smtpd whose next hops do not answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Client, Daemon
from peers import until

from mether.queue.open import open_store
from mether.queue.store import Filter

LATE = "stopped with attempts in hand"
ROUTE = '[[route]]\ndomains = ["silent.example"]\nsmtp = "127.0.0.1:{port}"\n'


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A socket that connections come to, and that nobody reads unless the test does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def accepting(tmp_path: Path, listening: socket.socket, retry: str = "") -> tuple[Daemon, Client]:
    daemon = Daemon(tmp_path, routes=ROUTE.format(port=listening.getsockname()[1]), retry=retry)
    client = Client(daemon.port)
    client.say("EHLO client.example")
    return daemon, client


def attempts(tmp_path: Path) -> list[int]:
    """How often each of the messages that are queued was tried."""
    store = open_store(f"sqlite:{tmp_path}/spool", now=0.0)
    try:
        return [row.attempts for entry in store.entries(Filter()) for row in entry.rows]
    finally:
        store.close()


def test_a_silent_next_hop_does_not_delay_the_end(tmp_path: Path, silent: socket.socket) -> None:
    daemon, client = accepting(tmp_path, silent)
    for _ in range(3):
        assert client.mail("a@client.example", "bob@silent.example").startswith("250 ")
    there, _ = silent.accept()
    assert daemon.stop() == 0
    assert not any(LATE in line for line in daemon.lines), "it waited for as long as an attempt may take"
    assert attempts(tmp_path) == [0, 0, 0]
    client.close()
    there.close()


def test_a_second_signal_waits_for_no_answer_to_content(tmp_path: Path, silent: socket.socket) -> None:
    """The first one does: the server may have taken it.  Then that is known, and a person decides."""
    daemon, client = accepting(tmp_path, silent, 'uncertain = "hold"')
    has_all = threading.Event()

    def serve() -> None:
        there, _ = silent.accept()
        with there, there.makefile("rb") as file:
            there.sendall(b"220 silent.example ESMTP\r\n")
            for line in file:
                if line == b".\r\n":
                    has_all.set()
                    file.read()
                    return
                if line != b"\r\n" and line[:4] in (b"EHLO", b"MAIL", b"RCPT"):
                    there.sendall(b"250 go on\r\n")
                elif line[:4] == b"DATA":
                    there.sendall(b"354 go on\r\n")

    server = threading.Thread(target=serve)
    server.start()
    assert client.mail("a@client.example", "bob@silent.example").startswith("250 ")
    has_all.wait()
    daemon.process.send_signal(signal.SIGTERM)
    daemon.wait_for('"stopping"')
    assert daemon.stop() == 0
    server.join()
    assert any(LATE in line for line in daemon.lines)
    assert attempts(tmp_path) == [1]
    store = open_store(f"sqlite:{tmp_path}/spool", now=0.0)
    (entry,) = store.entries(Filter())
    (attempt,) = store.attempts(entry.message.ident)
    store.close()
    assert attempt.uncertain
    assert entry.message.hold is not None
    assert entry.message.hold.startswith(
        "may have been delivered to bob@silent.example: 451 4.3.0 the service ended"
    )
    client.close()


def test_a_second_signal_waits_for_no_program(tmp_path: Path) -> None:
    """A program that hangs is left to itself, and its message is tried again as one of a dead process."""
    begun = tmp_path / "begun"
    route = f'[[route]]\ndomains = ["*"]\npipe = ["/bin/sh", "-c", "echo $$ > {begun}; exec sleep 600"]\n'
    daemon = Daemon(tmp_path, routes=route)
    client = Client(daemon.port)
    client.say("EHLO client.example")
    assert client.mail("a@client.example", "bob@pipe.example").startswith("250 ")
    until(lambda: begun.exists() and begun.read_text().strip())
    try:
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for('"stopping"')
        assert daemon.stop() == 0
        assert any(LATE in line for line in daemon.lines)
        assert os.path.exists(f"/proc/{begun.read_text().strip()}"), "it waited for the program"
    finally:
        os.kill(int(begun.read_text()), signal.SIGKILL)
    client.close()
