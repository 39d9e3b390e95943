"""Repairing a SQLite spool: a new database of all that can still be read whole, in place of the damaged one.

The steps, each durable before the next: the rows are copied into ``damaged/DATE/new`` (`fsck_copy`); what is
not whole is written beside that and taken out (`fsck_whole`); the new database is checked; the damaged one
and its log are linked into ``damaged/DATE``; the log is removed, and the new database renamed over the
damaged one. Before that rename nothing has changed but the log, which then lies in ``damaged/DATE``.

The write lock is held all the time.  Who waits for it meanwhile sees by the file's number that the database
is another (`Database.begin`).
"""

from __future__ import annotations

import fcntl
import os
import shutil

import apsw

from mether.queue import ident as ident_
from mether.queue.database import FILE, Database, translate
from mether.queue.disk import REAL, Disk, give
from mether.queue.fsck import Partial, Report, refuse_if_worked
from mether.queue.fsck_aside import REPORT, Aside, octets
from mether.queue.fsck_copy import Copy, create
from mether.queue.fsck_files import NOT_REGULAR
from mether.queue.fsck_source import Source
from mether.queue.fsck_sqlite import cut_short, inside, outside, there, unnamed
from mether.queue.fsck_whole import Sorter
from mether.queue.spool import Spool, make, trouble
from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

NEW: Final = "new"


def repair(path: str, now: float, disk: Disk) -> Report:
    """Set right what is wrong with the spool.  Raises StoreError."""
    try:
        there(path)
        make(path, disk)
        lock = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            refuse_if_worked(os.path.join(path, "owners"))
            return _Repair(path, now, disk).work()
        finally:
            os.close(lock)
    except OSError as error:
        raise trouble("cannot repair the queue", error) from None
    except apsw.Error as error:
        raise translate(error, "cannot repair the queue") from None


class _Repair:
    def __init__(self, path: str, now: float, disk: Disk) -> None:
        self._path = path
        self._file = os.path.join(path, FILE)
        self._disk = disk
        self._now = now
        self._aside = Aside(path, now, disk)
        self._spool = Spool(path, 0, disk)
        self._report = Report()

    def work(self) -> Report:
        report = self._report
        for file in (self._file, f"{self._file}-wal", f"{self._file}-shm"):
            if os.path.lexists(file) and not os.path.isfile(file):
                raise StoreError(f"cannot repair the queue: {file}: {NOT_REGULAR}; move it away first")
        report.found += outside(self._path)
        if log := cut_short(self._path):
            # A copy: what was set aside stays as it is.
            os.rename(self._aside.write(f"{FILE}-wal", octets(log)), f"{self._file}-wal")
            report.found += outside(self._path)
        if not report.found:
            inside(self._path, report, locked=True)
        if not report.found:
            return report
        report.notes.clear()
        staging = os.path.join(self._aside.open(), NEW)
        os.mkdir(staging, 0o700)
        try:
            sorter = self._fill(staging)
            self._swap(os.path.join(staging, FILE))
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        # The queue is whole again.  What goes wrong from here on is told with the rest.
        report.aside = self._aside.path
        for file in sorter.taken:
            self._try(file, lambda file=file: self._disk.unlink(file))  # type: ignore[misc]
        self._try("content", lambda: self._unnamed(sorter.taken))
        lines = "".join(f"{line}\n" for line in report.lines())
        text = lines.encode("utf-8", "backslashreplace")
        self._try(REPORT, lambda: self._aside.write(REPORT, [text]))
        return report

    def _try(self, what: str, work: Callable[[], object]) -> None:
        """Do what may fail and be left undone, which is told."""
        try:
            work()
        except OSError as error:
            self._report.done.append(f"{what}: it is left as it is: {error.strerror or error}")

    def _fill(self, staging: str) -> Sorter:
        """Make the new database, which is complete and closed afterwards."""
        source = Source(self._path)
        try:
            raw = create(os.path.join(staging, FILE), source)
            try:
                copy = Copy(source, raw)
                with raw:
                    copy.run()
            finally:
                raw.close(force=True)
        finally:
            source.close()
        self._report.found += (line for line in source.trouble if line not in self._report.found)
        db = Database(staging, REAL, None)  # an older schema is brought up to date here
        try:
            sorter = Sorter(db, self._spool, self._aside, self._report, self._now)
            with db.write():
                sorter.sort(copy.lost, copy.doubtful)
            self._report.saved = db.value("SELECT count(*) FROM message")
            for wrong in _wrong(db, self._spool):
                raise StoreError(f"the new database is not right, and was not taken: {wrong}")
            db.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            db.close()
        return sorter

    def _swap(self, new: str) -> None:
        fd = os.open(new, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fchmod(fd, 0o600)
            give(fd, self._path)
            self._disk.sync(fd)
        finally:
            os.close(fd)
        for suffix in ("", "-wal", "-shm"):
            self._aside.keep(self._file + suffix, FILE + suffix)
        for suffix in ("-wal", "-shm"):
            try:
                self._disk.unlink(self._file + suffix)
            except FileNotFoundError:
                pass
        self._disk.rename(new, self._file)
        self._disk.sync_directory(self._path)

    def _unnamed(self, taken: list[str]) -> None:
        """Content that no message names may be all that is left of one: it is moved aside."""
        with apsw.Connection(self._file) as db:
            rows = db.execute("SELECT id FROM message WHERE large").fetchall()
        db.close()
        known = {ident_.encode(row[0]) for row in rows if isinstance(row[0], int)}
        for file in unnamed(self._spool, known):
            if file in taken:
                continue  # it could not be removed
            self._try(file, lambda file=file: self._take(file))  # type: ignore[misc]

    def _take(self, file: str) -> None:
        ident = os.path.basename(file)
        moved = self._aside.take(file, f"{ident}.eml")
        self._report.partial.append(Partial(ident, "its envelope is lost", [moved]))


def _wrong(db: Database, spool: Spool) -> list[str]:
    from mether.queue import sqlite_list

    return list(sqlite_list.check(db, spool))
