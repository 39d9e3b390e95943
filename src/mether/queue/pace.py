"""How many reports an hour go to one reader, and which wait for the next hour.

Above `hourly` reports to one address in an hour the others wait in the queue like any message
(`Message.release_at`), and are listed here; when their time has come the runner sends those that wait for
the same reader as one message (`runner.merging`).  While any wait, those that follow wait too.  An hour
begins at another minute for each reader, so that not all that waits is due at once.

Reports that tell of no failure, such as warnings, are counted and merged `apart`, up to as many: a failure is
not kept waiting by what is less urgent.

It is kept in an SQLite file of its own in the spool, for all kinds of store and all processes: beside the
queue, and not in it, since what is counted here may be lost.  Then a reader hears more in this hour, and what
waited goes singly; no report is lost, as every one is in the queue.  So nothing is synced here, a damaged
file is begun anew, and where none can be written the process counts for itself, and tries again in AGAIN
seconds.  Nothing is ever raised.

Limits: what is kept of an hour goes KEPT seconds after it; a process looks for that every SWEEP reports.
Another process is waited for BUSY milliseconds, as this is the event loop's time.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress

from mether.queue.disk import give

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, TypeVar

    import apsw

    T = TypeVar("T")

FILE: Final = "reports.sqlite3"
HOUR: Final = 3600.0
KEPT: Final = 30 * 86400.0
"""Seconds after its time until an entry is forgotten: no report waits for so long."""
SWEEP: Final = 1000
BUSY: Final = 100
"""Milliseconds that another process is waited for."""
AGAIN: Final = 60.0
"""Seconds until a file that could not be used is tried again."""


_APART: Final = "no failure: "
"""Stands before the address in the name of a reader of what is counted apart; no address begins so."""


def apart(reader: str) -> str:
    """The name under which the reader's reports that tell of no failure are counted."""
    return _APART + reader


def address(reader: str) -> str:
    """The address of a reader, whatever is counted under that name."""
    return reader.removeprefix(_APART)


def hour(reader: str, now: float) -> float:
    """When the reader's hour that is on at `now` ends."""
    shift = zlib.crc32(address(reader).encode("utf-8", "replace")) % int(HOUR)
    return now - (now + shift) % HOUR + HOUR


