"""The suppression list of a spool: addresses to which no mail is sent, since it came back.

It is an SQLite file of its own beside the queue, whatever kind that is; of a queue in memory it is in memory.
Of its own, since it outlives every message, is written by people, and is to be kept when a queue is repaired
or thrown away: nothing that looks over or repairs the queue touches it.  `put`, what a person or a file says,
is durable when it returns.  What is learned from failures (`learning`) costs no sync: a power cut may lose
the last of it, which costs one more attempt.

The schema has a version, and a file of a later mether is refused.  A file that cannot be read is never
replaced: an error says so, and what to do.  Looking up an address takes some microseconds, however long the
list is; `choose` goes through it a page at a time, and what `put` and `remove` are given is one transaction.
All methods raise StoreError.

Limits: MAX_LEARNED addresses learned, of which those go first that failed longest ago (`expire`); texts as
`suppressed_row` has them.  What people and files say is not limited: it is theirs.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from contextlib import contextmanager

import apsw

from mether.address import Address
from mether.queue import database, sql
from mether.queue.disk import REAL, give, read_only
from mether.queue.spool import trouble
from mether.queue.store import NoSpace, NotAllowed, StoreError
from mether.queue.suppressed_row import Chosen, Suppressed, key, of_row, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Concatenate, Final, ParamSpec, TypeVar

    from mether.queue.suppressed_row import Key

    P = ParamSpec("P")
    T = TypeVar("T")

FILE: Final = "suppressed.sqlite3"
SCHEMA_VERSION: Final = 1
MAX_LEARNED: Final = 1_000_000
"""Addresses that are remembered of failures."""

CHUNK: Final = 1000
"""Addresses in a page, and that are forgotten in a transaction."""

BUSY: Final = 10_000
"""Milliseconds to wait for another process that writes."""

CACHE: Final = 8192
"""KiB of pages in memory."""

_SQL: Final[dict[str, str]] = {}


def _verb(
    method: Callable[Concatenate[Suppressions, P], T],
) -> Callable[Concatenate[Suppressions, P], T]:
    """A method whose apsw and OS errors become StoreErrors, and that one thread does at a time."""

    def guarded(self: Suppressions, /, *args: P.args, **named: P.kwargs) -> T:
        with self._lock:
            try:
                return method(self, *args, **named)
            except (apsw.Error, OSError) as error:
                self._give_up()
                raise _translated(error, self.path) from None

    guarded.__name__ = method.__name__
    guarded.__doc__ = method.__doc__
    return guarded


def _translated(error: apsw.Error | OSError, path: str) -> StoreError:
    what = f"the suppression list {path}"
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreError(
            f"{what} is damaged ({error}): move it aside, and import it anew from a copy or an export"
        )
    if isinstance(error, PermissionError) or (isinstance(error, apsw.CantOpenError) and _forbidden(path)):
        return NotAllowed(f"{what} cannot be used: Permission denied")
    if isinstance(error, apsw.ReadOnlyError):
        try:
            mounted = read_only(path)
        except OSError:
            mounted = False
        if mounted:
            return StoreError(f"{what} cannot be written: Read-only file system")
        return NotAllowed(f"{what} cannot be written: Permission denied")
    if isinstance(error, apsw.FullError):
        return NoSpace(f"{what} cannot be written: {error}")
    if isinstance(error, OSError):
        return trouble(f"{what} cannot be used", error)
    return StoreError(f"{what} cannot be used: {error}")


def _forbidden(path: str) -> bool:
    """Whether this user may not read, or not write beside, what is there."""
    effective = os.access in os.supports_effective_ids
    return os.path.exists(path) and not (
        os.access(path, os.R_OK, effective_ids=effective)
        and os.access(os.path.dirname(path), os.W_OK, effective_ids=effective)
    )


class Suppressions:
    """The list in `directory`, None for one in memory.

    With `create` it is made where it is missing, once something is written; without, it must be there.  With
    `learning` what is written is not synced.  `busy` is how many milliseconds another process is waited for.
    """

    def __init__(
        self, directory: str | None, *, create: bool = False, learning: bool = False, busy: int = BUSY
    ) -> None:
        self.path = ":memory:" if directory is None else os.path.join(directory, FILE)
        self._directory = directory
        self._create = create
        self._learning = learning
        self._busy = busy
        self._connection: apsw.Connection | None = None
        self._lock = allocate_lock()
        self._inode = -1
        if not _SQL:
            _SQL.update(sql.load("suppressed.sql"))

    # Looking up

    @_verb
    def find(self, address: Address) -> Suppressed | None:
        """What is known of the address, whether it stops mail or not."""
        at = key(address)
        if at is None:
            return None
        row = self._read(_SQL["find"], at).fetchone()
        return None if row is None else of_row(row)

    @_verb
    def stopping(self, address: Address, now: float) -> Suppressed | None:
        """What stops mail to the address: it is on the list, or else its domain is."""
        at = key(address)
        if at is None:
            return None
        row = self._read(_SQL["stopping"], (*at, now)).fetchone()
        return None if row is None else of_row(row)

    @_verb
    def look(self) -> bool:
        """Whether there is any address; raises what is wrong with the file."""
        return bool(self._read(_SQL["any"], ()).get)

    @_verb
    def count(self) -> int:
        """How many addresses there are, with those that stop no mail."""
        return int(self._read(_SQL["count"], ()).get or 0)

    @_verb
    def page(self, after: Key, domain: str | None = None, limit: int = CHUNK) -> list[Suppressed]:
        """The next addresses in the order of domains, in one `domain` alone where it is given."""
        if domain is not None:
            name = after[1] if after[0] == domain else None
            rows = self._read(_SQL["page-domain"], (domain, name or "", limit, name))
        else:
            rows = self._read(_SQL["page"], (*after, limit))
        return [of_row(row) for row in rows]

    def choose(self, chosen: Chosen, now: float) -> Iterator[Suppressed]:
        """Those that are meant, in the order of domains; what comes and goes meanwhile may be missed."""
        after: Key = ("", "")
        while page := self.page(after, chosen.domain):
            for one in page:
                if chosen.takes(one, now):
                    yield one
            after = key(page[-1].address) or after
            if len(page) < CHUNK:
                return

    @property
    def moved(self) -> bool:
        """Whether the file that is open is no longer the one of that name."""
        if self._connection is None or self._directory is None:
            return False
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    # What people and files say

    @_verb
    def put(self, some: Sequence[Suppressed], *, file: bool = False) -> None:
        """Have these on the list, in one transaction.

        What a person says takes the place of what was known; what a `file` says does not, where that was a
        person's, and makes none of it shorter.
        """
        db = self._db()
        with _writing(db):
            for one in some:
                at = key(one.address)
                assert at is not None, "an address without a domain is on no list"
                row = (*texts(at, one), one.since, one.last, one.times, one.until)
                if file:
                    db.execute(_SQL["import"], (*row, one.active))
                else:
                    db.execute(_SQL["put"], row)

    @_verb
    def remove(self, some: Iterable[Address]) -> list[bool]:
        """Take these off the list, in one transaction; of each, whether it was there."""
        db = self._db(missing=True)
        found = []
        with _writing(db):
            for address in some:
                at = key(address)
                db.execute(_SQL["remove"], at or ("", ""))
                found.append(at is not None and db.changes() > 0)
        return found

    # What is learned

    @_verb
    def record(self, some: Iterable[Suppressed], *, keep: float | None, after: int) -> list[Suppressed]:
        """Remember these failures, each at its `last`; those that are on the list from now on.

        A failure is remembered for `keep` seconds, None for ever, and `after` so many of them in that time
        the address is on the list.
        """
        self._follow()
        db = self._db()
        new = []
        with _writing(db):
            for one in some:
                at = key(one.address)
                if at is None:
                    continue
                before = db.execute(_SQL["find"], at).fetchone()
                until = None if keep is None else one.last + keep
                db.execute(_SQL["record"], (*texts(at, one), one.last, until, after))
                now = of_row(db.execute(_SQL["find"], at).fetchall()[0])
                if now.stops(one.last) and (before is None or not of_row(before).stops(one.last)):
                    new.append(now)
        return new

    @_verb
    def forget(self, some: Iterable[Address]) -> None:
        """Mail for these was delivered: what was learned of them does not hold."""
        self._follow()
        db = self._db(missing=True)
        with _writing(db):
            for address in some:
                db.execute(_SQL["forget"], key(address) or ("", ""))

    def expire(self, now: float, limit: int = MAX_LEARNED) -> int:
        """Forget what is over, and what was learned beyond the limit; how many addresses that were."""
        gone = 0
        while some := self._some(_SQL["expire"], now, CHUNK):
            gone += some
        many = self._learned() - limit
        while many > 0 and (some := self._some(_SQL["trim-learned"], min(many, CHUNK))):
            gone, many = gone + some, many - some
        return gone

    @_verb
    def _learned(self) -> int:
        return int(self._read(_SQL["count-learned"], ()).get or 0)

    @_verb
    def _some(self, statement: str, *bindings: float) -> int:
        """Delete some, in a transaction of their own: nobody else waits for all."""
        db = self._db(missing=True)
        db.execute(statement, bindings)
        return db.changes()

    # The file

    def close(self) -> None:
        """Let go of the file.  Never raises."""
        with self._lock:
            self._give_up()

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._directory is not None:
            try:
                connection.close(force=True)
            except apsw.Error:
                pass
        else:
            self._connection = connection  # what is in memory is nowhere else

    def _follow(self) -> None:
        """Let go of a file that was moved aside or removed, lest what is learned goes there."""
        if self.moved:
            self._give_up()

    def _read(self, statement: str, bindings: tuple[Any, ...]) -> apsw.Cursor:
        return self._db(missing=True).execute(statement, bindings)

    def _db(self, *, missing: bool = False) -> apsw.Connection:
        """The connection; with `missing`, one to an empty list where there is none."""
        if self._connection is not None:
            return self._connection
        database.refuse_version(apsw.sqlite_lib_version())
        if self._directory is None:
            connection = apsw.Connection(":memory:", apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            connection.execute(_SQL["schema"])
            self._connection = connection
            return connection
        try:
            self._inode = os.stat(self.path).st_ino
        except FileNotFoundError:
            if missing:
                return _empty()
            if not self._create:
                raise StoreError(f"there is no suppression list {self.path}") from None
            self._make()
            self._inode = os.stat(self.path).st_ino
        connection = database.connect(self.path, statements=20)
        try:
            connection.set_busy_timeout(self._busy)
            connection.execute(f"PRAGMA synchronous={'NORMAL' if self._learning else 'FULL'}")
            connection.execute(f"PRAGMA cache_size=-{CACHE}")
            version = connection.pragma("user_version")
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by a later mether: its schema is {version}, "
                    f"and this one knows {SCHEMA_VERSION}"
                )
            if version == 0:  # a creation that was cut short
                if missing:
                    connection.close(force=True)
                    return _empty()
                self._schema(connection)
        except BaseException:
            connection.close(force=True)
            raise
        self._connection = connection
        return connection

    def _make(self) -> None:
        """An empty file, of the spool's owner."""
        assert self._directory is not None
        try:
            fd = REAL.create(self.path)
        except FileExistsError:
            return  # another process makes it just now
        try:
            give(fd, self._directory)
            REAL.sync(fd)
        finally:
            REAL.close(fd)
        REAL.sync_directory(self._directory)

    def _schema(self, connection: apsw.Connection) -> None:
        connection.pragma("journal_mode", "wal")
        with _writing(connection):
            if connection.pragma("user_version") == 0:
                connection.execute(_SQL["schema"])
                connection.pragma("user_version", SCHEMA_VERSION)


@contextmanager
def _writing(connection: apsw.Connection) -> Iterator[None]:
    """A transaction, begun and ended so that other threads go on while this one waits for another process or
    the disk: apsw's own `with` keeps them all waiting."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _empty() -> apsw.Connection:
    """A list with nothing in it, for one question."""
    connection = apsw.Connection(":memory:")
    connection.execute(_SQL["schema"])
    return connection
