"""Suppression lists in files: one address a line, tables with a header, JSON.

`read` tells the form by the first line that says anything:

- ``[`` or ``{``: JSON.  An object a line is read line by line; else each object that stands in an array is a
  record, wherever that array is, so that what a service's interface answers can be given as it came;
- a line of columns of which one is called like an address: a table, with commas, semicolons or tabs between;
- anything else: an address a line, with a date and a reason behind it, if there are any.  Lines that begin
  with ``#`` are comments.

It gives the addresses, each with the number of its line, and `Unusable` for what is none: one record, and
never what follows it.  It reads a piece at a time, whatever the lengths of lines, and keeps nothing.

Limits: MAX_RECORD octets of a line or an object; MAX_LINES lines of a record that spreads over several.
Raises OSError as the file does, and `Wrong` for a file in another encoding.
"""

from __future__ import annotations

import json
import re

from mether.importing.found import Wrong
from mether.importing.suppression_fields import ADDRESS, Usual, moment, name, suppressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO, Final

    from mether.queue.suppressed_row import Suppressed

    Item = tuple[int, Suppressed] | "Unusable"
    Line = tuple[int, str | None]

MAX_RECORD: Final = 64 * 1024
MAX_LINES: Final = 20
PIECE: Final = 64 * 1024

_MARKS: Final = re.compile(r'["\\{}\[\]\n]')
_BESIDE: Final = re.compile(r"[\s,;]+")


class Unusable:
    """A record that cannot be taken: the number of its first `line`, and `why`."""

    __slots__ = ("line", "why")

    def __init__(self, line: int, why: str) -> None:
        self.line = line
        self.why = why


def read(file: BinaryIO, usual: Usual) -> Iterator[tuple[int, Suppressed] | Unusable]:
    """The addresses of a file, each with the number of its line, and what could not be taken."""
    lines = _lines(file)
    for number, line in lines:
        if line is None:
            yield Unusable(number, _TOO_LONG)
            if number == 1:
                return  # there is no telling what it is
            continue
        if number == 1 and line.startswith("\ufeff"):
            line = line[1:]
        start = line.strip()
        if not start or start.startswith("#"):
            continue
        if start[0] in "[{":
            yield from _json(number, line, lines, file, usual)
            return
        comma = _comma(start)
        if comma:
            yield from _table(number, line, comma, lines, usual)
            return
        yield from _plain(number, line, lines, usual)
        return


_TOO_LONG: Final = f"longer than {MAX_RECORD // 1024} KiB"


def _lines(file: BinaryIO) -> Iterator[Line]:
    """The lines with their numbers, None for one that is too long.  Raises Wrong."""
    number = 0
    while data := file.readline(MAX_RECORD + 1):
        number += 1
        if number == 1 and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise Wrong("it is UTF-16: save it as UTF-8")
        if len(data) > MAX_RECORD and not data.endswith(b"\n"):
            if number == 1 and data.lstrip(b"\xef\xbb\xbf \t")[:1] in (b"[", b"{"):
                while len(data) < MAX_RECORD + 8 and _cut(data):
                    data += file.read(1)
                yield number, data.decode("utf-8", "replace")
                continue  # JSON needs no lines
            while data and not data.endswith(b"\n"):
                data = file.readline(PIECE)
            yield number, None
            continue
        yield number, data.decode("utf-8", "replace")


