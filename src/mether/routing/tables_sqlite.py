"""A table in an SQLite database, by a statement of whoever runs the service.

    SELECT mailbox FROM users WHERE address = ?

The statement has one parameter, the key, and is prepared once; the first column of the first row is the
value, and NULL, as no row at all, means that the key is not there.  The database is opened read-only, and the
statement may do nothing but SELECT; writers are waited for `BUSY` seconds.  A statement that is still at work
after `LIMIT` seconds is ended: look-ups are done while everybody else waits, so the table needs an index.
Answers are kept for as many seconds as the table says, those that nothing was found too.  A database that
another was renamed over is opened anew.

Whatever fails is a TableError and forgets the connection; nothing else is raised.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from mether.routing.kept import Kept
from mether.routing.source import Condition, TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    import apsw

BUSY: Final = 0.1
"""Seconds that a writer of the database is waited for."""
LIMIT: Final = 1.0
"""Seconds that a statement may take."""
STEPS: Final = 10_000
"""Steps of SQLite's machine after which the time is looked at: some hundred microseconds."""
CHECK: Final = 1.0
"""Seconds after which the file is looked at again."""
AGAIN: Final = 1.0
"""Seconds for which a failure is the answer, so that a dead database costs no time at every recipient."""
STATEMENT: Final = "query"
"""The key of the configuration that is at fault where the statement is."""
VALUE: Final = 10_000
"""Characters of a value."""


class Sqlite:
    """A `routing.source.Source` out of the database at `path` by the statement `query`.

    Answers are kept for `keep` seconds; `clock` gives seconds that only go on.
    """

    __slots__ = (
        "_checked",
        "_clock",
        "_connection",
        "_deadline",
        "_file",
        "_kept",
        "_query",
        "_trouble",
        "condition",
        "name",
        "path",
    )

    def __init__(
        self,
        path: str,
        query: str,
        name: str = "",
        *,
        keep: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.name = name or path
        self._query = query
        self._clock = clock
        self._kept = Kept(keep, clock)
        self._connection: apsw.Connection | None = None
        self._file = (0, 0)
        self._checked = float("-inf")
        self._deadline = 0.0
        self._trouble = ("", float("-inf"))
        self.condition = Condition()

    def get(self, key: str) -> str | None:
        """What the statement finds for the key.  Raises TableError."""
        known = self._kept.get(key)
        if known is not None:
            return known.value
        trouble, until = self._trouble
        if self._clock() < until:
            raise self.condition.bad(trouble)
        try:
            value = self._asked(key)
        except TableError as error:
            raise self.condition.bad(error.plain) from None
        self.condition.good(self.path)
        return self._kept.put(key, value)

    async def learn(self, key: str) -> None:
        """Nothing has to be waited for."""

    def check(self) -> None:
        """Whether the database is there and the statement is one with one parameter.  Raises TableError."""
        import apsw

        parts: list[str] = []

        def trace(cursor: apsw.Cursor, statement: str, bindings: object) -> bool:
            parts.append(statement)
            return False

        try:
            connection = self._open()
            connection.exec_trace = trace
            connection.execute(self._query, ("postmaster",))
        except apsw.ExecTraceAbort:
            pass
        except (apsw.Error, OSError):
            pass  # said below, in its own words
        self._close()
        if parts and self._query.replace(parts[0], "", 1).strip(" \t\r\n;"):
            raise TableError(
                f"{self.path}: expected one statement, and there is something behind it", part=STATEMENT
            )
        self._trouble = ("", float("-inf"))
        self._asked("postmaster")

    def _close(self) -> None:
        """Let go of the database; the next look-up opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _asked(self, key: str) -> str | None:
        import apsw

        part = STATEMENT
        try:
            return self._find(self._open(), key)
        except ValueError as error:
            raise TableError(f"{self.path}: {error}", part=STATEMENT) from None
        except apsw.InterruptError:
            why = f"the statement took longer than {LIMIT:g} s: expected one with an index to use"
        except apsw.BusyError:
            why, part = "the database is locked by whoever writes to it", ""
        except apsw.AuthError:
            why = "the statement may not do this: expected SELECT"
        except apsw.BindingsError:
            why = "expected a statement with one parameter, written ?, for the key"
        except apsw.SQLError as error:
            why = str(error)
        except apsw.Error as error:
            why, part = str(error), ""
        except OSError as error:
            why, part = error.strerror or str(error), ""
        self._close()
        self._trouble = (f"{self.path}: {why}", self._clock() + AGAIN)
        raise TableError(self._trouble[0], part=part)

    def _open(self) -> apsw.Connection:
        """The connection, a new one where the file is another than before."""
        import apsw

        now = self._clock()
        if self._connection is not None and 0 <= now - self._checked < CHECK:
            return self._connection
        found = os.stat(self.path)
        if not stat.S_ISREG(found.st_mode):  # a FIFO would have everybody wait for its writer
            raise OSError(errno.EINVAL, "expected a file, and this is none")
        file = (found.st_dev, found.st_ino)
        if self._connection is None or file != self._file:
            self._close()
            self._kept.clear()
            connection = apsw.Connection(self.path, flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=4)
            self._connection, self._file = connection, file
            connection.set_busy_timeout(round(BUSY * 1000))
            connection.set_progress_handler(self._late, STEPS)
            connection.set_authorizer(_may)
        self._checked = now
        return self._connection

    def _late(self) -> bool:
        return self._clock() >= self._deadline

    def _find(self, connection: apsw.Connection, key: str) -> str | None:
        self._deadline = self._clock() + LIMIT
        cursor = connection.cursor()
        try:
            row = cursor.execute(self._query, (key,)).fetchone()
        finally:
            cursor.close(True)
        return value_of(None if row is None else row[0], key)


def value_of(value: object, key: str) -> str | None:
    """What a database gave for the key, as a table has it.  Raises ValueError for what is no line of text."""
    if value is None:
        return None
    text = "" if value is True else str(value)
    if isinstance(value, bytes) or len(text) > VALUE or not text.isprintable():
        raise ValueError(f"the statement gives no line of text for {key[:80]!r}")
    return text


def _may(action: int, first: str | None, second: str | None, database: str | None, cause: str | None) -> int:
    """SQLite's authorizer: a statement reads, and neither opens other files nor changes settings."""
    import apsw

    reads = (apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE)
    return apsw.SQLITE_OK if action in reads else apsw.SQLITE_DENY
