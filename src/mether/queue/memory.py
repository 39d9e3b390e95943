"""The queue in memory: for tests and for the test kit.

It keeps the contract of `store` except that nothing outlives the process.  `MemoryStore.another` opens
one more owner on the same queue.  Nothing is indexed: it is meant for thousands of messages.
"""

from __future__ import annotations

import os
from math import inf

from mether.outcome import DONE
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Pending
from mether.queue.content import Content, in_memory
from mether.queue.memory_people import MemoryPeople
from mether.queue.memory_state import Memory as Memory
from mether.queue.memory_state import Queued, Recipient
from mether.queue.message import Row
from mether.queue.store import Applied, Committed, StoreError
from mether.queue.transcript import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mether.outcome import Attempt, Route
    from mether.queue.claim import Decision, Hop, Settlement
    from mether.queue.content import Writer
    from mether.queue.message import Draft


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


class MemoryStore(MemoryPeople):
    """One owner of a queue in memory."""

    def __init__(self, *, now: float, memory: Memory | None = None) -> None:
        super().__init__()
        self.memory = memory or Memory()
        self.memory.last_owner += 1
        self.owner = self.memory.last_owner
        self.memory.stores[self.owner] = self

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
        for one in settlements:
            for report in one.reports:
                self._storable(report)  # before anything has changed: nobody is removed without it
        refused = [one for one in settlements if not self._settle(one, now)]
        answers = [self._insert(draft, now) for draft in drafts]
        for new in hops:
            hop = self.memory.hop(new.route).hop
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
        queued = memory.messages[message.ident] = Queued(message, content)
        memory.totals.queued += 1
        claims: dict[Route, Claim] = {}
        due = max(draft.due, message.release_at)
        for number, (recipient, route) in enumerate(
            zip(message.envelope.recipients, draft.routes, strict=True)
        ):
            hop = self.memory.hop(route).hop
            row = Row(number, recipient, route, next_attempt=due, pinned=draft.pinned)
            mine = queued.recipients[number] = Recipient(row)
            free = not hop.failures and not hop.blocked(now)
            if draft.claim and free and message.hold is None and message.release_at <= now:
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
        ident = draft.message.ident
        if ident in self.memory.messages:
            raise StoreError(f"the id {ident} is already queued")
        return self._storable(draft)

    def _storable(self, draft: Draft) -> bytes:
        """The draft's content.  Raises StoreError where it could not be queued under any id."""
        message, content = draft.message, draft.content
        _number(message.ident)
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

    # Settlements

    def _settle(self, one: Settlement, now: float) -> bool:
        parts, recipients = [], []
        for part in one.parts:
            owned = self._owned(part.claim)
            if owned is None or part.claim.message.ident != one.claim.message.ident:
                return False  # and nothing of it was done
            parts.append((part, owned[1]))
            recipients += owned[1]
        queued = self.memory.messages[one.claim.message.ident]
        if one.hold is not None:
            queued.message.hold = one.hold
        one.forgo({each.row.number for each in recipients if each.row.mark == "remove"})
        for part, its in parts:
            decisions = {decision.number: decision for decision in part.decisions}
            for each in its:
                decision = decisions.get(each.row.number)
                self._decide(queued, each, decision, now)
                self._count(decision)
            if part.attempt is not None and part.attempt.outcomes:
                _remember(queued, part.attempt)
            self._over(part.claim)
        if one.warned:
            for each in recipients:
                each.row.warned = True
            left = [each.row for each in queued.recipients.values()]
            if all(row.warned for row in left):
                queued.message.warn_at = one.warn_at
                for row in left:
                    row.warned = False
        if not any(each.row.suspect for each in queued.recipients.values()):
            queued.strikes = 0
        self.memory.tidy(one.claim.message.ident)
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

    def _count(self, decision: Decision | None) -> None:
        if decision is not None and decision.outcome is not None:
            totals, action = self.memory.totals, decision.outcome.action
            totals.done += action in DONE
            totals.failed += action == "failed"
            totals.delayed += action == "delayed"

    # Content, and the end

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

    def check(self) -> Iterator[str]:
        for ident, queued in self.memory.messages.items():
            if not queued.recipients:
                yield f"the message {ident} has no recipient left"

    def sweep(self, now: float) -> int:
        return 0

    def close(self, *, leave: Collection[int] = ()) -> None:
        if self.memory.stores.pop(self.owner, None) is None:
            return
        self.release(
            [
                Claim(queued.message, each.row.route, [], owner=self.owner, token=each.token)
                for queued in self.memory.messages.values()
                for each in queued.recipients.values()
                if each.row.owner == self.owner and each.token not in leave
            ]
        )
        if any(each.row.owner == self.owner for _, each in self.memory.all()):
            self.memory.owners[self.owner] = -inf
        else:
            self.memory.owners.pop(self.owner, None)
        if self._pipe is not None:
            for fd in self._pipe:
                os.close(fd)
            self._pipe = None


def _remember(queued: Queued, attempt: Attempt) -> None:
    """Keep an attempt; its transcript takes the place of earlier ones at its next hop."""
    for earlier in queued.attempts:
        if attempt.transcript and earlier.route == attempt.route:
            earlier.transcript = ""
    attempt.transcript = kept(attempt.transcript)
    queued.attempts.append(attempt)


def _number(ident: str) -> int:
    try:
        return ident_.decode(ident)
    except ValueError as error:
        raise StoreError(str(error)) from None
