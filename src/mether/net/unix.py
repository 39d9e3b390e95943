"""Listening on a Unix socket: the file that it is, its mode, and what an earlier process left.

`listening` makes one.  A socket that nobody listens on is what a process left that was killed, and is
removed; one that is listened on, and a file of any other kind, is not touched.  Nobody can connect before the
mode is set.  `remove` takes the file away again, if it is still the one that was made.

Fails with OSError, whose `strerror` is one line.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PRIVATE: Final = 0o177


def listening(path: str, mode: int, backlog: int) -> socket.socket:
    """A socket that listens at `path`, for those whom `mode` lets write.  Raises OSError."""
    _clear(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(_PRIVATE)
        try:
            made.bind(path)
        finally:
            os.umask(before)
        os.chmod(path, mode)
        made.setblocking(False)
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    return made


def identity(path: str) -> tuple[int, int] | None:
    """What tells the file at `path` from any other that may come to be there; None for none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(path: str, made: tuple[int, int] | None) -> None:
    """Remove the socket that `identity` told of when it was made.  Never raises."""
    if made is not None and identity(path) == made:
        try:
            os.unlink(path)
        except OSError:
            pass  # its directory is not ours to write; the next start finds nobody listening there


def _clear(path: str) -> None:
    """Remove a socket that nobody listens on."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise OSError(errno.EEXIST, "there is a file of that name, which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its queue is full, so there is somebody
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
