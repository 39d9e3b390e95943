"""Listing, changing and checking the SQLite queue: what people ask of it.

Globs are matched without case by SQLite's GLOB on lower-cased text, with its brackets made ordinary.
"""

from __future__ import annotations

from mether.queue import ident as ident_
from mether.queue import sqlite_rows
from mether.queue.sqlite_apply import SQL, numbers, refresh
from mether.queue.sqlite_claim import hops_like, known_numbers
from mether.queue.store import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from mether.queue.database import Database
    from mether.queue.message import Entry
    from mether.queue.spool import Spool
    from mether.queue.store import Filter

_CLAIMED = "EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND state = 1)"
_TRIED = "EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND attempts > 0)"
_STATUS = {
    "held": "m.hold IS NOT NULL",
    "active": f"m.hold IS NULL AND {_CLAIMED}",
    "deferred": f"m.hold IS NULL AND NOT {_CLAIMED} AND {_TRIED}",
    "fresh": f"m.hold IS NULL AND NOT {_CLAIMED} AND NOT {_TRIED}",
}


def matching(db: Database, filter: Filter, after: int = -1, limit: int = -1) -> list[int]:
    """The numbers of the messages that match, in order, those after `after`."""
    where = ["m.id > ?"]
    values: list[int | str | float] = [after]
    if filter.idents is not None:
        where.append("m.id IN (SELECT value FROM json_each(?))")
        values.append(numbers(known_numbers(filter.idents)))
    if filter.sender is not None:
        where.append("CASE m.sender WHEN '' THEN '<>' ELSE lower(m.sender) END GLOB ?")
        values.append(_glob(filter.sender))
    if filter.recipient is not None:
        where.append("EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND lower(path) GLOB ?)")
        values.append(_glob(filter.recipient))
    if filter.next_hop is not None:
        where.append(
            "EXISTS (SELECT 1 FROM recipient WHERE message = m.id "
            "AND hop IN (SELECT value FROM json_each(?)))"
        )
        values.append(numbers(hops_like(db, filter.next_hop)))
    if filter.before is not None:
        where.append("m.arrived < ?")
        values.append(filter.before)
    if filter.status is not None:
        where.append(_STATUS.get(filter.status, "0"))
    statement = f"SELECT m.id FROM message AS m WHERE {' AND '.join(where)} ORDER BY m.id LIMIT ?"
    return [row[0] for row in db.execute(statement, [*values, limit])]


def entries(db: Database, filter: Filter, after: str, limit: int) -> list[Entry]:
    """One page of entries, out of one snapshot.  Raises ValueError when `after` is no id."""
    start = ident_.decode(after) if after else -1
    with db.read():
        ids = numbers(matching(db, filter, start, limit))
        messages = db.execute(SQL["messages"], (ids,)).fetchall()
        recipients = db.execute(SQL["recipients"], (ids,)).fetchall()
    return sqlite_rows.entries(messages, recipients)


def change(
    db: Database,
    filter: Filter,
    action: Literal["hold", "release", "retry", "remove"],
    now: float,
    reason: str,
) -> tuple[int, list[str]]:
    """Change what matches; how many messages, and the ids of those whose content file is to go."""
    found = matching(db, filter)
    ids = (numbers(found),)
    hops = {row[0] for row in db.execute(SQL["hops-of"], ids)}
    gone: list[str] = []
    if action == "hold":
        db.execute(SQL["change-hold"], (*ids, sqlite_rows.text(reason)))
        db.execute(SQL["change-hold-recipients"], ids)
    elif action == "release":
        db.execute(SQL["change-release"], ids)
        db.execute(SQL["change-release-recipients"], ids)
    elif action == "retry":
        db.execute(SQL["change-retry-recipients"], (*ids, now))
        db.execute(SQL["hops-unblock"], ids)
    else:
        db.execute(SQL["change-remove-recipients"], ids)
        db.execute(SQL["change-remove-claimed"], ids)
        gone = [ident_.encode(row[0]) for row in db.execute(SQL["change-large"], ids)]
        db.execute(SQL["messages-finished"], ids)
        left = {row[0] for row in db.execute(SQL["queued-among"], ids)}
        finished = (numbers(number for number in found if number not in left),)
        db.execute(SQL["contents-delete"], finished)
        db.execute(SQL["attempts-delete"], finished)
    refresh(db, hops)
    return len(found), gone


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


def check(db: Database, spool: Spool) -> Iterator[str]:
    """A line for each thing that is wrong."""
    for (line,) in db.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            yield f"{db.path}: {line}"
    for statement, what in (
        ("check-orphans", "the recipient {1} of {0} has no message"),
        ("check-hops", "the recipient {1} of {0} has no next hop"),
        ("check-owners", "the recipient {1} of {0} is claimed by nobody"),
        ("check-settled", "the message {0} has no recipient left"),
        ("check-content", "the message {0} has no content"),
        ("check-content-orphans", "there is content of {0}, which is not queued"),
    ):
        for row in db.execute(SQL[statement]).fetchall():
            yield what.format(ident_.encode(row[0]), *row[1:])
    for (name,) in db.execute(SQL["check-ready"]).fetchall():
        yield f"the next hop {name} has mail waiting that is never tried"
    for (number,) in db.execute(SQL["check-large"]).fetchall():
        ident = ident_.encode(number)
        try:
            spool.content(ident)
        except Exception as error:
            yield str(error)


def _glob(pattern: str) -> str:
    return pattern.lower().replace("[", "[[]")
