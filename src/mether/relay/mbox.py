"""Delivery to the end of an mbox file, the way local mail programs share it.

The message is preceded by a ``From`` line and followed by an empty one; lines of its own that begin with
``From`` and a space, after any number of ``>``, get one ``>`` more (mboxrd), so that nothing in it can look
like the beginning of another message.

The file is locked as mutt, procmail and Postfix lock it: ``FILE.lock`` beside it where the directory allows
that, then fcntl; what other deliveries of this process are writing is waited for too.  A lock that is not had
within WAIT seconds delays the mail, and a ``FILE.lock`` of STALE seconds is nobody's.  The file is synced,
and cut to its former length when anything fails, so that half a message is never left there.

Only a regular file of our own is written to: one that is a symbolic link, has other names, belongs to
somebody else, can be executed or written by everyone, is a device or no mailbox so far, is refused with 451
4.3.5, which a person must mend; only ``/dev/null`` is what everybody means by it, and takes all.  Never
raises; what went wrong, with the path, goes to `tell`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
import time

from mether.queue.disk import REAL
from mether.relay import final
from mether.relay.maildir import DELIVERED, quiet, trouble, why
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final

    from mether.envelope import Recipient
    from mether.queue.disk import Disk
    from mether.relay.letter import Letter

WAIT: Final = 30.0
"""Seconds until a lock that others hold delays the mail."""

PAUSE: Final = 0.1
"""Seconds between two looks at it."""

STALE: Final = 300.0
"""Seconds after which a lock file was left by a program that died."""

MAX_HELD: Final = 1024
"""Octets held back until it is known whether a line that is cut there begins with ``From``."""

LOCKED: Final = Reply(451, "4.2.0", "the mailbox is locked by another program")
UNFIT: Final = Reply(451, "4.3.5", "the mailbox is no file that mail may be delivered to")
NULL: Final = "/dev/null"

_BEGINNING: Final = b"From "
_FROM: Final = re.compile(rb"^(>*From )", re.MULTILINE)
_UNDECIDED: Final = re.compile(rb">*(?:F(?:r(?:o(?:m)?)?)?)?")

_busy: set[str] = set()
_changed = threading.Condition()


class _Unfit(Exception):
    """The file is not to be written to; str() says why."""


class _Locked(Exception):
    """Others hold a lock; str() says which."""


def deliver(
    path: str,
    recipient: Recipient,
    letter: Letter,
    *,
    now: float,
    delivered_to: bool = True,
    tell: Callable[[str], None] = quiet,
    disk: Disk = REAL,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Reply:
    """Append the message to the file `path`; `now` is Unix time in seconds."""
    if path == NULL:
        return DELIVERED
    address = recipient.forward_path if delivered_to else None
    until = clock() + WAIT
    try:
        if address is not None and final.loops(letter.content, address):
            return final.LOOP
        pieces = final.octets(
            letter.reverse_path,
            letter.prefix,
            letter.content,
            recipient.orcpt,
            utf8=letter.utf8,
            delivered_to=address,
        )
        first = final.from_line(letter.reverse_path, now)
        with _Turn(path, until, clock):
            dotlock = _dotlock(path, until, clock, sleep, time.time)
            try:
                _append(path, first, quoted(pieces), until, clock, sleep, disk)
            finally:
                if dotlock:
                    os.unlink(dotlock)
    except _Unfit as error:
        tell(f"nothing is delivered to {path}: {error}")
        return UNFIT
    except _Locked as error:
        tell(f"cannot deliver to {path}: {error}")
        return LOCKED
    except (OSError, ValueError) as error:
        if not isinstance(error, OSError):
            error = OSError(errno.EINVAL, str(error))
        tell(f"cannot deliver to {path}: {why(error)}")
        reply = trouble(error)
        return reply if reply.temporary else UNFIT
    return DELIVERED


def quoted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A message with LF lines as it stands in an mbox: mboxrd quoting, a line end and an empty line last."""
    held = b""
    fresh = True  # at the beginning of a line
    for piece in pieces:
        piece, held = held + piece, b""
        start = piece.rfind(b"\n") + 1
        if (start or fresh) and len(piece) - start < MAX_HELD and _UNDECIDED.fullmatch(piece, start):
            piece, held = piece[:start], piece[start:]
        if piece:
            begins = 0 if fresh else piece.find(b"\n") + 1 or len(piece)
            yield piece[:begins] + _FROM.sub(rb">\1", piece[begins:])
            fresh = piece.endswith(b"\n")
    yield held + (b"\n" if fresh and not held else b"\n\n")


