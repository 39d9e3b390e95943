"""Changing the password file: one login's line, and nothing else in it.

The new text is written beside the file, synced and renamed over it, so that a reader sees the old file or the
new one, whole.  A file that was there keeps its owner, group and mode (less what it gives to everyone); a
new one has mode 0600.  Two who write at once take turns, by a lock on the directory.

    known = put(path, "ann", verifier.make("argon2id", password, os.urandom))
    known = remove(path, "ann")

Both fail with OSError, or with PasswordFileError for a file that is not text.
"""

from __future__ import annotations

import fcntl
import os
import stat

from mether.auth import textfile
from mether.auth.passwords import PasswordFileError
from mether.smtp.saslprep import SaslprepError, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def put(path: str, login: str, verifier: str) -> bool:
    """Give the login this verifier, keeping what it may send as; whether it was there before."""

    def change(lines: list[str]) -> bool:
        for number, line in enumerate(lines):
            if _login(line) == login:
                senders = line.strip().split(":", 2)[2:]
                lines[number] = ":".join([login, verifier, *senders])
                return True
        if lines and not lines[-1]:
            lines.insert(-1, f"{login}:{verifier}")
        else:
            lines += [f"{login}:{verifier}", ""]
        return False

    return _edit(path, change)


def remove(path: str, login: str) -> bool:
    """Take the login out; whether it was there.  A file without it is left alone."""

    def change(lines: list[str]) -> bool:
        kept = [line for line in lines if _login(line) != login]
        found = len(kept) < len(lines)
        lines[:] = kept
        return found

    return _edit(path, change)


def _login(line: str) -> str | None:
    name, colon, _ = line.strip().partition(":")
    if not colon or name.startswith("#"):
        return None
    try:
        return prepare(name)
    except SaslprepError:
        return name


def _edit(path: str, change: Callable[[list[str]], bool]) -> bool:
    target = os.path.realpath(path)  # a link stays one
    directory = os.path.dirname(target)
    lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, text = _read(target)
        lines = text.split("\n") if text else []
        found = change(lines)
        changed = "\n".join(lines)
        if changed != text:
            _write(target, changed.encode(), status)
            os.fsync(lock)
        return found
    finally:
        os.close(lock)


def _read(path: str) -> tuple[os.stat_result | None, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None, ""
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PasswordFileError(f"{path}: not a file")
        return status, textfile.read(file, path, PasswordFileError)


def _write(path: str, data: bytes, status: os.stat_result | None) -> None:
    new = f"{path}.new-{os.getpid()}"
    # O_EXCL: nobody's link is followed.  What a process of our number left behind when it died is in the way.
    try:
        os.unlink(new)
    except FileNotFoundError:
        pass
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            if status is not None:
                mine = os.fstat(descriptor)
                if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & 0o660)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.rename(new, path)
    except BaseException:
        os.unlink(new)
        raise