class Pace:
    """The counts of the spool in `directory` (None: of this process alone), at most `hourly` for each reader.

    `trouble` is told why the file cannot be used.  Used by one thread.
    """

    __slots__ = ("_again", "_alone", "_asked", "_connection", "_said", "_sql", "_trouble", "hourly", "path")

    def __init__(
        self, directory: str | None, hourly: int, trouble: Callable[[str], None] = lambda text: None
    ) -> None:
        self.path = None if directory is None else os.path.join(directory, FILE)
        self.hourly = hourly
        self._trouble = trouble
        self._connection: apsw.Connection | None = None
        self._sql: dict[str, str] = {}
        self._asked = 0
        self._alone = directory is None
        self._again: float | None = None
        self._said = ""

    def ask(self, reader: str, ident: str, now: float, *, fails: bool = True) -> float:
        """When the report `ident` may go to the reader: 0.0 at once, and it is counted, or a time to come.

        `fails` tells whether it tells of a failure.
        """
        self._back(now)
        reader = reader if fails else apart(reader)
        return self._do(lambda: self._ask(_key(reader), ident, now))

    def allow(self, reader: str, now: float) -> float:
        """When those that wait may go: 0.0 now, and they are counted as one, or a time to come."""
        self._back(now)
        return self._do(lambda: self._allow(_key(reader), now))

    def reader(self, ident: str) -> str | None:
        """For whom the report `ident` waits, or waited until it could go; None where it never had to."""
        return self._do(lambda: self._db().execute(self._sql["reader"], (ident,)).get)  # type: ignore[no-any-return]

    def waiting(self, reader: str, now: float, limit: int) -> list[str]:
        """Up to `limit` reports that wait for the reader and may go by `now`, those first that were first."""
        found = self._do(
            lambda: self._db().execute(self._sql["waiting"], (_key(reader), now, limit)).fetchall()
        )
        return [str(ident) for (ident,) in found]

    def wait(self, reader: str, idents: Iterable[str], at: float) -> None:
        """These wait for the reader until then."""
        rows = [(ident, _key(reader), at) for ident in idents]
        self._do(lambda: self._db().executemany(self._sql["wait"], rows))

    def forget(self, idents: Iterable[str]) -> None:
        """These wait no more."""
        import json

        names = json.dumps(list(idents))
        self._do(lambda: self._db().execute(self._sql["forget"], (names,)))

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close(force=True)
            self._connection = None

    def _ask(self, reader: str, ident: str, now: float) -> float:
        db = self._db()
        until = hour(reader, now)
        self._asked += 1
        if self._asked % SWEEP == 1:
            db.execute(self._sql["told-old"], (now - HOUR,))
            db.execute(self._sql["waiting-old"], (now - KEPT,))
        with db:
            # Those that wait beyond this hour did so before the clock was set back: they are not waited for.
            latest = db.execute(self._sql["latest"], (reader, now - HOUR, until)).get
            if latest is None:
                counted = db.execute(self._sql["counted"], (reader, until)).get
                if counted is None or counted < self.hourly:
                    db.execute(self._sql["count"], (reader, until)).fetchall()
                    return 0.0
            db.execute(self._sql["wait"], (ident, reader, until))
        return until

    def _allow(self, reader: str, now: float) -> float:
        db = self._db()
        until = hour(reader, now)
        with db:
            counted = db.execute(self._sql["counted"], (reader, until)).get
            if counted is None or counted < self.hourly:
                db.execute(self._sql["count"], (reader, until)).fetchall()
                return 0.0
        return until

    def _do(self, work: Callable[[], T]) -> T:
        """What the work gives, on a file that is begun anew or left alone where it cannot be used."""
        import apsw

        try:
            return work()
        except (apsw.Error, OSError) as error:
            self.close()
            if not self._anew(error):
                self._leave(error)
        try:
            return work()
        except (apsw.Error, OSError) as error:
            self.close()
            self._leave(error)
        return work()

    def _anew(self, error: Exception) -> bool:
        """Take away a file that is damaged; whether it was."""
        import apsw

        if self.path is None or not isinstance(error, apsw.CorruptError | apsw.NotADBError):
            return False
        self._say(f"{error}; they are begun anew")
        self._remove(self.path)
        return True

    def _leave(self, error: Exception) -> None:
        """Count alone for a while."""
        self._alone, self._again = True, None
        self._say(f"{error}; they are left alone: this process counts for itself")

    def _say(self, what: str) -> None:
        """Tell of trouble, once until it is another or over."""
        if what != self._said:
            self._said = what
            self._trouble(f"the counts of reports {self.path}: {what}")

    def _back(self, now: float) -> None:
        """Go back to the file that was left when it is time to try, with what was counted meanwhile."""
        if not self._alone or self.path is None:
            return
        if self._again is None:
            self._again = now + AGAIN
        if self._again - AGAIN <= now < self._again:  # and not where the clock was set back
            return
        import apsw

        here = self._db()
        counts = here.execute(self._sql["counts"]).fetchall()
        rows = here.execute(self._sql["waiting-all"]).fetchall()
        self._connection, self._alone = None, False
        try:
            db = self._db()
            with db:
                db.executemany(self._sql["wait"], rows)
                db.executemany(self._sql["add"], counts)
        except (apsw.Error, OSError) as error:
            self.close()
            self._connection = here
            self._anew(error)
            self._leave(error)
            return
        here.close(force=True)
        self._said = ""

    def _remove(self, path: str) -> None:
        for name in (path, f"{path}-wal", f"{path}-shm"):
            with suppress(OSError):
                os.unlink(name)

    def _db(self) -> apsw.Connection:
        """The connection.  Raises apsw.Error and OSError."""
        if self._connection is not None:
            return self._connection
        import apsw

        from mether.queue import sql

        path = None if self._alone else self.path
        if path is not None:
            with suppress(FileExistsError):
                fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
                try:
                    give(fd, os.path.dirname(path))
                finally:
                    os.close(fd)
        connection = apsw.Connection(path or ":memory:")
        try:
            connection.set_busy_timeout(BUSY)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")
            connection.transaction_mode = "IMMEDIATE"
            self._sql = sql.load("pace.sql")
            connection.execute(self._sql["schema"])
        except BaseException:
            connection.close(force=True)
            raise
        self._connection = connection
        return connection


def _key(reader: str) -> str:
    return reader.casefold().encode("utf-8", "replace").decode()
