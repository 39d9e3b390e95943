"""Which messages of a repaired database are whole, and what a person is given of the others.

A message is whole when its row, its content and a recipient are there and can be read.  What is not is
written as ``ID.eml`` (trace fields and content) and ``ID.json`` (everything else that is known) and taken
out of the queue.  `verdict` decides; the rest carries it out, in one transaction.
"""

from __future__ import annotations

import os

from mether.queue.fsck import Partial
from mether.queue.fsck_aside import octets
from mether.queue.fsck_files import NOT_REGULAR, file_trouble
from mether.queue.fsck_sqlite import name, undecoded
from mether.queue.sqlite_hops import SQL, hop_id, refresh
from mether.queue.sqlite_rows import UNREADABLE, marked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Final

    from mether.queue.database import Database
    from mether.queue.fsck import Report
    from mether.queue.fsck_aside import Aside
    from mether.queue.spool import Spool

DOUBT: Final = "found where the queue was damaged; it may have been delivered before"
TABLES: Final = (
    ("message", "id"),
    ("content", "id"),
    ("recipient", "message"),
    ("attempt", "message"),
    ("transcript", "message"),
)


def verdict(*, envelope: bool, recipients: int, lost: int, content: str, unreadable: str = "") -> str:
    """What is lost of a message, "" when it is whole.

    `envelope` tells whether its row is there, `recipients` how many are known and `lost` how many are not;
    `content` and `unreadable` say what is wrong with its content and its rows, "" for nothing.
    """
    missing = []
    if not envelope:
        missing.append("its reverse-path and times are lost")
    if unreadable:
        missing.append(f"its envelope cannot be read ({unreadable})")
    if lost:
        missing.append("a recipient is lost" if lost == 1 else f"{lost} recipients are lost")
    elif not recipients:
        missing.append("its recipients are lost")
    if content:
        missing.append(f"its content {content}")
    return ", ".join(missing)


