"""The DragonFly Mail Agent's spool: ``QID`` with the envelope of one recipient, ``MID`` with the message.

A ``Q`` file has the lines ``ID:``, ``Sender:`` and ``Recipient:`` (dma's spool.c); a message to several is as
many pairs of files.  A ``Q`` file that a process works on is locked by flock(2).  Nothing says when a message
came but the time of its file.
"""

from __future__ import annotations

import fcntl
import os

from mether.envelope import Recipient
from mether.importing.found import (
    Found,
    Unreadable,
    Wrong,
    from_offset,
    open_file,
    path_of,
    read_file,
    sender_of,
    text_of,
    trouble,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def read(directory: str, hostname: str) -> Iterator[Found | Unreadable]:
    """What waits in ``/var/spool/dma``.  Raises OSError."""
    names = sorted(os.listdir(directory))
    known = set(names)
    for name in names:
        path = os.path.join(directory, name)
        if name[:1] == "M" and f"Q{name[1:]}" not in known:
            yield Unreadable(path, f"there is no Q{name[1:]}: its envelope is lost, or still to come")
        if name[:1] != "Q":
            continue
        content = os.path.join(directory, f"M{name[1:]}")
        try:
            if _locked(path):
                yield Unreadable(path, "dma is working on it", passing=True)
                continue
            with open_file(content) as file:
                changed = os.fstat(file.fileno()).st_mtime
            yield parse(read_file(path), path, name[1:], content, hostname, changed)
        except (OSError, Wrong) as error:
            place = error.filename if isinstance(error, OSError) and error.filename else path
            yield Unreadable(str(place), trouble(error))


def parse(data: bytes, path: str, name: str, content: str, hostname: str, changed: float) -> Found:
    """The message of a Q file, its content written at `changed`.  Raises Wrong."""
    facts: dict[str, str] = {}
    for line in text_of(data).splitlines():
        key, colon, value = line.partition(":")
        if not colon or key.lower() in facts:
            raise Wrong(f"{line[:80]!r} where ID:, Sender: or Recipient: must be")
        facts[key.lower()] = value.strip()
    missing = [key for key in ("id", "sender", "recipient") if key not in facts]
    if missing or not data.endswith(b"\n"):
        raise Wrong(f"it ends before {missing[0]}:" if missing else "it ends within a line")
    return Found(
        f"{facts['id']} {name} {changed:.6f}",
        path,
        sender_of(facts["sender"], hostname),
        [Recipient(path_of(facts["recipient"], hostname))],
        changed,
        from_offset(content, 0),
    )


def _locked(path: str) -> bool:
    """Whether a process works on it.  Raises OSError, Wrong."""
    with open_file(path) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
