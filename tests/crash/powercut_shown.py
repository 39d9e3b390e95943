"""What a store shows of its messages, and whether two such views agree.

Shown is all that a restart must not change: who holds a claim is not part of it, for a claim ends with
its process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from mether.outcome import Outcome
from mether.queue.message import Row
from mether.queue.store import Filter, Select, Store, StoreError

T0 = 1_800_000_000.0
"""When everything is done."""

AFTER = T0 + 86400
"""When the power is back: every owner of before is long dead."""

Facts = tuple[Any, ...]
Shown = dict[str, Facts]
"""What a store shows of each message, by id."""

UNKNOWN = "?"
"""A last outcome of which nobody knows how it ended."""


def look(store: Store, history: bool) -> tuple[Shown, list[str]]:
    """What the store shows of every message, and what it cannot show."""
    shown: Shown = {}
    faults = []
    for entry in store.entries(Filter()):
        message = entry.message
        rows = tuple(map(_row, entry.rows))
        try:
            content = hashlib.sha256(store.content(message.ident).read()).hexdigest()[:12]
        except (StoreError, OSError) as error:
            content = "unreadable"
            faults.append(f"the content of {message.ident}: {error}")
        tried = tuple(
            (attempt.started, str(attempt.route), tuple(map(_text, attempt.outcomes)))
            for attempt in store.attempts(message.ident)
            if history
        )
        facts = (
            str(message.envelope.reverse_path),
            message.trace,
            message.size,
            message.hold,
            message.warn_at,
        )
        shown[message.ident] = (*facts, content, tried, rows)
    return shown, faults


def examine(store: Store, history: bool) -> tuple[Shown, list[str]]:
    """What the store shows after a restart, and everything that is wrong with it."""
    shown, faults = look(store, history)
    store.sweep(AFTER)
    again, more = look(store, history)
    faults += more + list(differences(again, shown, "there before the sweep"))
    faults += [f"check says: {line}" for line in store.check()]
    claimed = {claim.message.ident for claim in store.claim(1000, AFTER, Select(regardless=True, held=True))}
    if not claimed <= shown.keys() or bool(claimed) != bool(shown):
        faults.append(f"of {sorted(shown)} {sorted(claimed)} can be claimed")
    return shown, faults


def _row(row: Row) -> tuple[Any, ...]:
    attempts, last = row.attempts, _text(row.last)
    if row.last is not None and row.last.uncertain:
        # Opening may take over what a dead owner held, which counts as an attempt that nobody saw end.
        attempts, last = attempts - 1, UNKNOWN
    return row.number, str(row.recipient.forward_path), str(row.route), row.next_attempt, attempts, last


def like(found: Facts | None, expected: Facts | None, older: Facts | None = None) -> bool:
    """Whether they are equal, but for a last outcome that is unknown now, or rows as `older` has them."""
    if found is None or expected is None:
        return found is expected
    *facts, rows = found
    *others, wanted = expected
    numbers = [row[0] for row in rows]
    allowed = [*wanted, *older[-1]] if older else wanted
    return (
        facts == others
        and numbers == [row[0] for row in wanted]
        and all(
            any(row == want or (row[-1] == UNKNOWN and row[:-1] == want[:-1]) for want in allowed)
            for row in rows
        )
    )


def _text(outcome: Outcome | None) -> str:
    return "" if outcome is None else f"{outcome.recipient} {outcome.action} {outcome.reply}"


def differences(found: Shown, expected: Shown, what: str, older: Shown | None = None) -> Iterator[str]:
    for ident in sorted(found.keys() | expected.keys()):
        if not like(found.get(ident), expected.get(ident), older.get(ident) if older else None):
            yield f"{ident}, {what}: expected {expected.get(ident)}, found {found.get(ident)}"
