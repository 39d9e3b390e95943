"""Claims on the SQLite queue: which, taking them, and taking over those of the dead.

`claim` looks first at suspects (one at a time among all owners), then at messages whose expiry or
warning has come, then at next hops in order of their earliest due, a bounded number of messages in each, of
what is due there the highest priority first.
What is blocked is not looked at: `next_hop.ready` already counts backing off, suspension and a probe.

A suspect is a message whose claim outlived its owner.  A death with exactly one suspect in hand is a
strike against it, and three strikes hold it.

Runs inside `Database.write`.
"""

from __future__ import annotations

from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue import sqlite_rows
from mether.queue.claim import Claim, Pending
from mether.queue.content import in_memory
from mether.queue.glob import next_hop_like
from mether.queue.owner import alive
from mether.queue.sqlite_apply import SQL, Settling, numbers, priorities, record, refresh
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Final

    from mether.queue.claim import Hop
    from mether.queue.database import Database
    from mether.queue.store import Select

DIED: Final = Reply(451, "4.3.0", "the process that tried this ended before it said what came of it")
STRUCK: Final = "three processes in a row ended while they tried this message"


class _Pick:
    """One claim to be taken."""

    __slots__ = ("due", "hop", "message", "statement", "suspect")

    def __init__(self, message: int, hop: int, statement: str, due: bool = True) -> None:
        self.message = message
        self.hop = hop
        self.statement = statement
        self.due = due


