"""Looking over a SQLite spool: the database, its write-ahead log, its rows, and the files of large content.

It is read in one snapshot, through a connection that never writes; the log is read under the write lock.
A log that is damaged is told before SQLite reads it, because SQLite would pass over what it lost.
"""

from __future__ import annotations

import fcntl
import os

import apsw

from mether.queue import fsck_wal, sql
from mether.queue import ident as ident_
from mether.queue.database import FILE, PAGE, SCHEMA_VERSION, connect
from mether.queue.disk import REAL, lock_file
from mether.queue.fsck import Report
from mether.queue.fsck_aside import DIRECTORY, octets
from mether.queue.fsck_files import NOT_REGULAR, left_over, opened
from mether.queue.fsck_pages import MAGIC
from mether.queue.fsck_wal import Wal
from mether.queue.spool import Spool, trouble
from mether.queue.store import Absent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

SQL: Final = sql.load("statements.sql")
PAGE_OF: Final = 500
"""Messages whose rows are looked at together."""


class Peek:
    """A connection that only reads, with what of `Database` the listing needs."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection = connect(path)
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._connection.set_busy_timeout(10_000)
        self._connection.execute("PRAGMA query_only=1")

    def execute(self, statement: str, bindings: Any = ()) -> Any:
        """Run one statement."""
        return self._connection.execute(statement, bindings)

    def value(self, statement: str, bindings: Any = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.execute(statement, bindings).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """Never raises."""
        try:
            self._connection.close(force=True)
        except apsw.Error:
            pass


def look(path: str) -> Report:
    """What is wrong with the spool.  Raises StoreError."""
    report = Report()
    try:
        there(path)
        lock = lock_file(os.path.join(path, "lock"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            report.found += outside(path)
        finally:
            os.close(lock)
        if not report.found:
            inside(path, report)
    except OSError as error:
        raise trouble("cannot look over the queue", error) from None
    return report


def there(path: str) -> None:
    """Raise Absent when this is no SQLite spool at all."""
    if not os.path.exists(os.path.join(path, FILE)) and not os.path.isdir(os.path.join(path, "content")):
        raise Absent(f"there is no queue in {path}")


def cut_short(path: str) -> str:
    """Where a repair that was cut short has left the database's log; "" for nowhere.  Raises OSError."""
    file, damaged = os.path.join(path, FILE), os.path.join(path, DIRECTORY)
    if not os.path.isdir(damaged) or not os.path.exists(file) or os.path.exists(f"{file}-wal"):
        return ""
    for date in sorted(os.listdir(damaged), reverse=True):
        kept = os.path.join(damaged, date, FILE)
        # The repair was done unless this is still the very file that it set aside.
        if os.path.exists(f"{kept}-wal") and os.path.exists(kept) and os.path.samefile(kept, file):
            return f"{kept}-wal"
    return ""


def outside(path: str) -> list[str]:
    """What can be told of the database and its log without SQLite.  Raises OSError."""
    file = os.path.join(path, FILE)
    if log_kept := cut_short(path):
        return [f"{file}: a repair was cut short, and has its log in {log_kept}"]
    try:
        with opened(file) as database:
            head = database.read(100)
            size = os.fstat(database.fileno()).st_size
    except FileNotFoundError:
        return [f"{file}: it is not there"]
    except OSError as error:
        return [f"{file}: it cannot be read: {error.strerror}"]
    for beside in (f"{file}-wal", f"{file}-shm"):
        if os.path.lexists(beside) and not os.path.isfile(beside):
            return [f"{beside}: {NOT_REGULAR}"]
    wal, wrong = log(file)
    if wrong:
        return [wrong]
    if head[:16] != MAGIC:
        return [f"{file}: it is empty" if not size else f"{file}: it is no SQLite database"]
    page = int.from_bytes(head[16:18], "big")
    pages = wal.size or int.from_bytes(head[28:32], "big")
    held = size // (65536 if page == 1 else page or PAGE)
    if pages - len([one for one in wal.pages if one > held]) > held:
        return [f"{file}: it has {held} pages where {pages} were written"]
    return []


def log(file: str) -> tuple[Wal, str]:
    """What the database's log holds, and what is wrong with it, "" for nothing."""
    data = b"".join(octets(f"{file}-wal"))
    wal = fsck_wal.read(data)
    wrong = wal.trouble or fsck_wal.missing(b"".join(octets(f"{file}-shm"))[:200], data, wal)
    return wal, f"{file}-wal: {wrong}" if wrong else ""


