"""``damaged/DATE`` in a spool: where a repair puts what was damaged, and what it could not put back.

Nothing is ever removed from there.  Files have mode 0600 and belong to the spool's owner; each is synced
before what it was taken from changes.  Functions raise OSError.
"""

from __future__ import annotations

import os

from mether.queue.disk import give
from mether.queue.fsck_files import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from mether.queue.disk import Disk

DIRECTORY: Final = "damaged"
REPORT: Final = "report.txt"
CHUNK: Final = 1 << 20


class Aside:
    """One repair's directory; it is made when something is first put there."""

    def __init__(self, spool: str, now: float, disk: Disk) -> None:
        import time

        self._spool = spool
        self._disk = disk
        self._above = os.path.join(spool, DIRECTORY)
        self._date = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(now))
        self.path = ""

    def open(self) -> str:
        """The directory, made if it is not there yet."""
        if not self.path:
            try:
                self._mkdir(self._above, self._spool)
            except FileExistsError:
                pass
            number = 1
            while not self.path:
                path = os.path.join(self._above, self._date + (f".{number}" if number > 1 else ""))
                try:
                    self._mkdir(path, self._above)
                    self.path = path
                except FileExistsError:
                    number += 1
        return self.path

    def _mkdir(self, path: str, above: str) -> None:
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            give(fd, self._spool)
        finally:
            os.close(fd)
        self._disk.sync_directory(above)

    def write(self, name: str, pieces: Iterable[bytes]) -> str:
        """A new file of these octets; its path."""
        path = self._free(name)
        fd = self._disk.create(path)
        try:
            give(fd, self._spool)
            for piece in pieces:
                self._disk.write(fd, piece)
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        self._disk.sync_directory(self.path)
        return path

    def keep(self, source: str, name: str) -> str:
        """What is in the file `source` under another name here; `source` stays.  "" when it is not there."""
        path = self._free(name)
        try:
            os.link(source, path, follow_symlinks=False)
        except FileNotFoundError:
            return ""
        except OSError:  # a file system without links
            return self.write(name, octets(source))
        self._disk.sync_directory(self.path)
        return path

    def take(self, source: str, name: str) -> str:
        """Move a file here, durably; "" when it is not there."""
        path = self._free(name)
        try:
            self._disk.rename(source, path)
        except FileNotFoundError:
            return ""
        self._disk.sync_directory(self.path)
        self._disk.sync_directory(os.path.dirname(source))
        return path

    def _free(self, name: str) -> str:
        path = os.path.join(self.open(), name)
        number = 1
        while os.path.lexists(path):
            number += 1
            path = os.path.join(self.path, f"{name}.{number}")
        return path


def octets(path: str) -> Iterator[bytes]:
    """What can be read of a file: behind a place that cannot be read, nothing."""
    try:
        with opened(path) as file:
            while piece := file.read(CHUNK):
                yield piece
    except OSError:
        return
