"""The rows of a damaged queue database, as a repair reads them: from its pages, its log, and its indexes.

Nothing here writes.  `Source.rows` gives what is reached from a table's root, and `Source.lost` what stands
on pages to which no way leads, if a part of the table was lost.  The latter may be of the past, and so may a
page whose last image in the log is damaged: this is told of each row.
"""

from __future__ import annotations

import os

import apsw

from mether.queue import sql
from mether.queue.database import FILE, PAGE, SCHEMA_VERSION
from mether.queue.fsck_pages import INDEX, MAGIC, TABLE, Broken, Pages, Tree, free, holds_rows, leaves
from mether.queue.fsck_rows import Table, described
from mether.queue.fsck_sqlite import log
from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mether.queue.fsck_pages import Values


class Source:
    """The database of the spool `path`.

    `trouble` gathers what could not be read, `broken` the tables of which a part was lost.
    """

    def __init__(self, path: str) -> None:
        self._file = os.path.join(path, FILE)
        self._wal, wrong = log(self._file)
        self.trouble: list[str] = [wrong] if wrong else []
        self._fds = [_opened(self._file), _opened(f"{self._file}-wal")]
        size = os.fstat(self._fds[0]).st_size if self._fds[0] >= 0 else 0
        head = self._octets(0, 100, 0) or b""
        whole = head.startswith(MAGIC)
        page = int.from_bytes(head[16:18], "big") if whole else 0
        self._size = self._wal.page or (65536 if page == 1 else page) or PAGE
        if self._size < 512 or self._size & (self._size - 1):
            self._size = PAGE
        reserved = head[20] if whole and head[20] < 64 else 0
        count = max(size // self._size, self._wal.size)
        self._pages = Pages(self._page, count, self._size - reserved)
        self.version = self._version()
        self.tables: dict[str, Table] = {}
        self.statements: list[str] = []
        self.broken: set[str] = set()
        self._roots: dict[str, int] = {}
        self._indexes: dict[str, list[int]] = {}
        self._free = free(self._pages)
        self._visited: set[int] = set()
        self._orphans: dict[str, list[int]] | None = None
        self._schema()

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._fds:
            if fd >= 0:
                os.close(fd)
        self._fds = [-1, -1]

    def _octets(self, at: int, size: int, which: int) -> bytes | None:
        fd = self._fds[which]
        if fd < 0:
            return None
        try:
            return os.pread(fd, size, at)
        except OSError:
            return None

    def _page(self, number: int) -> bytes | None:
        at = self._wal.pages.get(number)
        if at is not None:
            return self._octets(at, self._size, 1)
        return self._octets((number - 1) * self._size, self._size, 0)

    def _version(self) -> int:
        try:
            head = self._pages.page(1)
        except Broken:
            return SCHEMA_VERSION
        version = int.from_bytes(head[60:64], "big")
        if not head.startswith(MAGIC):
            return SCHEMA_VERSION
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self._file}: its schema is {version}, and this mether knows {SCHEMA_VERSION}: "
                "it is for the mether that wrote it to repair"
            )
        return version or SCHEMA_VERSION

    def _schema(self) -> None:
        """The tables, where they begin, and the statements that made them."""
        master = Tree(self._pages, 1, TABLE)
        now = _tables([sql.text("schema.sql")])
        rows = [values for _, _, values in master.rows()]
        self._visited |= master.visited
        made = [row[4] for row in rows if len(row) == 5 and isinstance(row[4], str)]
        tables = _tables([str(one) for one in made if str(one).startswith(("CREATE TABLE", "CREATE INDEX"))])
        for row in rows:
            if len(row) != 5 or not isinstance(row[3], int):
                continue
            if row[0] == "table" and isinstance(row[1], str):
                self._roots[row[1]] = row[3]
            elif row[0] == "index" and isinstance(row[2], str):
                self._indexes.setdefault(row[2], []).append(row[3])
        if master.trouble or not tables.keys() >= set(_EVER):
            self.trouble += master.trouble or ["the list of tables cannot be read"]
            self.version = SCHEMA_VERSION
            self.tables = now | {name: tables[name] for name in tables.keys() & now.keys()}
        else:
            self.tables = tables
            self.statements = [str(one) for one in made]

    def rows(self, name: str) -> Iterator[tuple[Values, bool]]:
        """Values and doubt of each row of a table; last columns that have defaults may be missing."""
        table = self.tables.get(name)
        if table is None:
            return
        tree = Tree(self._pages, self._roots.get(name, 0), TABLE if table.rowid else INDEX)
        odd = 0
        for page, rowid, values in tree.rows():
            row = table.row(rowid, values)
            if row is None:
                odd += 1
            else:
                yield row, page in self._wal.stale
        self._visited |= tree.visited
        self.trouble += (f"{name}: {line}" for line in tree.trouble)
        if odd:
            self.trouble.append(f"{name}: {odd} rows hold what they cannot")
        if odd or tree.trouble:
            self.broken.add(name)

    def lost(self, name: str) -> Iterator[Values]:
        """The rows of a table, if it is broken, on pages to which no way leads.

        Called when all tables have been read.
        """
        if name not in self.broken:
            return
        if self._orphans is None:
            self._orphans = self._find()
        table = self.tables[name]
        for number in self._orphans.get(name, []):
            data = self._page(number)
            for rowid, values in leaves(self._pages, number, data or b"", [], set()):
                row = table.row(rowid, values)
                if row is not None:
                    yield row

    def _find(self) -> dict[str, list[int]]:
        """The pages to which no way leads, by the one table whose rows stand there."""
        for roots in self._indexes.values():
            for root in roots:
                tree = Tree(self._pages, root, INDEX)
                for _ in tree.rows():
                    pass
                self._visited |= tree.visited
        orphans: dict[str, list[int]] = {}
        for number in range(2, self._pages.count + 1):
            if number in self._visited or (self._free is not None and number in self._free):
                continue
            data = self._page(number)
            kind = holds_rows(data) if data is not None and len(data) >= self._pages.usable else 0
            if not kind or data is None:
                continue
            rows = list(leaves(self._pages, number, data, [], set()))
            fit = [
                name
                for name, table in self.tables.items()
                if table.rowid == (kind == TABLE) and table.fits(rows)
            ]
            if len(fit) == 1:
                orphans.setdefault(fit[0], []).append(number)
        return orphans

    def indexed(self, name: str) -> Iterator[Values]:
        """What the indexes of a table hold: their columns, then the row's key."""
        for root in self._indexes.get(name, []):
            for _, _, values in Tree(self._pages, root, INDEX).rows():
                yield values


_EVER = ("message", "content", "recipient", "next_hop", "attempt", "key")
"""The tables that every version has had."""


def _tables(statements: list[str]) -> dict[str, Table]:
    """The tables that the statements make, as far as they can be carried out."""
    tables: dict[str, Table] = {}
    with apsw.Connection(":memory:") as db:
        for statement in statements:
            try:
                db.execute(statement)
            except apsw.Error:
                continue
        made = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        for name, text in db.execute(made).fetchall():
            found: Any = db.execute(f'PRAGMA table_info("{name}")').fetchall()
            rowid = "WITHOUT ROWID" not in str(text).upper()
            tables[str(name)] = described(str(name), found, rowid=rowid)
    return tables


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
