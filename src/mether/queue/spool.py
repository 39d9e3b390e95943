"""The files of a spool: its directories, content being received, content in its place.

::

    spool/content/XX/ID            large content of queued messages
    spool/incoming/temp.OWNER.ID   content being received
    spool/owners/OWNER.lock        held while its owner lives (`owner`)
    spool/wake/OWNER.sock          where a working process waits (`wake`)
    spool/lock                     held by a process while it writes

Directories have mode 0700 and files 0600.  A file is written and synced in ``incoming``; `Spool.place`
moves it under its id and syncs the directory; only then may a row name it.  XX is cut out of the id so
that what arrives within some seconds shares a directory, and a batch needs one sync.

Functions here raise OSError; `Staged`, which is handed out, raises StoreError.
"""

from __future__ import annotations

import os

from mether.queue import owner as owner_
from mether.queue.content import Content
from mether.queue.disk import give
from mether.queue.store import Damaged, NoSpace, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import BinaryIO

    from mether.queue.disk import Disk

DIRECTORIES = ("content", "incoming", "owners", "wake")
_NO_SPACE = (28, 122)  # ENOSPC, EDQUOT; the module errno would be one more import


def trouble(what: str, error: OSError) -> StoreError:
    """The StoreError for a failed file operation; `what` names what could not be done."""
    reason = error.strerror or str(error)
    where = f": {error.filename}" if isinstance(error.filename, str) else ""
    kind = NoSpace if error.errno in _NO_SPACE else StoreError
    return kind(f"{what}{where}: {reason}")


def make(path: str, disk: Disk) -> None:
    """Create the spool's directories where they are missing, durably."""
    missing = []
    at = path
    while not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    for directory in reversed(missing):
        _mkdir(directory)
        disk.sync_directory(os.path.dirname(directory))
    for name in DIRECTORIES:
        _mkdir(os.path.join(path, name))
    disk.sync_directory(path)


def _mkdir(path: str, beside: str | None = None) -> None:
    """Make a directory unless it is there; one made by root is its owner's who owns `beside`."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    if beside is not None and not os.geteuid():
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            give(fd, beside)
        finally:
            os.close(fd)


class Staged:
    """Content being received: the Writer of `SqliteStore.stage`."""

    __slots__ = ("_disk", "_fd", "ident", "path", "placed", "size", "synced")

    def __init__(self, path: str, ident: str, disk: Disk) -> None:
        self.path = path
        self.ident = ident
        self.size = 0
        self.synced = False
        self.placed = False
        self._disk = disk
        self._fd: int | None = disk.create(path)
        try:
            give(self._fd, os.path.dirname(path))
        except OSError:
            self._close()
            raise

    def write(self, data: bytes) -> None:
        """Append.  Raises StoreError (NoSpace on a full disk); what is written then is unusable."""
        if self._fd is None:
            raise StoreError(f"{self.path} is already complete")
        try:
            self._disk.write(self._fd, data)
        except OSError as error:
            self._close()
            raise trouble(f"cannot write {self.path}", error) from None
        self.size += len(data)

    def sync(self) -> None:
        """Make it durable and complete.  Raises StoreError; it is never tried again."""
        if self._fd is None:
            raise StoreError(f"{self.path} cannot be synced: it failed before, or is already complete")
        try:
            self._disk.sync(self._fd)
        except OSError as error:
            raise trouble(f"cannot sync {self.path}", error) from None
        else:
            self.synced = True
        finally:
            self._close()

    def discard(self) -> None:
        """Remove it, unless it has been put in its place.  Never raises."""
        self._close()
        if not self.placed:
            try:
                self._disk.unlink(self.path)
            except OSError:
                pass

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                self._disk.close(fd)
            except OSError:
                pass


class Spool:
    """The files of one spool, for one owner."""

    def __init__(self, path: str, owner: int, disk: Disk) -> None:
        self.path = path
        self.disk = disk
        self.owners = os.path.join(path, "owners")
        self._owner = owner_.name(owner)
        self._incoming = os.path.join(path, "incoming")
        self._content = os.path.join(path, "content")
        self._durable: set[str] = set()
        self.life = owner_.Lock(self.owners, owner)

    def stage(self, ident: str) -> Staged:
        """A file for content that is being received."""
        self.life.take()
        return Staged(os.path.join(self._incoming, f"temp.{self._owner}.{ident}"), ident, self.disk)

    def where(self, ident: str) -> str:
        """Where the content of a queued message lies."""
        return os.path.join(self._content, ident[4:6], ident)

    def place(self, staged: Sequence[Staged]) -> None:
        """Move complete files under their ids, durably.  When it fails, none of them can be used again."""
        try:
            for directory in {os.path.dirname(self.where(file.ident)) for file in staged}:
                # Another process may have made it just now: its name is durable when it was synced here.
                if directory not in self._durable:
                    _mkdir(directory, beside=self._content)
                    self.disk.sync_directory(self._content)
                    self._durable.add(directory)
                for file in staged:
                    target = self.where(file.ident)
                    if not file.placed and os.path.dirname(target) == directory:
                        self.disk.rename(file.path, target)
                        # Whether there will be a row is not known yet; without one it is the sweeper's.
                        file.placed, file.path = True, target
                self.disk.sync_directory(directory)
        except OSError:
            for file in staged:
                file.synced = False
            raise

    def content(self, ident: str) -> Content:
        """The content that lies in a file.  Raises Damaged when the file is not there."""
        path = self.where(ident)
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            raise Damaged(f"the content of {ident} is missing: {path}") from None

        def open_() -> BinaryIO:
            return open(path, "rb")

        return Content(None, size, open_)

    def remove(self, ident: str) -> bool:
        """Remove a message's content, if it lies in a file; whether it did.  Never raises."""
        try:
            self.disk.unlink(self.where(ident))
        except OSError:
            return False
        return True

    def placed(self) -> Iterable[str]:
        """The ids of all files in content."""
        for directory in os.listdir(self._content):
            try:
                yield from os.listdir(os.path.join(self._content, directory))
            except (NotADirectoryError, FileNotFoundError, PermissionError):
                continue  # none of ours

    def sweep_incoming(self, alive: Callable[[int], bool]) -> int:
        """Remove what dead owners were receiving; returns how many files."""
        removed = 0
        for entry in os.listdir(self._incoming):
            owner = owner_.from_name(entry.split(".")[1]) if entry.startswith("temp.") else None
            if owner is not None and not alive(owner):
                try:
                    self.disk.unlink(os.path.join(self._incoming, entry))
                except (FileNotFoundError, IsADirectoryError, PermissionError):
                    continue
                removed += 1
        return removed
