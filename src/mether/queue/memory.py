"""The queue in memory: for tests and for the test kit.

It keeps the contract of `store` except that nothing outlives the process.  `MemoryStore.another` opens
one more owner on the same queue.  Nothing is indexed: it is meant for thousands of messages.
"""

from __future__ import annotations

import os

from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue import owner as owner_
from mether.queue.claim import Claim, Hop, Pending
from mether.queue.content import Content, in_memory
from mether.queue.glob import next_hop_like
from mether.queue.message import Entry, Message, Row
from mether.queue.store import Applied, Committed, Filter, Store, StoreError
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Literal

    from mether.queue.claim import Decision, Settlement
    from mether.queue.content import Writer
    from mether.queue.message import Draft
    from mether.queue.store import Select

_DIED = Reply(451, "4.3.0", "the process that tried this ended before it said what came of it")
_STRUCK = "three processes in a row ended while they tried this message"
_FOREVER = float("inf")


class _Recipient:
    """A recipient: its Row, and the token of the claim that is out."""

    __slots__ = ("row", "token")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.token = 0


class _Queued:
    """A queued message."""

    __slots__ = ("attempts", "claims", "content", "message", "recipients", "strikes")

    def __init__(self, message: Message, content: bytes) -> None:
        self.message = message
        self.content = content
        self.recipients: dict[int, _Recipient] = {}
        self.attempts: list[Attempt] = []
        self.claims = 0
        self.strikes = 0


class _Hop:
    """A next hop, and the claim that probes it."""

    __slots__ = ("hop", "probe")

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.probe: tuple[int, int] | None = None

    def ready(self) -> float:
        if self.probe is not None:
            return _FOREVER
        hop = self.hop
        if hop.suspended is None:
            return hop.not_before
        return _FOREVER if hop.suspended_until is None else max(hop.not_before, hop.suspended_until)


class Memory:
    """What the owners of one queue share."""

    def __init__(self) -> None:
        self.messages: dict[str, _Queued] = {}
        self.hops: dict[Route, _Hop] = {}
        self.keys: dict[str, tuple[str, float]] = {}
        self.owners: dict[int, float] = {}
        self.stores: dict[int, MemoryStore] = {}
        self.last_owner = 0


