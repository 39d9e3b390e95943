"""Moving recipients of the SQLite queue to other next hops, as a person says: see `selection.Move`.

Within the transaction of a change (`sqlite_change`), whose messages are in the table `picked`: what waits
gets its new next hop there, what is claimed a mark that its owner obeys.  A single next hop is two
statements, however many recipients there are; where each has its own, they are moved row by row.
"""

from __future__ import annotations

from mether.queue import sqlite_rows
from mether.queue.sqlite_hops import SQL, hop_id, numbers
from mether.queue.sqlite_list import like
from mether.queue.sqlite_pick import hops_like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mether.queue.database import Database
    from mether.queue.selection import Move
    from mether.queue.store import Filter

_FREE = (
    "r.hop NOT IN (SELECT id FROM next_hop WHERE transport = 'file' "
    "OR (transport = 'pipe' AND substr(next_hop, 1, 1) = '|')) AND NOT (r.state = 1 AND r.mark IS 'remove')"
)
"""What may be moved at all: `selection.fixed` says the same of one."""


def condition(db: Database, filter: Filter, move: Move) -> tuple[str, list[Any]]:
    """Which recipients ``r`` of a message that matches are to be moved, as an expression and its values."""
    where = [_FREE]
    values: list[Any] = []
    if filter.recipient is not None:
        where.append("r.path LIKE ? ESCAPE '!'")
        values.append(like(filter.recipient))
    if filter.next_hop is not None:
        where.append("r.hop IN (SELECT value FROM json_each(?))")
        values.append(numbers(hops_like(db, filter.next_hop)))
    if move.route is not None:
        where.append(
            "CASE WHEN r.state = 1 AND r.mark LIKE 'move %' THEN r.mark <> ? "
            "ELSE NOT (r.hop = ? AND r.pinned) END"
        )
        values += [sqlite_rows.move_mark(move.route), hop_id(db, move.route)]
    return " AND ".join(where), values


def move(db: Database, filter: Filter, move: Move, now: float) -> list[int]:
    """Move them; the next hops they have now."""
    where, values = condition(db, filter, move)
    mine = f"r.message IN (SELECT id FROM picked) AND {where}"
    if move.each is not None:
        return _each(db, mine, values, move, now)
    if move.route is None:
        db.execute(
            f"UPDATE recipient AS r SET pinned = 0, mark = CASE WHEN mark NOT LIKE 'move %' THEN mark END, "
            f"next_attempt = CASE WHEN state = 1 THEN next_attempt ELSE {_RELEASED} END WHERE {mine}",
            [now, *values],
        )
        return []
    hop, mark = hop_id(db, move.route), sqlite_rows.move_mark(move.route)
    db.execute(f"UPDATE recipient AS r SET mark = ? WHERE {mine} AND state = 1", [mark, *values])
    db.execute(
        f"UPDATE recipient AS r SET hop = ?, pinned = 1, next_attempt = {_RELEASED} "
        f"WHERE {mine} AND state <> 1",
        [hop, now, *values],
    )
    return [hop]


_RELEASED = (
    "max(?, coalesce((SELECT CASE WHEN json_valid(more) THEN json_extract(more, '$.release') END "
    "FROM message WHERE id = r.message), 0))"
)


def _each(db: Database, mine: str, values: list[Any], move: Move, now: float) -> list[int]:
    assert move.each is not None
    found = db.execute(
        f"SELECT r.message, r.number, r.path, r.state, r.hop, r.pinned FROM recipient AS r WHERE {mine}",
        values,
    ).fetchall()
    hops: set[int] = set()
    for message, number, path, state, old, pinned in found:
        try:
            route = move.each(sqlite_rows.address(path))
        except sqlite_rows.UNREADABLE:
            continue  # a damaged row: `mether fsck` finds it
        if state == 1:
            db.execute(SQL["recipient-mark"], (message, number, sqlite_rows.move_mark(route)))
            continue
        hop = hop_id(db, route)
        if hop != old or not pinned:
            hops.add(hop)
            db.execute(SQL["recipient-moved"], (message, number, hop, now))
    return list(hops)
