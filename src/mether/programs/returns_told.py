"""What a person, or a program, is told of a message that was returned, or would be.  Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mether.queue.message import Entry
    from mether.runner.returning import Returned


def line(answers: list[Returned], others: int) -> str:
    """What became of one message, for a person; `others` of its recipients were not meant."""
    from mether.programs.listing import clean

    ident, sender = answers[0].message.ident, answers[0].message.envelope.reverse_path
    said = []
    for notice in (False, True):
        reports = " ".join(report for one in answers if one.notice is notice for report in one.reports)
        if reports and not notice:
            said.append(f"returned to <{sender}> in {reports}")
        elif reports and sender is None:
            said.append(f"had no sender; shown to the postmaster in {reports}")
        elif reports:
            said.append(f"could not be returned to <{sender}>; shown to the postmaster in {reports}")
    kept = next((one.kept for one in answers if one.kept is not None), None)
    if kept is not None:
        said.append(f"held: {kept}")
    if not said:
        said.append("removed; nobody is to be told")
    if others:
        said.append(f"{others} other recipient{'s stay' if others > 1 else ' stays'}")
    return clean(f"{ident} {'; '.join(said)}")


def in_json(entry: Entry, answers: list[Returned], others: int, *, dry: bool = False) -> str:
    """The same, as one JSON object."""
    import json

    from mether.address import path_text
    from mether.programs.listing import clean

    message = entry.message
    reports = [report for one in answers for report in one.reports]
    kept = next((one.kept for one in answers if one.kept is not None), None)
    result = "held" if kept is not None else "removed"
    if reports:
        result = "notified" if any(one.notice for one in answers) else "returned"
    facts: dict[str, Any] = {
        "queue_id": message.ident,
        "arrival_time": int(message.arrival.at),
        "message_size": message.size,
        "sender": path_text(message.envelope.reverse_path),
        "result": result,
        "recipients": [
            {
                "address": str(pending.recipient.forward_path),
                "transport": one.route.transport,
                "next_hop": one.route.next_hop,
                "reason": clean(str(outcome.reply)),
                "status": outcome.status,
            }
            for one in answers
            for pending, outcome in one.recipients
        ],
        "other_recipients": others,
        "dry_run": dry,
    }
    if kept is not None:
        facts["hold_reason"] = clean(kept)
    if reports and not dry:
        facts["reports"] = reports
    return json.dumps(facts)
