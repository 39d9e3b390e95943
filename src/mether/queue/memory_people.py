"""The queue in memory: what people ask and change, and waking."""

from __future__ import annotations

import os

from mether.queue.figures import Totals
from mether.queue.glob import glob, next_hop_like
from mether.queue.memory_claims import MemoryClaims
from mether.queue.memory_state import Queued, Recipient, copy
from mether.queue.message import Entry, Row
from mether.queue.selection import MAX_REASON, changes, moves
from mether.queue.store import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mether.outcome import Attempt, Route
    from mether.queue.claim import Hop
    from mether.queue.selection import Action, Move


class MemoryPeople(MemoryClaims):
    """All of `MemoryStore` that lists and changes, and wakes."""

    _pipe: tuple[int, int] | None = None

    def entries(self, filter: Filter, after: str = "", limit: int = 1000) -> list[Entry]:
        found: list[Entry] = []
        matches = _matcher(filter)
        for ident in sorted(self.memory.messages):
            if len(found) >= limit:
                break
            if ident > after:
                entry = self._entry(ident)
                if matches(entry):
                    found.append(entry)
        return found

    def _entry(self, ident: str) -> Entry:
        queued = self.memory.messages[ident]
        recipients = list(queued.recipients.values())
        rows = []
        for each in recipients:
            row = Row(each.row.number, each.row.recipient, each.row.route)
            for name in Row.__slots__:
                setattr(row, name, getattr(each.row, name))
            rows.append(row)
        return Entry(copy(queued.message, recipients), rows)

    def attempts(self, ident: str) -> list[Attempt]:
        queued = self.memory.messages.get(ident)
        return list(queued.attempts) if queued else []

    # Next hops

    def hops(self, like: str | None = None) -> list[Hop]:
        return [
            known.copy()
            for route, known in self.memory.hops.items()
            if (
                known.hop.failures or known.hop.suspended is not None
                if like is None
                else next_hop_like(like, route)
            )
        ]

    def suspend(self, routes: Sequence[Route], *, reason: str, until: float | None) -> None:
        for route in routes:
            hop = self.memory.hop(route).hop
            hop.suspended, hop.suspended_until = reason[:MAX_REASON], until

    def resume(self, routes: Sequence[Route], *, now: float) -> int:
        resumed = 0
        for route in routes:
            known = self.memory.hops.get(route)
            if known is not None:
                hop = known.hop
                resumed += hop.suspended_at(now)
                hop.suspended, hop.suspended_until = None, None
        return resumed

    def totals(self) -> Totals:
        known = self.memory.totals
        return Totals(known.queued, known.done, known.failed, known.delayed)

    # Changes

    def change(
        self,
        filter: Filter,
        action: Action,
        *,
        now: float,
        reason: str = "",
        move: Move | None = None,
    ) -> int:
        if move is not None:
            return self._move(filter, move, now)
        matches = _matcher(filter)
        found = [
            ident
            for ident in self.memory.messages
            if matches(entry := self._entry(ident)) and changes(action, entry)
        ]
        for ident in found:
            queued = self.memory.messages[ident]
            if action == "hold":
                queued.message.hold = reason[:MAX_REASON]
            elif action == "release":
                queued.message.hold, queued.strikes = None, 0
            for each in list(queued.recipients.values()):
                self._change(queued, each, action, now)
            self.memory.tidy(ident)
        return len(found)

    def _move(self, filter: Filter, move: Move, now: float) -> int:
        matches, moved = _matcher(filter), set()
        for ident in self.memory.messages:
            if not matches(self._entry(ident)):
                continue
            queued = self.memory.messages[ident]
            for each in queued.recipients.values():
                if moves(filter, move, each.row):
                    move.apply(each.row, max(now, queued.message.release_at))
                    self.memory.hop(each.row.route)
                    moved.add(ident)
        return len(moved)

    def advance(self, times: Mapping[str, tuple[float, float]]) -> int:
        changed = set()
        for ident, (beyond, at) in times.items():
            queued = self.memory.messages.get(ident)
            for each in queued.recipients.values() if queued is not None else ():
                if each.row.owner is None and each.row.next_attempt > beyond:
                    each.row.next_attempt = at
                    changed.add(ident)
        return len(changed)

    def _change(self, queued: Queued, each: Recipient, action: str, now: float) -> None:
        row = each.row
        if action == "hold":
            if row.owner is not None:
                row.mark = row.mark or "hold"
        elif action == "release":
            row.mark = None if row.mark == "hold" else row.mark
            if row.owner is None and row.last is not None:
                row.last = row.last.certain()
        elif action == "retry":
            self.memory.hop(row.route).hop.not_before = 0.0
            if row.owner is None:
                row.next_attempt = max(now, queued.message.release_at)
        elif row.owner is not None:
            row.mark = "remove"
        else:
            del queued.recipients[row.number]

    # Waking

    def wake(self) -> int:
        pipes = [
            store._pipe
            for store in list(self.memory.stores.values())
            if store is not self and store._pipe is not None
        ]
        for _, end in pipes:
            try:
                os.write(end, b"w")
            except BlockingIOError:
                pass
        return len(pipes)

    def wait(self, timeout: float) -> bool:
        import select

        fd = self.fileno()
        if not select.select([fd], [], [], max(0.0, timeout))[0]:
            return False
        try:
            while os.read(fd, 4096):
                pass
        except BlockingIOError:
            pass
        return True

    def fileno(self) -> int:
        if self._pipe is None:
            self._pipe = os.pipe()
            for fd in self._pipe:
                os.set_blocking(fd, False)
        return self._pipe[0]


def _matcher(filter: Filter) -> Callable[[Entry], bool]:
    def like(text: str, pattern: str | None) -> bool:
        return pattern is None or glob(pattern, text)

    names = None if filter.idents is None else {name.upper() for name in filter.idents}

    def matches(entry: Entry) -> bool:
        message = entry.message
        sender = message.envelope.reverse_path
        return (
            (names is None or message.ident in names)
            and like("<>" if sender is None else str(sender), filter.sender)
            and (filter.before is None or message.arrival.at < filter.before)
            and (filter.status is None or entry.status == filter.status)
            and (filter.reason is None or (message.hold is not None and glob(filter.reason, message.hold)))
            and any(like(str(row.recipient.forward_path), filter.recipient) for row in entry.rows)
            and (
                filter.next_hop is None
                or any(next_hop_like(filter.next_hop, row.route) for row in entry.rows)
            )
        )

    return matches
