"""The file operations on which durability rests, each in one function.

Every store and transport that promises "durable" writes through a `Disk`, so that a test can put
another one beneath it: one that records each write, rename and sync for the power-cut test, or that
fails with ENOSPC or EIO at a chosen step.  The functions do exactly what their names say and raise
OSError.  A sync that failed is never tried again on the same file: after it the kernel may have dropped
the pages, and a second sync would report a success that is none.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_EROFS: Final = 30  # the module errno would be one more import


class Disk:
    """The real one."""

    def create(self, path: str, mode: int = 0o600) -> int:
        """Create a file that must not exist and open it for writing; returns the descriptor."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)

    def write(self, fd: int, data: bytes) -> None:
        """Write all of `data`; a short write is continued."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        """Make the file's content durable."""
        os.fsync(fd)

    def close(self, fd: int) -> None:
        """Close the descriptor."""
        os.close(fd)

    def rename(self, source: str, target: str) -> None:
        """Move a file over `target`, in one step."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


REAL = Disk()


def give(fd: int, beside: str) -> None:
    """Give what root has just made to the owner of the directory `beside`, a spool's; for others do nothing.

    Else the service, which runs as that owner, could not read what root's programs queued.  Only for what was
    created anew: an open file of an earlier time might be another's, linked there.  Raises OSError.
    """
    if os.geteuid():
        return
    owner = os.stat(beside)
    if owner.st_uid:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def read_only(path: str) -> bool:
    """Whether it lies on a file system that is mounted read-only.  Raises OSError."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def lock_file(path: str) -> int:
    """A descriptor for flock on the file `path`, made where it is missing.  Raises OSError.

    On a read-only file system, where nobody writes, it is one of the directory.
    """
    try:
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != _EROFS:
            raise
    return os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
