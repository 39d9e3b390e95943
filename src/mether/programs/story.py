"""All that is known of one message, and what becomes of it: what `smtpq show` and `smtpq explain` print.

What happens next is asked of `runner.plan`, which the runner goes by, too.  Functions of their arguments,
and of the local zone; text from peers has no control character left in it.
"""

from __future__ import annotations

from mether.address import path_text
from mether.programs.listing import clean, hop_name, mail_parameters, rcpt_parameters, span, stamp
from mether.runner import plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Final

    from mether.outcome import Attempt, Route
    from mether.programs.listing import Hops
    from mether.queue.message import Entry, Row

NOBODY: Final = "but no process works this queue: smtpd or runsmtpq does"
PERHAPS: Final = "it may have been delivered all the same"


def story(
    entry: Entry, attempts: Sequence[Attempt], hops: Hops, now: float, *, works: bool = True
) -> Iterator[str]:
    """Everything that is known of a message, for a person, in lines.  `hops` are the next hops in trouble;
    `works` tells whether any process works the queue."""
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
    if not works and message.hold is None:
        yield f"Waits      {NOBODY.removeprefix('but ')}"
    for row in entry.rows:
        yield ""
        yield f"Recipient  {clean(str(row.recipient.forward_path))}"
        pinned = " (pinned: as given on the command line)" if row.pinned else ""
        helo = f", EHLO {row.route.helo}" if row.route.helo else ""
        yield clean(f"  next hop {hop_name(row.route)}{helo}{pinned}")
        parameters = " ".join(rcpt_parameters(row))
        if parameters:
            yield clean(f"  asked    {parameters}")
        yield f"  attempts {row.attempts}"
        if row.last is not None:
            mta = row.last.remote_mta
            where = f" from {mta}" if row.last.said else f" (of {mta})" if mta else ""
            yield clean(f"  last     {row.last.action}: {row.last.reply}{where}")
            if row.last.uncertain:
                yield f"  unknown  {PERHAPS}"
        at, why = next_try(entry, row, hops, now)
        if message.hold is not None:
            why = "held; smtpq release lets it go on"
        when = "" if at is None else f"{stamp(at)} ({span(at - now)}): " if at > now else "now: "
        yield clean(f"  next     {when}{why}")
        if row.mark is not None:
            what = {"hold": "held", "remove": "removed"}.get(
                row.mark, f"sent to {hop_name(row.moved or row.route)}"
            )
            yield clean(f"  then     {what}, as soon as the attempt can end")
    for attempt in attempts:
        yield ""
        yield "Attempt    " + _attempt(attempt)
        if attempt.uncertain:
            yield f"  unknown  {PERHAPS}"
        for outcome in attempt.outcomes:
            address = _address(outcome.recipient, entry)
            yield clean(f"  {outcome.action:<9}{address}: {outcome.reply}")


def transcripts(entry: Entry, attempts: Sequence[Attempt]) -> Iterator[str]:
    """What was said in the last attempt that failed at each next hop, in lines; where it is not kept,
    that."""
    latest = {attempt.route: attempt for attempt in attempts if attempt.transcript}
    for route in dict.fromkeys([row.route for row in entry.rows] + [one.route for one in attempts]):
        yield ""
        attempt = latest.get(route)
        if attempt is None:
            yield clean(
                f"Transcript of {hop_name(route)}: none; no attempt failed there, or nothing was said in it"
            )
            continue
        yield "Transcript " + _attempt(attempt)
        for line in attempt.transcript.splitlines():
            yield f"  {clean(line)}"


def attempt_record(attempt: Attempt, entry: Entry, *, transcript: bool = False) -> dict[str, Any]:
    """An attempt as what `json.dumps` takes."""
    facts: dict[str, Any] = {
        "started": attempt.started,
        "seconds": attempt.seconds,
        "transport": attempt.route.transport,
        "next_hop": attempt.route.next_hop,
        **({"via": attempt.route.via} if attempt.route.via else {}),
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
    if transcript:
        facts["transcript"] = [clean(line) for line in attempt.transcript.splitlines()]
    return facts


def next_try(entry: Entry, row: Row, hops: Hops, now: float) -> tuple[float | None, str]:
    """When something is done for a recipient next (Unix seconds, None when nobody can say), and why then."""
    steps = plan.outlook(entry, row, hops.get(row.route), now)
    at, last = steps[-1]
    if last.verb == "return":
        why = f"{last.why}, and it is returned"
        if len(steps) > 1 and steps[-2][1].when is None:
            why += f"; {steps[-2][1].why}"
        return at, why + _alone(row)
    if last.verb != "try":
        return None, last.why
    return at, (steps[-2][1].why if len(steps) > 1 else last.why) + _alone(row)


def explanation(
    entry: Entry, row: Row, hops: Hops, now: float, room: Callable[[Route], str], *, works: bool = True
) -> Iterator[tuple[str, str]]:
    """What becomes of a recipient, as pairs of time and words.  Of one that is due `room` is asked what else
    it may have to wait for; `works` tells whether any process works the queue."""
    hop = hops.get(row.route)
    for at, step in plan.outlook(entry, row, hop, now):
        when = "now" if at <= now else f"{stamp(at)} ({span(at - now)})"
        words = {
            "try": "it is tried",
            "warn": "",
            "return": "it is returned",
            "leave": "",
            "hold": "it stays",
        }.get(step.verb, "it waits")
        if step.verb in ("try", "return") and not works:
            yield when, clean(f"{step.why}; {NOBODY}")
            continue
        why = clean(f"{words}: {step.why}" if words else step.why)
        if step.verb == "wait" and step.when is not None:
            why += f", until {stamp(step.when)}"
        if step.verb == "hold":
            why += "; smtpq release lets it go on"
        elif step.verb == "wait" and step.when is None:
            why += "; smtpq resume lets it go on"
        elif step.verb == "try":
            why += _alone(row)
            if hop is not None and hop.failures:
                why += "; one message at a time is, until its next hop answers"
            if at <= now and (more := room(row.route)):
                why += f"; {more}"
        yield when, why


def explanation_record(entry: Entry, row: Row, hops: Hops, now: float) -> dict[str, Any]:
    """The same as what `json.dumps` takes."""
    steps = plan.outlook(entry, row, hops.get(row.route), now)
    at, last = steps[-1]
    return {
        "queue_id": entry.message.ident,
        "recipient": str(row.recipient.forward_path),
        "transport": row.route.transport,
        "next_hop": row.route.next_hop,
        **({"via": row.route.via} if row.route.via else {}),
        "next_try": at if last.verb == "try" else None,
        "steps": [{"at": at, "do": step.verb, "why": clean(step.why)} for at, step in steps],
    }


def _alone(row: Row) -> str:
    return "; tried alone, as its last attempt ended in a crash" if row.suspect else ""


def _attempt(attempt: Attempt) -> str:
    mta = f" {attempt.remote_mta}" if attempt.remote_mta else ""
    return clean(f"{stamp(attempt.started)} at {hop_name(attempt.route)}{mta}, {attempt.seconds:.1f} s")


def _address(number: int, entry: Entry) -> str:
    """The address of a recipient's number; settled ones are no longer known by name."""
    for row in entry.rows:
        if row.number == number:
            return str(row.recipient.forward_path)
    return f"recipient {number + 1} (settled)"
