"""What can be read of a damaged database, copied into a new one of the same schema.

A row that is found in two places is taken where it was reached from its table's root.  `Copy.doubtful` are
the messages of which a row may be of the past (see `fsck_source`), `Copy.lost` the recipients that are known
from an index alone, which does not say who they are.
"""

from __future__ import annotations

import apsw

from mether.queue import sql
from mether.queue.database import PAGE, SCHEMA_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.queue.fsck_pages import Values
    from mether.queue.fsck_source import Source

_OWNER: Final = "owner"
"""Not copied: none of them lives."""
_TOTAL: Final = "total"
"""Its one row is there in a new database."""
_OF_MESSAGE: Final = {"content": "id", "recipient": "message", "attempt": "message", "transcript": "message"}
"""The tables whose rows belong to a message, and the column that says to which."""


def create(file: str, source: Source) -> apsw.Connection:
    """A new database with the tables that the damaged one has, to be filled by this connection alone."""
    db = apsw.Connection(file, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    db.execute(f"PRAGMA page_size={PAGE}; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF")
    made = [sql.text("schema.sql")]
    if source.version != SCHEMA_VERSION:
        made = [one for one in source.statements if " sqlite_" not in one]
    db.execute(f"BEGIN;{';'.join(made)};PRAGMA user_version={source.version};COMMIT")
    return db


class Copy:
    """One copying, into an open transaction of `db`."""

    def __init__(self, source: Source, db: apsw.Connection) -> None:
        self._source = source
        self._db = db
        self.doubtful: set[int] = set()
        self.lost: dict[int, set[int]] = {}

    def run(self) -> None:
        """Copy everything."""
        source = self._source
        there = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        names = [name for name in source.tables if name in there]
        for name in names:
            for row, doubt in source.rows(name):
                if name != _OWNER:
                    self._put(name, row, doubt)
        for name in names:
            for row in source.lost(name):
                if name != _OWNER and (name not in _OF_MESSAGE or self._wanted(name, row)):
                    self._put(name, row, True)
        if "next_hop" in source.broken:
            self._hops()
        if "recipient" in source.broken:
            self._recipients()

    def _columns(self, name: str) -> list[str]:
        return [column.name for column in self._source.tables[name].columns]

    def _message(self, name: str, row: Values) -> int | None:
        """The message to which a row belongs."""
        column = "id" if name == "message" else _OF_MESSAGE.get(name)
        if column is None:
            return None
        number = row[self._columns(name).index(column)]
        return number if isinstance(number, int) else None

    def _put(self, name: str, row: Values, doubt: bool) -> None:
        names = ",".join(f'"{column}"' for column in self._columns(name)[: len(row)])
        verb = "REPLACE" if name == _TOTAL else "INSERT OR IGNORE"
        try:
            self._db.execute(f'{verb} INTO "{name}" ({names}) VALUES ({",".join("?" * len(row))})', row)
        except (apsw.Error, UnicodeError, OverflowError) as error:
            self._source.broken.add(name)
            self._source.trouble.append(f"{name}: a row cannot be stored: {error}")
            return
        number = self._message(name, row)
        if doubt and number is not None and self._db.changes():
            self.doubtful.add(number)

    def _wanted(self, name: str, row: Values) -> bool:
        """Whether what stands on a page to which no way leads belongs to a message that may be there.

        Where all messages could be read, the rows of others are of the past.
        """
        if "message" in self._source.broken:
            return True
        found = self._db.execute("SELECT 1 FROM message WHERE id = ?", (self._message(name, row),))
        return found.fetchone() is not None

    def _hops(self) -> None:
        """Next hops that the table has lost and its index of names has not."""
        for values in self._source.indexed("next_hop"):
            # Up to version 3 a next hop had no `via`.
            names = ("transport", "next_hop", "helo", *(["via"] if len(values) > 4 else []), "id")
            if [type(value) for value in values] == [*[str] * (len(names) - 1), int]:
                marks = ",".join("?" * len(names))
                insert = f"INSERT OR IGNORE INTO next_hop ({','.join(names)}) VALUES ({marks})"
                self._db.execute(insert, values)

    def _recipients(self) -> None:
        """Recipients of which only an index knows."""
        for values in self._source.indexed("recipient"):
            key = values[-2:]
            if [type(value) for value in key] != [int, int]:
                continue
            found = self._db.execute("SELECT 1 FROM recipient WHERE message = ? AND number = ?", key)
            if found.fetchone() is None:
                message, number = key
                self.lost.setdefault(int(message or 0), set()).add(int(number or 0))
