"""Taking claims on the SQLite queue, which `sqlite_pick` has chosen.

A claim is taken where its recipients are still what they were when they were chosen, in the same transaction;
a message that is damaged is set aside, and costs the others nothing.

Runs inside `Database.write`.
"""

from __future__ import annotations

from mether.queue import sqlite_rows
from mether.queue.claim import Claim, Pending
from mether.queue.content import in_memory
from mether.queue.sqlite_damage import damaged
from mether.queue.sqlite_hops import SQL, numbers, refresh, suspension_over
from mether.queue.sqlite_rows import UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mether.queue.claim import Hop
    from mether.queue.database import Database
    from mether.queue.sqlite_pick import Hops, Pick


def take(
    db: Database, hops: Hops, picks: list[Pick], owner: int, token: int, now: float, held: bool
) -> list[Claim]:
    """Take the picked claims, with tokens from `token` up."""
    first = token
    taken: dict[int, tuple[Pick, int]] = {}
    for one in picks:
        which = (one.message, one.hop, owner, token)
        if one.statement == "claim-suspect":
            db.execute(SQL[one.statement], which)
        else:
            db.execute(SQL[one.statement], (*which, now if one.statement == "claim-due" else held))
        if db.changes():
            settlement = db.value(SQL["claim-number"], (one.message,))
            if one.due:
                _use(db, hops.get(one.hop), one.hop, owner, token, now)
            taken[token] = (one, settlement)
        token += 1
    messages = {one.message for one, _ in taken.values()}
    claims, touched = [], {one.hop for one, _ in taken.values()}
    try:
        claims = _taken(db, hops, taken, messages, owner, first)
    except UNREADABLE:
        known: set[int] = set()
        for token, each in taken.items():
            try:
                claims += _taken(db, hops, {token: each}, {each[0].message}, owner, first)
            except UNREADABLE as error:
                touched |= damaged(db, each[0].message, error, owner, token, known)
                db.execute(SQL["hop-probe-over"], (each[0].hop, owner, token))
    refresh(db, touched)
    return claims


def _taken(
    db: Database,
    hops: Hops,
    taken: dict[int, tuple[Pick, int]],
    messages: Iterable[int],
    owner: int,
    first: int,
) -> list[Claim]:
    """The claims with these tokens, on these messages.  Raises UNREADABLE."""
    ids = numbers(messages)
    pending: dict[int, list[Pending]] = {}
    suspect = set()
    for r in db.execute(SQL["claimed-recipients"], (ids, owner, first)):
        last = sqlite_rows.outcome(r[1], r[9:15])
        recipient = sqlite_rows.recipient(r[2], r[3], r[4])
        sqlite_rows.known(r[1], r[6], r[7])
        pending.setdefault(r[5], []).append(
            Pending(r[1], recipient, r[6], last, r[7], bool(r[15]), bool(r[16]))
        )
        if r[8]:
            suspect.add(r[5])
    contents = {row[0]: in_memory(sqlite_rows.octets(row[1])) for row in db.execute(SQL["contents"], (ids,))}
    rows = {row[0]: row for row in db.execute(SQL["messages"], (ids,))}
    claims = []
    for number, (one, settlement) in taken.items():
        mine, hop = pending[number], hops.get(one.hop)
        if type(settlement) is not int and one.message in rows:
            raise ValueError("the number of its claims is none")
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
    return claims


def _use(db: Database, hop: Hop, number: int, owner: int, token: int, now: float) -> None:
    """Note that a next hop is about to be tried."""
    if hop.failures:
        db.execute(SQL["hop-probe"], (number, owner, token))
    if hop.suspended_until is not None and hop.suspended_until <= now:
        suspension_over(db, number)
