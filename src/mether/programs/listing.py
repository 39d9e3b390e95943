"""The queue in words and in JSON: what `smtpq` and `mailq` print.

The JSON has the field names of Postfix's ``postqueue -j`` (``queue_name``, ``queue_id``,
``arrival_time``, ``message_size``, ``forced_expire``, ``sender``, ``recipients`` with ``address`` and
``delay_reason``) and more beside them; the null reverse-path is ``""``, times are Unix seconds.
`next_try` says when a recipient is tried next, and why then.  Everything here is a function of its
arguments; text from peers has no control character left in it.
"""

from __future__ import annotations

import time

from mether import xtext
from mether.address import path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any, Final

    from mether.outcome import Attempt, Route
    from mether.queue.claim import Hop
    from mether.queue.message import Entry, Row

    Hops = Mapping[Route, Hop]

QUEUE_NAMES: Final = {"held": "hold", "active": "active", "deferred": "deferred", "fresh": "incoming"}
"""Postfix's name for each `Entry.status`."""

MARKS: Final = {"held": "!", "active": "*"}

HEADING: Final = f"{'-Queue ID-':<15}{'-Size-':>10}  {'-Arrival Time-':<19}  -Sender/Recipients-"


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
        "recipients": [_recipient(row, hops.get(row.route), now) for row in entry.rows],
        "expires": message.expires,
        "protocol": message.arrival.protocol,
    }
    more = (
        ("hold_reason", message.hold),
        ("client_address", message.arrival.address),
        ("client_name", message.arrival.host),
        ("helo", message.arrival.helo),
        ("login", message.arrival.login),
        ("envid", message.envelope.envid),
        ("warn_at", message.warn_at),
        ("release_at", message.release_at or None),
        ("priority", message.priority or None),
    )
    facts.update((key, value) for key, value in more if value is not None and value != "")
    return facts


def _recipient(row: Row, hop: Hop | None, now: float) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "address": str(row.recipient.forward_path),
        "transport": row.route.transport,
        "next_hop": row.route.next_hop,
        "attempts": row.attempts,
        "next_attempt": row.next_attempt,
    }
    if row.last is not None:
        facts["delay_reason"] = clean(str(row.last.reply))
        facts["delay_status"] = row.last.status
        facts["remote_mta"] = row.last.remote_mta
    elif reason := _reason(row, hop, now):
        facts["delay_reason"] = reason
    if row.owner is not None:
        facts["active"] = True
    if row.suspect:
        facts["suspect"] = True
    if row.mark is not None:
        facts["mark"] = row.mark
    return facts


def attempt_record(attempt: Attempt, entry: Entry) -> dict[str, Any]:
    """An attempt as what `json.dumps` takes."""
    return {
        "started": attempt.started,
        "seconds": attempt.seconds,
        "transport": attempt.route.transport,
        "next_hop": attempt.route.next_hop,
        "remote_mta": attempt.remote_mta,
        "uncertain": attempt.uncertain,
        "outcomes": [
            {
                "address": _address(outcome.recipient, entry),
                "action": outcome.action,
                "status": outcome.status,
                "reply": clean(str(outcome.reply)),
            }
            for outcome in attempt.outcomes
        ],
    }


def _reason(row: Row, hop: Hop | None, now: float) -> str:
    """Why a recipient still waits: what was last said of it, or where it was not tried itself what keeps its
    next hop from being tried; "" where nothing does."""
    if row.last is not None:
        return clean(str(row.last.reply))
    if hop is None or row.owner is not None:
        return ""
    if hop.suspended is not None and (hop.suspended_until is None or hop.suspended_until > now):
        return clean(f"next hop suspended: {hop.suspended}")
    if hop.failures:
        return clean(f"next hop down: {hop.last}" if hop.last else "next hop down")
    return ""


def lines(entry: Entry, hops: Hops, now: float) -> Iterator[str]:
    """An entry as `mailq` prints it: the message, its recipients by reason, an empty line.

    `hops` are the next hops in trouble; `now`, Unix seconds, tells what is still to be released.
    """
    message = entry.message
    sender = path_text(message.envelope.reverse_path) or "MAILER-DAEMON"
    mark = MARKS.get(entry.status, "")
    yield f"{message.ident + mark:<15}{message.size:>10}  {stamp(message.arrival.at)}  {clean(sender)}"
    if message.hold:
        yield f"{'':15}(held: {clean(message.hold)})"
    if message.release_at > now:
        yield f"{'':15}(not before {stamp(message.release_at)})"
    reasons: dict[str, list[str]] = {}
    for row in entry.rows:
        reason = _reason(row, hops.get(row.route), now)
        reasons.setdefault(reason, []).append(clean(str(row.recipient.forward_path)))
    for reason, addresses in reasons.items():
        if reason:
            yield f"{'':15}({reason})"
        for address in addresses:
            yield f"{'':48}{address}"
    yield ""