def inside(path: str, report: Report, *, locked: bool = False) -> None:
    """What SQLite and the queue's own rules say, into the report; `locked`: the caller has the write lock.

    Raises OSError.
    """
    file = os.path.join(path, FILE)
    spool = Spool(path, 0, REAL)
    try:
        db = Peek(file)
    except apsw.Error as error:
        report.found.append(f"{file}: {error}")
        return
    try:
        db.execute("BEGIN")
        version = db.value("PRAGMA user_version")
        for (line,) in db.execute("PRAGMA integrity_check").fetchall():
            if line != "ok":
                report.found.append(f"{file}: {line}")
        if report.found:
            return
        if version > SCHEMA_VERSION:
            report.found.append(
                f"{file}: its schema is {version}, and this mether knows {SCHEMA_VERSION}: "
                "it was written by a later one, which has to look it over"
            )
            return
        if version != SCHEMA_VERSION:
            report.notes.append(
                f"{file}: its schema is {version}, not {SCHEMA_VERSION}: only SQLite's check is made"
            )
            return
        for wrong in (_rules(db), _types(db), _rows(db)):
            report.found += wrong
        db.execute("COMMIT")
        report.found += _contents(db, spool)
        report.notes += _unnamed(db, spool, locked)
        report.notes += _strays(spool)
        report.notes += left_over(path)
    except apsw.Error as error:
        report.found.append(f"{file}: {error}")
    finally:
        db.close()


def _rules(db: Peek) -> Iterator[str]:
    from mether.queue import sqlite_list

    return sqlite_list.rules(db)  # type: ignore[arg-type]


def _contents(db: Peek, spool: Spool) -> Iterator[str]:
    from mether.queue import sqlite_list

    return sqlite_list.contents(db, spool)  # type: ignore[arg-type]


def _types(db: Peek) -> Iterator[str]:
    """Values that are not of their column's type, which SQLite lets stand."""
    kinds = {"INTEGER": "'integer'", "REAL": "'real','integer'", "TEXT": "'text'", "BLOB": "'blob'"}
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    for table in tables:
        for _, name, kind, *_ in db.execute(f'PRAGMA table_info("{table}")').fetchall():
            count = db.value(
                f'SELECT count(*) FROM "{table}" WHERE typeof("{name}") NOT IN ({kinds.get(kind, "")}) '
                f'AND "{name}" IS NOT NULL'
            )
            if kind in kinds and count:
                yield f"{db.path}: {count} rows of {table} have no {kind.lower()} in {name}"


def _rows(db: Peek) -> Iterator[str]:
    """Messages whose rows say nothing that a message can say."""
    for number, error in undecoded(db):
        yield f"the message {name(number)} cannot be read: {error}"


def undecoded(db: Any) -> Iterator[tuple[int, str]]:
    """The messages whose rows cannot be read, and why."""
    after = -(1 << 63)
    statement = "SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?"
    while found := [row[0] for row in db.execute(statement, (after, PAGE_OF)).fetchall()]:
        after = found[-1]
        if _decoded(db, found) is not None:
            for number in found:
                error = _decoded(db, [number])
                if error is not None:
                    yield number, error


def _decoded(db: Any, found: list[int]) -> str | None:
    """Read these messages as listing does; what is wrong, or None."""
    from mether.queue import sqlite_rows

    ids = ("[" + ",".join(map(str, found)) + "]",)
    try:
        messages = db.execute(SQL["messages"], ids).fetchall()
        for entry in sqlite_rows.entries(messages, db.execute(SQL["recipients"], ids).fetchall()):
            str(entry.message.envelope.reverse_path)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError) as error:
        return str(error) or type(error).__name__
    return None


def name(number: int) -> str:
    """The id of a message, its number where that is none."""
    try:
        return ident_.encode(number)
    except (ValueError, OverflowError):
        return f"numbered {number}"


def _strays(spool: Spool) -> Iterator[str]:
    """A line for each file of content that could be of no message."""
    content = os.path.join(spool.path, "content")
    for directory in sorted(os.listdir(content)):
        under = os.path.join(content, directory)
        names = sorted(os.listdir(under)) if os.path.isdir(under) else [""]
        for path in (os.path.join(under, name) if name else under for name in names):
            ident = os.path.basename(path)
            try:
                ident_.decode(ident)
            except ValueError:
                ident = ""
            if spool.where(ident) != path:
                yield f"{path}: no file of the queue"


def _unnamed(db: Peek, spool: Spool, locked: bool) -> Iterator[str]:
    known = {name(row[0]) for row in db.execute("SELECT id FROM message WHERE large")}
    left = list(unnamed(spool, known))
    if not left:
        return
    lock = lock_file(os.path.join(spool.path, "lock"))
    try:
        # A file gets its place under the lock, and its row before that is let go.
        if not locked:
            fcntl.flock(lock, fcntl.LOCK_EX)
        known = {name(row[0]) for row in db.execute("SELECT id FROM message WHERE large")}
        left = [file for file in left if os.path.basename(file) not in known and os.path.isfile(file)]
    finally:
        os.close(lock)
    yield from (f"{file}: no message names it (sweep removes it)" for file in left)


def unnamed(spool: Spool, known: set[str]) -> Iterator[str]:
    """The files of content that none of these messages names.  Raises OSError."""
    for ident in sorted(spool.placed()):
        path = spool.where(ident)
        if ident not in known and os.path.isfile(path):
            yield path
