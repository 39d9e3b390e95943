"""What is due, in memory: the schedule of the directory store's runner.

It holds for each queued message its recipients' next hops and times, and answers what to claim now and
when next, by a heap for each next hop and priority there: a dead next hop with many messages costs the
others nothing, and what is due at a high priority is found whatever waits below it.  An entry in a heap
is valid only while it agrees with its row; the others are dropped when they come up.  It knows no file and
no clock.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush

from mether.queue.directory_slots import Item, Pick, Slot
from mether.queue.glob import next_hop_like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mether.outcome import Route
    from mether.queue.claim import Hop
    from mether.queue.directory_state import Record
    from mether.queue.store import Select


class Index:
    """The schedule.  `hops` is what is known of next hops, by route."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.hops: dict[Route, Hop] = {}
        self._heaps: dict[Route, dict[int, list[tuple[float, str, int]]]] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._aside: dict[Route, list[tuple[float, str]]] = {}
        self._suspects: set[str] = set()
        self._busy: set[str] = set()
        self._out: dict[int, tuple[str, Route, bool]] = {}
        self._left: dict[Route, int] = {}
        self._room_at: Callable[[Route], int] | None = None

    def put(self, ident: str, record: Record | None) -> None:
        """The message as it now stands; None or without rows: it is gone.  Its claims stay out."""
        old = self.items.pop(ident, None)
        self._suspects.discard(ident)
        if record is None or not record.rows:
            return
        tokens = {} if old is None else {number: slot.token for number, slot in old.slots.items()}
        message = record.message
        item = Item(
            message.priority,
            message.release_at,
            message.hold is not None,
            {
                row.number: Slot(
                    row.route,
                    row.next_attempt,
                    message.deadline_of(warned=row.warned),
                    row.suspect,
                    tokens.get(row.number, 0),
                    row.last.at if row.last is not None else float("-inf"),
                    row.mark,
                )
                for row in record.rows
            },
        )
        self.items[ident] = item
        if item.suspect:
            self._suspects.add(ident)
        self._push(ident, item)

    def take(self, pick: Pick, token: int) -> None:
        """The recipients are claimed from now on."""
        item = self.items[pick.ident]
        for number in pick.numbers:
            item.slots[number].token = token
        self._out[token] = (pick.ident, pick.route, pick.due)
        if pick.due and pick.route in self._left:
            self._left[pick.route] -= 1
        self._push_deadline(pick.ident, item)  # of what is left

    def end(self, token: int) -> None:
        """The claim has ended."""
        ident, _, _ = self._out.pop(token, ("", None, False))
        item = self.items.get(ident)
        if item is not None:
            for slot in item.slots.values():
                if slot.token == token:
                    slot.token = 0
            self._push(ident, item)

    def claimed(self, ident: str) -> bool:
        """Whether any of the message's recipients is claimed."""
        item = self.items.get(ident)
        return item is not None and any(slot.token for slot in item.slots.values())

    def marked(self) -> dict[int, str]:
        """The marks on what is claimed, by token."""
        marks = {}
        for token, (ident, _, _) in self._out.items():
            item = self.items.get(ident)
            for slot in item.slots.values() if item is not None else ():
                if slot.token == token and slot.mark is not None:
                    marks[token] = slot.mark
        return marks

    def routes(self) -> set[Route]:
        """The next hops of all that is queued."""
        return {slot.route for item in self.items.values() for slot in item.slots.values()}

    def busy(self, ident: str, until: float) -> None:
        """Something else has the message's lock: look again then."""
        item = self.items.get(ident)
        if item is not None:
            item.busy = until
            self._busy.add(ident)
            self._push(ident, item)

    def wake(self) -> None:
        """Look again at once at what was busy."""
        for ident in self._busy:
            item = self.items.get(ident)
            if item is not None:
                item.busy = 0.0
                self._push(ident, item)
        self._busy.clear()

    def _push(self, ident: str, item: Item) -> None:
        if item.held:
            return
        for number, slot in item.slots.items():
            if not slot.token and ident not in self._suspects:
                heaps = self._heaps.setdefault(slot.route, {})
                heappush(heaps.setdefault(item.priority, []), (item.due(slot), ident, number))
        self._push_deadline(ident, item)

    def _push_deadline(self, ident: str, item: Item) -> None:
        if not all(slot.token for slot in item.slots.values()):
            heappush(self._deadlines, (max(item.deadline, item.busy), ident))

    # What may be tried

    def _suspect_out(self) -> bool:
        return bool(self._suspects) and any(ident in self._suspects for ident, _, _ in self._out.values())

    def _free(self, route: Route, now: float) -> bool:
        """Whether one more message may be tried at the next hop now, if there is room."""
        hop = self.hops.get(route)
        if hop is None:
            return True
        if hop.blocked(now):
            return False
        return not (hop.failures and any(due and route == each for _, each, due in self._out.values()))

    def _may(self, route: Route, now: float) -> bool:
        return not self._full(route) and self._free(route, now)

    def _full(self, route: Route) -> bool:
        """Whether the one who asks has no room for more at this next hop."""
        return self._room_at is not None and self._left.setdefault(route, self._room_at(route)) <= 0

    def _heads(self, route: Route) -> list[tuple[float, str, int]]:
        """The first valid entry of each of the next hop's heaps, the highest priority first."""
        heaps = self._heaps.get(route, {})
        heads = []
        for priority in sorted(heaps, reverse=True):
            heap = heaps[priority]
            while heap and not self._valid(heap[0], route, priority):
                heappop(heap)
            if heap:
                heads.append(heap[0])
            else:
                del heaps[priority]
        if not heaps:
            self._heaps.pop(route, None)
        return heads

    def _valid(self, entry: tuple[float, str, int], route: Route, priority: int) -> bool:
        due, ident, number = entry
        item = self.items.get(ident)
        if item is None or item.held or item.priority != priority or ident in self._suspects:
            return False
        slot = item.slots.get(number)
        return slot is not None and not slot.token and slot.route == route and item.due(slot) == due

    def _head(self, route: Route, now: float) -> tuple[float, str, int] | None:
        """What is to go next of what is due at the next hop."""
        return next((head for head in self._heads(route) if head[0] <= now), None)

    def _deadline(self) -> tuple[float, str] | None:
        while self._deadlines:
            at, ident = self._deadlines[0]
            item = self.items.get(ident)
            if (
                item is not None
                and not item.held
                and ident not in self._suspects
                and at == max(item.deadline, item.busy)
                and not all(slot.token for slot in item.slots.values())
            ):
                return self._deadlines[0]
            heappop(self._deadlines)
        return None

    def pick(self, limit: int, now: float, select: Select | None) -> Iterator[Pick]:
        """What to claim, one after another; the caller calls `take` or `busy` before it asks for the next,
        and stops when it has `limit` claims."""
        self._left.clear()
        self._room_at = None
        self._look_aside(now)
        if select is not None and (select.room or select.each is not None):
            self._room_at = partial(select.room_at, limit=limit)
        if select is not None and not select.plain:
            yield from self._selected(now, select)
            return
        left = limit
        for pick in self._expired(max(1, limit // 2), now):
            left -= 1
            yield pick
        for pick in self._due(left, now):
            left -= 1
            yield pick
        yield from self._expired(left, now)

    def _expired(self, limit: int, now: float) -> Iterator[Pick]:
        while limit > 0 and (head := self._deadline()) is not None and head[0] <= now:
            ident = head[1]
            slots = self.items[ident].slots.values()
            late = {slot.route: None for slot in slots if not slot.token and slot.deadline <= now}
            pick = next((found for route in late if (found := self._late(ident, route, now))), None)
            if pick is None:
                # All of it waits for room, and will be found among what is due there.
                heappop(self._deadlines)
                for route in late:
                    self._aside.setdefault(route, []).append(head)
                continue
            yield pick
            limit -= 1

    def _late(self, ident: str, route: Route, now: float) -> Pick | None:
        """What to claim at a next hop of a message whose time has come; None when it waits for room."""
        slots = {n: s for n, s in self.items[ident].slots.items() if not s.token and s.route == route}
        ready = [n for n, slot in slots.items() if slot.due <= now]
        if not ready or not self._free(route, now):
            return Pick(ident, route, list(slots), False)
        return None if self._full(route) else Pick(ident, route, ready, True)

    def _look_aside(self, now: float) -> None:
        """What waited for room waits for its deadline alone where the next hop may not be tried now."""
        for route in list(self._aside):
            if route not in self._heaps:
                del self._aside[route]
            elif not self._free(route, now):
                for entry in self._aside.pop(route):
                    heappush(self._deadlines, entry)

    def _suspect(self, now: float) -> Iterator[Pick]:
        """The one suspect to try now, if none is being tried."""
        if self._suspect_out():
            return
        for ident in sorted(self._suspects):
            item = self.items[ident]
            for route in {slot.route: None for slot in item.slots.values() if not slot.token}:
                slots = {n: s for n, s in item.slots.items() if not s.token and s.route == route}
                ready = [number for number, slot in slots.items() if item.due(slot) <= now]
                if item.held:
                    continue
                if ready and self._free(route, now):
                    if self._full(route):
                        continue
                    yield Pick(ident, route, ready, True)
                    return
                if item.busy <= now and any(slot.deadline <= now for slot in slots.values()):
                    yield Pick(ident, route, list(slots), False)
                    return

    def _due(self, limit: int, now: float) -> Iterator[Pick]:
        if limit > 0:
            for pick in self._suspect(now):
                limit -= 1
                yield pick
        heads = [(min(found), route) for route in list(self._heaps) if (found := self._heads(route))]
        routes = [route for head, route in sorted(heads, key=lambda pair: pair[0]) if head[0] <= now]
        while limit > 0 and routes:
            again = []
            for route in routes:
                if limit <= 0:
                    return
                head = self._head(route, now)
                if head is not None and self._may(route, now):
                    yield self._message(head[1], route, now)
                    limit -= 1
                    again.append(route)
            routes = again

    def _message(self, ident: str, route: Route, now: float) -> Pick:
        slots = self.items[ident].slots.items()
        return Pick(
            ident, route, [n for n, s in slots if not s.token and s.route == route and s.due <= now], True
        )

    def _selected(self, now: float, select: Select) -> Iterator[Pick]:
        idents = self.items if select.idents is None else select.idents & self.items.keys()
        hop = select.next_hop
        if select.regardless:
            order = sorted(ident for ident in idents if ident > select.after)
        else:
            order = sorted(
                idents,
                key=lambda i: (
                    -self.items[i].priority,
                    min(s.due for s in self.items[i].slots.values()),
                    i,
                ),
            )
        for ident in order:
            item = self.items.get(ident)
            if item is None or (item.held and not select.held):
                continue
            if item.release_at > now and not select.unreleased:
                continue
            for route in {slot.route: None for slot in item.slots.values()}:
                slots = {n: s for n, s in item.slots.items() if s.route == route and s.waits(select)}
                if not slots or (hop is not None and not next_hop_like(hop, route)):
                    continue
                ready = [n for n, slot in slots.items() if select.regardless or slot.due <= now]
                if item.suspect and self._suspect_out():
                    continue
                if ready and (select.regardless or self._free(route, now)):
                    if not self._full(route):
                        yield Pick(ident, route, ready, True)
                elif any(slot.deadline <= now for slot in slots.values()):
                    yield Pick(ident, route, list(slots), False)

    def next_due(self, now: float) -> float | None:
        """When `pick` will next give something by itself, or None."""
        self._look_aside(now)
        times: list[float | None] = []
        for route in list(self._heaps):
            heads = self._heads(route)
            if heads:
                times.append(self._ready(route, min(heads)[0]))
        if not self._suspect_out():
            for ident in self._suspects:
                item = self.items[ident]
                for slot in item.slots.values():
                    if not slot.token and not item.held:
                        times += [self._ready(slot.route, item.due(slot)), max(slot.deadline, item.busy)]
        deadline = self._deadline()
        if deadline is not None:
            times.append(deadline[0])
        return min((time for time in times if time is not None), default=None)

    def _ready(self, route: Route, due: float) -> float | None:
        hop = self.hops.get(route)
        if hop is None:
            return due
        if hop.failures > 0 and any(d and route == each for _, each, d in self._out.values()):
            return None
        if hop.suspended is not None:
            if hop.suspended_until is None:
                return None
            due = max(due, hop.suspended_until)
        return max(due, hop.not_before)