def total(messages: int, octets: int) -> str:
    """The last line of a listing."""
    if not messages:
        return "Mail queue is empty"
    return f"-- {-(-octets // 1024)} Kbytes in {messages} Request{'s' if messages != 1 else ''}."


def nothing(others: int, *, most: int) -> str:
    """The whole of a listing where nothing matches; `others` are queued, of which `most` were counted."""
    return f"no message matches ({others}{' or more' if others >= most else ''} queued)"


def story(entry: Entry, attempts: Sequence[Attempt], hops: Hops, now: float) -> Iterator[str]:
    """Everything that is known of a message, for a person."""
    message, arrival, envelope = entry.message, entry.message.arrival, entry.message.envelope
    yield f"Message    {message.ident} ({entry.status})"
    yield f"Sender     <{clean(path_text(envelope.reverse_path))}>"
    yield f"Size       {message.size} octets"
    source = f" from {arrival.host or 'unknown'}[{arrival.address}]" if arrival.address else ""
    helo = f" (EHLO {arrival.helo})" if arrival.helo else ""
    login = f" as {arrival.login}" if arrival.login else ""
    yield clean(f"Arrived    {stamp(arrival.at)} by {arrival.protocol}{source}{helo}{login}")
    parameters = " ".join(mail_parameters(entry))
    if parameters:
        yield clean(f"Parameters {parameters}")
    if message.release_at:
        yield f"Release    {stamp(message.release_at)} ({span(message.release_at - now)})"
    yield (
        f"{'Expires' if message.expires > now else 'Expired':<10} "
        f"{stamp(message.expires)} ({span(message.expires - now)})"
    )
    if message.hold is not None:
        yield clean(f"Held       {message.hold or 'no reason was given'}")
    for row in entry.rows:
        yield ""
        yield f"Recipient  {clean(str(row.recipient.forward_path))}"
        pinned = " (pinned: as given on the command line)" if row.pinned else ""
        helo = f", EHLO {row.route.helo}" if row.route.helo else ""
        yield clean(f"  next hop {row.route}{helo}{pinned}")
        parameters = " ".join(rcpt_parameters(row))
        if parameters:
            yield clean(f"  asked    {parameters}")
        yield f"  attempts {row.attempts}"
        if row.last is not None:
            mta = row.last.remote_mta
            where = f" from {mta}" if row.last.said else f" (of {mta})" if mta else ""
            yield clean(f"  last     {row.last.action}: {row.last.reply}{where}")
        at, why = next_try(entry, row, hops.get(row.route), now)
        when = "" if at is None else f"{stamp(at)} ({span(at - now)}): " if at > now else "now: "
        yield clean(f"  next     {when}{why}")
        if row.mark is not None:
            yield f"  then     {'held' if row.mark == 'hold' else 'removed'}, when the present attempt ends"
    for attempt in attempts:
        yield ""
        mta = f" {attempt.remote_mta}" if attempt.remote_mta else ""
        yield clean(f"Attempt    {stamp(attempt.started)} at {attempt.route}{mta}, {attempt.seconds:.1f} s")
        if attempt.uncertain:
            yield "  unknown  it may have been delivered all the same"
        for outcome in attempt.outcomes:
            address = _address(outcome.recipient, entry)
            yield clean(f"  {outcome.action:<9}{address}: {outcome.reply}")


def next_try(entry: Entry, row: Row, hop: Hop | None, now: float) -> tuple[float | None, str]:
    """When a recipient is tried next (Unix seconds, None when nobody can say) and why then."""
    message = entry.message
    if row.owner is not None:
        return None, "it is being tried"
    if message.hold is not None:
        return None, "not before it is released"
    at, why = row.next_attempt, "its own retry time"
    if row.attempts == 0:
        why = "the first attempt"
    if message.release_at > now:
        why = "the first attempt; its sender asked for a later delivery"
    if hop is not None and hop.suspended is not None:
        until = hop.suspended_until
        if until is None:
            at, why = message.expires, f"it expires; the next hop is suspended: {hop.suspended}"
        elif until > max(at, now):
            at, why = until, f"the next hop is suspended until then: {hop.suspended}"
    elif hop is not None and hop.not_before > max(at, now):
        last = f": {hop.last}" if hop.last else ""
        at = hop.not_before
        why = f"the next hop failed {hop.failures} time{'s' if hop.failures != 1 else ''} in a row{last}"
    if message.expires >= message.release_at:
        if message.expires <= now:
            at, why = message.expires, "it has expired, and is returned"
        elif message.expires < at:
            at, why = message.expires, "it expires, and is returned"
    if row.suspect:
        why += "; tried alone, as its last attempt ended in a crash"
    return at, why


def stamp(at: float) -> str:
    """A time as people read it, in the local zone: ``2026-01-31 12:00:00``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


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


def _address(number: int, entry: Entry) -> str:
    """The address of a recipient's number; settled ones are no longer known by name."""
    for row in entry.rows:
        if row.number == number:
            return str(row.recipient.forward_path)
    return f"recipient {number + 1} (settled)"
