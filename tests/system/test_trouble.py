"""Trouble with the spool under a real service: 451 and a listener that answers, and well again by itself.

Each is told once in the log, and does not fill it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import daemon as support
import pytest
from daemon import Client, Daemon

from mether.queue.open import open_store
from mether.queue.store import Filter

SMALL = "X: y\r\n\r\nhello"
LARGE = "X: y\r\n\r\n" + ("x" * 70 + "\r\n") * 1500  # goes to a file
WRONG = b"\xa5" * 4096
OK, LATER = "250 2.0.0", "451 4.3.0"
Start = Callable[[], Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Daemon] = []

    def begin() -> Daemon:
        running.append(Daemon(tmp_path, arguments=("--no-runner",)))
        return running[-1]

    yield begin
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)


def answers(smtpd: Daemon, *contents: str) -> list[str]:
    """What a new client gets for these messages; the session goes on in spite of it."""
    with contextlib.closing(Client(smtpd.port)) as client:
        client.say("EHLO client.example")
        return [client.mail("a@client.example", "bob@example.com", content=one)[:9] for one in contents]


def troubles(smtpd: Daemon) -> list[str]:
    """What the log tells of trouble."""
    told = [json.loads(line) for line in smtpd.lines if line.startswith("{")]
    assert not [line for line in smtpd.lines if "Traceback" in line]
    return [one["what"] for one in told if one["level"] == "error"]


def in_order(smtpd: Daemon, count: int) -> None:
    """Whether the queue holds so many messages, and passes its own check."""
    store = open_store(f"sqlite:{smtpd.base / 'spool'}", now=0.0, create=False)
    try:
        assert len(store.entries(Filter())) == count
        assert list(store.check()) == []
    finally:
        store.close()


def test_a_spool_that_is_gone_for_a_while(start: Start) -> None:
    """Its file system was not mounted, say."""
    smtpd = start()
    assert answers(smtpd, SMALL, LARGE) == [OK, OK]
    spool, away = smtpd.base / "spool", smtpd.base / "away"
    spool.rename(away)
    for _ in range(3):
        assert answers(smtpd, SMALL, SMALL, LARGE, LARGE) == [LATER] * 4
    away.rename(spool)
    assert answers(smtpd, SMALL, LARGE) == [OK, OK]
    assert smtpd.stop() == 0
    assert 1 <= len(told := troubles(smtpd)) <= 3, told  # the database, files, and the socket to wake
    assert all("No such file or directory" in one for one in told)
    in_order(smtpd, 4)


def test_a_damaged_database(start: Start) -> None:
    """Nothing is queued in it; as soon as it is mended mail is taken."""
    smtpd = start()
    assert answers(smtpd, *[SMALL + "z" * 3000] * 60) == [OK] * 60
    assert smtpd.stop() == 0
    smtpd.start("--no-runner")
    path = smtpd.base / "spool" / "queue.sqlite3"
    whole = path.read_bytes()
    with path.open("r+b") as file:
        for page in range(4096, len(whole), 4096):
            file.seek(page)
            file.write(WRONG)
    for _ in range(3):
        assert answers(smtpd, SMALL, LARGE) == [LATER] * 2
    with path.open("r+b") as file:
        for page in range(4096, len(whole), 4096):
            file.seek(page)
            if file.read(4096) == WRONG:  # the daemon's own row may have been written since
                file.seek(page)
                file.write(whole[page : page + 4096])
    assert answers(smtpd, SMALL, LARGE) == [OK, OK]
    assert smtpd.stop() == 0
    assert 1 <= len(told := troubles(smtpd)) <= 3, told  # queueing, and what the daemon does by itself
    assert all("malformed" in one for one in told), told
    in_order(smtpd, 62)


def test_a_file_system_that_is_read_only_for_a_while(start: Start, tmp_path: Path) -> None:
    """What it has open goes on, as after a remount; what needs a new file is put off."""
    if os.geteuid() != 0 or shutil.which("nsenter") is None:
        pytest.skip("a file system can be mounted by root only")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    wrapper = tmp_path / "bin" / "smtpd"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec unshare -m "{support.BIN}/smtpd" "$@"\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(support, "BIN", wrapper.parent)
        smtpd = start()
    spool = str(smtpd.base / "spool")
    inside = ["nsenter", "-t", str(smtpd.process.pid), "-m"]
    assert answers(smtpd, SMALL, LARGE) == [OK, OK]
    subprocess.run([*inside, "mount", "--bind", spool, spool], check=True)
    subprocess.run([*inside, "mount", "-o", "remount,ro,bind", spool], check=True)
    for _ in range(3):
        assert answers(smtpd, SMALL, LARGE, LARGE) == [OK, LATER, LATER]
    subprocess.run([*inside, "umount", spool], check=True)
    assert answers(smtpd, SMALL, LARGE) == [OK, OK]
    assert smtpd.stop() == 0
    (told,) = troubles(smtpd)
    assert "Read-only file system" in told
    in_order(smtpd, 7)