class Sorter:
    """Sorts out one database.  `taken` are the files whose content was written elsewhere."""

    def __init__(self, db: Database, spool: Spool, aside: Aside, report: Report, now: float) -> None:
        self._now = now
        self._db = db
        self._spool = spool
        self._aside = aside
        self._report = report
        self.taken: list[str] = []

    def sort(self, lost: dict[int, set[int]], doubtful: set[int]) -> None:
        """Do it all, within a transaction.  Raises OSError."""
        self._settle()
        self._routes()
        self._hold(doubtful)
        unreadable = dict(undecoded(self._db))
        for number in sorted(self._suspects() | lost.keys() | unreadable.keys()):
            self._judge(number, lost.get(number, set()), unreadable.get(number, ""))
        held = "message IN (SELECT id FROM message WHERE hold IS NOT NULL)"
        state = f"CASE WHEN {held} THEN 2 WHEN suspect THEN 3 ELSE 0 END"
        self._db.execute(f"UPDATE recipient SET state = {state}")
        for table, column in TABLES[3:]:
            self._db.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT id FROM message)")
        refresh(self._db, [row[0] for row in self._db.execute("SELECT id FROM next_hop").fetchall()])

    def _settle(self) -> None:
        """No claim outlives this: what was being tried may have been delivered, and is tried alone."""
        db = self._db
        for number, path in db.execute(
            "SELECT message, path FROM recipient WHERE mark = 'remove'"
        ).fetchall():
            self._report.done.append(f"{name(number)}: {path} is removed, as a person had asked")
        db.execute("DELETE FROM recipient WHERE mark = 'remove'")
        db.execute("UPDATE recipient SET suspect = 1 WHERE state = 1")
        self._move()
        db.execute("UPDATE recipient SET owner = NULL, token = NULL, mark = NULL")
        db.execute("UPDATE next_hop SET probe_owner = NULL, probe_token = NULL")

    def _move(self) -> None:
        """What a person sent elsewhere while it was tried goes there."""
        db = self._db
        for number, place, path, mark in db.execute(
            "SELECT message, number, path, mark FROM recipient WHERE mark LIKE 'move %'"
        ).fetchall():
            try:
                route = marked(mark)[1]
            except UNREADABLE:
                continue
            if route is not None:
                hop = hop_id(db, route)
                db.execute(SQL["recipient-obey"], (number, place, hop, self._now))
                self._report.done.append(f"{name(number)}: {path} goes to {route}, as a person had asked")

    def _routes(self) -> None:
        """Recipients whose next hop is lost wait for their domain: when they come due it is decided anew."""
        db = self._db
        lost = "hop NOT IN (SELECT id FROM next_hop)"
        for number, place, path in db.execute(
            f"SELECT message, number, path FROM recipient WHERE {lost}"
        ).fetchall():
            domain = path.rpartition("@")[2] if "@" in path else "localhost"
            route = ("smtp", domain, "")
            db.execute("INSERT OR IGNORE INTO next_hop (transport, next_hop, helo) VALUES (?, ?, ?)", route)
            known = "SELECT min(id) FROM next_hop WHERE transport = ? AND next_hop = ? AND helo = ?"
            changed = "UPDATE recipient SET hop = ?, pinned = 0 WHERE message = ? AND number = ?"
            db.execute(changed, (db.value(known, route), number, place))
            self._report.done.append(f"{name(number)}: the next hop of {path} was lost, and is decided anew")

    def _hold(self, doubtful: set[int]) -> None:
        for number in sorted(doubtful):
            self._db.execute("UPDATE message SET hold = ? WHERE id = ? AND hold IS NULL", (DOUBT, number))
            if self._db.changes():
                self._report.held[name(number)] = DOUBT

    def _suspects(self) -> set[int]:
        """Messages that may not be whole."""
        found: set[int] = set()
        for statement in (
            "SELECT message FROM recipient WHERE message NOT IN (SELECT id FROM message)",
            "SELECT id FROM content WHERE id NOT IN (SELECT id FROM message)",
            "SELECT id FROM message WHERE id NOT IN (SELECT message FROM recipient)",
            "SELECT id FROM message WHERE NOT large AND id NOT IN (SELECT id FROM content)",
            "SELECT m.id FROM message AS m JOIN content AS c USING (id) "
            "WHERE NOT m.large AND length(c.data) <> m.size - length(m.trace)",
        ):
            found.update(row[0] for row in self._db.execute(statement))
        for number, queued in self._db.execute(
            "SELECT id, size - length(trace) FROM message WHERE large"
        ).fetchall():
            if file_trouble(self._spool.where(name(number)), queued):
                found.add(number)
        return found

    def _judge(self, number: int, lost: set[int], unreadable: str) -> None:
        db = self._db
        message = self._row("message", "id", number)
        recipients = list(self._rows("recipient", "message", number))
        content = self._content(number, message)
        what = verdict(
            envelope=bool(message),
            recipients=len(recipients),
            lost=len(lost),
            content=content,
            unreadable=unreadable,
        )
        if not what:
            return
        queued = bool(message and recipients and not content and not unreadable)
        files = [*self._eml(number, message), self._json(number, what, message, recipients, sorted(lost))]
        self._report.partial.append(Partial(name(number), what, files, queued=queued))
        if not queued:
            for table, column in TABLES:
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))
            self._report.held.pop(name(number), None)

    def _content(self, number: int, message: dict[str, Any] | None) -> str:
        """What is wrong with the content, "" for nothing."""
        queued = None if message is None else message["size"] - len(message["trace"])
        if message is not None and message["large"]:
            return file_trouble(self._spool.where(name(number)), queued or 0)
        size = self._db.value("SELECT length(data) FROM content WHERE id = ?", (number,))
        if size is None:
            return "is lost"
        return "" if queued in (None, size) else f"has {size} octets where {queued} were queued"

    def _row(self, table: str, column: str, number: int) -> dict[str, Any] | None:
        return next(self._rows(table, column, number), None)

    def _rows(self, table: str, column: str, number: int) -> Iterator[dict[str, Any]]:
        names = [row[1] for row in self._db.execute(f"PRAGMA table_info({table})").fetchall()]
        for row in self._db.execute(
            f"SELECT {','.join(names)} FROM {table} WHERE {column} = ?", (number,)
        ).fetchall():
            yield dict(zip(names, row, strict=True))

    def _eml(self, number: int, message: dict[str, Any] | None) -> list[str]:
        """What is known of the content, as a file."""
        trace = [message["trace"]] if message else []
        data = self._db.value("SELECT data FROM content WHERE id = ?", (number,))
        where = self._spool.where(name(number))
        pieces: Iterable[bytes] = () if data is None else [data]
        if data is None:
            pieces = octets(where)
            if file_trouble(where, -1).startswith("is missing"):
                return []
            if os.path.isfile(where):
                self.taken.append(where)
            else:
                self._report.done.append(f"{where}: it is left as it is: {NOT_REGULAR}")
        return [self._aside.write(f"{name(number)}.eml", _joined(trace, pieces))]

    def _json(
        self,
        number: int,
        what: str,
        message: dict[str, Any] | None,
        recipients: list[dict[str, Any]],
        lost: list[int],
    ) -> str:
        import json

        hops = (
            {
                row[0]: f"{row[1]}:{row[2]}"
                for row in self._db.execute("SELECT id, transport, next_hop FROM next_hop").fetchall()
            }
            if recipients
            else {}
        )
        value = {
            "id": name(number),
            "lost": what,
            "reverse_path": message["sender"] if message else None,
            "forward_paths": [row["path"] for row in recipients],
            "lost_recipients": lost,
            "message": message,
            "recipients": [row | {"hop": hops.get(row["hop"])} for row in recipients],
        }
        text = json.dumps(value, indent=1, ensure_ascii=False, default=_shown) + "\n"
        return self._aside.write(f"{name(number)}.json", [text.encode("utf-8", "backslashreplace")])


def _joined(first: Iterable[bytes], then: Iterable[bytes]) -> Iterator[bytes]:
    yield from first
    yield from then


def _shown(value: object) -> str:
    """Octets as text in a JSON file."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
