"""What is looked at alike in every spool that lies in files."""

from __future__ import annotations

import errno
import os
import stat

from mether.queue import owner as owner_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Final

NOT_REGULAR: Final = "it is no regular file"


def opened(path: str) -> BinaryIO:
    """A regular file, to be read; who waits at the other end of anything else is not waited for.

    Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, NOT_REGULAR, path)
    return open(fd, "rb", 0)


def file_trouble(path: str, queued: int) -> str:
    """What is wrong with a file that should hold so many octets, "" for nothing: it is read to its end."""
    try:
        with opened(path) as file:
            size = 0
            while piece := file.read(1 << 20):
                size += len(piece)
    except FileNotFoundError:
        return f"is missing: {path}"
    except OSError as error:
        return f"cannot be read: {path}: {error.strerror}"
    return "" if size == queued else f"has {size} octets where {queued} were queued: {path}"


def left_over(path: str) -> Iterator[str]:
    """A line for each file in ``incoming`` that is nobody's.  Raises OSError."""
    owners = os.path.join(path, "owners")
    incoming = os.path.join(path, "incoming")
    for entry in sorted(os.listdir(incoming)):
        parts = entry.split(".")
        owner = owner_.from_name(parts[1]) if parts[0] == "temp" and len(parts) > 2 else None
        if owner is None:
            yield f"{os.path.join(incoming, entry)}: no file of the queue"
        elif not owner_.alive(owners, owner):
            yield f"{os.path.join(incoming, entry)}: left by a process that has ended (sweep removes it)"
