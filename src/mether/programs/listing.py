"""The queue in words and in JSON: what `smtpq` and `mailq` print.

The JSON has the field names of Postfix's ``postqueue -j`` (``queue_name``, ``queue_id``,
``arrival_time``, ``message_size``, ``forced_expire``, ``sender``, ``recipients`` with ``address`` and
``delay_reason``) and more beside them; the null reverse-path is ``""``, times are Unix seconds.
Everything here is a function of its arguments (and of the local zone); text from peers has no control
character left in it.  All that is known of one message is told by `story`.
"""

from __future__ import annotations

import time

from mether import xtext
from mether.address import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from mether.outcome import Route
    from mether.queue.claim import Hop
    from mether.queue.message import Entry, Row
    from mether.reply import Reply

    Hops = Mapping[Route, Hop]

QUEUE_NAMES: Final = {"held": "hold", "active": "active", "deferred": "deferred", "fresh": "incoming"}
"""Postfix's name for each `Entry.status`."""

MARKS: Final = {"held": "!", "active": "*"}
"""Shown after the id; what is held while it is tried has both."""

REMOVED: Final = "to be removed, as soon as the present attempt can end"

_UNDER: Final = " " * 15
_BESIDE: Final = " " * 48

HEADING: Final = f"{'-Queue ID-':<15}{'-Size-':>10}  {'-Arrival Time-':<19}  -Sender/Recipients-"


def hop_name(route: Route) -> str:
    """A next hop, with the rule whose own connections it has."""
    return f"{route} via {route.via}" if route.via else str(route)


def record(entry: Entry, hops: Hops, now: float) -> dict[str, Any]:
    """An entry as what `json.dumps` takes; `hops` as for `lines`."""
    message = entry.message
    facts: dict[str, Any] = {
        "queue_name": QUEUE_NAMES[entry.status],
        "queue_id": message.ident,
        "arrival_time": int(message.arrival.at),
        "message_size": message.size,
        "forced_expire": False,
        "sender": path_text(message.envelope.reverse_path),
        "recipients": [_recipient(row, hops, now) for row in entry.rows],
        "expires": message.expires,
        "protocol": message.arrival.protocol,
    }
    more = (
        ("hold_reason", message.hold),
        ("client_address", message.arrival.address),
        ("client_name", message.arrival.host),
        ("helo", message.arrival.helo),
        ("login", message.arrival.login),
        ("listener", message.arrival.listener),
        ("envid", message.envelope.envid),
        ("warn_at", message.warn_at),
        ("release_at", message.release_at or None),
        ("priority", message.priority or None),
        ("paced_until", _due(entry) if entry.paced(now) else None),
    )
    facts.update((key, value) for key, value in more if value is not None and value != "")
    return facts


def _due(entry: Entry) -> float:
    """When a report that waits for its hour may go."""
    return max(entry.message.release_at, min((row.next_attempt for row in entry.rows), default=0.0))


def _recipient(row: Row, hops: Hops, now: float) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "address": str(row.recipient.forward_path),
        "transport": row.route.transport,
        "next_hop": row.route.next_hop,
        "attempts": row.attempts,
        "next_attempt": row.next_attempt,
    }
    if row.route.via:
        facts["via"] = row.route.via
    if row.last is not None:
        facts["delay_reason"] = clean(str(row.last.reply))
        facts["delay_status"] = row.last.status
        facts["remote_mta"] = row.last.remote_mta
    elif reason := _reason(row, hops, now):
        facts["delay_reason"] = reason
    if row.owner is not None:
        facts["active"] = True
    if row.suspect:
        facts["suspect"] = True
    if row.mark is not None:
        facts["mark"] = row.mark
    if row.moved is not None:
        facts["moved_to"] = hop_name(row.moved)
    return facts


def _reason(row: Row, hops: Hops, now: float) -> str:
    """Why a recipient still waits: what was last said of it, or where it was not tried itself what keeps its
    next hop from being tried; "" where nothing does."""
    if row.last is not None:
        return _words(row.last.reply)
    if row.owner is not None or (hop := hops.get(row.route)) is None:
        return ""
    if hop.suspended_at(now):
        return clean(f"next hop suspended: {hop.suspended}")
    if hop.failures:
        return clean(f"next hop down: {hop.last}" if hop.last else "next hop down")
    return ""


_said: tuple[Reply | None, str] = (None, "")
"""The last reply that was written: those who wait for one next hop were mostly told the same."""


def _words(reply: Reply) -> str:
    global _said
    if _said[0] is not reply:
        _said = (reply, clean(str(reply)))
    return _said[1]


