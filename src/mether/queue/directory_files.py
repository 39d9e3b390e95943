"""The files of a directory spool: where they lie, and how one is read and trusted.

::

    spool/queue/ID.sh              the envelope (`script`): a message is queued while this is here
    spool/queue/ID.msg             its content, CRLF line ends, without the trace fields (those are in ID.sh)
    spool/queue/ID.errs            what was tried: a line for each attempt, and what a hand-run smtp said
    spool/queue/.lock              held by the one process that takes claims
    spool/queue/.hops              what is known of next hops
    spool/settling/ID.sh           the envelope of a report whose settlement is not yet done
    spool/incoming/temp.OWNER.*    being received or written
    spool/keys/HASH, HASH.new      submission keys (`directory_keys`)
    spool/owners/, spool/wake/     see `owner` and `wake`
    spool/claims                   claims that are out (`directory_claims`)
    spool/lock                     held for the moment in which a process changes a queued message

Directories have mode 0700 and files 0600.  An envelope is taken only when it is a regular file, not
writable by everyone, and belongs to us, to root or to the owner of the spool.  Functions raise OSError
unless they say otherwise.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from mether.queue import ident as ident_
from mether.queue import owner as owner_
from mether.queue import script
from mether.queue.content import SMALL, Content, in_memory
from mether.queue.disk import give, lock_file
from mether.queue.store import Absent, Damaged, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Final

    from mether.queue.directory_state import Record
    from mether.queue.disk import Disk

DIRECTORIES: Final = ("queue", "settling", "incoming", "keys", "owners", "wake")
MAX_SCRIPT: Final = 64 * 1024 * 1024
"""Octets above which an envelope is refused unread."""


def is_ident(text: str) -> bool:
    """Whether the text is a queue id in its usual form."""
    try:
        ident_.decode(text)
    except ValueError:
        return False
    return text == text.upper()


class Files:
    """The files of one spool, for one owner."""

    def __init__(self, path: str, owner: int, disk: Disk) -> None:
        self.path = path
        self.disk = disk
        self.queue = os.path.join(path, "queue")
        self.settling = os.path.join(path, "settling")
        self.incoming = os.path.join(path, "incoming")
        self.keys = os.path.join(path, "keys")
        self.owners = os.path.join(path, "owners")
        self.hops = os.path.join(self.queue, ".hops")
        self.claims = os.path.join(path, "claims")
        self.owner = owner
        self.life = owner_.Lock(self.owners, owner)
        self._temp = os.path.join(self.incoming, f"temp.{owner_.name(owner)}.")
        self._trusted: frozenset[int] | None = None

    def make(self, create: bool) -> None:
        """Create the directories where they are missing, durably.  Raises StoreError for an unsafe spool."""
        if not os.path.isdir(self.queue) and not create:
            raise Absent(f"there is no queue in {os.path.abspath(self.path)}")
        missing = [self.path, *(os.path.join(self.path, name) for name in DIRECTORIES)]
        above = os.path.dirname(self.path)
        while above and not os.path.isdir(above):
            missing.insert(0, above)
            above = os.path.dirname(above)
        for directory in missing:
            try:
                os.mkdir(directory, 0o700)
            except FileExistsError:
                continue
            self.disk.sync_directory(os.path.dirname(directory))
        found = os.stat(self.queue)
        if found.st_mode & stat.S_IWOTH:
            raise StoreError(f"{self.queue} is writable by everyone; its mode should be 0700")
        self._trusted = frozenset((0, os.geteuid(), found.st_uid))

    def name(self, ident: str, kind: str) -> str:
        """The path of a queued message's file; `kind` is "sh", "msg" or "errs"."""
        return os.path.join(self.queue, f"{ident}.{kind}")

    def pending(self, ident: str) -> str:
        """The path of the envelope of a report whose settlement is not yet done."""
        return os.path.join(self.settling, f"{ident}.sh")

    def temp(self, name: str) -> str:
        """The path of a file of ours that is being written."""
        self.life.take()
        return self._temp + name

    def exists(self, ident: str) -> bool:
        """Whether anything stands under this id."""
        return (
            os.path.lexists(self.pending(ident))
            or os.path.lexists(self.name(ident, "sh"))
            or os.path.lexists(self.name(ident, "msg"))
        )

    def idents(self) -> list[str]:
        """The ids that have an envelope, in order."""
        return sorted(
            name[:-3] for name in os.listdir(self.queue) if name.endswith(".sh") and is_ident(name[:-3])
        )

    def read(self, ident: str, *, pending: bool = False) -> Record | None:
        """The record of a message, None when there is none.  Raises Damaged for a file not to be trusted."""
        path = self.pending(ident) if pending else self.name(ident, "sh")
        try:
            data = self.trusted(path)
            record = script.parse(data)
            if record.message.ident != ident:
                raise ValueError(f"it is the envelope of {record.message.ident}")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise Damaged(f"{path}: {error}") from None
        return record

    def trusted(self, path: str) -> bytes:
        """The octets of an envelope.  Raises ValueError for a file not to be trusted, FileNotFoundError."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ValueError(f"it cannot be opened: {error.strerror}") from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise ValueError("it is no regular file")
        with open(fd, "rb", 0) as file:
            if found.st_mode & stat.S_IWOTH:
                raise ValueError("it is writable by everyone")
            if self._trusted is not None and found.st_uid not in self._trusted:
                raise ValueError(f"it belongs to user {found.st_uid}, who does not own the queue")
            if found.st_size > MAX_SCRIPT:
                raise ValueError(f"it is larger than {MAX_SCRIPT} octets")
            pieces = []
            while piece := file.read(1 << 20):
                pieces.append(piece)
            return b"".join(pieces)

    def content(self, ident: str, octets: int) -> Content:
        """The content of a message that holds so many octets.  Raises Damaged when the file differs."""
        path = self.name(ident, "msg")
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise Damaged(f"the content of {ident} is missing: {path}") from None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            raise Damaged(f"{path} cannot be opened: {error.strerror}") from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise Damaged(f"{path} is no regular file")
        with open(fd, "rb") as file:
            size = found.st_size
            if size != octets:
                raise Damaged(f"{path} has {size} octets where {octets} were queued")
            if size <= SMALL:
                try:
                    return in_memory(file.read())
                except OSError as error:
                    # One bad sector is the trouble of one message, not of the queue.
                    raise Damaged(f"{path} cannot be read: {error.strerror}") from None

        def open_() -> BinaryIO:
            return open(path, "rb")

        return Content(None, size, open_)

    def lock_content(self, path: str) -> int | None:
        """Take the lock of a message at its content's file; None when another has it or it is gone."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES):
                return None
            raise
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                kept, fd = fd, -1
                return kept
        except BlockingIOError:
            pass
        finally:
            if fd >= 0:
                os.close(fd)
        return None

    def rename(self, source: str, target: str) -> None:
        """Move a file over `target`.  Raises OSError, and then it was not moved.

        A file system elsewhere may do it and report a fault: that its old name is gone says so.  Not where
        the fault is that there was none.
        """
        try:
            self.disk.rename(source, target)
        except FileNotFoundError:
            raise
        except OSError:
            if not _gone(source):
                raise

    def unlink(self, path: str) -> None:
        """Remove a file.  Raises OSError, and then it was not removed."""
        try:
            self.disk.unlink(path)
        except FileNotFoundError:
            raise
        except OSError:
            if not _gone(path):
                raise

    def forget(self, path: str) -> bool:
        """Remove a file that no longer matters; whether it is gone.  Never raises."""
        try:
            self.unlink(path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True

    def write(self, name: str, data: bytes) -> tuple[str, int]:
        """Write a temporary file, and leave it open to be synced; returns its path and descriptor."""
        path = self.temp(name)
        try:
            fd = self.disk.create(path)
        except FileExistsError:  # left by a write of ours that failed
            self.unlink(path)
            fd = self.disk.create(path)
        try:
            give(fd, self.queue)
            self.disk.write(fd, data)
        except OSError:
            self.disk.close(fd)
            self.forget(path)
            raise
        return path, fd

    def sync(self, fd: int) -> None:
        """Make a written file durable, and close it."""
        try:
            self.disk.sync(fd)
        finally:
            self.disk.close(fd)


class WriteLock:
    """Held for the moment in which a process changes queued messages: ``with lock:``."""

    __slots__ = ("_depth", "_fd", "_path")

    def __init__(self, path: str) -> None:
        self._path = os.path.join(path, "lock")
        self._fd = -1
        self._depth = 0

    def __enter__(self) -> None:
        if self._fd < 0:
            self._fd = lock_file(self._path)
        if not self._depth:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go.  Never raises."""
        fd, self._fd, self._depth = self._fd, -1, 0
        if fd >= 0:
            os.close(fd)


def _gone(path: str) -> bool:
    """Whether there is certainly no such file."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False
