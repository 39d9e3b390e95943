"""Who works the queue: owner ids, and whether an owner still lives.

An owner is a `Store` object in a working process.  Its id is drawn at random and never used again.  It
lives as long as it holds the flock on ``owners/ID.lock`` in the spool, which the kernel gives up for it
when the process ends however it ends, and as long as the `until` it renews in the database has not
passed (a process that is stopped, or on another machine's clock, keeps the lock and does nothing).

A lock file is created before anything that names its owner is written, and is removed by its owner
or, once the lock is free, by whoever cleans up.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

LEASE: Final = 45.0
"""Seconds after which an owner that does not renew has lost its claims.  A runner renews every 15; a claim
gives at least half of it.  The others look every 15, so that what a stopped process had in hand is theirs
within a minute."""

_SUFFIX = ".lock"


def new_id() -> int:
    """A number of 48 random bits, which no owner had before."""
    return int.from_bytes(os.urandom(6), "big") | 1


def name(owner: int) -> str:
    """How the owner is written in file names."""
    return f"{owner:012x}"


def from_name(text: str) -> int | None:
    """The owner that `name` wrote, or None."""
    try:
        return int(text, 16) if len(text) == 12 else None
    except ValueError:
        return None


class Lock:
    """The sign of life of one owner, taken when first needed, by any thread.  Raises OSError."""

    __slots__ = ("_fd", "_taking", "path")

    def __init__(self, directory: str, owner: int) -> None:
        self.path = os.path.join(directory, name(owner) + _SUFFIX)
        self._fd: int | None = None
        self._taking = allocate_lock()

    def take(self) -> None:
        """Hold the lock from now on."""
        if self._fd is None:
            # Two threads with a descriptor each would wait for one another's flock for ever.
            with self._taking:
                self._take()

    def _take(self) -> None:
        while self._fd is None:
            fd = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                # Someone cleaning up may have removed the file between its creation and the lock.
                if os.fstat(fd).st_nlink:
                    self._fd = fd
            finally:
                if self._fd is None:
                    os.close(fd)

    def tell(self, text: str) -> None:
        """Let `living` say this of the owner, from now on."""
        self.take()
        assert self._fd is not None
        data = text.encode("ascii")
        os.ftruncate(self._fd, len(data))
        os.pwrite(self._fd, data, 0)

    def drop(self, *, remove: bool = True) -> None:
        """Let go of the lock, and remove its file.  Never raises."""
        fd, self._fd = self._fd, None
        if fd is None:
            return
        if remove:
            try:
                os.unlink(self.path)
            except OSError:
                pass
        os.close(fd)


def living(directory: str) -> Iterator[tuple[int, str]]:
    """Every owner whose lock is held, and what it tells.  Raises OSError."""
    for entry in os.listdir(directory):
        owner = from_name(entry.removesuffix(_SUFFIX)) if entry.endswith(_SUFFIX) else None
        if owner is not None and alive(directory, owner):
            try:
                with open(os.path.join(directory, entry), encoding="ascii", errors="replace") as file:
                    yield owner, file.read(100)
            except FileNotFoundError:
                continue  # it has just ended


def alive(directory: str, owner: int) -> bool:
    """Whether the owner's lock is held.  Raises OSError when it cannot be looked at."""
    try:
        fd = os.open(os.path.join(directory, name(owner) + _SUFFIX), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def sweep(directory: str) -> int:
    """Remove the lock files of dead owners; returns how many.  Raises OSError."""
    removed = 0
    for entry in os.listdir(directory):
        owner = from_name(entry.removesuffix(_SUFFIX)) if entry.endswith(_SUFFIX) else None
        if owner is None:
            continue
        path = os.path.join(directory, entry)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
            removed += 1
        except (BlockingIOError, FileNotFoundError, IsADirectoryError, PermissionError):
            pass
        finally:
            os.close(fd)
    return removed
