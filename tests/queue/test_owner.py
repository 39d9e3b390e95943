"""Owners: ids, and the lock that shows that one lives."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mether.queue import owner


def test_ids_differ_and_can_be_file_names() -> None:
    ids = {owner.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    for each in ids:
        assert owner.from_name(owner.name(each)) == each
    assert owner.from_name("not hex at a") is None
    assert owner.from_name("12") is None


def test_an_owner_lives_while_it_holds_its_lock(tmp_path: Path) -> None:
    directory = str(tmp_path)
    lock = owner.Lock(directory, 7)
    assert not owner.alive(directory, 7)
    lock.take()
    lock.take()
    assert owner.alive(directory, 7)
    assert owner.sweep(directory) == 0
    lock.drop()
    assert not owner.alive(directory, 7)
    assert os.listdir(directory) == []
    lock.drop()


def test_living_owners_are_told_apart_by_what_they_say(tmp_path: Path) -> None:
    directory = str(tmp_path)
    first, second, dead = (owner.Lock(directory, number) for number in (7, 9, 11))
    first.tell("run\nreceive\n")
    first.tell("run\n")
    second.take()
    dead.tell("run\n")
    dead.drop(remove=False)
    (tmp_path / "odd.lock").write_text("no owner")
    assert dict(owner.living(directory)) == {7: "run\n", 9: ""}
    first.drop()
    second.drop()
    assert dict(owner.living(directory)) == {}


def test_an_owner_dies_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time; from mether.queue import owner\n"
        "owner.Lock(sys.argv[1], 9).take(); print('taken', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"taken\n"
    assert owner.alive(str(tmp_path), 9)
    process.kill()
    process.wait(60)
    process.stdout.close()
    process.stdin.close()
    assert not owner.alive(str(tmp_path), 9)
    assert owner.sweep(str(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


def test_the_sweeper_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    (tmp_path / "x.lock").touch()
    assert owner.sweep(str(tmp_path)) == 0
    assert sorted(os.listdir(tmp_path)) == ["README", "x.lock"]


def test_a_lock_file_swept_between_creation_and_lock_is_made_again(tmp_path: Path) -> None:
    (tmp_path / (owner.name(5) + ".lock")).touch()
    assert owner.sweep(str(tmp_path)) == 1
    lock = owner.Lock(str(tmp_path), 5)
    lock.take()
    assert owner.alive(str(tmp_path), 5)
    lock.drop()


def test_two_threads_may_take_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop, for content, and the queue's writer: a flock on a second descriptor never ends."""
    lock = owner.Lock(str(tmp_path), 5)
    second, flock = threading.Event(), fcntl.flock
    other = threading.Thread(target=lock.take, daemon=True)

    def both(fd: int, operation: int) -> None:
        if threading.current_thread() is other:
            second.set()
        flock(fd, operation)
        if threading.current_thread() is not other:
            other.start()
            second.wait(0.2)  # it does not come as long as we are at it

    monkeypatch.setattr(fcntl, "flock", both)
    lock.take()
    other.join(10)
    assert not other.is_alive()
    assert not second.is_set()
    lock.drop()
