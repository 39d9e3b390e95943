"""Changing what is queued in SQLite: what people say of thousands of messages at once.

A change is one transaction, however many messages it is about, and others wait for it with what they
accept.  So the messages are picked before it, into a temporary table on disk: in it they are looked at once
more, and the statements go through that table in the order of the others.  Where there are many, the
indexes of what waits are taken down and made anew in the same transaction, which for a million messages
costs a twentieth of keeping them up to date row by row.
"""

from __future__ import annotations

from mether.queue import ident as ident_
from mether.queue import sqlite_move, sqlite_rows
from mether.queue.selection import MAX_REASON
from mether.queue.sqlite_hops import SQL, numbers, refresh
from mether.queue.sqlite_list import condition, matching
from mether.queue.store import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from mether.queue.database import Database
    from mether.queue.selection import Action, Move
    from mether.queue.store import Filter

MANY: Final = 20_000
PART: Final = 4
"""A change of that many messages, which are at least one in PART, makes the indexes anew."""
CACHE: Final = 64 * 1024
"""KiB of pages that it then keeps in memory."""


CHANGES: Final = {
    "hold": "m.hold IS NULL",
    "release": "m.hold IS NOT NULL",
    "retry": "m.hold IS NULL",
    "remove": "(NOT EXISTS (SELECT 1 FROM recipient WHERE message = m.id) OR EXISTS "
    "(SELECT 1 FROM recipient WHERE message = m.id AND (state <> 1 OR mark IS NOT 'remove')))",
}
"""What a change does anything to, as `selection.changes` says."""


def pick(db: Database, filter: Filter) -> None:
    """Note which messages match, in the table `picked`, without keeping anyone waiting."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS picked (id INTEGER PRIMARY KEY)")
    db.execute("DELETE FROM picked")
    statement, values = matching(db, filter)
    db.execute(f"INSERT INTO picked {statement}", values)


def change(
    db: Database,
    filter: Filter,
    action: Action,
    now: float,
    reason: str,
    move: Move | None = None,
) -> tuple[int, list[str]]:
    """Change what was picked, still matches and is changed by that; how many messages, and the ids of those
    whose content file is to go."""
    expression, values = condition(db, filter)
    what = CHANGES.get(action, "1")
    if move is not None:
        mine, more = sqlite_move.condition(db, filter, move)
        what = f"EXISTS (SELECT 1 FROM recipient AS r WHERE r.message = m.id AND {mine})"
        values += more
    db.execute(
        "DELETE FROM picked WHERE NOT EXISTS "
        f"(SELECT 1 FROM message AS m WHERE m.id = picked.id AND {expression} AND {what})",
        values,
    )
    count: int = db.value("SELECT count(*) FROM picked")
    if count < MANY or count < db.value(SQL["queued-count"]) // PART:
        hops = [row[0] for row in db.execute(SQL["hops-of"])]
        gone = _change(db, action, now, reason) if move is None else []
        if move is not None:
            hops += sqlite_move.move(db, filter, move, now)
    else:
        kept: int = db.value("PRAGMA cache_size")
        db.execute(f"PRAGMA cache_size = -{CACHE}")
        try:
            indexes = db.execute(SQL["indexes-of-what-waits"]).fetchall()
            for name, _ in indexes:
                db.execute(f"DROP INDEX {name}")
            gone = _change(db, action, now, reason) if move is None else []
            if move is not None:
                sqlite_move.move(db, filter, move, now)
            for _, statement in indexes:
                db.execute(statement)
            hops = [row[0] for row in db.execute("SELECT id FROM next_hop")]
        finally:
            db.execute(f"PRAGMA cache_size = {kept}")
    refresh(db, hops)
    db.execute("DELETE FROM picked")
    return count, gone


def _change(db: Database, action: str, now: float, reason: str) -> list[str]:
    gone: list[str] = []
    if action == "hold":
        db.execute(SQL["change-hold"], (sqlite_rows.text(reason[:MAX_REASON]),))
        db.execute(SQL["change-hold-recipients"])
    elif action == "release":
        db.execute(SQL["change-release"])
        db.execute(SQL["change-release-recipients"])
    elif action == "retry":
        db.execute(SQL["change-retry-recipients"], (now,))
        db.execute(SQL["hops-unblock"])
    else:
        db.execute(SQL["change-remove-recipients"])
        db.execute(SQL["change-remove-claimed"])
        db.execute(SQL["change-remove-left"])
        gone = [ident_.encode(row[0]) for row in db.execute(SQL["change-large"])]
        for table in ("messages", "contents", "attempts", "transcripts"):
            db.execute(SQL[f"change-remove-{table}"])
    return gone


def advance(db: Database, times: Mapping[str, tuple[float, float]]) -> int:
    """Make due at the second time what waits for one beyond the first, by id; how many messages that is."""
    changed = 0
    touched: set[int] = set()
    for ident, (beyond, at) in times.items():
        hops = db.execute(SQL["recipients-advance"], (ident_.decode(ident), beyond, at)).fetchall()
        touched.update(row[0] for row in hops)
        changed += bool(hops)
    refresh(db, touched)
    return changed


def start(db: Database, domain: str, now: float, limit: int) -> int:
    """Make due what waits at the next hops that `domain` names; how many messages that is, up to `limit`."""
    found: set[int] = set()
    touched = []
    for hop, next_hop in db.execute(SQL["hops-like"], (domain.lower().strip("@[]"),)).fetchall():
        if not names(domain, next_hop):
            continue
        waiting = [row[0] for row in db.execute(SQL["hop-waiting"], (hop, now, limit - len(found)))]
        found.update(waiting)
        db.execute(SQL["hop-start"], (hop, now, numbers(waiting)))
        db.execute(SQL["hop-unblock"], (hop,))
        touched.append(hop)
    refresh(db, touched)
    return len(found)
