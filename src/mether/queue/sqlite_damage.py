"""Rows of the SQLite queue that cannot be understood: one of them must not stop the others.

Rows are read together, as if all were well.  Only when that raises one of `sqlite_rows.UNREADABLE` are they
read one by one.  A message that cannot be claimed then is put on hold, in the same transaction, with the
reason why, and an error is told of it: a held message is in no claim, so that it is met once.  `mend` finds
what keeps even the choice from being made.  A listing shows what can be read, and that the rest is damaged.

Nothing is repaired or removed here: ``mether fsck`` does that.  But what is remembered of a next hop's
troubles is forgotten, where it is damaged: it is found out again.

`damaged` and `mend` run inside `Database.write`.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.queue import ident as ident_
from mether.queue import sqlite_rows
from mether.queue.sqlite_hops import SQL, numbers, refresh
from mether.queue.sqlite_rows import LAST, UNREADABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from mether.outcome import Attempt
    from mether.queue.database import Database
    from mether.queue.message import Entry

HELD: Final = "its row in the queue is damaged: "
SHOWN: Final = "damaged: see mether fsck"


def name(number: int) -> str:
    """The id of a message, its number where that is none."""
    return ident_.encode(number) if 0 <= number < 1 << 63 else f"number {number}"


def damaged(
    db: Database, message: int, error: Exception, owner: int, token: int, known: set[int]
) -> set[int]:
    """Hold a message that cannot be understood, and give back the claim on it; the next hops it waited at.

    It is told once: `known` are those that were.
    """
    why = HELD + sqlite_rows.text(_words(error))
    db.execute(SQL["damaged-hold"], (message, why))
    touched = {row[0] for row in db.execute(SQL["damaged-recipients"], (message, owner, token))}
    if message not in known:
        event.error(f"{why}; it is held (see mether fsck)", ident=name(message))
        known.add(message)
    return touched


def mend(db: Database, owner: int) -> int:
    """Hold each message whose times are none, and forget what is damaged of next hops; how many there were.

    This is a pass over all that is queued.
    """
    found, touched = 0, set()
    for (message,) in db.execute(SQL["damaged-times"]).fetchall():
        why = ValueError("a time or number of a recipient is none")
        touched |= damaged(db, message, why, owner, 0, set())
        found += 1
    for (hop,) in db.execute(SQL["hops-ids"]).fetchall():
        try:
            row = db.execute(SQL["hop"], (hop,)).fetchone()
            sound = sqlite_rows.sound(row)
        except UNREADABLE:
            sound = False
        if not sound:
            forget(db, hop)
            touched.add(hop)
            found += 1
    db.forget_hops()
    refresh(db, touched)
    return found


def forget(db: Database, hop: int) -> None:
    """Forget the troubles of a next hop whose row is damaged."""
    db.execute(SQL["hop-forgotten"], (hop,))
    event.error(f"the row of next hop {hop} is damaged: its troubles are forgotten (see mether fsck)")


def entries(db: Database, ids: Iterable[int]) -> list[Entry]:
    """The entries of these messages, one by one."""
    found = []
    for number in ids:
        which = (numbers([number]),)
        try:
            messages = db.execute(SQL["messages"], which).fetchall()
            found += sqlite_rows.entries(messages, db.execute(SQL["recipients"], which).fetchall())
        except UNREADABLE as error:
            found.append(_entry(db, number, error))
    return found


def _entry(db: Database, number: int, error: Exception) -> Entry:
    """What can be shown of a message of which some rows cannot be read: it is as if it were held."""
    from mether.envelope import Envelope
    from mether.queue.message import Arrival, Entry, Message

    which = (numbers([number]),)
    rows = []
    try:
        message = sqlite_rows.message(db.execute(SQL["messages"], which).fetchone(), [])
        message.hold = f"{HELD}{_words(error)}; see mether fsck"
    except UNREADABLE:
        at = (number >> 12) / 1e6 + ident_.EPOCH
        message = Message(
            ident_.encode(number), Envelope(None, []), Arrival(at), expires=float(LAST - 1), hold=SHOWN
        )
    for (place,) in db.execute("SELECT number FROM recipient WHERE message = ?", (number,)).fetchall():
        try:
            one = db.execute(f"SELECT * FROM ({SQL['recipients']}) WHERE number = ?2", (*which, place))
            rows += sqlite_rows.rows(one.fetchall()).get(number, [])
        except UNREADABLE:
            continue
    message.envelope.recipients = [row.recipient for row in rows]
    return Entry(message, rows)


def attempts(db: Database, message: int) -> list[Attempt]:
    """What was tried for a message, the rows that cannot be read left out."""
    try:
        return sqlite_rows.attempts(db.execute(SQL["attempts"], (message,)).fetchall())
    except UNREADABLE:
        pass
    found: list[Any] = []
    for key in db.execute("SELECT number, recipient FROM attempt WHERE message = ?", (message,)).fetchall():
        try:
            one = f"SELECT * FROM ({SQL['attempts']}) WHERE number = ?2 AND recipient = ?3"
            rows = db.execute(one, (message, *key)).fetchall()
            sqlite_rows.attempts(rows)
            found += rows
        except UNREADABLE:
            continue
    return sqlite_rows.attempts(found)


def _words(error: Exception) -> str:
    """What an error says of a row, in few words."""
    if isinstance(error, UnicodeError):
        return "a text in it is not UTF-8"
    if isinstance(error, KeyError):
        return "the message has no row"
    if isinstance(error, ValueError) and str(error).isprintable():
        return str(error)[:200]
    return "a value in it is of the wrong kind"
