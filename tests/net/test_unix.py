"""A listening Unix socket is there for those it is meant for, and gone when it ends."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mether.net import unix


@pytest.fixture
def path() -> Iterator[str]:
    """A short one: a socket's path may not be as long as a test's directory."""
    with tempfile.TemporaryDirectory() as base:
        yield f"{base}/lmtp"


def test_it_listens_with_its_mode(path: str) -> None:
    with unix.listening(path, 0o620, 5) as made:
        found = os.stat(path)
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o620
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            made.accept()[0].close()


def test_what_a_dead_process_left_is_removed(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
        left.listen()
    assert Path(path).exists()
    with unix.listening(path, 0o600, 5), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


@pytest.mark.parametrize("backlog", [0, 5])
def test_a_live_one_is_let_be(path: str, backlog: int) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen(backlog)
        for _ in range(3):
            with pytest.raises(OSError, match="in use"):
                unix.listening(path, 0o600, 5)


def test_a_file_is_let_be(path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        unix.listening(path, 0o600, 5)
    assert Path(path).read_text() == "precious"


def test_only_what_was_made_is_removed(path: str) -> None:
    with unix.listening(path, 0o600, 5):
        ours = unix.identity(path)
        os.rename(path, f"{path}.old")
        with unix.listening(path, 0o600, 5):
            unix.remove(path, ours)
            assert Path(path).exists()
            unix.remove(path, unix.identity(path))
            assert not Path(path).exists()
    unix.remove(path, ours)
    unix.remove(path, None)
