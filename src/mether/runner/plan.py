"""What the runner would do with an entry at some time: for `runsmtpq --dry-run` and `smtpq show`.

It asks the same functions and states that the runner goes by, and changes nothing.
"""

from __future__ import annotations

from mether.outcome import Outcome
from mether.runner import settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from mether.outcome import Route
    from mether.queue.claim import Hop
    from mether.queue.message import Entry, Row


class Step:
    """What becomes of one recipient: `verb` is "try", "warn" (its sender, of the delay), "return", "wait",
    "hold" or "leave" (a claim is out), `why` says it in words, `when` is the Unix time at which that
    changes (None: not by itself)."""

    __slots__ = ("row", "verb", "when", "why")

    def __init__(self, row: Row, verb: str, why: str, when: float | None = None) -> None:
        self.row = row
        self.verb = verb
        self.why = why
        self.when = when


def steps(entry: Entry, hops: Mapping[Route, Hop], at: float, *, regardless: bool = False) -> list[Step]:
    """A step for each recipient of the entry at time `at`; with `regardless`, retry times do not count."""
    return [
        _step(entry, row, hops.get(row.route), at, _warning(entry, row), regardless=regardless)
        for row in entry.rows
    ]


def _warning(entry: Entry, row: Row) -> float | None:
    """When the sender of a recipient is told of the delay; None: never, or it was."""
    message = entry.message
    if message.warn_at is None or row.warned or message.envelope.reverse_path is None:
        return None
    from mether.runner.notify import wants

    waits = Outcome(row.number, "delayed", settle.UNTRIED)
    return max(message.warn_at, message.release_at) if wants(row.recipient.notify, waits) else None


def _step(
    entry: Entry, row: Row, hop: Hop | None, at: float, warning: float | None, *, regardless: bool = False
) -> Step:
    message = entry.message
    if message.hold is not None:
        return Step(row, "hold", f"held: {message.hold}" if message.hold else "held")
    if row.owner is not None:
        return Step(row, "leave", "it is being tried now")
    if message.release_at > at:
        why = "its sender asked for a later delivery"
        if message.envelope.reverse_path is None and message.envelope.hold is None:
            why = "too many reports went to its reader in this hour; it goes with the others that wait"
        return Step(row, "wait", why, message.release_at)
    due = regardless or (row.next_attempt <= at and (hop is None or not hop.blocked(at)))
    course = settle.course(message, at, due=due)
    if course == "try":
        return Step(row, "try", "it is due", at)
    if course == "return" and settle.too_late(message, at):
        return Step(row, "return", "the time of its DELIVERBY is over", settle.ends(message))
    if course == "return":
        return Step(row, "return", "its time in the queue is over", message.expires)
    if warning is not None and warning <= at:
        return Step(row, "warn", "its sender is told of the delay", warning)
    if row.next_attempt > at:
        return Step(row, "wait", "its retry time has not come", min(row.next_attempt, message.expires))
    assert hop is not None
    if hop.suspended_at(at):
        return Step(row, "wait", f"its next hop is suspended: {hop.suspended}", hop.suspended_until)
    why = f"its next hop does not answer ({hop.last})" if hop.last else "its next hop does not answer"
    return Step(row, "wait", why, min(hop.not_before, message.expires))


MOST: Final = 8
"""Steps that `outlook` looks ahead."""


def outlook(entry: Entry, row: Row, hop: Hop | None, now: float) -> list[tuple[float, Step]]:
    """What becomes of one recipient from `now` on as far as can be told, each with the time from which it
    holds: the waits, one after the other, the warning of them that is next, and what ends them.  The last
    is no "wait", where anything ends them."""
    found: list[tuple[float, Step]] = []
    at, warning = now, _warning(entry, row)
    while len(found) < MOST:
        step = _step(entry, row, hop, at, warning)
        found.append((at, step))
        if step.verb == "warn":
            warning = None
            continue
        end = max(settle.ends(entry.message), entry.message.release_at)
        then = end if step.when is None else min(step.when, end)
        if warning is not None:
            then = min(then, warning)
        if step.verb != "wait" or then <= at:
            break
        at = then
    return found
