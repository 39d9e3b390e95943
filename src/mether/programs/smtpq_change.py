"""``smtpq hold | release | retry | remove``: change what matches, by one verb of the store.

What is being tried at that moment is marked: its owner gives it up as soon as it safely can, and says so at
its settlement at the latest.  Every change wakes the processes that work the queue.  ``remove`` tells no
sender: `returnsmtpmail` does.
"""

from __future__ import annotations

from mether.programs.choice import messages, pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.programs.smtpq import Call
    from mether.queue.selection import Filter
    from mether.queue.store import Store

DONE: Final = {"hold": "held", "release": "released", "retry": "made due", "remove": "removed"}


def change(call: Call) -> None:
    """Do it, and say of how many.  Raises StoreError."""
    action, done = call.verb, DONE[call.verb]
    if call.options.flag("dry-run"):
        count = sum(1 for _ in pages(call.store, call.filter))
        print(f"{messages(count)} would be {done}")
        return
    marked = _tried_now(call.store, call.filter) if action in ("hold", "remove") else 0
    reason = call.options.text("reason") or "held by smtpq"
    count = call.store.change(call.filter, action, now=call.now, reason=reason)  # type: ignore[arg-type]
    if count:
        call.store.wake()
    marked = min(marked, count)
    if marked:
        print(f"{messages(count)} {done}, {marked} of them as soon as the present attempt can end")
    else:
        print(f"{messages(count)} {done}")


def _tried_now(store: Store, filter: Filter) -> int:
    """How many of what matches are being tried.  Raises StoreError."""
    from mether.queue.selection import Filter

    if filter.status not in (None, "active"):
        return 0
    active = Filter(**{name: getattr(filter, name) for name in filter.__slots__ if name != "status"})
    active.status = "active"
    return sum(1 for _ in pages(store, active))
