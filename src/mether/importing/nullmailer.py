"""nullmailer's queue: a file a message in ``queue``: the sender, a line each recipient, an empty line, the
message.

(nullmailer-queue(8).)  It writes files in ``tmp`` and moves them when they are complete.  What it has given
up lies in ``failed``, and is left there: its sender has been told.  Nothing says when a message came but the
time of its file.
"""

from __future__ import annotations

import os

from mether.envelope import Recipient
from mether.importing.found import (
    MAX_ENVELOPE,
    Found,
    Unreadable,
    Wrong,
    from_offset,
    open_file,
    path_of,
    sender_of,
    text_of,
    trouble,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Final

MAX_LINE: Final = 4096
"""Octets of an envelope's line."""


def read(directory: str, hostname: str) -> Iterator[Found | Unreadable]:
    """What waits in ``/var/spool/nullmailer``, or its ``queue``.  Raises OSError, Wrong."""
    top = os.path.join(directory, "queue")
    if not os.path.isdir(top):
        top = directory
        if os.path.basename(os.path.abspath(top)) != "queue":
            raise Wrong(f"{directory}: it has no directory queue: it is no spool of nullmailer")
    for name in sorted(os.listdir(top)):
        path = os.path.join(top, name)
        try:
            with open_file(path) as file:
                found = parse(file, path, name, hostname, os.fstat(file.fileno()).st_mtime)
        except (OSError, Wrong) as error:
            yield Unreadable(path, trouble(error))
            continue
        if found.recipients:
            yield found
        elif found.problems:
            yield Unreadable(path, "; ".join(found.problems))


def parse(file: BinaryIO, path: str, name: str, hostname: str, changed: float) -> Found:
    """The message of a file, written at `changed`.  Raises OSError, Wrong."""
    sender = sender_of(_line(file, "the sender"), hostname)
    recipients: list[Recipient] = []
    problems: list[str] = []
    while line := _line(file, "the line between the recipients and the message"):
        try:
            recipients.append(Recipient(path_of(line, hostname)))
        except Wrong as error:
            problems.append(str(error))
        if file.tell() > MAX_ENVELOPE:
            raise Wrong(f"its envelope is longer than {MAX_ENVELOPE >> 20} MiB")
    if not recipients and not problems:
        raise Wrong("it has no recipient")
    return Found(
        f"{name} {changed:.6f}",
        path,
        sender,
        recipients,
        changed,
        from_offset(path, file.tell()),
        problems=problems,
    )


def _line(file: BinaryIO, what: str) -> str:
    line = file.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise Wrong(
            f"it ends before {what}" if len(line) < MAX_LINE else "a line of its envelope is too long"
        )
    return text_of(line[:-1]).strip("\r")
