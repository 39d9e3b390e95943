"""The queue in memory: who takes what, and gives it back.

`claim` looks at every recipient, and so does `next_due`: see `memory_state`.
"""

from __future__ import annotations

from math import inf

from mether.outcome import Attempt, Outcome
from mether.queue import owner as owner_
from mether.queue.claim import Claim, Pending
from mether.queue.content import in_memory
from mether.queue.figures import Live
from mether.queue.glob import next_hop_like
from mether.queue.memory_state import Memory, Queued, Recipient, copy
from mether.queue.store import Select, Store
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mether.outcome import Route
    from mether.queue.claim import Decision

_DIED = Reply(451, "4.3.0", "the process that tried this ended before it said what came of it")
_STRUCK = "three processes in a row ended while they tried this message"


class MemoryClaims(Store):
    """All of `MemoryStore` that has to do with owners and claims."""

    memory: Memory
    owner: int

    def __init__(self) -> None:
        self._token = 0
        self._registered = False

    # Owners

    def renew(self, until: float, now: float) -> bool:
        kept = not self._registered or self.owner in self.memory.owners
        self._registered = True
        self.memory.owners[self.owner] = until
        return kept

    def _register(self, now: float) -> None:
        self._registered = True
        until = self.memory.owners.get(self.owner, 0.0)
        if until - now < owner_.LEASE / 2:
            self.memory.owners[self.owner] = now + owner_.LEASE

    def live(self, now: float) -> Live:
        owners = {other for other, until in self.memory.owners.items() if until >= now} | {self.owner}
        stores = [store for owner, store in self.memory.stores.items() if owner in owners]
        return Live(sum(store.runs for store in stores), sum(store.receives for store in stores))

    def marked(self) -> dict[int, str]:
        marks: dict[int, str] = {}
        for _, each in self.memory.all():
            if each.row.owner == self.owner and each.row.mark is not None:
                marks[each.token] = each.row.mark
        return marks

    def _take_over(self, now: float) -> None:
        for dead in [
            other for other, until in self.memory.owners.items() if until < now and other != self.owner
        ]:
            del self.memory.owners[dead]
            hand = [(ident, each) for ident, each in self.memory.all() if each.row.owner == dead]
            store = self.memory.stores.get(dead)
            tried = store is None or store.runs
            suspects = {ident for ident, each in hand if each.row.suspect} if tried else set()
            if len(suspects) == 1:
                queued = self.memory.messages[suspects.pop()]
                queued.strikes += 1
                if queued.strikes >= 3 and queued.message.hold is None:
                    queued.message.hold = _STRUCK
            died: dict[tuple[str, int], Attempt] = {}
            for ident, each in hand:
                queued, row = self.memory.messages[ident], each.row
                if not tried:
                    self._decide(queued, each, None)
                    self.memory.tidy(ident)
                    continue
                outcome = Outcome(row.number, "delayed", _DIED, scope="transaction", at=now, uncertain=True)
                if (ident, each.token) not in died:
                    attempt = Attempt(row.route, [], started=now, uncertain=True)
                    died[ident, each.token] = attempt
                    queued.attempts.append(attempt)
                died[ident, each.token].outcomes.append(outcome)
                if row.mark == "remove":
                    del queued.recipients[row.number]
                    self.memory.tidy(ident)
                    continue
                row.owner, each.token = None, 0
                row.obey()
                row.suspect, row.last = True, outcome
                row.attempts += 1
            for hop in self.memory.hops.values():
                if hop.probe is not None and hop.probe[0] == dead:
                    hop.probe = None

    # Claims

    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        asked = select or Select()
        if asked.plain:
            select = None
        self._take_over(now)
        out = any(each.row.suspect and each.row.owner is not None for _, each in self.memory.all())
        groups: dict[tuple[str, Route], list[Recipient]] = {}
        for ident, each in self.memory.all():
            if each.row.owner is None and self._wanted(ident, each, now, select):
                groups.setdefault((ident, each.row.route), []).append(each)
        claims: list[Claim] = []
        left: dict[Route, int] = {}
        in_order = select is not None and select.regardless
        for ident, route in sorted(groups, key=lambda key: key[0]) if in_order else self._fair(groups):
            if len(claims) >= limit:
                break
            mine = groups[ident, route]
            suspect = any(each.row.suspect for each in mine)
            if suspect and out:
                continue
            hop = self.memory.hop(route)
            regardless = select is not None and select.regardless
            message = self.memory.messages[ident].message
            late = any(message.deadline_of(warned=each.row.warned) <= now for each in mine)
            due = regardless or (hop.ready() <= now and any(each.row.next_attempt <= now for each in mine))
            room = left.setdefault(route, asked.room_at(route, limit))
            if room <= 0 if due else not late:
                continue
            left[route] = room - due
            out = out or suspect
            claims.append(self._take(ident, route, mine, suspect, due, now))
            if due and hop.hop.failures:
                hop.probe = (self.owner, claims[-1].token)
        return claims

    def _take(
        self, ident: str, route: Route, mine: list[Recipient], suspect: bool, due: bool, now: float
    ) -> Claim:
        queued = self.memory.messages[ident]
        claim = self._new_claim(queued, route, now)
        claim.suspect, claim.due = suspect, due
        claim.hop = self.memory.hop(route).copy()
        for each in mine:
            row = each.row
            row.owner, each.token = self.owner, claim.token
            claim.pending.append(Pending.of(row))
        claim.message = copy(queued.message, mine)
        return claim

    def _new_claim(self, queued: Queued, route: Route, now: float) -> Claim:
        self._register(now)
        self._token += 1
        queued.claims += 1
        return Claim(
            copy(queued.message, []),
            route,
            [],
            owner=self.owner,
            token=self._token,
            settlement=queued.claims,
            content=in_memory(queued.content),
        )

    def _wanted(self, ident: str, each: Recipient, now: float, select: Select | None) -> bool:
        message, row = self.memory.messages[ident].message, each.row
        if message.hold is not None and not (select is not None and select.held):
            return False
        if select is not None:
            if select.idents is not None and ident not in {name.upper() for name in select.idents}:
                return False
            if select.next_hop is not None and not next_hop_like(select.next_hop, row.route):
                return False
            last, since = row.last, select.not_since
            if since is not None and last is not None and last.at > since and not row.suspect:
                return False
            if message.release_at > now and not select.unreleased:
                return False
            if select.regardless:
                return ident > select.after
        return row.next_attempt <= now or message.deadline_of(warned=row.warned) <= now

    def _fair(self, groups: dict[tuple[str, Route], list[Recipient]]) -> list[tuple[str, Route]]:
        """Messages by turns from each next hop, next hops in order of their earliest due.

        Of those at one next hop the highest priority comes first, then what was due earliest.
        """
        by_hop: dict[Route, list[tuple[int, float, str]]] = {}
        for (ident, route), recipients in groups.items():
            due = min(each.row.next_attempt for each in recipients)
            priority = self.memory.messages[ident].message.priority
            by_hop.setdefault(route, []).append((-priority, due, ident))
        turns = []
        for route, waiting in by_hop.items():
            first = min(due for _, due, _ in waiting)
            for turn, (_, _, ident) in enumerate(sorted(waiting)):
                turns.append((turn, first, ident, route))
        turns.sort(key=lambda each: each[:3])
        return [(ident, route) for _, _, ident, route in turns]

    def next_due(self, now: float) -> float | None:
        out = any(each.row.suspect and each.row.owner is not None for _, each in self.memory.all())
        times = []
        for ident, each in self.memory.all():
            message, row = self.memory.messages[ident].message, each.row
            if row.owner is None and message.hold is None and not (row.suspect and out):
                deadline = message.deadline_of(warned=row.warned)
                times.append(min(deadline, max(row.next_attempt, self.memory.hop(row.route).ready())))
        return min(times) if times else None

    # Their ends

    def _owned(self, claim: Claim) -> tuple[Queued, list[Recipient]] | None:
        queued = self.memory.messages.get(claim.message.ident)
        if queued is None:
            return None
        mine = [
            each
            for each in queued.recipients.values()
            if each.row.owner == claim.owner and each.token == claim.token
        ]
        return (queued, mine) if mine else None

    def _decide(self, queued: Queued, each: Recipient, decision: Decision | None, now: float = inf) -> None:
        row = each.row
        if row.mark == "remove" or (decision is not None and decision.retry_at is None):
            del queued.recipients[row.number]
            return
        row.owner, each.token = None, 0
        if decision is not None and decision.retry_at is not None:
            row.suspect = False
            retry_at = decision.retry_at if row.moved is None else min(now, decision.retry_at)
            row.next_attempt = max(retry_at, queued.message.release_at)
            if decision.route is not None:
                row.route = decision.route
            if decision.outcome is not None:
                row.attempts += 1
                row.last = decision.outcome
        row.obey()
        self.memory.hop(row.route)

    def _over(self, claim: Claim) -> None:
        hop = self.memory.hop(claim.route)
        if hop.probe == (claim.owner, claim.token):
            hop.probe = None

    def release(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            owned = self._owned(claim)
            if owned is not None:
                for each in owned[1]:
                    self._decide(owned[0], each, None)
                self._over(claim)
                self.memory.tidy(claim.message.ident)