class Hops:
    """The next hops that are looked at in one claim, each read once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[int, tuple[Hop, bool]] = {}

    def get(self, number: int) -> Hop:
        return self._get(number)[0]

    def free(self, number: int, now: float) -> bool:
        """Whether one more message may be tried there now."""
        hop, probed = self._get(number)
        return not probed and not hop.blocked(now)

    def probe(self, number: int) -> None:
        """Note that a probe of it is out."""
        self._known[number] = (self._get(number)[0], True)

    def _get(self, number: int) -> tuple[Hop, bool]:
        found = self._known.get(number)
        if found is None:
            row = self._db.execute(SQL["hop"], (number,)).fetchone()
            found = (sqlite_rows.hop(row), bool(row[8])) if row else (sqlite_rows.hop(_NO_HOP), False)
            self._known[number] = found
        return found


_NO_HOP = ("", "", "", 0, 0.0, "", None, None)


def pick(db: Database, hops: Hops, limit: int, now: float) -> list[_Pick]:
    """What to claim by default."""
    picks: list[_Pick] = []
    taken: set[tuple[int, int]] = set()

    def add(message: int, hop: int, statement: str, due: bool) -> None:
        if (message, hop) in taken:
            return
        taken.add((message, hop))
        if due and hops.get(hop).failures:
            hops.probe(hop)
        picks.append(_Pick(message, hop, statement, due))

    for message, hop, due in suspects(db, hops, now)[:1]:
        add(message, hop, "claim-suspect", due)
    # Deadlines may come by the million, too: they get half, and what the others leave.
    late = db.execute(SQL["due-by-deadline"], (now, limit * 4)).fetchall()
    for share in (max(1, limit // 2), limit):
        for message, hop, next_attempt in late:
            if len(picks) >= share:
                break
            add(message, hop, "claim-due", next_attempt <= now and hops.free(hop, now))
        if share < limit or limit == 1:
            _by_hop(db, hops, limit, now, picks, taken, add)
    return picks[:limit]


def _by_hop(
    db: Database,
    hops: Hops,
    limit: int,
    now: float,
    picks: list[_Pick],
    taken: set[tuple[int, int]],
    add: Any,
) -> None:
    ready = [row[0] for row in db.execute(SQL["hops-ready"], (now, limit))]
    # First the same share for each, then what is left to whoever has more.
    for everything in (False, True):
        for index, hop in enumerate(ready):
            room = limit - len(picks)
            if room <= 0:
                return
            if not everything:
                room = max(1, room // (len(ready) - index))
            for message in _due_at(db, hop, now):
                if room <= 0 or not hops.free(hop, now):
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


def suspects(db: Database, hops: Hops, now: float) -> list[tuple[int, int, bool]]:
    """Suspects that may be claimed, as (message, next hop, due), unless one is out already."""
    rows = db.execute(SQL["suspects"]).fetchall()
    if any(row[2] == 1 for row in rows):
        return []
    found = []
    for message, hop, state, next_attempt, deadline in sorted(rows, key=lambda row: (row[3], row[0])):
        if state == 3:
            due = next_attempt <= now and hops.free(hop, now)
            if due or deadline <= now:
                found.append((message, hop, due))
    return found


def next_due(db: Database, now: float) -> float | None:
    """When `pick` will next find something."""
    times = [db.value(SQL["next-ready"]), db.value(SQL["next-deadline"])]
    rows = db.execute(SQL["suspects"]).fetchall()
    if rows and not any(row[2] == 1 for row in rows):
        hops = Hops(db)
        for _, number, state, next_attempt, deadline in rows:
            if state == 3:
                times += [deadline, _suspect_ready(hops, number, next_attempt, now)]
    known = [time for time in times if time is not None]
    return min(known) if known else None


def _suspect_ready(hops: Hops, number: int, next_attempt: float, now: float) -> float | None:
    hop = hops.get(number)
    if hop.suspended is not None and hop.suspended_until is None:
        return None
    when = max(next_attempt, hop.not_before, hop.suspended_until or 0.0)
    return None if when <= now and not hops.free(number, now) else when


def hops_like(db: Database, name: str) -> list[int]:
    """The rows of the next hops that a person may mean by that name."""
    hops = db.execute("SELECT id, transport, next_hop FROM next_hop").fetchall()
    return [hop for hop, *parts in hops if next_hop_like(name, Route(*parts))]


def pick_selected(db: Database, hops: Hops, limit: int, now: float, select: Select) -> list[_Pick]:
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
            "AND json_extract(m.more, '$.release') > ?))"
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
    out = db.value(SQL["claim-suspects-apart"]) is not None
    picks: list[_Pick] = []
    for message, hop, next_attempt, deadline, suspect in rows:
        if len(picks) >= limit:
            break
        due = select.regardless or (next_attempt <= now and hops.free(hop, now))
        if (suspect and out) or not (due or deadline <= now):
            continue
        out = out or bool(suspect)
        if due and not select.regardless and hops.get(hop).failures:
            hops.probe(hop)
        picks.append(
            _Pick(message, hop, "claim-suspect" if suspect and statement == "claim-due" else statement, due)
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


def take(
    db: Database, hops: Hops, picks: list[_Pick], owner: int, token: int, now: float, held: bool
) -> list[Claim]:
    """Take the picked claims, with tokens from `token` up."""
    first, taken = token, {}
    for one in picks:
        which = (one.message, one.hop, owner, token)
        if one.statement == "claim-suspect":
            db.execute(SQL[one.statement], which)
        else:
            db.execute(SQL[one.statement], (*which, now if one.statement == "claim-due" else held))
        if db.changes():
            settlement = db.value(SQL["claim-number"], (one.message,))
            if one.due and hops.get(one.hop).failures:
                db.execute(SQL["hop-probe"], (one.hop, owner, token))
            taken[token] = (one, settlement)
        token += 1
    ids = numbers({one.message for one, _ in taken.values()})
    pending: dict[int, list[Pending]] = {}
    suspect = set()
    for r in db.execute(SQL["claimed-recipients"], (ids, owner, first)):
        last = sqlite_rows.outcome(r[1], r[9:15])
        recipient = sqlite_rows.recipient(r[2], r[3], r[4])
        pending.setdefault(r[5], []).append(
            Pending(r[1], recipient, r[6], last, r[7], bool(r[15]), bool(r[16]))
        )
        if r[8]:
            suspect.add(r[5])
    contents = {row[0]: in_memory(row[1]) for row in db.execute(SQL["contents"], (ids,))}
    rows = {row[0]: row for row in db.execute(SQL["messages"], (ids,))}
    claims = []
    for number, (one, settlement) in taken.items():
        mine, hop = pending[number], hops.get(one.hop)
        claims.append(
            Claim(
                sqlite_rows.message(rows[one.message], [each.recipient for each in mine]),
                hop.route,
                mine,
                owner=owner,
                token=number,
                settlement=settlement,
                content=contents.get(one.message),
                hop=hop,
                suspect=number in suspect,
                due=one.due,
            )
        )
    refresh(db, {one.hop for one, _ in taken.values()})
    return claims


def dead_owners(db: Database, owner: int, owners: str, now: float) -> list[int]:
    """The other owners that have let their time pass, or whose process is gone."""
    rows = db.execute(SQL["owners-other"], (owner,)).fetchall()
    return [other for other, until in rows if until < now or not alive(owners, other)]


def take_over(db: Database, settling: Settling, dead: int, now: float) -> None:
    """Write down what a dead owner had in hand, and make it claimable again."""
    rows = db.execute(SQL["owner-claims"], (dead,)).fetchall()
    in_hand = {row[0] for row in rows if row[4]}
    if len(in_hand) == 1:
        db.execute(SQL["message-strike"], (next(iter(in_hand)), STRUCK))
    attempts: dict[tuple[int, int, int], list[int]] = {}
    for message, hop, token, number, _, _ in rows:
        attempts.setdefault((message, hop, token), []).append(number)
    touched = {row[1] for row in rows}
    for (message, hop, _), recipients in attempts.items():
        row = db.execute(SQL["hop"], (hop,)).fetchone() or _NO_HOP
        route = Route(row[0], row[1], row[2])
        outcomes = [
            Outcome(number, "delayed", DIED, scope="transaction", at=now, uncertain=True)
            for number in recipients
        ]
        record(db, message, Attempt(route, outcomes, started=now, uncertain=True))
    for message, _, _, number, _, mark in rows:
        if mark == "remove":
            db.execute(SQL["recipient-delete"], (message, number))
        else:
            held = db.value(SQL["message-held"], (message,)) is not None
            db.execute(SQL["recipient-suspect"], (message, number, held, str(DIED), now))
    for message in in_hand:
        if db.value(SQL["message-held"], (message,)) is not None:
            db.execute(SQL["recipients-held"], (message,))
    removed = {ident_.encode(row[0]) for row in rows if row[5] == "remove"}
    if removed:
        settling.finish(removed)
    touched.update(row[0] for row in db.execute(SQL["hops-probed-by"], (dead,)).fetchall())
    db.execute(SQL["owner-remove"], (dead,))
    refresh(db, touched)