def text(entry: Entry, hops: Hops, now: float) -> str:
    """An entry as `mailq` prints it: the message, its recipients by reason, an empty line.

    `hops` are the next hops in trouble; `now`, Unix seconds, tells what is still to be released.  A queue
    is listed at tens of thousands of messages a second, so this does little for each.
    """
    message, rows = entry.message, entry.rows
    path = message.envelope.reverse_path
    sender = "MAILER-DAEMON" if path is None else clean(str(path))
    status = entry.status
    ident, removed = message.ident, False
    if status in MARKS:
        tried = any(row.owner is not None for row in rows)
        removed = tried and any(row.mark == "remove" for row in rows)
        ident += MARKS[status] + ("*" if tried and status == "held" else "")
    out = f"{ident:<15}{message.size:>10}  {stamp(message.arrival.at)}  {sender}\n"
    if message.hold:
        out += f"{_UNDER}(held: {clean(message.hold)})\n"
    if removed:
        out += f"{_UNDER}({REMOVED})\n"
    if message.release_at:
        if entry.paced(now):
            out += f"{_UNDER}(not before {stamp(_due(entry))}: too many reports to one address in an hour)\n"
        elif message.release_at > now:
            out += f"{_UNDER}(not before {stamp(message.release_at)})\n"
    if len(rows) == 1:
        row = rows[0]
        reason = _reason(row, hops, now)
        if message.hold and reason in message.hold:
            reason = ""  # told above, as why it is held
        said = f"{_UNDER}({reason})\n" if reason else ""
        return f"{out}{said}{_BESIDE}{clean(str(row.recipient.forward_path))}\n\n"
    reasons: dict[str, str] = {}
    for row in rows:
        reason = _reason(row, hops, now)
        address = f"{_BESIDE}{clean(str(row.recipient.forward_path))}\n"
        reasons[reason] = reasons.get(reason, "") + address
    for reason, addresses in reasons.items():
        out += f"{_UNDER}({reason})\n{addresses}" if reason else addresses
    return out + "\n"


def total(messages: int, octets: int) -> str:
    """The last line of a listing."""
    if not messages:
        return "Mail queue is empty"
    return f"-- {-(-octets // 1024)} Kbytes in {messages} Request{'s' if messages != 1 else ''}."


def nothing(others: int, *, most: int) -> str:
    """The whole of a listing where nothing matches; `others` are queued, of which `most` were counted."""
    return f"no message matches ({others}{' or more' if others >= most else ''} queued)"


_minute = (-1, "")
"""The last minute that `stamp` wrote: a queue is listed in order of time."""


def stamp(at: float) -> str:
    """A time as people read it, in the local zone: ``2026-01-31 12:00:00``."""
    global _minute
    minute, second = divmod(int(at), 60)
    if _minute[0] != minute:
        _minute = (minute, time.strftime("%Y-%m-%d %H:%M:", time.localtime(minute * 60)))
    return f"{_minute[1]}{second:02}"


def span(seconds: float) -> str:
    """A distance in time, to two units: ``in 1h30m``, ``2d ago``."""
    left, out = int(abs(seconds)), ""
    for unit, value in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, value)
        if count:
            out += f"{count}{unit}"
            if len(out) > len(f"{count}{unit}"):
                break
        elif out:
            break
    if not out:
        return "now"
    return f"in {out}" if seconds > 0 else f"{out} ago"


def clean(text: str) -> str:
    """The text on one line, without control characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char in "\r\n\t" else "?" for char in text)


def mail_parameters(entry: Entry) -> list[str]:
    """The MAIL parameters of an entry, as a client would write them."""
    envelope, words = entry.message.envelope, []
    if envelope.body != "7BIT":
        words.append(f"BODY={envelope.body}")
    if envelope.smtputf8:
        words.append("SMTPUTF8")
    if envelope.requiretls:
        words.append("REQUIRETLS")
    if envelope.ret:
        words.append(f"RET={envelope.ret}")
    if envelope.envid:
        words.append(f"ENVID={envelope.envid}")
    if envelope.auth is not None:
        words.append(f"AUTH={envelope.auth if envelope.auth == '<>' else xtext.encode(envelope.auth)}")
    if envelope.by is not None:
        words.append(f"BY={envelope.by}")
    if envelope.hold is not None:
        kind, _, value = envelope.hold.partition(";")
        words.append(f"HOLD{kind.upper()}={value}")
    if envelope.priority:
        words.append(f"MT-PRIORITY={envelope.priority}")
    return words


def rcpt_parameters(row: Row) -> list[str]:
    """The RCPT parameters of a recipient, as a client would write them."""
    words = []
    if row.recipient.notify:
        words.append(f"NOTIFY={row.recipient.notify}")
    if row.recipient.orcpt:
        words.append(f"ORCPT={row.recipient.orcpt}")
    return words
