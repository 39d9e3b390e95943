"""The SQLite database of a spool: opening, the write lock, transactions, checkpoints, errors.

`Database.write()` is one write transaction.  Writers of all processes queue on a flock in the spool,
because SQLite's own busy handler sleeps, unfairly.  A transaction whose body or COMMIT raises is rolled
back; a connection that cannot even do that is opened anew by the next verb, so that the queue works
again as soon as the trouble has gone.  WAL with synchronous=FULL: when `write` returns, the transaction is
durable.  Checkpoints run between transactions, under the same lock, and never fail one.

SQLite before 3.51.3 (except 3.44.6 and 3.50.7 and later of those branches) loses committed rows when
connections write and checkpoint at once (the WAL-reset race); it is refused.

Errors come out of `verb`-decorated methods as StoreError, NoSpace or Damaged.
"""

from __future__ import annotations

import fcntl
import os

import apsw

from mether.queue import sql
from mether.queue.disk import lock_file, read_only
from mether.queue.spool import trouble
from mether.queue.store import Damaged, NoSpace, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    from mether.queue.disk import Disk

    F = TypeVar("F", bound=Callable[..., Any])

SCHEMA_VERSION: Final = 4
"""What schema.sql makes.  ``migrate_N.sql`` leads from version N to the next."""
FILE: Final = "queue.sqlite3"
PAGE: Final = 4096
CHECKPOINT: Final = 1024
"""Pages in the WAL (4 MiB) after which it is copied into the database."""
TRUNCATE: Final = 16 * CHECKPOINT
"""Pages after which the file itself is made small again."""
STATEMENTS: Final = 256
"""Prepared statements that are kept: an INSERT for each number of rows, and all others."""
BUSY: Final = 10_000
"""Milliseconds to wait for another connection, where the write lock does not already order them."""


def refuse_version(version: str) -> None:
    """Raise StoreError for a SQLite with the WAL-reset race."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    fixed = {(3, 44): 6, (3, 50): 7}.get((major, minor))
    if (major, minor, patch) < (3, 51, 3) and (fixed is None or patch < fixed):
        raise StoreError(
            f"SQLite {version} can lose committed messages (the WAL-reset race): "
            "apsw must bring 3.51.3 or later"
        )


def translate(error: apsw.Error | OSError, what: str) -> StoreError:
    """The StoreError for what SQLite or the system raised while doing `what`."""
    if isinstance(error, OSError):
        return trouble(what, error)
    text = f"{what}: {error}"
    if isinstance(error, apsw.FullError):
        return NoSpace(text)
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return Damaged(text)
    if isinstance(error, apsw.ReadOnlyError):
        return StoreError(f"{what}: Read-only file system")
    return StoreError(text)


def connect(path: str, vfs: str | None = None, statements: int = 100) -> apsw.Connection:
    """A connection to a database that is there.  Raises apsw.Error, OSError.

    On a read-only file system it reads what is there: the log too, although no index of it may be written
    beside it.  Nobody can change either then, so nothing has to be locked; but where that index can be used,
    it is: the same files may be written by another way that leads there.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(path, flags, vfs=vfs, statementcachesize=statements)
    if not read_only(path):
        return connection
    try:
        connection.execute("PRAGMA schema_version").fetchall()
        return connection
    except apsw.CantOpenError:
        connection.close(force=True)
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOMUTEX
    if os.path.exists(f"{path}-wal"):
        connection = apsw.Connection(path, flags, vfs="unix-none", statementcachesize=statements)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        return connection
    from urllib.parse import quote

    url = f"file:{quote(os.fsencode(path))}?immutable=1"
    return apsw.Connection(url, flags | apsw.SQLITE_OPEN_URI, vfs=vfs, statementcachesize=statements)


def verb(method: F) -> F:
    """A method of an object with a `path` whose apsw and OS errors become StoreErrors."""

    def guarded(self: Any, *args: Any, **named: Any) -> Any:
        try:
            return method(self, *args, **named)
        except (apsw.Error, OSError) as error:
            if isinstance(error, apsw.CorruptError | apsw.NotADBError) and hasattr(self, "_db"):
                self._db.forget()
            what = f"queue {self.path}: {method.__name__.strip('_')} failed"
            raise translate(error, what) from error

    guarded.__name__ = method.__name__
    guarded.__doc__ = method.__doc__
    return guarded  # type: ignore[return-value]