class _Turn:
    """This process's turn at a file: its threads share one fcntl lock, and take turns so.

    Raises _Locked where that takes too long.
    """

    def __init__(self, path: str, until: float, clock: Callable[[], float]) -> None:
        self._path = os.path.realpath(path)
        self._until = until
        self._clock = clock

    def __enter__(self) -> None:
        with _changed:
            left = self._until - self._clock()
            if not _changed.wait_for(lambda: self._path not in _busy, max(0.0, left)):
                raise _Locked("another delivery takes too long")
            _busy.add(self._path)

    def __exit__(self, *error: object) -> None:
        with _changed:
            _busy.discard(self._path)
            _changed.notify_all()


def _dotlock(
    path: str,
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    wall: Callable[[], float],
) -> str:
    """Make ``FILE.lock``; its path, or "" where the directory has no room for us.  Raises _Locked."""
    lock = path + ".lock"
    while True:
        try:
            fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return ""
            raise
        else:
            with os.fdopen(fd, "w") as file:
                file.write("0\n")  # what tools that look for a dead process take for none
            return lock
        try:
            if os.lstat(lock).st_mtime < wall() - STALE:
                os.unlink(lock)
                continue
        except FileNotFoundError:
            continue
        if clock() >= until:
            raise _Locked(f"{lock} is there for too long")
        sleep(PAUSE)


def _append(
    path: str,
    first: bytes,
    pieces: Iterator[bytes],
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    disk: Disk,
) -> None:
    """Lock, write and sync.  Raises OSError, _Unfit or _Locked."""
    # Not blocking, for a FIFO would; it is refused then.
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    new = False
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        new = True
    except OSError as error:
        raise _unopened(error) from None
    try:
        found = os.fstat(fd)
        _check(found)
        while True:
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
            if clock() >= until:
                raise _Locked("another program has locked it for too long")
            sleep(PAUSE)
        before = os.fstat(fd).st_size
        if before and os.pread(fd, len(_BEGINNING), 0) != _BEGINNING:
            # Mail for root that an alias sends to /etc/passwd must not end up there.
            raise _Unfit("it is no mailbox: it does not begin with a From line")
        try:
            end = os.pread(fd, 2, max(0, before - 2))
            disk.write(
                fd, (b"" if not end or end == b"\n\n" else b"\n" if end[-1:] == b"\n" else b"\n\n") + first
            )
            for piece in pieces:
                disk.write(fd, piece)
            disk.sync(fd)
        except OSError:
            os.ftruncate(fd, before)
            raise
        if new:
            disk.sync_directory(os.path.dirname(path) or ".")
    finally:
        os.close(fd)


def _unopened(error: OSError) -> Exception:
    """What it means that the file cannot be opened."""
    if error.errno == errno.ELOOP:
        return _Unfit("it is a symbolic link")
    if error.errno in (errno.EISDIR, errno.ENXIO):
        return _Unfit("it is no regular file")
    return error


def _check(found: os.stat_result) -> None:
    """Raises _Unfit for a file that mail must not be written to."""
    if not stat.S_ISREG(found.st_mode):
        raise _Unfit("it is no regular file")
    if found.st_nlink != 1:
        raise _Unfit("it has another name too (a hard link)")
    if found.st_uid != os.geteuid():
        raise _Unfit(f"it belongs to user {found.st_uid}, and mail is delivered as user {os.geteuid()}")
    if found.st_mode & 0o7111:
        raise _Unfit(f"its mode {stat.S_IMODE(found.st_mode):04o} is that of a program")
    if found.st_mode & stat.S_IWOTH:
        raise _Unfit("everybody may write to it")
