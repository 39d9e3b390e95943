"""What a person names and what is done to it: filters on entries, and the changes.  Pure."""

from __future__ import annotations

from mether.address import path_text
from mether.queue.glob import glob, next_hop_like
from mether.queue.selection import MAX_REASON, moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.queue.directory_state import Record
    from mether.queue.message import Entry
    from mether.queue.selection import Move
    from mether.queue.store import Filter


def matches(filter: Filter, entry: Entry) -> bool:
    """Whether everything that the filter says holds of the entry."""
    message = entry.message
    if filter.idents is not None and message.ident not in filter.idents:
        return False
    if filter.before is not None and message.arrival.at >= filter.before:
        return False
    if filter.status is not None and entry.status != filter.status:
        return False
    if filter.reason is not None and (message.hold is None or not glob(filter.reason, message.hold)):
        return False
    if filter.sender is not None and not glob(
        filter.sender, path_text(message.envelope.reverse_path) or "<>"
    ):
        return False
    if filter.recipient is not None and not any(
        glob(filter.recipient, str(row.recipient.forward_path)) for row in entry.rows
    ):
        return False
    return filter.next_hop is None or any(next_hop_like(filter.next_hop, row.route) for row in entry.rows)


def changed_record(record: Record, action: str, now: float, reason: str) -> None:
    """Do to the record what `Store.change` says; rows with an owner are claimed, and are only marked.

    (Moving them is `moved_record`.)
    """
    if action == "hold":
        record.message.hold = reason[:MAX_REASON]
        for row in record.rows:
            if row.owner is not None and row.mark is None:
                row.mark = "hold"
    elif action == "release":
        record.message.hold = None
        record.strikes = 0
        for row in record.rows:
            if row.mark == "hold":
                row.mark = None
            if row.owner is None and row.last is not None:
                row.last = row.last.certain()
    elif action == "retry":
        for row in record.rows:
            if row.owner is None:
                row.next_attempt = max(now, record.message.release_at)
    else:
        for row in record.rows:
            if row.owner is not None:
                row.mark = "remove"
        record.remove({row.number for row in record.rows if row.owner is None})


def moved_record(record: Record, filter: Filter, move: Move, now: float) -> bool:
    """Move the record's recipients that match; whether there were any."""
    found = [row for row in record.rows if moves(filter, move, row)]
    for row in found:
        move.apply(row, max(now, record.message.release_at))
    return bool(found)
