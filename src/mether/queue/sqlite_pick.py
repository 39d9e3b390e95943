"""Which claims may be taken on the SQLite queue: choosing them, and telling when there are any to choose.

`pick` looks first at suspects (one at a time among all owners), then at messages whose expiry or
warning has come, then at next hops in order of their earliest due, a bounded number of messages in each, of
what is due there the highest priority first.
What is blocked is not looked at: `next_hop.ready` already counts backing off, suspension and a probe.
What is due and finds no room is left alone, whatever else has come for it.

A suspect is a message whose claim outlived its owner (`sqlite_owner`).  What is chosen is taken by
`sqlite_claim`.

Runs inside `Database.write`, but for `next_due`, which only reads.
"""

from __future__ import annotations

from mether.outcome import Route
from mether.queue import ident as ident_
from mether.queue import sqlite_rows
from mether.queue.glob import next_hop_like
from mether.queue.sqlite_damage import forget
from mether.queue.sqlite_hops import SQL, numbers, priorities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Final

    from mether.queue.claim import Hop
    from mether.queue.database import Database
    from mether.queue.store import Select


class Pick:
    """One claim to be taken."""

    __slots__ = ("due", "hop", "message", "statement")

    def __init__(self, message: int, hop: int, statement: str, due: bool = True) -> None:
        self.message = message
        self.hop = hop
        self.statement = statement
        self.due = due


class Hops:
    """The next hops that are looked at in one claim, each read once, and how much room is left at each."""

    def __init__(self, db: Database, select: Select | None = None, limit: int = 0) -> None:
        self._db = db
        self._known: dict[int, tuple[Hop, bool]] = {}
        self._select = select
        self._limit = limit
        self._left: dict[int, int] = {}

    def ready(self, now: float) -> list[int]:
        """Those that have something due and room for it, the earliest first, as many as the limit."""
        found = []
        for row in self._db.execute(SQL["hops-ready"], (now,)):
            number = row[0]
            if number not in self._known:
                if not sqlite_rows.sound(row[1:]):
                    forget(self._db, number)
                self._known[number] = (sqlite_rows.hop(row[1:]), bool(row[10]))
            if self.left(number):
                found.append(number)
                if len(found) == self._limit:
                    break
        return found

    def left(self, number: int) -> int:
        """How many more messages that are due may be claimed there."""
        left = self._left.get(number)
        if left is None:
            left = self._limit
            if self._select is not None:
                left = self._select.room_at(self.get(number).route, left)
            self._left[number] = left
        return left

    def take(self, number: int) -> None:
        """Note that one that is due is claimed there: a probe, where there are failures."""
        self._left[number] = self.left(number) - 1
        hop = self.get(number)
        if hop.failures:
            self._known[number] = (hop, True)

    def get(self, number: int) -> Hop:
        return self._get(number)[0]

    def free(self, number: int, now: float) -> bool:
        """Whether one more message may be tried there now."""
        hop, probed = self._get(number)
        return not probed and not hop.blocked(now)

    def may(self, number: int, now: float) -> bool:
        """Whether one more message may be claimed there, to be tried now."""
        return self.free(number, now) and self.left(number) > 0

    def _get(self, number: int) -> tuple[Hop, bool]:
        found = self._known.get(number)
        if found is None:
            row = self._db.execute(SQL["hop"], (number,)).fetchone()
            found = (sqlite_rows.hop(row), bool(row[9])) if row else (sqlite_rows.hop(NO_HOP), False)
            self._known[number] = found
        return found


NO_HOP = ("", "", "", "", 0, 0.0, "", None, None)
FIRST: Final = (float("-inf"), 0, 0)
"""Before the first deadline."""


