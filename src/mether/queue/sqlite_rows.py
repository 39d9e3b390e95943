"""Rows of the SQLite queue as values, and back.  Pure: no statement is run here.

SQLite lets any value stand in any column.  A row that says nothing a message can say raises one of
UNREADABLE; what is done then is in `sqlite_damage`.
"""

from __future__ import annotations

from mether.address import Address
from mether.envelope import By, Envelope, Recipient
from mether.outcome import OURS, UNCERTAIN, Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue import transcript
from mether.queue.claim import Hop
from mether.queue.message import Arrival, Entry, Message, Row
from mether.reply import Reply, from_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError, IndexError)
"""What reading a damaged row can raise."""
LAST: Final = 253_402_300_800
"""The time by which every year has four digits."""
MOST_TRIED: Final = 1_000_000
"""Attempts that no message comes to while it lives."""


def address(path: str) -> Address:
    """The Address whose str() was stored: a domain holds no @, so the last one divides."""
    local, at, domain = path.rpartition("@")
    if not domain or (not path.isprintable() and ("\n" in path or "\r" in path or "\0" in path)):
        raise ValueError("an address in it is none")
    return Address(local, domain) if at else Address(domain, "")


def message(row: tuple[Any, ...], recipients: list[Recipient]) -> Message:
    """The Message of a row of the statement "messages".  Raises UNREADABLE."""
    # What is compared and joined is of its type: that costs less than to ask each for it.
    if not (row[0] >= 0 and -LAST < row[8] < LAST and -LAST < row[16] < LAST):
        raise ValueError("a time in it is none")
    if row[17] is not None and not -LAST < row[17] < LAST:
        raise ValueError("a time in it is none")
    if not (row[15] >= 0 and -9 <= row[19] <= 9):
        raise ValueError("a number in it is out of range")
    "".join((row[2], row[6] or "", row[7] or "", *row[9:14], row[18] or "", row[22]))
    row[14].startswith(b"")
    envelope = Envelope(
        address(row[1]) if row[1] else None,
        recipients,
        body=row[2],
        size=row[3],
        smtputf8=bool(row[4]),
        requiretls=bool(row[5]),
        ret=row[6],
        envid=row[7],
        priority=row[19],
    )
    release_at = _more(envelope, row[21]) if row[21] else 0.0
    arrival = Arrival(
        row[8], row[9], address=row[10], host=row[11], helo=row[12], login=row[13], listener=row[22]
    )
    return Message(
        ident_.encode(row[0]),
        envelope,
        arrival,
        trace=row[14],
        size=row[15],
        expires=row[16],
        warn_at=row[17],
        hold=row[18],
        release_at=release_at,
    )


def more(message: Message) -> str | None:
    """What the column `more` holds: the parameters that few messages have, None when this one has none."""
    envelope = message.envelope
    if envelope.auth is None and envelope.by is None and envelope.hold is None and not message.release_at:
        return None
    import json

    values: dict[str, object] = {}
    if envelope.auth is not None:
        values["auth"] = envelope.auth
    if envelope.by is not None:
        values["by"] = str(envelope.by)
    if envelope.hold is not None:
        values["hold"] = envelope.hold
    if message.release_at:
        values["release"] = message.release_at
    return json.dumps(values)


def _more(envelope: Envelope, text: str) -> float:
    """Put what `more` holds into the envelope; when the message is to be released, 0 for at once."""
    import json

    values = json.loads(text)
    envelope.auth, envelope.hold = values.get("auth"), values.get("hold")
    if "by" in values:
        envelope.by = By.of(values["by"])
    return float(values.get("release", 0.0))


def outcome(number: int, row: tuple[Any, ...], said: Reply | None = None) -> Outcome | None:
    """The last outcome out of (action, scope, reply, mta, at, marks), in the reply `said` if it is known."""
    if row[0] is None:
        return None
    "".join((row[0], row[1], row[3]))
    if not -LAST < row[4] < LAST:
        raise ValueError("a time in it is none")
    return Outcome(
        number,
        row[0],
        said or reply(row[2]),
        scope=row[1],
        remote_mta=row[3],
        said=not row[5] & OURS,
        at=row[4],
        uncertain=bool(row[5] & UNCERTAIN),
    )


def reply(text: str) -> Reply:
    """The reply whose str() was stored.  Raises ValueError when that was none."""
    if type(text) is not str:
        raise ValueError("a reply in it is no text")
    return from_text(text) or Reply(451, "4.3.0", text)


def recipient(path: str, orcpt: str | None, notify: str | None) -> Recipient:
    """The Recipient of three columns.  Raises UNREADABLE."""
    if orcpt is not None or notify is not None:
        "".join((orcpt or "", notify or ""))
    return Recipient(address(path), orcpt=orcpt, notify=notify)