def _cut(data: bytes) -> bool:
    """Whether it ends within a character."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end == len(data) and error.start > len(data) - 4
    return False


def _taken(
    number: int, record: Mapping[str, object], usual: Usual
) -> Iterator[tuple[int, Suppressed] | Unusable]:
    try:
        one = suppressed(record, usual)
    except ValueError as error:
        yield Unusable(number, str(error))
    else:
        if one is not None:
            yield number, one


# An address a line


def _plain(
    number: int, line: str, lines: Iterator[Line], usual: Usual
) -> Iterator[tuple[int, Suppressed] | Unusable]:
    following: str | None = line
    while True:
        if following is None:
            yield Unusable(number, _TOO_LONG)
        else:
            words = following.strip()
            if words and not words.startswith("#"):
                yield from _taken(number, _parted(words), usual)
        try:
            number, following = next(lines)
        except StopIteration:
            return


def _parted(words: str) -> dict[str, object]:
    """The address, the date and the reason on a line."""
    end = 0
    if words.startswith('"'):
        end = max(words.find('"@', 1), 0)
    match = _BESIDE.search(words, end)
    if match is None:
        return {"address": words}
    record: dict[str, object] = {"address": words[: match.start()]}
    rest = words[match.end() :].strip()
    for many in (2, 1):  # a date may have its time behind it
        parts = rest.split(maxsplit=many)
        if len(parts) >= many and moment(" ".join(parts[:many]).strip(",;")) is not None:
            date = " ".join(parts[:many]).strip(",;")
            if not date.isdecimal() or len(date) >= 9:  # 550 is a reply, and no time
                record["date"] = date
                rest = parts[many] if len(parts) > many else ""
                break
    record["reason"] = rest.strip().strip('"').strip(",; ")
    return record


# Tables


def _comma(header: str) -> str:
    """What stands between the columns of a header, "" where it is none."""
    for comma in ("\t", ";", ","):
        cells = [name(cell) for cell in header.split(comma)]
        if any(cell in ADDRESS for cell in cells):
            return comma
    return ""


def _table(
    number: int, header: str, comma: str, lines: Iterator[Line], usual: Usual
) -> Iterator[tuple[int, Suppressed] | Unusable]:
    import csv

    def cells(record: str) -> list[str]:
        return next(csv.reader([record], delimiter=comma, skipinitialspace=True), [])

    columns = cells(header.strip())
    held: list[Line] = []
    while True:
        try:
            number, line = held.pop(0) if held else next(lines)
        except StopIteration:
            return
        if line is None:
            yield Unusable(number, _TOO_LONG)
            continue
        if not line.strip():
            continue
        record = line
        if line.count('"') % 2:
            # A quoted cell goes on, or a quote stands alone.
            more, whole = _quoted(line, held, lines)
            if more is None:
                held = whole
                yield Unusable(number, "a quotation mark without another")
                continue
            record, held = more, whole
        try:
            row = cells(record.rstrip("\r\n").replace("\r\n", " ").replace("\n", " "))
        except csv.Error as error:
            yield Unusable(number, str(error))
            continue
        yield from _taken(number, dict(zip(columns, row, strict=False)), usual)


def _quoted(line: str, held: list[Line], lines: Iterator[Line]) -> tuple[str | None, list[Line]]:
    """The record that begins with this line and goes on in the next, and what is held then; None for none."""
    taken: list[Line] = []
    record, waiting = line, list(held)
    while len(taken) < MAX_LINES and len(record) < MAX_RECORD:
        following = waiting.pop(0) if waiting else next(lines, None)
        if following is None:
            break
        taken.append(following)
        if following[1] is None:
            break
        record += following[1]
        if record.count('"') % 2 == 0:
            return record, waiting
    return None, taken + waiting


# JSON


def _json(
    number: int, line: str, lines: Iterator[Line], file: BinaryIO, usual: Usual
) -> Iterator[tuple[int, Suppressed] | Unusable]:
    first = _object(line)
    if first is None or not any(name(key) in ADDRESS for key in first):
        yield from _stream(number, line, file, usual)
        return
    yield from _taken(number, first, usual)
    for number, following in lines:
        if following is None:
            yield Unusable(number, _TOO_LONG)
        elif following.strip():
            record = _object(following)
            if record is None:
                yield Unusable(number, "no JSON object")
            else:
                yield from _taken(number, record, usual)


def _object(written: str) -> dict[str, object] | None:
    """The JSON object that a text is, or None."""
    try:
        found = json.loads(written)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _stream(
    number: int, start: str, file: BinaryIO, usual: Usual
) -> Iterator[tuple[int, Suppressed] | Unusable]:
    """The objects that stand in arrays, of a text that is read a piece at a time."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    scanner = _Scanner(number)
    piece, any_ = start, False
    while piece:
        for line, written in scanner.feed(piece):
            any_ = True
            record = None if written is None else _object(written)
            if written is None:
                yield Unusable(line, _TOO_LONG)
            elif record is None:
                yield Unusable(line, "no JSON object")
            elif "href" not in record or any(name(key) in ADDRESS for key in record):
                yield from _taken(line, record, usual)
            # else it leads to the next page of an answer
        data = file.read(PIECE)
        piece = decoder.decode(data) if data else ""
    if scanner.open:
        yield Unusable(scanner.line, "the JSON ends in the middle")
    elif not any_ and "{" in start:
        yield Unusable(number, "expected JSON objects in an array, or one a line")


class _Scanner:
    """Finds the objects in arrays of a JSON text that comes in pieces, outermost ones first."""

    def __init__(self, line: int) -> None:
        self.line = line
        self._stack: list[str] = []
        self._text = False
        self._escaped = False
        self._parts: list[str] | None = None
        self._length = 0
        self._depth = 0
        self._began = line

    @property
    def open(self) -> bool:
        """Whether something has begun and not ended."""
        return bool(self._stack) or self._text

    def feed(self, piece: str) -> Iterator[tuple[int, str | None]]:
        """The objects that are complete with this piece, with the lines they begin on; None: too long."""
        start = 0
        at = -1
        for match in _MARKS.finditer(piece):
            place, mark = match.start(), match[0]
            if self._escaped:
                self._escaped = False
                if place == at + 1:
                    continue
            if mark == "\n":
                self.line += 1
            elif mark == "\\":
                if self._text:
                    self._escaped = True
                    at = place
            elif mark == '"':
                self._text = not self._text
            elif self._text:
                continue
            elif mark in "{[":
                if mark == "{" and self._parts is None and self._stack[-1:] == ["["]:
                    self._parts, self._length, start = [], 0, place
                    self._depth, self._began = len(self._stack), self.line
                self._stack.append(mark)
            elif self._stack:
                self._stack.pop()
                if self._parts is not None and len(self._stack) == self._depth:
                    self._keep(piece[start : place + 1])
                    parts, self._parts = self._parts, None
                    yield self._began, "".join(parts) if self._length <= MAX_RECORD else None
        if self._escaped and at < len(piece) - 1:
            self._escaped = False  # what it escaped was no mark
        if self._parts is not None:
            self._keep(piece[start:])

    def _keep(self, part: str) -> None:
        self._length += len(part)
        if self._parts is not None and self._length <= MAX_RECORD:
            self._parts.append(part)
