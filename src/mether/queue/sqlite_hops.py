"""What the SQLite queue knows of next hops, and the statements that all of its parts share.

`next_hop.ready` is when the earliest recipient that waits at a next hop may be tried; `refresh` brings it up
to date.  `Database.hops` remembers the rows of next hops between transactions, and `Database.troubled` which
of them have failures behind them or are suspended, as long as no other process has written.

Runs inside `Database.write`, but for what only reads.
"""

from __future__ import annotations

from mether.queue import sqlite_rows
from mether.queue.selection import MAX_REASON
from mether.queue.sql import load
from mether.queue.sqlite_rows import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Final

    from mether.outcome import Route
    from mether.queue.claim import Hop
    from mether.queue.database import Database

SQL: Final = load("statements.sql")
ABOVE: Final = 10
"""Above every priority (RFC 6710 section 3: -9 to 9)."""
MAX_HOPS: Final = 10_000
"""Next hops whose rows are remembered between transactions."""


def numbers(values: Iterable[int]) -> str:
    """A list parameter of a statement."""
    return "[" + ",".join(map(str, values)) + "]"


def names(route: Route) -> tuple[str, str, str, str]:
    """The columns by which a next hop is known."""
    return (route.transport, route.next_hop, route.helo, route.via)


def hop_id(db: Database, route: Route) -> int:
    """The row of a next hop, made when it is new."""
    key = names(route)
    found = db.hops.get(key)
    if found is None:
        row = db.execute(SQL["hop-find"], key).fetchone()
        if len(db.hops) >= MAX_HOPS:
            db.forget_hops()
        if row is None:
            db.execute(SQL["hop-insert"], key)
            found = db.connection.last_insert_rowid()
        else:
            found = row[0]
            if row[1]:
                db.troubled.add(found)
        db.hops[key] = found
    return found


def learn(db: Database, hops: Sequence[Hop], touched: set[int]) -> None:
    """Remember what was found out about next hops."""
    for hop in hops:
        number = hop_id(db, hop.route)
        db.execute(SQL["hop-learn"], (number, hop.failures, hop.not_before, text(hop.last)))
        touched.add(number)
        _known_again(db)


def suspend(db: Database, routes: Sequence[Route], reason: str, until: float | None) -> None:
    """Suspend next hops, known or not."""
    for number in [hop_id(db, route) for route in routes]:
        db.execute(SQL["hop-suspend"], (number, text(reason[:MAX_REASON]), until))
        refresh(db, [number])
    _known_again(db)


def resume(db: Database, routes: Sequence[Route], now: float) -> int:
    """End the suspension of next hops; how many were suspended at `now`."""
    resumed = 0
    for route in routes:
        row = db.execute(SQL["hop-find"], names(route)).fetchone()
        if row is None or not row[1]:
            continue
        known = sqlite_rows.hop(db.execute(SQL["hop"], row[:1]).fetchone())
        if known.suspended is not None:
            resumed += known.suspended_at(now)
            db.execute(SQL["hop-resume"], row[:1])
            refresh(db, row[:1])
    _known_again(db)
    return resumed


def suspension_over(db: Database, number: int) -> None:
    """Forget a suspension whose time is over."""
    db.execute(SQL["hop-resume"], (number,))
    _known_again(db)


def _known_again(db: Database) -> None:
    """Have what is remembered of next hops read again: it has changed, which happens seldom."""
    db.forget_hops()


def refresh(db: Database, hops: Iterable[int]) -> None:
    """Bring `ready` of next hops up to date, after their waiting recipients or their state changed."""
    for number in hops:
        earliest = [db.value(SQL["first-at-hop"], (number, one)) for one in priorities(db, number)]
        try:
            first = min(earliest, default=None)
        except TypeError:  # a damaged time, which the next claim finds
            first = min((time for time in earliest if isinstance(time, int | float)), default=None)
        db.execute(SQL["hop-refresh"], (number, first))


def priorities(db: Database, hop: int) -> Iterator[int]:
    """The priorities of what waits at a next hop, the highest first: each is one seek of `recipient_due`.

    One recursive statement for all of it takes three times as long where there is but one priority.
    """
    priority = db.value(SQL["priority-below"], (hop, ABOVE))
    while priority is not None:
        yield priority
        priority = db.value(SQL["priority-below"], (hop, priority))