def hop(row: tuple[Any, ...]) -> Hop:
    """The Hop of a row of "hop", "hops-known" or "hops-in-trouble".

    Of a damaged one nothing is known but its name, and where that is damaged not even that: the routes of the
    configuration decide then anew.
    """
    if not sound(row):
        names = row[:4] if all(type(each) is str for each in row[:4]) else ("", "", "")
        return Hop(Route(*names))
    return Hop(
        Route(row[0], row[1], row[2], row[3]),
        failures=row[4],
        not_before=row[5],
        last=row[6],
        suspended=row[7],
        suspended_until=row[8],
    )


def sound(row: tuple[Any, ...]) -> bool:
    """Whether a row of a next hop says what it can say."""
    try:
        "".join((*row[:4], row[6], row[7] or ""))
        return bool(row[4] >= 0 and -LAST < row[5] < LAST and -LAST < (row[8] or 0.0) < LAST)
    except TypeError:
        return False


def rows(recipients: Iterable[tuple[Any, ...]]) -> dict[int, list[Row]]:
    """The rows of "recipients" by message.  Raises UNREADABLE."""
    found: dict[int, list[Row]] = {}
    # Many wait for the same next hop and were told the same: each is made once.
    routes: dict[tuple[Any, ...], Route] = {}
    replies: dict[str, Reply] = {}
    for r in recipients:
        key = r[5:9]
        route = routes.get(key)
        if route is None:
            route = routes[key] = Route(*(name or "" for name in key))
        last = None
        if not (r[1] >= 0 <= r[9] < MOST_TRIED and -LAST < r[10] < LAST):
            raise ValueError("a number in it is out of range")
        if r[16] is not None:
            said = replies.get(r[18])
            if said is None:
                said = replies[r[18]] = reply(r[18])
            last = outcome(r[1], r[16:], said)
        mark, moved = marked(r[12])
        row = Row(
            r[1],
            recipient(r[2], r[3], r[4]),
            route,
            attempts=r[9],
            next_attempt=r[10],
            owner=r[11],
            mark=mark,
            moved=moved,
            pinned=bool(r[13]),
            suspect=bool(r[14]),
            warned=bool(r[15]),
            last=last,
        )
        mine = found.get(r[0])
        if mine is None:
            found[r[0]] = [row]
        else:
            mine.append(row)
    return found


MOVE: Final = "move "
"""Before the names of a next hop, as a mark."""


def move_mark(route: Route) -> str:
    """The mark of a recipient that goes to another next hop once its claim has ended."""
    import json

    return MOVE + json.dumps([route.transport, route.next_hop, route.helo, route.via])


def marked(mark: str | None) -> tuple[str | None, Route | None]:
    """A mark in one word, and the next hop that it names.  Raises UNREADABLE."""
    if mark is None or not mark.startswith(MOVE):
        return mark, None
    import json

    transport, next_hop, helo, via = json.loads(mark.removeprefix(MOVE))
    return "move", Route(transport, next_hop, helo, via)


def entries(messages: Iterable[tuple[Any, ...]], recipients: Iterable[tuple[Any, ...]]) -> list[Entry]:
    """Entries of the rows of "messages" and "recipients".  Raises UNREADABLE."""
    mine = rows(recipients)
    found = []
    for m in messages:
        each = mine.get(m[0], [])
        found.append(Entry(message(m, [row.recipient for row in each]), each))
    return found


def known(number: int, tried: int, next_attempt: float) -> None:
    """Raise UNREADABLE when these are no number of a recipient, no count of its attempts or no time."""
    if not (number >= 0 and 0 <= tried < MOST_TRIED and -LAST < next_attempt < LAST):
        raise ValueError("a number in it is out of range")


def attempts(found: Iterable[tuple[Any, ...]]) -> list[Attempt]:
    """Attempts of the rows of "attempts"."""
    result: list[Attempt] = []
    last = None
    for r in found:
        if r[0] != last:
            last = r[0]
            route = transcript.route(r[2], r[3], r[4])
            result.append(
                Attempt(
                    route,
                    [],
                    started=r[5],
                    seconds=r[6],
                    remote_mta=r[7],
                    uncertain=bool(r[8]),
                    transcript=r[15] or "",
                )
            )
        result[-1].outcomes.append(
            Outcome(
                r[1],
                r[9],
                reply(r[11]),
                scope=r[10],
                remote_mta=r[12],
                said=not r[14] & OURS,
                at=r[13],
                uncertain=bool(r[14] & UNCERTAIN),
            )
        )
    return result


def octets(value: object) -> bytes:
    """The content in a row.  Raises ValueError when it is none."""
    if type(value) is not bytes:
        raise ValueError("its content is no octets")
    return value


def text(value: str) -> str:
    """The text without lone surrogates, which SQLite does not take: a peer's odd reply must settle."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
