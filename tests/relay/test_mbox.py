"""Delivery to mbox files: what they hold, and what is never written to."""

from __future__ import annotations

import errno
import fcntl
import mailbox
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import parse
from mether.envelope import Recipient
from mether.queue.content import Content, in_memory
from mether.queue.disk import Disk
from mether.relay import mbox
from mether.relay.letter import Letter
from mether.reply import Reply

CONTENT = in_memory(b"Subject: x\r\n\r\nFrom here\r\n>From there\r\nFromage\r\n")
STORED = b"""\
From alice@example.org Thu Jan  1 00:00:00 1970
Return-Path: <alice@example.org>
Delivered-To: bob@example.com
Received: us
Subject: x

>From here
>>From there
Fromage

"""


def deliver(
    path: Path | str, content: Content = CONTENT, sender: str = "alice@example.org", **more: object
) -> Reply:
    letter = Letter(parse(sender), b"Received: us\r\n", content)
    recipient = Recipient(parse("bob@example.com"))
    return mbox.deliver(str(path), recipient, letter, now=0.0, **more)


def test_messages_are_appended(tmp_path: Path) -> None:
    """TRC-6, TRC-8: one Return-Path, on top of the header."""
    box = tmp_path / "box"
    assert deliver(box).ok
    assert deliver(box).ok
    assert box.read_bytes() == STORED * 2
    assert box.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["box"], "no lock is left"


def test_python_reads_it(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.write_bytes(b"From x Thu Jan  1 00:00:00 1970\nSubject: cut\n\nno line end")
    for number in range(3):
        assert deliver(box, in_memory(b"Subject: %d\r\n\r\nFrom the body, without a line end" % number)).ok
    found = mailbox.mbox(box)
    assert [message["Subject"] for message in found] == ["cut", "0", "1", "2"]
    assert found[3].get_payload() == ">From the body, without a line end\n"
    found.close()


@given(
    st.lists(
        st.sampled_from([b">", b"F", b"From ", b"rom ", b"\n", b"x", b">>From y\n", b"From"]), max_size=12
    )
)
def test_quoting_does_not_depend_on_the_pieces(pieces: list[bytes]) -> None:
    """And can be undone."""
    whole = b"".join(pieces)
    stored = b"".join(mbox.quoted(pieces))
    assert stored == b"".join(mbox.quoted([whole]))
    assert stored.endswith(b"\n\n") or stored == b"\n"
    lines = stored.split(b"\n")
    assert not any(line.startswith(b"From ") for line in lines)
    undone = b"\n".join(line[1:] if line.lstrip(b">").startswith(b"From ") else line for line in lines)
    assert undone.startswith(whole)
    assert not undone[len(whole) :].strip(b"\n")


def test_a_run_of_signs_is_not_held_back_for_ever() -> None:
    pieces = [b">" * 600, b">" * 600, b"From x\n"]
    out = list(mbox.quoted(pieces))
    assert len(out) > 2
    assert b"".join(out) == b"".join(pieces) + b"\n"


def test_a_message_that_comes_back(tmp_path: Path) -> None:
    """QUE-7, TRC-8."""
    assert deliver(tmp_path / "box", in_memory(b"Delivered-To: bob@example.com\r\n\r\n")).status == "5.4.6"
    assert not (tmp_path / "box").exists()


def test_the_null_device_takes_all() -> None:
    assert deliver("/dev/null").ok


def _link(path: Path) -> None:
    path.symlink_to(path.parent / "target")


def _hard(path: Path) -> None:
    path.touch()
    os.link(path, path.parent / "other")


def _mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        path.chmod(mode)

    return make


def _text(path: Path) -> None:
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")


def _others(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_link, "symbolic link"),
        (_hard, "hard link"),
        (Path.mkdir, "no regular file"),
        (os.mkfifo, "no regular file"),
        (_mode(0o700), "a program"),
        (_mode(0o4600), "a program"),
        (_mode(0o602), "everybody"),
        (_text, "no mailbox"),
        pytest.param(
            _others, "belongs to user 65534", marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
        ),
    ],
)
def test_what_is_never_written_to(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    told: list[str] = []
    box = tmp_path / "box"
    make(box)
    reply = deliver(box, tell=told.append)
    assert (reply.code, reply.status) == (451, "4.3.5")
    assert "box" not in reply.text.replace("mailbox", "")
    [line] = told
    assert line.startswith(f"nothing is delivered to {box}: ")
    assert why in line
    assert not os.path.lexists(f"{box}.lock")


def test_a_device_is_never_written_to() -> None:
    assert deliver("/dev/full").status in ("4.3.5", "4.3.0")
    assert deliver("/dev/zero").status in ("4.3.5", "4.3.0")


class Failing(Disk):
    """Fails at its second write, or at the sync."""

    def __init__(self, *, at_sync: bool) -> None:
        self.at_sync = at_sync
        self.writes = 0

    def write(self, fd: int, data: bytes) -> None:
        self.writes += 1
        if self.writes == 2 and not self.at_sync:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        if self.at_sync:
            raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("at_sync", [True, False])
def test_nothing_is_left_of_what_failed(tmp_path: Path, at_sync: bool) -> None:
    box = tmp_path / "box"
    assert deliver(box).ok
    reply = deliver(box, disk=Failing(at_sync=at_sync))
    assert reply.status == ("4.3.0" if at_sync else "4.3.1")
    assert box.read_bytes() == STORED


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: Callable[[], None] = lambda: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > mbox.WAIT / 2:
            self.then()


@pytest.fixture
def slow() -> Iterator[Time]:
    return Time()


def test_a_lock_file_is_waited_for(tmp_path: Path, slow: Time) -> None:
    lock = tmp_path / "box.lock"
    lock.touch()
    reply = deliver(tmp_path / "box", clock=slow.clock, sleep=slow.sleep)
    assert (reply.code, reply.status) == (451, "4.2.0")
    assert mbox.WAIT <= slow.now < mbox.WAIT + 1
    assert lock.exists()
    assert not (tmp_path / "box").exists()
    slow.now, slow.then = 0.0, lambda: lock.unlink(missing_ok=True)
    assert deliver(tmp_path / "box", clock=slow.clock, sleep=slow.sleep).ok


def test_an_old_lock_file_is_nobodys(tmp_path: Path) -> None:
    lock = tmp_path / "box.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    assert deliver(tmp_path / "box").ok
    assert not lock.exists()


def test_a_lock_of_another_program_is_waited_for(tmp_path: Path, slow: Time) -> None:
    box = tmp_path / "box"
    box.touch(0o600)
    ready, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with box.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(end[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert deliver(box, clock=slow.clock, sleep=slow.sleep).status == "4.2.0"
    assert box.read_bytes() == b""
    os.write(end[1], b"x")
    os.waitpid(child, 0)
    assert deliver(box).ok
    for fd in (*ready, *end):
        os.close(fd)


def test_many_at_once(tmp_path: Path) -> None:
    """Threads of one process share its locks, and take turns."""
    box = tmp_path / "box"
    threads = [threading.Thread(target=deliver, args=(box,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert box.read_bytes() == STORED * 12
