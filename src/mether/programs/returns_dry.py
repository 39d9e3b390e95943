"""``--dry-run`` of `cleansmtpq` and `returnsmtpmail`: what would be returned, to whom, and why.

Who would be told is decided by what decides it when it is done (`runner.returning`); here nothing is claimed,
written or sent, so a queue that may only be read is enough.
"""

from __future__ import annotations

import sys

from mether.programs import listing
from mether.programs.returns_told import in_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mether.programs.returns import Wish
    from mether.queue.message import Entry, Row
    from mether.queue.store import Store
    from mether.runner.notify import Reporter
    from mether.runner.returning import Returned


class Count:
    """How many messages, with how many recipients, by what would become of them."""

    __slots__ = ("busy", "held", "messages", "notified", "recipients", "removed", "returned")

    def __init__(self) -> None:
        self.messages = self.recipients = self.busy = 0
        self.returned = self.notified = self.removed = self.held = 0

    def text(self) -> str:
        """The last line."""
        kinds = [
            (self.returned, "to the sender"),
            (self.notified, "shown to the postmaster"),
            (self.removed, "removed, and nobody told"),
            (self.held, "held for a person"),
        ]
        said = ", ".join(f"{count} {what}" for count, what in kinds if count)
        tried = f"; {self.busy} being tried, and left alone" if self.busy else ""
        many, those = "s" if self.messages != 1 else "", "s" if self.recipients != 1 else ""
        whole = f"-- {self.messages} message{many}, {self.recipients} recipient{those} would be returned"
        return f"{whole}{': ' if said else ''}{said}{tried}"


def foretell(wish: Wish, store: Store, reporter: Reporter, pages: Iterator[list[Entry]], now: float) -> None:
    """Print it for all that is in `pages`, and how many they are.  Raises StoreError."""
    from mether.runner import returning

    hops = {hop.route: hop for hop in store.hops()}
    count = Count()
    for page in pages:
        for entry in page:
            rows = wish.rows(entry)
            free = [row for row in rows if row.owner is None]
            tried = [row for row in rows if row.owner is not None]
            count.busy += bool(tried)
            if not free:
                if tried and not wish.json:
                    print(f"{entry.message.ident} is being tried at this moment, and would be left alone")
                continue
            answers = returning.foresee(entry, free, hops, reporter, now, wish.remark)
            count.messages += 1
            count.recipients += len(free)
            _count(count, answers)
            if wish.json:
                print(in_json(entry, answers, len(entry.rows) - len(rows), dry=True))
            else:
                print(_text(entry, answers, tried, len(entry.rows) - len(rows)))
        sys.stdout.flush()
    if not wish.json:
        print(count.text())


def _count(count: Count, answers: list[Returned]) -> None:
    if any(one.kept is not None for one in answers):
        count.held += 1
    elif not any(one.reports for one in answers):
        count.removed += 1
    elif any(one.notice for one in answers):
        count.notified += 1
    else:
        count.returned += 1


def _text(entry: Entry, answers: list[Returned], tried: list[Row], others: int) -> str:
    """One message and its recipients, as lines for a person."""
    message = entry.message
    sender = message.envelope.reverse_path
    kept = next((one.kept for one in answers if one.kept is not None), None)
    if kept is not None:
        what = "would be held: nobody can be told" if message.hold is None else "would stay held"
    elif not any(one.reports for one in answers):
        what = "would be removed, and nobody told"
    elif sender is None:
        what = "would be shown to the postmaster: it has no sender"
    elif any(one.notice for one in answers):
        what = f"would be shown to the postmaster: <{sender}> cannot be told"
    else:
        what = f"would be returned to <{sender}>"
    lines = [listing.clean(f"{message.ident} of {listing.stamp(message.arrival.at)} {what}")]
    for one in answers:
        for pending, outcome in one.recipients:
            path, hop = pending.recipient.forward_path, listing.hop_name(one.route)
            lines.append(listing.clean(f"    {path} ({hop}): {outcome.reply}"))
    lines += [
        listing.clean(f"    {row.recipient.forward_path}: being tried, and left alone") for row in tried
    ]
    if others:
        lines.append(f"    {others} other recipient{'s stay' if others > 1 else ' stays'}")
    return "\n".join(lines)
