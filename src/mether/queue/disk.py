"""The file operations on which durability rests, each in one function.

Every store and transport that promises "durable" writes through a `Disk`, so that a test can put
another one beneath it: one that records each write, rename and sync for the power-cut test, or that
fails with ENOSPC or EIO at a chosen step.  The functions do exactly what their names say and raise
OSError.  A sync that failed is never tried again on the same file: after it the kernel may have dropped
the pages, and a second sync would report a success that is none.
"""

from __future__ import annotations

import os


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
