"""``smtpq hold | release | retry | remove``: change what matches, by one verb of the store.

What is being tried at that moment is marked: its owner gives it up as soon as it safely can, and says so at
its settlement at the latest.  What a change does nothing to (a hold of what is held, say) is left as it is,
and told.  Every change wakes the processes that work the queue.  ``remove`` tells no sender:
`returnsmtpmail` does.
"""

from __future__ import annotations

from mether.programs.choice import messages, pages
from mether.programs.options import UsageError
from mether.queue.selection import MAX_REASON, changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.programs.options import Parsed
    from mether.programs.smtpq import Call
    from mether.queue.message import Entry
    from mether.queue.selection import Filter
    from mether.queue.store import Store

DONE: Final = {"hold": "held", "release": "released", "retry": "made due", "remove": "removed"}

OTHERWISE: Final = {
    "hold": ("was held already", "were held already"),
    "release": ("is not held", "are not held"),
    "retry": ("is held, and stays so", "are held, and stay so"),
    "remove": ("was to be removed already", "were to be removed already"),
}
"""What is said of one message that is left alone, and of several."""

MOST: Final = 10_000
"""Messages left alone that are counted."""


def change(call: Call) -> None:
    """Do it, and say of how many.  Raises StoreError, UsageError."""
    action, done, store = call.verb, DONE[call.verb], call.store
    reason = why(call.options, "held by smtpq")
    if call.options.flag("dry-run"):
        count = others = 0
        for entry in pages(store, call.filter):
            if changes(action, entry):
                count += 1
            else:
                others += 1
        print(f"{messages(count)} would be {done}{_others(action, others)}")
        return
    others = _left_alone(store, call.filter, action)
    marked = _tried_now(store, call.filter, action) if action in ("hold", "remove") else 0
    count = store.change(call.filter, action, now=call.now, reason=reason)  # type: ignore[arg-type]
    if count:
        store.wake()
    marked = min(marked, count)
    later = f", {marked} of them as soon as the present attempt can end" if marked else ""
    print(f"{messages(count)} {done}{later}{_others(action, others)}")


def why(options: Parsed, otherwise: str) -> str:
    """What --reason says.  Raises UsageError."""
    reason = options.text("reason") or otherwise
    if len(reason) > MAX_REASON:
        raise UsageError(f"--reason has {len(reason)} characters, and at most {MAX_REASON} are kept")
    return reason


def _others(action: str, count: int) -> str:
    if not count:
        return ""
    many = " or more" if count >= MOST else ""
    return f"; {count}{many} {OTHERWISE[action][count > 1]}"


def _left_alone(store: Store, filter: Filter, action: str) -> int:
    """How many of what matches the change does nothing to, counted up to MOST.  Raises StoreError."""
    if action in ("hold", "retry"):
        found = _of_status(store, filter, "held")
    elif action == "remove":
        found = _of_status(store, filter, "active")
    else:
        found = (one for each in ("active", "deferred", "fresh") for one in _of_status(store, filter, each))
    count = 0
    for entry in found:
        count += not changes(action, entry)
        if count >= MOST:
            break
    return count


def _tried_now(store: Store, filter: Filter, action: str) -> int:
    """How many of what matches are being tried, and are changed.  Raises StoreError."""
    return sum(changes(action, entry) for entry in _of_status(store, filter, "active"))


def _of_status(store: Store, filter: Filter, status: str) -> Iterator[Entry]:
    """What matches, as far as it is of this status.  Raises StoreError."""
    from mether.queue.selection import Filter

    if filter.status in (None, status):
        narrowed = Filter(**{name: getattr(filter, name) for name in filter.__slots__ if name != "status"})
        narrowed.status = status
        yield from pages(store, narrowed)