class Database:
    """One connection; used by one thread at a time."""

    def __init__(self, path: str, disk: Disk, vfs: str | None) -> None:
        """Open, and where it is missing create, the database in directory `path`."""
        refuse_version(apsw.sqlite_lib_version())
        self.path = os.path.join(path, FILE)
        self._directory = path
        self._disk = disk
        self._vfs = vfs
        self._connection: apsw.Connection | None = None
        self._pages = 0
        self._checkpointed = 0
        self._version = -1
        self._inode = 0
        self._turn = False
        self.hops: dict[tuple[str, str, str, str], int] = {}
        self.troubled: set[int] = set()
        self.lease = 0.0
        self._lock = lock_file(os.path.join(path, "lock"))
        self.late: tuple[float, int, int] | None = None
        """Where the last look at deadlines ended, if it is to be gone on with (`sqlite_pick`)."""
        try:
            version = self._schema()
            if version == 0:
                self._create()
            elif version < SCHEMA_VERSION:
                self._migrate()
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> apsw.Connection:
        """The connection, opened anew if it had to be given up."""
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def execute(self, statement: str, bindings: Any = ()) -> Any:
        """Run one statement; the apsw.Cursor, whose rows are tuples."""
        return self.connection.execute(statement, bindings)

    def value(self, statement: str, bindings: Any = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.connection.execute(statement, bindings).fetchone()
        return None if row is None else row[0]

    def changes(self) -> int:
        """Rows that the last INSERT, UPDATE or DELETE touched."""
        return self.connection.changes()

    def write(self) -> Writing:
        """One write transaction, for ``with``."""
        return Writing(self)

    def read(self) -> Reading:
        """One snapshot, for ``with``."""
        return Reading(self)

    def turn(self) -> None:
        """Hold the write lock from now on, for the next `begin`.  Never raises: that one would, too."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError:
            return
        self._turn = True

    def pass_on(self) -> None:
        """Let others write, if there was a `turn` and no `begin`.  Never raises."""
        if self._turn:
            self._turn = False
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def begin(self) -> None:
        if not self._turn:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._turn = False
        try:
            if self._connection is not None and self._moved():
                self.forget()  # a repair has put another database in its place
            self.execute("BEGIN IMMEDIATE")
            # Another connection has written: it may have removed next hops that are remembered here.
            if self.connection.data_version() != self._version:
                self.forget_hops()
        except BaseException:
            self.rollback()
            raise

    def commit(self) -> None:
        try:
            self.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise
        # Our own commits count, too (those of the PRAGMA do not, but it is one more statement).
        self._version = self.connection.data_version()
        self._checkpoint()
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def rollback(self) -> None:
        """Undo the transaction, giving up the connection if need be.  Never raises."""
        self.forget_hops()
        self.reset()
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def forget_hops(self) -> None:
        """Have read again what is remembered: next hops by name in `hops`, in `troubled` those of them
        that have failures behind them or are suspended, in `lease` until when this owner is known."""
        self.hops.clear()
        self.troubled.clear()
        self.lease = 0.0

    def reset(self) -> None:
        """End whatever transaction is open, giving up the connection if need be.  Never raises."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._connection = None
            try:
                connection.close(force=True)
            except apsw.Error:
                pass

    def forget(self) -> None:
        """Read everything anew from now on: pages that were damaged when they were read.  Never raises."""
        connection, self._connection = self._connection, None
        self.forget_hops()
        if connection is not None:
            try:
                self._let_go(connection)
            except apsw.Error:
                pass

    def _moved(self) -> bool:
        """Whether what is open is no longer the file of that name."""
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    def _let_go(self, connection: apsw.Connection) -> None:
        """Close a connection without copying the WAL.

        Of a file that is no longer the database SQLite would else remove the log of that name: another's.
        """
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close(force=True)

    def close(self) -> None:
        """Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                # The last one to leave would copy the whole WAL, with three syncs: a one-shot program
                # leaves a short one to the next that opens.
                if self._pages < CHECKPOINT // 8 or self._moved():
                    self._let_go(connection)
                else:
                    connection.close(force=True)
            except apsw.Error:
                pass
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _checkpoint(self) -> None:
        if self._pages < CHECKPOINT or 0 <= self._pages - self._checkpointed < CHECKPOINT:
            return
        mode = apsw.SQLITE_CHECKPOINT_PASSIVE
        if self._pages >= TRUNCATE:
            mode = apsw.SQLITE_CHECKPOINT_TRUNCATE
        connection = self.connection
        try:
            connection.set_busy_timeout(0)
            connection.wal_checkpoint(mode=mode)
        except apsw.Error:
            # What was committed stays so.  A reader is in the way, or the disk is: commits will say that.
            pass
        finally:
            connection.set_busy_timeout(BUSY)
        # A WAL that begins anew is short again; one that a reader keeps long is not tried at every commit.
        self._checkpointed = self._pages

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._pages:
            self._checkpointed = 0
        self._pages = pages
        return apsw.SQLITE_OK

    def _open(self) -> apsw.Connection:
        # Taken before it is opened: at worst it is opened once more.
        self._inode = os.stat(self.path).st_ino
        connection = connect(self.path, self._vfs, STATEMENTS)
        try:
            connection.set_busy_timeout(BUSY)
            connection.execute(f"PRAGMA page_size={PAGE}; PRAGMA synchronous=FULL; PRAGMA mmap_size=0")
            connection.set_wal_hook(self._committed)
        except BaseException:
            connection.close(force=True)
            raise
        return connection

    def _schema(self) -> int:
        """The schema's version, 0 when there is none yet."""
        if not os.path.exists(self.path):
            return 0
        version: int = self.value("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was written by a later mether: its schema is {version}, "
                f"and this one knows {SCHEMA_VERSION}"
            )
        return version

    def _create(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            if self._schema():
                return
            try:
                self._disk.close(self._disk.create(self.path))
            except FileExistsError:
                pass  # a creation that was cut short
            self.execute("PRAGMA journal_mode=WAL")
            self.execute(
                f"BEGIN IMMEDIATE;{sql.text('schema.sql')};PRAGMA user_version={SCHEMA_VERSION};COMMIT"
            )
            self._disk.sync_directory(self._directory)
        finally:
            self.reset()
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _migrate(self) -> None:
        """Bring an older schema up to date, in one transaction; processes of the older mether can go on."""
        with self.write():
            for version in range(self._schema(), SCHEMA_VERSION):
                self.execute(f"{sql.text(f'migrate_{version}.sql')};PRAGMA user_version={version + 1}")


class Writing:
    """A write transaction: committed at the end of its ``with``, rolled back when it raises."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.begin()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._database.commit()
        else:
            self._database.rollback()


class Reading:
    """A snapshot: all reads in its ``with`` see one state."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN")

    def __exit__(self, *_: object) -> None:
        self._database.reset()
