"""Listing, counting and checking the SQLite queue: what people ask of it."""

from __future__ import annotations

from mether.outcome import Route
from mether.queue import ident as ident_
from mether.queue import sqlite_rows
from mether.queue.figures import Shape, Summary
from mether.queue.glob import glob
from mether.queue.sqlite_hops import SQL, numbers
from mether.queue.sqlite_pick import hops_like, known_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from mether.queue.database import Database
    from mether.queue.message import Entry
    from mether.queue.spool import Spool
    from mether.queue.store import Filter

ALL = "1"
"""The expression that holds for every message."""

_CLAIMED = "EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND state = 1)"
_TRIED = "EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND attempts > 0)"
_STATUS = {
    "held": "m.hold IS NOT NULL",
    "active": f"m.hold IS NULL AND {_CLAIMED}",
    "deferred": f"m.hold IS NULL AND NOT {_CLAIMED} AND {_TRIED}",
    "fresh": f"m.hold IS NULL AND NOT {_CLAIMED} AND NOT {_TRIED}",
}


# A message that matches has a recipient of this kind, which the pass over the recipients sees at once.
_STATUS_ROW = {
    "active": "r.state = 1",
    "deferred": "r.attempts > 0",
    "fresh": "r.attempts = 0 AND r.state <> 1",
}


def condition(db: Database, filter: Filter) -> tuple[str, list[Any]]:
    """What the filter says of a message ``m``, as an SQL expression and its values."""
    where: list[str] = []
    values: list[Any] = []
    if filter.idents is not None:
        where.append("m.id IN (SELECT value FROM json_each(?))")
        values.append(numbers(known_numbers(filter.idents)))
    if filter.sender is not None:
        null = "m.sender = ''" if glob(filter.sender, "<>") else "0"
        where.append(f"CASE m.sender WHEN '' THEN {null} ELSE m.sender LIKE ? ESCAPE '!' END")
        values.append(like(filter.sender))
    if filter.recipient is not None:
        where.append("EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND path LIKE ? ESCAPE '!')")
        values.append(like(filter.recipient))
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
    if filter.reason is not None:
        where.append("m.hold LIKE ? ESCAPE '!'")
        values.append(like(filter.reason))
    return " AND ".join(where) or ALL, values


def matching(db: Database, filter: Filter, after: int = -1, limit: int = -1) -> tuple[str, list[Any]]:
    """The statement that gives the numbers of the messages that match, in order, those after `after`.

    Nothing is sorted or gathered: it goes through the messages in order, or where the filter is about
    recipients through these, and looks at no message before one of its recipients is of the kind.
    """
    expression, values = condition(db, filter)
    row, more = "", []
    if filter.idents is not None:
        pass  # few, and found by their ids
    elif filter.recipient is not None:
        row, more = "r.path LIKE ? ESCAPE '!'", [like(filter.recipient)]
    elif filter.next_hop is not None:
        row, more = "r.hop IN (SELECT value FROM json_each(?))", [numbers(hops_like(db, filter.next_hop))]
    elif filter.status is not None:
        row = _STATUS_ROW.get(filter.status, "")
    if row:
        statement = (
            "SELECT DISTINCT r.message FROM recipient AS r CROSS JOIN message AS m ON m.id = r.message "
            f"WHERE r.message > ? AND {row} AND {expression} ORDER BY r.message LIMIT ?"
        )
    else:
        statement = f"SELECT m.id FROM message AS m WHERE m.id > ? AND {expression} ORDER BY m.id LIMIT ?"
    return statement, [after, *more, *values, limit]


def entries(db: Database, filter: Filter, after: str, limit: int) -> list[Entry]:
    """One page of entries, out of one snapshot.  Raises ValueError when `after` is no id."""
    start = ident_.decode(after) if after else -1
    with db.read():
        found = [row[0] for row in db.execute(*matching(db, filter, start, limit))]
        ids = numbers(found)
        try:
            messages = db.execute(SQL["messages"], (ids,)).fetchall()
            recipients = db.execute(SQL["recipients"], (ids,)).fetchall()
            return sqlite_rows.entries(messages, recipients)
        except sqlite_rows.UNREADABLE:
            from mether.queue import sqlite_damage

            return sqlite_damage.entries(db, found)


def summary(db: Database) -> Summary:
    """Messages by status: a pass over the messages and two over the recipients, all in the tables' order."""
    with db.read():
        messages, free, oldest = db.execute(SQL["summary-messages"]).fetchone()
        tried = db.value(SQL["summary-tried"])
        active, both = db.execute(SQL["summary-active"]).fetchone()
    deferred = tried - both
    return Summary(
        fresh=free - active - deferred,
        deferred=deferred,
        active=active,
        held=messages - free,
        oldest=oldest,
    )


def shape(db: Database, filter: Filter, edges: Sequence[float]) -> list[Shape]:
    """Recipients by next hop and arrival: one pass, in the order of the tables."""
    with db.read():
        expression, values = condition(db, filter)
        columns = "".join(", sum(m.arrived < ?)" for _ in edges)
        statement = SQL["shape-plain"]
        if edges or expression != ALL:
            statement = (
                f"SELECT r.hop, count(*){columns} FROM message AS m "
                f"CROSS JOIN recipient AS r ON r.message = m.id WHERE {expression} GROUP BY r.hop"
            )
        rows = db.execute(statement, [*edges, *values]).fetchall()
        routes = {row[0]: Route(*row[1:]) for row in db.execute(SQL["hops-names"])}
    found = []
    for hop, *before in rows:
        # How many arrived before each edge, and so how many between two.
        counts = [more - less for more, less in zip(before, [*before[1:], 0], strict=True)]
        found.append(Shape(routes.get(hop, Route("", "")), counts))
    return sorted(found, key=lambda one: (-one.recipients, str(one.route)))


def check(db: Database, spool: Spool) -> Iterator[str]:
    """A line for each thing that is wrong."""
    for (line,) in db.execute("PRAGMA integrity_check").fetchall():
        if line != "ok":
            yield f"{db.path}: {line}"
    yield from rules(db)
    yield from contents(db, spool)


def rules(db: Database) -> Iterator[str]:
    """A line for each row that does not go with the others."""
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


def contents(db: Database, spool: Spool) -> Iterator[str]:
    """A line for each content that is not as long as what was queued; of files, all that cannot be read."""
    from mether.queue.fsck_files import file_trouble
    from mether.queue.fsck_sqlite import name

    for number, size, queued in db.execute(SQL["check-short"]).fetchall():
        yield f"the content of {name(number)} has {size} octets where {queued} were queued"
    for number, queued in db.execute(SQL["check-large"]).fetchall():
        ident = name(number)
        wrong = file_trouble(spool.where(ident), queued)
        # It may have left the queue since.
        if wrong and db.value("SELECT 1 FROM message WHERE id = ?", (number,)):
            yield f"the content of {ident} {wrong}"


def like(pattern: str) -> str:
    """A glob as LIKE has it, which is without case (in ASCII) and costs no copy of each text."""
    for character in "!%_":
        pattern = pattern.replace(character, "!" + character)
    return pattern.replace("*", "%").replace("?", "_")