class Staged:
    """The Writer of a MemoryStore."""

    def __init__(self) -> None:
        self.size = 0
        self.synced = False
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Append."""
        self.pieces.append(data)
        self.size += len(data)

    def sync(self) -> None:
        """Complete it."""
        self.synced = True

    def discard(self) -> None:
        """Forget it."""


class MemoryStore(Store):
    """One owner of a queue in memory."""

    def __init__(self, *, now: float, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self.memory.last_owner += 1
        self.owner = self.memory.last_owner
        self.memory.stores[self.owner] = self
        self._token = 0
        self._registered = False
        self._pipe: tuple[int, int] | None = None

    def another(self, *, now: float) -> MemoryStore:
        """One more owner on the same queue."""
        return MemoryStore(now=now, memory=self.memory)

    def stage(self, ident: str) -> Writer:
        _number(ident)
        return Staged()

    def apply(
        self,
        drafts: Sequence[Draft] = (),
        settlements: Sequence[Settlement] = (),
        hops: Sequence[Hop] = (),
        *,
        now: float,
    ) -> Applied:
        refused = [one for one in settlements if not self._settle(one, now)]
        answers = [self._insert(draft, now) for draft in drafts]
        for new in hops:
            hop = self._hop(new.route).hop
            hop.failures, hop.not_before, hop.last = new.failures, new.not_before, new.last
        gone = {one.claim.message.ident for one in settlements if one not in refused}
        # Not `gone - messages.keys()`: that walks every message that is queued.
        return Applied(answers, refused, {ident for ident in gone if ident not in self.memory.messages})

    def _insert(self, draft: Draft, now: float) -> Committed:
        memory, message = self.memory, draft.message
        if draft.key is not None:
            for key in [key for key, (_, until) in memory.keys.items() if until <= now]:
                del memory.keys[key]
            if draft.key in memory.keys:
                return Committed(memory.keys[draft.key][0], known=True)
        try:
            content = self._checked(draft)
        except StoreError as error:
            return Committed(message.ident, error=error)
        queued = memory.messages[message.ident] = _Queued(message, content)
        claims: dict[Route, Claim] = {}
        due = max(draft.due, message.release_at)
        for number, (recipient, route) in enumerate(
            zip(message.envelope.recipients, draft.routes, strict=True)
        ):
            self._hop(route)
            row = Row(number, recipient, route, next_attempt=due, pinned=draft.pinned)
            mine = queued.recipients[number] = _Recipient(row)
            if draft.claim and message.hold is None and message.release_at <= now:
                if route not in claims:
                    claims[route] = self._new_claim(queued, route, now)
                claims[route].pending.append(
                    Pending(number, recipient, next_attempt=due, pinned=draft.pinned)
                )
                row.owner, mine.token = self.owner, claims[route].token
        if draft.key is not None:
            memory.keys[draft.key] = (message.ident, draft.key_until)
        return Committed(message.ident, list(claims.values()))

    def _checked(self, draft: Draft) -> bytes:
        """The draft's content.  Raises StoreError for a draft that cannot be queued."""
        message, content = draft.message, draft.content
        _number(message.ident)
        if message.ident in self.memory.messages:
            raise StoreError(f"the id {message.ident} is already queued")
        recipients = message.envelope.recipients
        if not recipients or len(draft.routes) != len(recipients):
            raise StoreError(
                f"the message {message.ident} has {len(recipients)} recipients and {len(draft.routes)} routes"
            )
        arrival = message.arrival
        try:
            for text in (
                arrival.helo,
                arrival.host,
                arrival.login,
                *(str(r.forward_path) for r in recipients),
            ):
                text.encode()
        except UnicodeError as error:
            raise StoreError(f"the message {message.ident} cannot be stored: {error}") from None
        if isinstance(content, Staged):
            if not content.synced:
                raise StoreError(f"the content of {message.ident} is not complete")
            return b"".join(content.pieces)
        assert isinstance(content, bytes)
        return content

    def _new_claim(self, queued: _Queued, route: Route, now: float) -> Claim:
        self._register(now)
        self._token += 1
        queued.claims += 1
        return Claim(
            _copy(queued.message, []),
            route,
            [],
            owner=self.owner,
            token=self._token,
            settlement=queued.claims,
            content=in_memory(queued.content),
        )

    def _register(self, now: float) -> None:
        self._registered = True
        until = self.memory.owners.get(self.owner, 0.0)
        if until - now < owner_.LEASE / 2:
            self.memory.owners[self.owner] = now + owner_.LEASE

    def _hop(self, route: Route) -> _Hop:
        return self.memory.hops.setdefault(route, _Hop(Hop(route)))

    # Settlements

    def _owned(self, claim: Claim) -> tuple[_Queued, list[_Recipient]] | None:
        queued = self.memory.messages.get(claim.message.ident)
        if queued is None:
            return None
        mine = [
            each
            for each in queued.recipients.values()
            if each.row.owner == claim.owner and each.token == claim.token
        ]
        return (queued, mine) if mine else None

    def _settle(self, one: Settlement, now: float) -> bool:
        claim = one.claim
        owned = self._owned(claim)
        if owned is None:
            return False
        queued, recipients = owned
        if one.hold is not None:
            queued.message.hold = one.hold
        decisions = {decision.number: decision for decision in one.decisions}
        one.forgo({each.row.number for each in recipients if each.row.mark == "remove"})
        for each in recipients:
            self._decide(queued, each, decisions.get(each.row.number))
        if one.warned:
            for each in recipients:
                each.row.warned = True
            left = [each.row for each in queued.recipients.values()]
            if all(row.warned for row in left):
                queued.message.warn_at = one.warn_at
                for row in left:
                    row.warned = False
        if one.attempt is not None and one.attempt.outcomes:
            queued.attempts.append(one.attempt)
        if not any(each.row.suspect for each in queued.recipients.values()):
            queued.strikes = 0
        self._over(claim)
        self._tidy(claim.message.ident)
        for report in one.reports:
            report.claim = False
            again = 0
            while report.message.ident in self.memory.messages:
                again += 1
                report.message.ident = ident_.report_id(report.message.ident, again)
            answer = self._insert(report, now)
            if answer.error is not None:
                raise answer.error
        return True

    def _decide(self, queued: _Queued, each: _Recipient, decision: Decision | None) -> None:
        row = each.row
        if row.mark == "remove" or (decision is not None and decision.retry_at is None):
            del queued.recipients[row.number]
            return
        row.owner, row.mark, each.token = None, None, 0
        if decision is not None and decision.retry_at is not None:
            row.suspect = False
            row.next_attempt = max(decision.retry_at, queued.message.release_at)
            if decision.route is not None:
                row.route = decision.route
            if decision.outcome is not None:
                row.attempts += 1
                row.last = decision.outcome

    def _over(self, claim: Claim) -> None:
        hop = self._hop(claim.route)
        if hop.probe == (claim.owner, claim.token):
            hop.probe = None

    def _tidy(self, ident: str) -> None:
        if not self.memory.messages[ident].recipients:
            del self.memory.messages[ident]

    def release(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            owned = self._owned(claim)
            if owned is not None:
                for each in owned[1]:
                    self._decide(owned[0], each, None)
                self._over(claim)
                self._tidy(claim.message.ident)

    # Claims

    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        if select is not None and select.plain:
            select = None
        self._take_over(now)
        out = any(each.row.suspect and each.row.owner is not None for _, each in self._all())
        groups: dict[tuple[str, Route], list[_Recipient]] = {}
        for ident, each in self._all():
            if each.row.owner is None and self._wanted(ident, each, now, select):
                groups.setdefault((ident, each.row.route), []).append(each)
        claims: list[Claim] = []
        in_order = select is not None and select.regardless
        for ident, route in sorted(groups, key=lambda key: key[0]) if in_order else self._fair(groups):
            if len(claims) >= limit:
                break
            mine = groups[ident, route]
            suspect = any(each.row.suspect for each in mine)
            if suspect and out:
                continue
            hop = self._hop(route)
            regardless = select is not None and select.regardless
            message = self.memory.messages[ident].message
            late = any(message.deadline_of(warned=each.row.warned) <= now for each in mine)
            due = regardless or (hop.ready() <= now and any(each.row.next_attempt <= now for each in mine))
            if not due and not late:
                continue
            out = out or suspect
            claims.append(self._take(ident, route, mine, suspect, due, now))
            if due and hop.hop.failures:
                hop.probe = (self.owner, claims[-1].token)
        return claims

    def _take(
        self, ident: str, route: Route, mine: list[_Recipient], suspect: bool, due: bool, now: float
    ) -> Claim:
        queued = self.memory.messages[ident]
        claim = self._new_claim(queued, route, now)
        claim.suspect, claim.due = suspect, due
        hop = self._hop(route).hop
        claim.hop = Hop(
            route,
            failures=hop.failures,
            not_before=hop.not_before,
            last=hop.last,
            suspended=hop.suspended,
            suspended_until=hop.suspended_until,
        )
        for each in mine:
            row = each.row
            row.owner, each.token = self.owner, claim.token
            claim.pending.append(
                Pending(
                    row.number,
                    row.recipient,
                    row.attempts,
                    row.last,
                    row.next_attempt,
                    row.pinned,
                    row.warned,
                )
            )
        claim.message = _copy(queued.message, mine)
        return claim

    def _wanted(self, ident: str, each: _Recipient, now: float, select: Select | None) -> bool:
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

    def _take_over(self, now: float) -> None:
        for dead in [
            other for other, until in self.memory.owners.items() if until < now and other != self.owner
        ]:
            del self.memory.owners[dead]
            hand = [(ident, each) for ident, each in self._all() if each.row.owner == dead]
            suspects = {ident for ident, each in hand if each.row.suspect}
            if len(suspects) == 1:
                queued = self.memory.messages[suspects.pop()]
                queued.strikes += 1
                if queued.strikes >= 3 and queued.message.hold is None:
                    queued.message.hold = _STRUCK
            died: dict[tuple[str, int], Attempt] = {}
            for ident, each in hand:
                queued, row = self.memory.messages[ident], each.row
                outcome = Outcome(row.number, "delayed", _DIED, scope="transaction", at=now, uncertain=True)
                if (ident, each.token) not in died:
                    attempt = Attempt(row.route, [], started=now, uncertain=True)
                    died[ident, each.token] = attempt
                    queued.attempts.append(attempt)
                died[ident, each.token].outcomes.append(outcome)
                if row.mark == "remove":
                    del queued.recipients[row.number]
                    self._tidy(ident)
                    continue
                row.owner, row.mark, each.token = None, None, 0
                row.suspect, row.last = True, outcome
                row.attempts += 1
            for hop in self.memory.hops.values():
                if hop.probe is not None and hop.probe[0] == dead:
                    hop.probe = None

    def renew(self, until: float, now: float) -> bool:
        kept = not self._registered or self.owner in self.memory.owners
        self._registered = True
        self.memory.owners[self.owner] = until
        return kept

    def next_due(self, now: float) -> float | None:
        out = any(each.row.suspect and each.row.owner is not None for _, each in self._all())
        times = []
        for ident, each in self._all():
            message, row = self.memory.messages[ident].message, each.row
            if row.owner is None and message.hold is None and not (row.suspect and out):
                deadline = message.deadline_of(warned=row.warned)
                times.append(min(deadline, max(row.next_attempt, self._hop(row.route).ready())))
        return min(times) if times else None

    # What people ask

    def content(self, ident: str) -> Content:
        _number(ident)
        queued = self.memory.messages.get(ident.upper())
        if queued is None:
            raise StoreError(f"there is no message {ident} in the queue")
        data = queued.content
        if len(data) <= 64 * 1024:
            return in_memory(data)
        from io import BytesIO

        return Content(None, len(data), lambda: BytesIO(data))

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
        return Entry(_copy(queued.message, recipients), rows)

    def attempts(self, ident: str) -> list[Attempt]:
        queued = self.memory.messages.get(ident)
        return list(queued.attempts) if queued else []

    def hops(self, like: str | None = None) -> list[Hop]:
        return [
            Hop(
                hop.hop.route,
                failures=hop.hop.failures,
                not_before=hop.hop.not_before,
                last=hop.hop.last,
                suspended=hop.hop.suspended,
                suspended_until=hop.hop.suspended_until,
            )
            for hop in self.memory.hops.values()
            if hop.hop.failures or hop.hop.suspended is not None
        ]

    def change(
        self,
        filter: Filter,
        action: Literal["hold", "release", "retry", "remove"],
        *,
        now: float,
        reason: str = "",
    ) -> int:
        matches = _matcher(filter)
        found = [ident for ident in self.memory.messages if matches(self._entry(ident))]
        for ident in found:
            queued = self.memory.messages[ident]
            if action == "hold":
                queued.message.hold = reason
            elif action == "release":
                queued.message.hold, queued.strikes = None, 0
            for each in list(queued.recipients.values()):
                self._change(queued, each, action, now)
            self._tidy(ident)
        return len(found)

    def _change(self, queued: _Queued, each: _Recipient, action: str, now: float) -> None:
        row = each.row
        if action == "hold":
            if row.owner is not None:
                row.mark = row.mark or "hold"
        elif action == "release":
            row.mark = row.mark if row.mark == "remove" else None
        elif action == "retry":
            self._hop(row.route).hop.not_before = 0.0
            if row.owner is None:
                row.next_attempt = max(now, queued.message.release_at)
        elif row.owner is not None:
            row.mark = "remove"
        else:
            del queued.recipients[row.number]

    # Waking

    def wake(self) -> int:
        others = [store for store in list(self.memory.stores.values()) if store is not self and store._pipe]
        for store in others:
            assert store._pipe is not None
            try:
                os.write(store._pipe[1], b"w")
            except BlockingIOError:
                pass
        return len(others)

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

    def check(self) -> Iterator[str]:
        for ident, queued in self.memory.messages.items():
            if not queued.recipients:
                yield f"the message {ident} has no recipient left"

    def sweep(self, now: float) -> int:
        return 0

    def close(self) -> None:
        if self.memory.stores.pop(self.owner, None) is None:
            return
        self.release(
            [
                Claim(queued.message, each.row.route, [], owner=self.owner, token=each.token)
                for queued in self.memory.messages.values()
                for each in queued.recipients.values()
                if each.row.owner == self.owner
            ]
        )
        self.memory.owners.pop(self.owner, None)
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None

    def _fair(self, groups: dict[tuple[str, Route], list[_Recipient]]) -> list[tuple[str, Route]]:
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

    def _all(self) -> Iterator[tuple[str, _Recipient]]:
        for ident, queued in list(self.memory.messages.items()):
            for each in list(queued.recipients.values()):
                yield ident, each


def _number(ident: str) -> int:
    try:
        return ident_.decode(ident)
    except ValueError as error:
        raise StoreError(str(error)) from None


def _copy(message: Message, recipients: list[_Recipient]) -> Message:
    """The message as it stands, its envelope with these recipients alone."""
    from mether.envelope import Envelope

    old = message.envelope
    envelope = Envelope(
        old.reverse_path,
        [each.row.recipient for each in recipients] if recipients else old.recipients,
        body=old.body,
        size=old.size,
        smtputf8=old.smtputf8,
        requiretls=old.requiretls,
        ret=old.ret,
        envid=old.envid,
        auth=old.auth,
        by=old.by,
        hold=old.hold,
        priority=old.priority,
    )
    return Message(
        message.ident,
        envelope,
        message.arrival,
        trace=message.trace,
        size=message.size,
        expires=message.expires,
        warn_at=message.warn_at,
        hold=message.hold,
        release_at=message.release_at,
    )


def _matcher(filter: Filter) -> Callable[[Entry], bool]:
    from fnmatch import fnmatchcase

    def glob(text: str, pattern: str | None) -> bool:
        return pattern is None or fnmatchcase(text.lower(), pattern.lower().replace("[", "[[]"))

    names = None if filter.idents is None else {name.upper() for name in filter.idents}

    def matches(entry: Entry) -> bool:
        message = entry.message
        sender = message.envelope.reverse_path
        return (
            (names is None or message.ident in names)
            and glob("<>" if sender is None else str(sender), filter.sender)
            and (filter.before is None or message.arrival.at < filter.before)
            and (filter.status is None or entry.status == filter.status)
            and any(glob(str(row.recipient.forward_path), filter.recipient) for row in entry.rows)
            and (
                filter.next_hop is None
                or any(next_hop_like(filter.next_hop, row.route) for row in entry.rows)
            )
        )

    return matches
