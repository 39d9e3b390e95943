"""Exim's spool: ``ID-H`` (envelope and header), ``ID-D`` (body) and ``ID-J`` (who has it since) in ``input``.

The format is in Exim's specification, chapter "Format of spool files": the id, who sent it, the reverse-path,
the time, options (``-name value``; some followed by so many octets), the tree of recipients that are done,
those to be delivered, an empty line, and the header, each field with its length and a letter (``*``:
removed).  Options that came from outside have two hyphens since 4.94.  The body is behind the first line of
its file.

A message on which Exim works has the first line of its ``-D`` file locked, and is left alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct

from mether.envelope import Recipient
from mether.importing.found import (
    CHUNK,
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
    from typing import Final

NOTIFY: Final = ((2, "NEVER"), (4, "SUCCESS"), (8, "FAILURE"), (16, "DELAY"))
_FIELD: Final = re.compile(rb"(\d{3,})(.) ", re.S)


def read(directory: str, hostname: str) -> Iterator[Found | Unreadable]:
    """What waits in a ``spool_directory``, or its ``input``.  Raises OSError, Wrong."""
    top = os.path.join(directory, "input")
    if not os.path.isdir(top):
        top = directory
        if os.path.basename(os.path.abspath(directory)) != "input":
            raise Wrong(f"{directory}: it has no directory input: it is no spool_directory of Exim")
    errors: list[OSError] = []
    for place, below, names in os.walk(top, onerror=errors.append):
        below.sort()
        known = set(names)
        for name in sorted(names):
            ident, _, kind = name.rpartition("-")
            path = os.path.join(place, name)
            if kind == "H":
                found = _one(directory, path, ident, hostname)
                if found is not None:
                    yield found
            elif kind == "D" and f"{ident}-H" not in known:
                yield Unreadable(path, f"there is no {ident}-H: its envelope is lost, or still to come")
    for error in errors:
        yield Unreadable(str(error.filename), trouble(error))


def _one(directory: str, path: str, ident: str, hostname: str) -> Found | Unreadable | None:
    body = f"{path[:-2]}-D"
    try:
        if _locked(body):
            return Unreadable(path, "Exim is working on it", passing=True)
        try:
            journal = read_file(f"{path[:-2]}-J")
        except FileNotFoundError:
            journal = b""
        found = parse(read_file(path), journal, path, body, hostname)
        if not found.recipients:
            return Unreadable(path, "; ".join(found.problems)) if found.problems else None
    except (OSError, Wrong) as error:
        name = error.filename if isinstance(error, OSError) and error.filename else path
        return Unreadable(str(name), trouble(error))
    found.tried = _tried(directory, ident)
    return found


def parse(data: bytes, journal: bytes, path: str, body: str, hostname: str) -> Found:
    """The message of an -H file, what its -J file says, and the place of its -D file.  Raises Wrong."""
    lines = _Lines(data)
    ident = text_of(lines.next("its id")).removesuffix("-H")
    if ident != os.path.basename(path)[:-2]:
        raise Wrong(f"it says that it is {ident[:80]!r}")
    lines.next("who sent it")
    sender = text_of(lines.next("its sender"))
    arrived = seconds_of(text_of(lines.next("its time")).partition(" ")[0], "the time of arrival")
    options = dict(_options(lines))
    done = {one.lower() for one in _tree(lines)} | {one.lower() for one in journal.splitlines()}
    count = lines.next("how many recipients it has")
    if not count.strip().isdigit() or len(count) > 7:
        raise Wrong(f"{count[:40]!r} where the number of its recipients must be")
    recipients: list[Recipient] = []
    problems: list[str] = []
    for _ in range(int(count)):
        address, orcpt, flags = _recipient(lines.next("a recipient"))
        if address.lower() in done:
            continue
        notify = ",".join(word for bit, word in NOTIFY if flags & bit) or None
        try:
            found = path_of(text_of(address), hostname)
            recipients.append(Recipient(found, orcpt=text_of(orcpt) or None, notify=notify))
        except Wrong as error:
            problems.append(str(error))
    if lines.next("the line before the header"):
        raise Wrong("the number of its recipients is wrong")
    header = _header(data, lines.at)
    ret = {b"1": "FULL", b"2": "HDRS"}.get(options.get("dsn_ret", b""))

    def pieces() -> Iterator[bytes]:
        yield header + b"\n"
        with open_file(body) as file:
            if not file.readline(256).startswith(ident.encode()):
                raise Wrong(f"{body}: it is no body of {ident}")
            while piece := file.read(CHUNK):
                yield piece

    return Found(
        f"{ident} {arrived:.0f}",
        path,
        sender_of(sender, hostname),
        recipients,
        arrived,
        pulled(pieces),
        hold="frozen in Exim's queue" if "frozen" in options else None,
        ret=ret,
        envid=text_of(options["dsn_envid"]) if options.get("dsn_envid") else None,
        smtputf8="smtputf8" in options,
        problems=problems,
    )


class _Lines:
    """Lines of the file, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def next(self, what: str) -> bytes:
        """The next line.  Raises Wrong."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise Wrong(f"it ends before {what}")
        line, self.at = self.data[self.at : end], end + 1
        return line

    def skip(self, octets: int) -> None:
        self.at += octets + 1
        if self.at > len(self.data):
            raise Wrong("it ends within an option")


def _options(lines: _Lines) -> Iterator[tuple[str, bytes]]:
    """The options by name; of those that are variables the value is passed over."""
    while lines.data[lines.at : lines.at + 1] == b"-":
        name, _, value = lines.next("its options").lstrip(b"-").partition(b" ")
        word = name.partition(b"(")[0].decode("latin-1")
        if word in ("acl", "aclc", "aclm"):
            length = value.split()[-1:] or [b""]
            if not length[0].isdigit() or len(length[0]) > 9:
                raise Wrong(f"{value[:40]!r} where the length of a variable must be")
            lines.skip(int(length[0]))
        yield word, value


def _tree(lines: _Lines) -> Iterator[bytes]:
    """The addresses that are done: a binary tree in the order of its nodes, each saying whether it has a left
    and a right one."""
    left = 1
    while left:
        line = lines.next("the end of those that are done")
        if line == b"XX":
            left -= 1
            continue
        if len(line) < 4 or line[0:1] not in b"YN" or line[1:2] not in b"YN" or line[2:3] != b" ":
            raise Wrong(f"{line[:40]!r} where a recipient that is done must be")
        left += line[:2].count(b"Y") - 1
        yield line[3:]


def _recipient(line: bytes) -> tuple[bytes, bytes, int]:
    """Address, ORCPT and flags of a recipient's line."""
    if not line.endswith(b"#3"):
        if line.endswith(b"#1"):
            line = line.rpartition(b" ")[0].rpartition(b" ")[0].rstrip()
        elif re.search(rb" \d+(,\d+)*$", line):
            line = line.partition(b" ")[0]
        return line, b"", 0
    # From the end: the errors address with its length, before it the ORCPT with its own.
    head, _, numbers = line[:-2].rpartition(b" ")
    errors = numbers.partition(b",")[0]
    if not errors.isdigit() or len(errors) > 6:
        raise Wrong(f"{line[-40:]!r} where a recipient must be")
    head = head[: len(head) - int(errors)].rstrip(b" ") if int(errors) else head.rstrip(b" ")
    head, _, numbers = head.rpartition(b" ")
    length, _, flags = numbers.partition(b",")
    if not (length.isdigit() and flags.isdigit()) or len(length) > 6 or len(flags) > 9:
        raise Wrong(f"{line[-40:]!r} where a recipient must be")
    size = int(length)
    orcpt = head[len(head) - size :] if size else b""
    return head[: len(head) - size].rstrip(b" "), orcpt, int(flags)


def _header(data: bytes, at: int) -> bytes:
    """The fields that stand, one after the other."""
    fields = []
    while at < len(data):
        head = _FIELD.match(data, at)
        if head is None or len(head[1]) > 9:
            raise Wrong("a field of its header has no length")
        at = head.end() + int(head[1])
        if at > len(data):
            raise Wrong("it ends within its header")
        if head[2] != b"*":
            fields.append(data[head.end() : at])
    return b"".join(fields)


def _locked(path: str) -> bool:
    """Whether a process works on the message.  Raises OSError, Wrong."""
    with open_file(path) as file:
        lock = struct.pack("hhqqixxxx", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(file.fileno(), fcntl.F_GETLK, lock)
        return bool(struct.unpack("hhqqixxxx", answer)[0] != fcntl.F_UNLCK)


def _tried(directory: str, ident: str) -> list[str]:
    """The end of the log of the message."""
    for place in ("", ident[5:6]):
        try:
            data = read_file(os.path.join(directory, "msglog", place, ident))
        except (OSError, Wrong):
            continue
        return [shown(line) for line in data[-2000:].decode("utf-8", "replace").splitlines()[-2:]]
    return []
