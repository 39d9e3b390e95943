"""What people ask of the SQLite queue, and say: the verbs of `SqliteStore` that listing and operating need.

Each runs in one snapshot or one transaction; the work is in `sqlite_list`, `sqlite_change` and `sqlite_hops`.
"""

from __future__ import annotations

from mether.queue import ident as ident_
from mether.queue import sqlite_hops, sqlite_rows
from mether.queue.database import verb
from mether.queue.sqlite_hops import SQL
from mether.queue.store import Store, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mether.outcome import Attempt, Route
    from mether.queue.claim import Hop
    from mether.queue.database import Database
    from mether.queue.figures import Shape, Summary, Totals
    from mether.queue.message import Entry
    from mether.queue.selection import Action, Move
    from mether.queue.spool import Spool
    from mether.queue.store import Filter


class SqlitePeople(Store):
    """All of `SqliteStore` that has to do with people."""

    path: str
    _db: Database
    _spool: Spool

    @verb
    def count(self, most: int) -> int:
        return int(self._db.value("SELECT count(*) FROM (SELECT 1 FROM message LIMIT ?)", (most,)) or 0)

    @verb
    def entries(self, filter: Filter, after: str = "", limit: int = 1000) -> list[Entry]:
        from mether.queue import sqlite_list

        try:
            return sqlite_list.entries(self._db, filter, after, limit)
        except ValueError as error:
            raise StoreError(str(error)) from None

    @verb
    def attempts(self, ident: str) -> list[Attempt]:
        try:
            number = ident_.decode(ident)
        except ValueError as error:
            raise StoreError(str(error)) from None
        from mether.queue import sqlite_damage

        return sqlite_damage.attempts(self._db, number)

    @verb
    def hops(self, like: str | None = None) -> list[Hop]:
        if like is None:
            return [sqlite_rows.hop(row) for row in self._db.execute(SQL["hops-in-trouble"]).fetchall()]
        from mether.queue.glob import next_hop_like

        known = (sqlite_rows.hop(row) for row in self._db.execute(SQL["hops-known"]).fetchall())
        return [hop for hop in known if next_hop_like(like, hop.route)]

    @verb
    def suspend(self, routes: Sequence[Route], *, reason: str, until: float | None) -> None:
        with self._db.write():
            sqlite_hops.suspend(self._db, routes, reason, until)

    @verb
    def resume(self, routes: Sequence[Route], *, now: float) -> int:
        with self._db.write():
            return sqlite_hops.resume(self._db, routes, now)

    @verb
    def summary(self) -> Summary:
        from mether.queue import sqlite_list

        return sqlite_list.summary(self._db)

    @verb
    def shape(self, filter: Filter, edges: Sequence[float]) -> list[Shape]:
        from mether.queue import sqlite_list

        return sqlite_list.shape(self._db, filter, edges)

    @verb
    def totals(self) -> Totals:
        from mether.queue.figures import Totals

        return Totals(*self._db.execute(SQL["totals"]).fetchone())

    @verb
    def change(
        self,
        filter: Filter,
        action: Action,
        *,
        now: float,
        reason: str = "",
        move: Move | None = None,
    ) -> int:
        from mether.queue import sqlite_change

        sqlite_change.pick(self._db, filter)
        with self._db.write():
            count, gone = sqlite_change.change(self._db, filter, action, now, reason, move)
        self._remove(gone)
        return count

    @verb
    def advance(self, times: Mapping[str, tuple[float, float]]) -> int:
        from mether.queue import sqlite_change

        with self._db.write():
            return sqlite_change.advance(self._db, times)

    @verb
    def start(self, domain: str, *, now: float, limit: int) -> int:
        from mether.queue import sqlite_change

        with self._db.write():
            return sqlite_change.start(self._db, domain, now, limit)

    def check(self) -> Iterator[str]:
        yield from self._check()

    @verb
    def _check(self) -> list[str]:
        from mether.queue import sqlite_list

        return list(sqlite_list.check(self._db, self._spool))

    def _remove(self, idents: Iterable[str]) -> None:
        """Remove the content files, if any, of messages that are gone for good."""
        for ident in idents:
            self._spool.remove(ident)
