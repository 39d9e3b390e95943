"""The owners of the SQLite queue: who is alive, and taking over what the dead had in hand.

A death with exactly one suspect in hand is a strike against it, and three strikes hold it.

`take_over` runs inside `Database.write`.
"""

from __future__ import annotations

from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue.figures import Live
from mether.queue.owner import alive
from mether.queue.sqlite_hops import SQL, refresh
from mether.queue.sqlite_pick import NO_HOP
from mether.queue.sqlite_settle import Settling, record
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.queue.database import Database

DIED: Final = Reply(451, "4.3.0", "the process that tried this ended before it said what came of it")
STRUCK: Final = "three processes in a row ended while they tried this message"


def live(db: Database, owner: int, owners: str, now: float) -> Live:
    """The other owners that are alive, by what they do."""
    rows = db.execute(SQL["owners-live"], (owner, now)).fetchall()
    rows = [row for row in rows if alive(owners, row[0])]
    return Live(sum(row[1] for row in rows), sum(row[2] for row in rows))


def dead_owners(db: Database, owner: int, owners: str, now: float) -> list[int]:
    """The other owners that have let their time pass, or whose process is gone."""
    rows = db.execute(SQL["owners-other"], (owner,)).fetchall()
    return [other for other, until in rows if _past(until, now) or not alive(owners, other)]


def _past(until: object, now: float) -> bool:
    return isinstance(until, int | float) and until < now


def take_over(db: Database, settling: Settling, dead: int, now: float) -> None:
    """Write down what a dead owner had in hand, and make it claimable again.

    Of one that tries nothing there is nothing to write down.
    """
    rows = db.execute(SQL["owner-claims"], (dead,)).fetchall()
    tried = rows if db.value(SQL["owner-runs"], (dead,)) != 0 else []
    in_hand = {row[0] for row in tried if row[4]}
    if len(in_hand) == 1:
        db.execute(SQL["message-strike"], (next(iter(in_hand)), STRUCK))
    attempts: dict[tuple[int, int, int], list[int]] = {}
    for message, hop, token, number, _, _ in tried:
        attempts.setdefault((message, hop, token), []).append(number)
    touched = {row[1] for row in rows}
    for (message, hop, _), recipients in attempts.items():
        row = db.execute(SQL["hop"], (hop,)).fetchone() or NO_HOP
        route = Route(*row[:4])
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
            if tried:
                db.execute(SQL["recipient-suspect"], (message, number, held, str(DIED), now))
            else:
                db.execute(SQL["recipient-return"], (message, number, held))
            settling.obey(message, number, mark, now)
    for message in in_hand:
        if db.value(SQL["message-held"], (message,)) is not None:
            db.execute(SQL["recipients-held"], (message,))
    removed = {ident_.encode(row[0]) for row in rows if row[5] == "remove"}
    if removed:
        settling.finish(removed)
    touched.update(row[0] for row in db.execute(SQL["hops-probed-by"], (dead,)).fetchall())
    db.execute(SQL["owner-remove"], (dead,))
    refresh(db, touched)
