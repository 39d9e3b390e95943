"""Tables in files: lists and maps, and how any file that decides about mail is read again when it changes.

A line for each key, and behind white space what the table says of it:

    # who is here
    ann@example.org
    sales@example.org      ann@example.org, bob@example.org
    @old.example.org       @example.org
    "odd name"@example.org

A ``#`` at the start of a line or after white space begins a comment.  The text is UTF-8; keys are kept as
they are asked for (`routing.request.address_key`): in lower case, domains as A-labels, without quotes.

A `Reread` looks at its file at most once in `CHECK` seconds, and what is there has to be as good as what was
there before: where it cannot be read, or is wrong, every look-up raises TableError, with file and line.  It
is never taken for empty, and the older one is not used any more.  In an event loop a large file is read in a
thread: until that is done, `get` raises Needs.  Whoever replaces a file should do it by renaming a whole one,
as editors do: one that is being written in place is noticed only while its last line has no end.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from mether.address import AddressError, ascii_domain, unquote
from mether.routing.source import Condition, Needs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    Parse = Callable[[bytes, str], Mapping[str, str]]
    Stamp = tuple[int, int, int, int, int]

CHECK: Final = 1.0
"""Seconds for which a file is taken to be what it was."""
MAX_FILE: Final = 64 << 20
"""Octets of a table."""
MAX_ENTRIES: Final = 1_000_000
MAX_LINE: Final = 10_000
"""Characters of a line."""
AT_ONCE: Final = 1 << 20
"""Octets of a file that is read while the others wait: a larger one is read in a thread."""
NEVER: Final = float("-inf")
_SETTLED: Final = 2.0
"""Seconds after which a file that is written again has another time: clocks of file systems are coarse."""
_TEXT: Final = bytes(octet for octet in range(256) if (octet >= 32 and octet != 127) or octet in b"\t\n\r")


class Reread:
    """A `routing.source.Source` out of a file: what `parse` makes of it, and anew whenever it has changed.

    `parse` is given the octets and the file's name, and raises ValueError: one line that begins with the name
    and, where there is one, the line's number.  `name` is what the configuration calls it, the path if that
    is left out; `clock` gives seconds that only go on, `wall` those of the file's times.
    """

    __slots__ = (
        "_checked",
        "_clock",
        "_fresh",
        "_parse",
        "_reading",
        "_stamp",
        "_trouble",
        "_value",
        "_wall",
        "condition",
        "name",
        "path",
    )

    def __init__(
        self,
        path: str,
        parse: Parse,
        name: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.name = name or path
        self._parse = parse
        self._clock = clock
        self._wall = wall
        self._checked = NEVER
        self._stamp: Stamp | None = None
        self._fresh = True
        self._value: Mapping[str, str] = {}
        self._trouble = ""
        self.condition = Condition()
        self._reading: asyncio.Future[None] | None = None

    def get(self, key: str) -> str | None:
        """What it has for the key.  Raises TableError or Needs."""
        return self.current(key).get(key)

    def first(self, keys: Sequence[str]) -> str | None:
        """What it has for the first of the keys that it knows.  Raises TableError or Needs."""
        table = self.current(keys[0])
        for key in keys:
            if key in table:
                return table[key]
        return None

    def current(self, key: str = "") -> Mapping[str, str]:
        """The whole table as the file has it now.  Raises TableError, or Needs for the sake of `key`."""
        now = self._clock()
        if not 0 <= now - self._checked < CHECK:
            self._look(key)
            self._checked = now
        if self._trouble:
            raise self.condition.bad(self._trouble)
        return self._value

    def load(self) -> Mapping[str, str]:
        """Read the file if it has changed, however large it is.  Raises TableError."""
        try:
            return self.current()
        except Needs:  # in an event loop, which waits for it now
            self._take(self._read())
            return self.current()

    def check(self) -> None:
        """Whether the file can be used.  Raises TableError."""
        self.load()

    async def learn(self, key: str) -> None:
        """Read the file in a thread; everybody who asks meanwhile waits for the same."""
        import asyncio

        if self._reading is None:
            reading = asyncio.get_running_loop().run_in_executor(None, self._read)
            self._reading = asyncio.ensure_future(self._taken(reading))
        await asyncio.shield(self._reading)

    async def _taken(self, reading: asyncio.Future[_Read]) -> None:
        try:
            self._take(await reading)
        finally:
            self._reading = None

    def _look(self, key: str) -> None:
        """Read it where it is not what was read."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            self._take(_Read(None, {}, f"{self.path}: {error.strerror or error}"))
            return
        if not self._fresh and _stamp(found) == self._stamp:
            return
        if self._reading is not None or (found.st_size > AT_ONCE and _in_loop()):
            raise Needs(self, key)
        self._take(self._read())

    def _take(self, read: _Read) -> None:
        self._stamp, self._value, self._trouble, self._fresh = (
            read.stamp,
            read.value,
            read.trouble,
            read.fresh,
        )
        self._checked = self._clock()
        if not self._trouble:
            self.condition.good(self.path)

    def _read(self) -> _Read:
        """The file and what is wrong with it: nothing of this object changes, so that a thread may do it."""
        try:
            with open(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    return _Read(None, {}, f"{self.path}: expected a file, and this is none")
                data: bytes | None = file.read(MAX_FILE + 1)
                after = os.fstat(file.fileno())
        except OSError as error:
            return _Read(None, {}, f"{self.path}: {error.strerror or error}")
        if data is None:  # a file of the kernel's that would have us wait
            return _Read(None, {}, f"{self.path}: expected a file, and this is none")
        stamp, wall = _stamp(before), self._wall()
        # Written once more at the same moment it may look the same: it is read again until that is over.
        fresh = abs(wall - before.st_mtime) < _SETTLED or abs(wall - before.st_ctime) < _SETTLED
        half = fresh and self._stamp not in (None, stamp) and not data.endswith(b"\n")
        if half or stamp != _stamp(after):
            return _Read(
                None, {}, f"{self.path}: is being written; expected a whole one that is renamed to it"
            )
        if len(data) > MAX_FILE:
            return _Read(stamp, {}, f"{self.path}: larger than {MAX_FILE >> 20} MiB", fresh)
        try:
            return _Read(stamp, self._parse(data, self.path), "", fresh)
        except ValueError as error:
            return _Read(stamp, {}, str(error), fresh)


class _Read:
    """What came of reading: the file's `stamp`, None where it was not read; its `value` or the `trouble`; and
    whether it is so `fresh` that it has to be read again."""

    __slots__ = ("fresh", "stamp", "trouble", "value")

    def __init__(
        self, stamp: Stamp | None, value: Mapping[str, str], trouble: str, fresh: bool = True
    ) -> None:
        self.stamp = stamp
        self.value = value
        self.trouble = trouble
        self.fresh = fresh


class Table(Reread):
    """The list or the map in a file."""

    __slots__ = ()

    def __init__(
        self,
        path: str,
        name: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(path, parse, name, clock=clock, wall=wall)


def text_of(data: bytes, path: str) -> str:
    """The octets of a table as text.  Raises ValueError for what is no text."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: expected UTF-8, and an octet is not") from None
    if control := data.translate(None, _TEXT):
        line = data.count(b"\n", 0, data.index(control[:1])) + 1
        raise ValueError(f"{path}:{line}: expected text, and there is a control character")
    return text.removeprefix("\ufeff")


def parse(data: bytes, path: str) -> dict[str, str]:
    """The table in the octets; `path` is the file in errors.  Raises ValueError."""
    table: dict[str, str] = {}
    text = text_of(data, path)
    # Almost every line is a plain key in lower case: the others are looked at one by one.
    plain = text.isascii() and '"' not in text and "#" not in text
    number = 0
    try:
        for line in text.split("\n"):
            number += 1
            words = line.split(None, 1) if plain else _words(line)
            if not words:
                continue
            if len(line) > MAX_LINE:
                raise ValueError(f"longer than {MAX_LINE} characters")
            key = words[0].lower() if plain else normal_key(words[0])
            if key[-1] == ":":
                raise ValueError(f'expected a key, and {key[:80]!r} has a colon: is it of format "aliases"?')
            value = words[1].strip() if len(words) > 1 else ""
            if table.setdefault(key, value) != value:
                raise ValueError(f"{key[:80]} has a line already, which says something else")
    except ValueError as error:
        raise ValueError(f"{path}:{number}: {error}") from None
    if len(table) > MAX_ENTRIES:
        raise ValueError(
            f"{path}: more than {MAX_ENTRIES} entries: expected them in a database (sqlite = ...)"
        )
    return table


def normal_key(text: str) -> str:
    """A key as it is asked for: an address, ``@domain``, a domain, ``.domain`` or a name.

    Raises ValueError for a domain that has no A-labels.
    """
    local, at, domain = text.rpartition("@")
    local = unquote(local).lower()
    if domain.isascii():
        return f"{local}{at}{domain.lower()}"
    if not at and "." not in domain:
        return domain.lower()  # a name, such as a local-part alone
    try:
        return f"{local}{at}{'.' if domain[0] == '.' else ''}{ascii_domain(domain.removeprefix('.'))}"
    except AddressError as error:
        raise ValueError(f"{text[:80]!r}: {error}") from None


def _words(line: str) -> list[str]:
    """The key and the value of a line, nothing where there is none.  Raises ValueError for an open quote."""
    line = line.strip()
    end = 0
    if line.startswith('"'):
        end = 1
        while end < len(line) and line[end] != '"':
            end += 2 if line[end] == "\\" else 1
        end += 1
        if end > len(line):
            raise ValueError('expected a second " behind the local-part')
    comment = line.find("#", end)
    while comment > 0 and not line[comment - 1].isspace():
        comment = line.find("#", comment + 1)
    line = line if comment < 0 else line[:comment]
    while end < len(line) and not line[end].isspace():
        end += 1
    return [line[:end], line[end:]] if line else []


def _in_loop() -> bool:
    """Whether others wait while we do.  A program that has not loaded asyncio has no loop, and need not."""
    loaded = sys.modules.get("asyncio")
    return loaded is not None and loaded._get_running_loop() is not None


def _stamp(found: os.stat_result) -> Stamp:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
