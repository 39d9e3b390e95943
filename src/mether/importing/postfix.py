"""Postfix's queue: files of records in ``incoming``, ``active``, ``deferred``, ``hold`` and ``maildrop``.

A record is its type (one octet), its length (seven bits an octet, the lowest first) and its octets; see
Postfix's rec_type.h and record(3).  The envelope comes first, then the content behind M, then what was
extracted of it behind X, until E.  A pointer (p) goes on elsewhere in the file, as a filter that changed the
message has left it; the number of jumps backwards is bounded as in Postfix.  Recipients that are done have
been made D.

A file is complete when its mode says that it may be executed (maildrop and the others alike).  What was said
of a recipient when it was last tried is in ``defer``, in files of the same names.
"""

from __future__ import annotations

import os

from mether.envelope import Recipient
from mether.importing.found import (
    Found,
    Unreadable,
    Wrong,
    open_file,
    path_of,
    pulled,
    read_file,
    seconds_of,
    sender_of,
    shown,
    text_of,
    trouble,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Final

QUEUES: Final = ("active", "deferred", "hold", "incoming", "maildrop")
MAX_RECORD: Final = 1 << 20
"""Octets of a record; Postfix writes no more than some thousands."""
MAX_JUMPS: Final = 10_000
"""Jumps by pointers, as Postfix allows them backwards."""
ATTRIBUTES: Final = {b"envelope_id": "i", b"ret_flags": "<", b"notify_flags": "n", b"dsn_orig_rcpt": "o"}
"""Those that say what a record can say, too: which of the two is written depends on the version."""
NOTIFY: Final = ((1, "NEVER"), (2, "SUCCESS"), (4, "FAILURE"), (8, "DELAY"))


def read(directory: str, hostname: str) -> Iterator[Found | Unreadable]:
    """What waits in a ``queue_directory``.  Raises OSError."""
    if not any(os.path.isdir(os.path.join(directory, queue)) for queue in QUEUES):
        raise Wrong(f"{directory}: none of {', '.join(QUEUES)} is in it: it is no queue_directory of Postfix")
    for queue in QUEUES:
        top = os.path.join(directory, queue)
        errors: list[OSError] = []
        for place, below, names in os.walk(top, onerror=errors.append):
            below.sort()
            for name in sorted(names):
                found = _one(directory, queue, os.path.join(place, name), name, hostname)
                if found is not None:
                    yield found
        for error in errors:
            if os.path.lexists(top):
                yield Unreadable(str(error.filename), trouble(error))


def _one(directory: str, queue: str, path: str, name: str, hostname: str) -> Found | Unreadable | None:
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            if not status.st_mode & 0o100:
                return Unreadable(path, "it is not complete: Postfix has still to write it", passing=True)
            found = parse(file, path, name, hostname, status.st_mtime)
        if found is None or not found.recipients:
            return Unreadable(path, "; ".join(found.problems)) if found and found.problems else None
    except (OSError, Wrong) as error:
        return Unreadable(path, trouble(error))
    if queue == "hold":
        found.hold = "held in Postfix's queue"
    found.tried = _tried(directory, name)
    return found


def parse(file: BinaryIO, path: str, name: str, hostname: str, changed: float) -> Found | None:
    """The message of a queue file; None when Postfix has given it up.

    `changed` is when the file was written, for one that does not say when it came.  Raises OSError, Wrong.
    """
    sender: str | None = None
    arrived, ret, envid, body, utf8 = changed, None, None, None, False
    orcpt = notify = None
    when = ""
    recipients: list[Recipient] = []
    problems: list[str] = []
    ended = False
    for kind, data, content in records(file):
        if content:
            continue
        if kind == "K":
            return None
        if kind == "E":
            ended = True
        elif kind == "A":
            kind, data = _attribute(data)
        if kind == "C":
            numbers = data.split()
            utf8 = utf8 or (len(numbers) > 5 and numbers[5].isdigit() and bool(int(numbers[5][:9]) & 1))
        elif kind == "T":
            when = "".join(part.decode("ascii", "replace") + " " for part in data.split())
            arrived = seconds_of(when.split()[0] if when.strip() else "", "the time of arrival")
        elif kind == "S":
            sender = text_of(data)
        elif kind == "8":
            body = "8BITMIME"
        elif kind == "<":
            ret = "FULL" if _bits(data) & 1 else "HDRS" if _bits(data) & 2 else None
        elif kind == "i":
            envid = text_of(data) or None
        elif kind == "o":
            orcpt = text_of(data) or None
        elif kind == "n":
            notify = ",".join(word for bit, word in NOTIFY if _bits(data) & bit) or None
        elif kind in ("R", "D"):
            if kind == "R":
                try:
                    recipients.append(Recipient(path_of(text_of(data), hostname), orcpt=orcpt, notify=notify))
                except Wrong as error:
                    problems.append(str(error))
            orcpt = notify = None
    if not ended:
        raise Wrong("it ends before its last record")
    if sender is None:
        raise Wrong("it has no sender")

    def pieces() -> Iterator[bytes]:
        with open_file(path) as again:
            for kind, data, content in records(again):
                if content and kind in "NL":
                    yield data + b"\n" if kind == "N" else data

    return Found(
        f"{name} {when.strip()}",
        path,
        sender_of(sender, hostname),
        recipients,
        arrived,
        pulled(pieces),
        body=body,
        ret=ret,
        envid=envid,
        smtputf8=utf8,
        problems=problems,
    )


def _attribute(data: bytes) -> tuple[str, bytes]:
    """An attribute as the record that says the same, "" for none."""
    name, _, value = data.partition(b"=")
    if name == b"encoding":
        return ("8" if value.lower() == b"8bit" else ""), value
    return ATTRIBUTES.get(name, ""), value


def records(file: BinaryIO) -> Iterator[tuple[str, bytes, bool]]:
    """The records, pointers followed, as type, octets and whether it is content.  Raises OSError, Wrong."""
    content, jumps, seen = False, 0, 0
    most = 16 * os.fstat(file.fileno()).st_size if hasattr(file, "fileno") and _has_fd(file) else 1 << 40
    while head := file.read(1):
        kind = head.decode("latin-1")
        data = _body(file)
        seen += len(data) + 2
        if seen > most:
            raise Wrong("its pointers are a loop")
        if kind == "p":
            target = data.strip()
            if not target.isdigit() or len(target) > 15:
                raise Wrong("a pointer in it is none")
            if int(target):
                jumps += 1
                if jumps > MAX_JUMPS:
                    raise Wrong("its pointers are a loop")
                file.seek(int(target))
            continue
        if kind == "M":
            content = True
        elif kind == "X":
            content = False
        yield kind, data, content
        if kind == "E":
            return


def _has_fd(file: BinaryIO) -> bool:
    try:
        file.fileno()
    except OSError:
        return False
    return True


def _body(file: BinaryIO) -> bytes:
    length = shift = 0
    while True:
        octet = file.read(1)
        if not octet:
            raise Wrong("it ends within a record")
        length |= (octet[0] & 0x7F) << shift
        if not octet[0] & 0x80:
            break
        shift += 7
        if shift > 28:
            raise Wrong("the length of a record in it is none")
    if length > MAX_RECORD:
        raise Wrong(f"a record in it has {length} octets, and none has more than {MAX_RECORD}")
    data = file.read(length)
    if len(data) != length:
        raise Wrong("it ends within a record")
    return data


def _bits(data: bytes) -> int:
    text = data.strip()
    if not text.isdigit() or len(text) > 9:
        raise Wrong(f"{text[:40]!r} where a number must be")
    return int(text)


def _tried(directory: str, name: str) -> list[str]:
    """What the log of deferrals says of a message's recipients."""
    top = os.path.join(directory, "defer")
    for place in (os.path.join(top, *name[:depth]) for depth in (1, 2, 0)):
        try:
            data = read_file(os.path.join(place, name))
        except (OSError, Wrong):
            continue
        lines = []
        for block in data.decode("utf-8", "replace").split("\n\n"):
            facts = dict(line.partition("=")[::2] for line in block.splitlines())
            if "recipient" in facts:
                lines.append(shown(f"{facts['recipient']}: {facts.get('reason', 'deferred')}"))
        return lines[:100]
    return []