def pick(db: Database, hops: Hops, limit: int, now: float) -> list[Pick]:
    """What to claim by default, `hops` knowing the room there is."""
    picks: list[Pick] = []
    taken: set[tuple[int, int]] = set()

    def add(message: int, hop: int, statement: str, due: bool) -> None:
        if (message, hop) in taken:
            return
        taken.add((message, hop))
        if due:
            hops.take(hop)
        picks.append(Pick(message, hop, statement, due))

    found = suspect(db, hops, now)
    if found is not None:
        add(found[0], found[1], "claim-suspect", found[2])
    # Deadlines may come by the million, too: they get half, and what the others leave.
    late = _late(db, hops, limit, now)
    for share in (max(1, limit // 2), limit):
        while len(picks) < share and (one := next(late, None)) is not None:
            add(one[0], one[1], "claim-due", one[2])
        if share < limit or limit == 1:
            _by_hop(db, hops, limit, now, picks, taken, add)
    return picks[:limit]


def _late(db: Database, hops: Hops, limit: int, now: float) -> Iterator[tuple[int, int, bool]]:
    """What has come to its deadline, as (message, next hop, due), but for what only waits for room.

    Of those that wait for room there may be very many, too: where a look has come upon any, the next one
    goes on behind the last row that this one came to, and at the end begins anew.
    """
    after = db.late or FIRST
    page, waits = 4 * limit, db.late is not None
    while True:
        rows = db.execute(SQL["due-by-deadline"], (now, *after, page)).fetchall()
        earliest: dict[tuple[int, int], float] = {}
        for _, message, _, hop, next_attempt in rows:
            earliest[message, hop] = min(next_attempt, earliest.get((message, hop), next_attempt))
        for *place, hop, _ in rows:
            due = earliest[place[1], hop] <= now and hops.free(hop, now)
            if due and hops.left(hop) <= 0:
                waits = True
                db.late = tuple(place)
                continue
            if waits:
                db.late = tuple(place)
            yield place[1], hop, due
        if len(rows) == page:
            return
        db.late, waits = None, False
        if after == FIRST:
            return
        after = FIRST


def _by_hop(
    db: Database,
    hops: Hops,
    limit: int,
    now: float,
    picks: list[Pick],
    taken: set[tuple[int, int]],
    add: Any,
) -> None:
    ready = hops.ready(now)
    # First the same share for each, then what is left to whoever has more.
    for everything in (False, True):
        for index, hop in enumerate(ready):
            room = limit - len(picks)
            if room <= 0:
                return
            if not everything:
                room = max(1, room // (len(ready) - index))
            for message in _due_at(db, hop, now):
                if room <= 0 or not hops.may(hop, now):
                    break
                if (message, hop) not in taken:
                    add(message, hop, "claim-due", True)
                    room -= 1


def _due_at(db: Database, hop: int, now: float) -> Iterator[int]:
    """What is due at a next hop: the highest priority first, then what was due earliest.

    One seek finds each priority that is present, and one more what is due there, in order.
    """
    for priority in priorities(db, hop):
        for (message,) in db.execute(SQL["due-at-hop"], (hop, priority, now)):
            yield message


def suspect(db: Database, hops: Hops, now: float) -> tuple[int, int, bool] | None:
    """The suspect that may be claimed, as (message, next hop, due), unless one is out already."""
    if db.value(SQL["suspect-out"]) is not None:
        return None
    for message, hop, next_attempt, deadline in db.execute(SQL["suspects"]):
        due = next_attempt <= now and hops.free(hop, now)
        if hops.left(hop) > 0 if due else deadline <= now:
            return message, hop, due
    return None


def next_due(db: Database, now: float) -> float | None:
    """When `pick` will next find something."""
    times: list[Any] = [db.value(SQL["next-ready"]), db.value(SQL["next-deadline"])]
    if db.value(SQL["suspect-out"]) is None:
        hops = Hops(db)
        for number, next_attempt, deadline in db.execute(SQL["suspects-at-hops"]).fetchall():
            times += [deadline, _suspect_ready(hops, number, next_attempt, now)]
    # What is no time is damaged, and waits for a claim to find it.
    known = [time for time in times if isinstance(time, int | float)]
    return min(known) if known else None


def _suspect_ready(hops: Hops, number: int, next_attempt: float, now: float) -> float | None:
    hop = hops.get(number)
    if hop.suspended is not None and hop.suspended_until is None:
        return None
    when = max(next_attempt, hop.not_before, hop.suspended_until or 0.0)
    return None if when <= now and not hops.free(number, now) else when


def hops_like(db: Database, name: str) -> list[int]:
    """The rows of the next hops that a person may mean by that name."""
    hops = db.execute(SQL["hops-names"]).fetchall()
    return [hop for hop, *parts in hops if next_hop_like(name, Route(*parts))]


def pick_selected(db: Database, hops: Hops, limit: int, now: float, select: Select) -> list[Pick]:
    """What to claim when it is narrowed, or regardless of time."""
    where = ["r.state IN (0, 2, 3)" if select.held else "r.state IN (0, 3)"]
    values: list[Any] = []
    if select.idents is not None:
        where.append("r.message IN (SELECT value FROM json_each(?))")
        values.append(numbers(known_numbers(select.idents)))
    if select.next_hop is not None:
        where.append("r.hop IN (SELECT value FROM json_each(?))")
        values.append(numbers(hops_like(db, select.next_hop)))
    if select.not_since is not None:
        # What made it suspect was no try.
        where.append("(r.last_at IS NULL OR r.last_at <= ? OR r.suspect)")
        values.append(select.not_since)
    if not select.unreleased:
        # Whatever is due has been released: only of the others is the message looked at.
        where.append(
            "(r.next_attempt <= ? OR NOT EXISTS (SELECT 1 FROM message AS m WHERE m.id = r.message "
            "AND CASE WHEN json_valid(m.more) THEN json_extract(m.more, '$.release') > ? END))"
        )
        values += [now, now]
    if select.regardless:
        if select.after:
            where.append("r.message > ?")
            values.append(ident_.decode(select.after))
        # In the table's order, and no further than is asked for: nothing is sorted.
        rows = _by_message(
            db.execute(
                "SELECT r.message, r.hop, r.next_attempt, r.deadline, r.suspect FROM recipient AS r "
                f"WHERE {' AND '.join(where)} ORDER BY r.message, r.number",
                values,
            )
        )
    else:
        where.append("(r.next_attempt <= ? OR r.deadline <= ?)")
        rows = db.execute(
            "SELECT r.message, r.hop, min(r.next_attempt), min(r.deadline), max(r.suspect) "
            f"FROM recipient AS r WHERE {' AND '.join(where)} "
            "GROUP BY r.message, r.hop ORDER BY max(r.priority) DESC, min(r.next_attempt), r.message",
            [*values, now, now],
        )
    statement = "claim-any" if select.regardless or select.held else "claim-due"
    out = db.value(SQL["suspect-out"]) is not None
    picks: list[Pick] = []
    for message, hop, next_attempt, deadline, suspect in rows:
        if len(picks) >= limit:
            break
        due = select.regardless or (next_attempt <= now and hops.free(hop, now))
        if (suspect and out) or (hops.left(hop) <= 0 if due else deadline > now):
            continue
        out = out or bool(suspect)
        if due:
            hops.take(hop)
        picks.append(
            Pick(message, hop, "claim-suspect" if suspect and statement == "claim-due" else statement, due)
        )
    return picks


def _by_message(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """One row for each message and next hop, of rows that come message by message."""
    last = None
    found: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        if row[0] != last:
            yield from found.values()
            last, found = row[0], {}
        old = found.get(row[1])
        if old is not None:
            row = (*row[:2], min(old[2], row[2]), min(old[3], row[3]), max(old[4], row[4]))
        found[row[1]] = row
    yield from found.values()


def known_numbers(idents: frozenset[str]) -> list[int]:
    """The numbers of those that are ids."""
    found = []
    for each in idents:
        try:
            found.append(ident_.decode(each))
        except ValueError:
            continue
    return found
