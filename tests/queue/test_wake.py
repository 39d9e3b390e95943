"""Wake sockets."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from mether.queue.wake import Wake


@pytest.mark.parametrize("depth", [0, 3])
def test_a_wake_arrives_however_long_the_path(tmp_path: Path, depth: int) -> None:
    directory = tmp_path.joinpath(*["d" * 60] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    waiter, other = Wake(str(directory), "waiter"), Wake(str(directory), "other")
    assert other.wake() == 0
    fd = waiter.fileno()
    assert waiter.fileno() == fd
    assert not waiter.wait(0)
    assert other.wake() == 1
    assert select.select([fd], [], [], 0)[0] == [fd]
    assert waiter.wait(60)
    assert not waiter.wait(0)
    assert waiter.wake() == 0
    waiter.close()
    assert os.listdir(directory) == []
    waiter.close()


def test_all_who_wait_are_woken(tmp_path: Path) -> None:
    waiters = [Wake(str(tmp_path), f"w{number}") for number in range(3)]
    for waiter in waiters:
        waiter.fileno()
    assert waiters[0].wake() == 2
    assert [waiter.wait(0) for waiter in waiters] == [False, True, True]
    for waiter in waiters:
        waiter.close()


def test_the_socket_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    dead, other = Wake(str(tmp_path), "dead"), Wake(str(tmp_path), "other")
    dead.fileno()
    assert dead._sock is not None
    dead._sock.close()
    assert other.wake() == 0
    assert os.listdir(tmp_path) == []


def test_a_full_buffer_is_a_wake(tmp_path: Path) -> None:
    waiter, other = Wake(str(tmp_path), "waiter"), Wake(str(tmp_path), "other")
    waiter.fileno()
    for _ in range(2000):
        assert other.wake() == 1
    assert waiter.wait(0)
    assert not waiter.wait(0)
    waiter.close()


def test_nobody_else_may_wake(tmp_path: Path) -> None:
    waiter = Wake(str(tmp_path), "waiter")
    waiter.fileno()
    assert (tmp_path / "waiter.sock").stat().st_mode & 0o777 == 0o600
    waiter.close()
