"""The rows of a damaged SQLite database, read from its pages.  Pure but for the function that gives a page.

SQLite stops at the first page that it cannot read.  `Tree` goes on: it yields each row that is whole on every
page that can be reached from a table's root, and notes what is wrong.  `leaves` yields the rows of one page
to which no way leads any more, and `free` tells which pages are not in use, whose rows are of the past.

The layout is that of https://sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from struct import Struct, error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    Value = int | float | str | bytes | None
    Values = list[Value]

TABLE: Final = 13
"""A leaf of a table with a rowid."""
INDEX: Final = 10
"""A leaf of an index, or of a table without a rowid."""
_INTERIOR: Final = {5: TABLE, 2: INDEX}
MAGIC: Final = b"SQLite format 3\0"
MAX_PAYLOAD: Final = 64 * 1024 * 1024
"""Octets of a row above which its size is taken for damage."""
_DOUBLE = Struct(">d")


class Broken(Exception):
    """This cannot be read; str() says why."""


class Pages:
    """A database's pages: `read` gives one by its number, None for one that cannot be read; `count` is how
    many there are, `usable` how many octets of each hold data."""

    __slots__ = ("count", "read", "usable")

    def __init__(self, read: Callable[[int], bytes | None], count: int, usable: int) -> None:
        self.read = read
        self.count = count
        self.usable = usable

    def page(self, number: int) -> bytes:
        """A page.  Raises Broken."""
        data = self.read(number) if 0 < number <= self.count else None
        if data is None or len(data) < self.usable:
            raise Broken(f"page {number} is not there or cannot be read")
        return data


class Tree:
    """One b-tree, from its root.  After `rows`, `visited` holds its pages and `trouble` what is wrong."""

    def __init__(self, pages: Pages, root: int, leaf: int) -> None:
        self.pages = pages
        self.root = root
        self.leaf = leaf
        self.visited: set[int] = set()
        self.trouble: list[str] = []

    def rows(self) -> Iterator[tuple[int, int, Values]]:
        """Page, rowid (0 where there is none) and values of each row that is whole."""
        waiting = [self.root]
        while waiting:
            number = waiting.pop()
            if number in self.visited:
                self.trouble.append(f"page {number} has two places")
                continue
            try:
                data = self.pages.page(number)
                kind, children = _kind(data, number), _children(data, number)
            except Broken as broken:
                self.trouble.append(str(broken))
                continue
            if _INTERIOR.get(kind, kind) != self.leaf:
                self.trouble.append(f"page {number} is of another kind")
                continue
            self.visited.add(number)
            waiting += reversed(children)
            for rowid, values in leaves(self.pages, number, data, self.trouble, self.visited):
                yield number, rowid, values


def leaves(
    pages: Pages, number: int, data: bytes, trouble: list[str], visited: set[int]
) -> Iterator[tuple[int, Values]]:
    """The rows that stand on this page; the further pages that they need are put into `visited`."""
    try:
        kind, cells = _kind(data, number), _cells(data, number)
    except Broken as broken:
        trouble.append(str(broken))
        return
    if kind == 5:
        return  # keys alone
    for place, at in enumerate(cells):
        try:
            yield _row(pages, data, at, kind, visited)
        except (Broken, IndexError, error, ValueError) as broken:
            trouble.append(f"page {number}: row {place} cannot be read: {broken}")


def holds_rows(data: bytes) -> int:
    """TABLE or INDEX when the page looks like one with rows of that kind, else 0."""
    try:
        kind = _kind(data, 2)
        _cells(data, 2)
    except Broken:
        return 0
    return 0 if kind == 5 else _INTERIOR.get(kind, kind)


def free(pages: Pages) -> set[int] | None:
    """The pages that are not in use, None when that cannot be told."""
    found: set[int] = set()
    try:
        head = pages.page(1)
        if not head.startswith(MAGIC):
            return None
        trunk, left = _u32(head, 32), _u32(head, 36)
        while trunk:
            if trunk in found:
                return None
            data = pages.page(trunk)
            count = _u32(data, 4)
            if count > pages.usable // 4 - 2:
                return None
            found.add(trunk)
            found.update(_u32(data, 8 + 4 * place) for place in range(count))
            trunk = _u32(data, 0)
    except Broken:
        return None
    return found if len(found) == left else None


# A page


def _start(number: int) -> int:
    return 100 if number == 1 else 0


def _kind(data: bytes, number: int) -> int:
    kind = data[_start(number)]
    if kind not in (2, 5, 10, 13):
        raise Broken(f"page {number} is no page of a table")
    return kind


def _cells(data: bytes, number: int) -> list[int]:
    """Where the cells of a page begin.  Raises Broken."""
    start = _start(number)
    first = start + (12 if data[start] in _INTERIOR else 8)
    count = _u16(data, start + 3)
    if first + 2 * count > len(data):
        raise Broken(f"page {number} says that it has {count} rows")
    return [_u16(data, first + 2 * place) for place in range(count)]


def _children(data: bytes, number: int) -> list[int]:
    start = _start(number)
    if data[start] not in _INTERIOR:
        return []
    places = [at for at in _cells(data, number) if at + 4 <= len(data)]
    return [*(_u32(data, at) for at in places), _u32(data, start + 8)]


# A row


def _row(pages: Pages, data: bytes, at: int, kind: int, visited: set[int]) -> tuple[int, Values]:
    if kind == 2:
        at += 4
    size, at = _varint(data, at)
    rowid = 0
    if kind == TABLE:
        rowid, at = _varint(data, at)
        if rowid >= 1 << 63:
            rowid -= 1 << 64
    if size > MAX_PAYLOAD:
        raise Broken(f"it says that it has {size} octets")
    usable = pages.usable
    most = usable - 35 if kind == TABLE else (usable - 12) * 64 // 255 - 23
    local = size
    if size > most:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
    payload = data[at : at + local]
    if at + local > usable or len(payload) < local:
        raise Broken("it goes beyond its page")
    if local < size:
        payload += _overflow(pages, _u32(data, at + local), size - local, visited)
    return rowid, _record(payload)


def _overflow(pages: Pages, number: int, size: int, visited: set[int]) -> bytes:
    pieces = []
    while size > 0:
        data = pages.page(number)
        visited.add(number)
        piece = data[4 : min(pages.usable, 4 + size)]
        pieces.append(piece)
        size -= len(piece)
        number = _u32(data, 0)
    return b"".join(pieces)


def _record(payload: bytes) -> Values:
    head, at = _varint(payload, 0)
    if not 0 < head <= len(payload):
        raise Broken("its header is longer than itself")
    body = head
    values: Values = []
    while at < head:
        kind, at = _varint(payload, at)
        size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 10 else (kind - 12) // 2
        if kind in (10, 11) or body + size > len(payload):
            raise Broken("a value goes beyond its end")
        values.append(_value(kind, payload[body : body + size]))
        body += size
    if body != len(payload):
        raise Broken("it is longer than its values")
    return values


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind < 7:
        return int.from_bytes(data, "big", signed=True)
    if kind == 7:
        number: float = _DOUBLE.unpack(data)[0]
        return number
    if kind < 10:
        return kind - 8
    return data.decode() if kind & 1 else bytes(data)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        octet = data[at + place]
        value = value << 7 | octet & 0x7F
        if octet < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
