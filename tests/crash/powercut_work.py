"""The work that a store does until the power is cut: everything that happens to messages, small and large.

Each verb is called between two marks in the journal, and what the store shows before and after it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from powercut_journal import Journal, RecordingDisk
from powercut_shown import T0, Shown, look

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Decision, Settlement
from mether.queue.disk import Disk
from mether.queue.message import Arrival, Draft, Message
from mether.queue.store import Filter, Select, Store
from mether.reply import Reply

Open = Callable[[str, float, Disk, "str | None"], Store]
"""Opens the store: path, now, disk, and the name of a VFS for SQLite."""

NEAR = Route("smtp", "mx.example.net")
FAR = Route("smtp", "mx.example.org")


class Operation:
    """A verb that was called: what was shown `before` and `after`; the ids of a unit change together."""

    __slots__ = ("after", "before", "name", "units")

    def __init__(self, name: str, units: list[set[str]], before: Shown, after: Shown) -> None:
        self.name = name
        self.units = units
        self.before = before
        self.after = after


class Worker:
    """The store being worked, and helpers to do so."""

    def __init__(
        self, opener: Open, directory: str, journal: Journal, vfs: str | None, history: bool
    ) -> None:
        self.journal = journal
        self.operations: list[Operation] = []
        self._reopen = lambda: opener(directory, T0, RecordingDisk(journal), vfs)
        self._count = 0
        self._history = history
        self.store = self._reopen()
        self.shown, faults = look(self.store, self._history)
        assert not faults

    def act(self, name: str, units: Collection[Collection[str]], action: Callable[[], Any]) -> Any:
        """Call a verb between two marks."""
        self.journal.add("mark", "begin")
        result = action()
        self.journal.add("mark", "end")
        before = self.shown
        self.shown, faults = look(self.store, self._history)
        assert not faults, faults
        changed = {i for i in before.keys() | self.shown.keys() if before.get(i) != self.shown.get(i)}
        known = set().union(*units)
        assert changed <= known, f"{name} changed {changed - known}, and says nothing of it"
        self.operations.append(Operation(name, [set(unit) for unit in units], before, self.shown))
        return result

    def reopen(self) -> None:
        """Stop and start, in good order."""

        def again() -> None:
            self.store.close()
            self.store = self._reopen()

        self.act("close", [], again)

    def draft(
        self, *paths: str, sender: str = "a@example.com", size: int = 300, claim: bool = False
    ) -> Draft:
        """A draft whose content no other has; above 64 KiB it is staged, and synced as receiving would."""
        self._count += 1
        ident = ident_.new_id(T0 + self._count, self._count)
        filling = f"Subject: {ident}\r\n\r\n".encode() + f"{ident} wrote this\r\n".encode() * (size // 26)
        envelope = Envelope(parse(sender) if sender else None, [Recipient(parse(path)) for path in paths])
        trace = b"Received: x\r\n"
        message = Message(
            ident,
            envelope,
            Arrival(T0, "ESMTP"),
            trace=trace,
            size=len(trace) + len(filling),
            expires=T0 + 5 * 86400,
        )
        routes = [FAR if path.endswith("org") else NEAR for path in paths]
        content: Any = filling
        if size > 65536:
            content = self.store.stage(ident)
            for start in range(0, len(filling), 65536):
                content.write(filling[start : start + 65536])
            content.sync()
        return Draft(message, content, routes, due=T0, claim=claim)

    def commit(self, *drafts: Draft) -> list[Claim]:
        """Queue them; returns the claims of those that asked for them."""
        units = [[draft.message.ident] for draft in drafts]
        answers = self.act("commit", units, lambda: self.store.commit(drafts, now=T0))
        assert all(answer.error is None for answer in answers)
        return [claim for answer in answers for claim in answer.claims]

    def claim(self, *idents: str) -> list[Claim]:
        """Take all that is to be tried, or these messages only."""
        select = Select(idents=frozenset(idents), regardless=True) if idents else None
        claims: list[Claim] = self.act("claim", [], lambda: self.store.claim(10, T0 + 10, select))
        return claims

    def settle(self, *settlements: Settlement, drafts: Collection[Draft] = ()) -> None:
        """Settle, and queue drafts in the same transaction."""
        units = [[draft.message.ident] for draft in drafts]
        units += [[each.claim.message.ident, *reports_of(each)] for each in settlements]
        applied = self.act(
            "apply", units, lambda: self.store.apply(list(drafts), list(settlements), now=T0 + 20)
        )
        assert applied.refused == []


def reports_of(settlement: Settlement) -> list[str]:
    """The ids that its reports may have: their own, or one that the store derived from the message's."""
    if not settlement.reports:
        return []
    own = [report.message.ident for report in settlement.reports]
    return own + [ident_.report_id(settlement.claim.message.ident, number) for number in range(1, 10)]


def settlement(
    claim: Claim, action: str, *, report: Draft | None = None, retry_at: float | None = None, **more: Any
) -> Settlement:
    """Every pending recipient of the claim ends so."""
    digit = {"relayed": 2, "delayed": 4, "failed": 5}[action]
    reply = Reply(digit * 100 + 50, f"{digit}.0.0", f"{action} by the next hop")
    outcomes = [Outcome(pending.number, action, reply, at=T0 + 15) for pending in claim.pending]  # type: ignore[arg-type]
    return Settlement(
        claim,
        [Decision(outcome.recipient, outcome, retry_at) for outcome in outcomes],
        attempt=Attempt(claim.route, outcomes, started=T0 + 15, seconds=0.5),
        reports=[report] if report else [],
        **more,
    )


def workload(worker: Worker) -> None:
    """Everything that happens to messages, small and large."""
    large = 100_000
    small, two = worker.draft("b@example.net"), worker.draft("c@example.net", "d@example.org")
    worker.commit(small, two)
    big = worker.draft("e@example.net", size=large)
    worker.commit(big)
    straight = worker.commit(
        worker.draft("f@example.net", claim=True), worker.draft("g@example.net", claim=True)
    )
    worker.settle(settlement(straight[0], "relayed"))
    worker.settle(settlement(straight[1], "delayed", retry_at=T0 + 900))

    claims = {(claim.message.ident, claim.route.next_hop): claim for claim in worker.claim()}
    of_two = [claims[two.message.ident, route.next_hop] for route in (NEAR, FAR)]
    report = worker.draft("a@example.com", sender="")
    failed = settlement(claims[small.message.ident, NEAR.next_hop], "failed", report=report)
    worker.settle(failed)
    [reported] = worker.shown.keys() & set(reports_of(failed))
    worker.settle(
        settlement(of_two[0], "relayed"),
        drafts=[worker.draft("h@example.net"), worker.draft("i@example.org")],
    )
    worker.settle(settlement(of_two[1], "failed", report=worker.draft("a@example.com", sender="")))
    worker.settle(settlement(claims[big.message.ident, NEAR.next_hop], "relayed"))

    held, gone, warned = (
        worker.draft("j@example.net"),
        worker.draft("k@example.net"),
        worker.draft("l@example.net"),
    )
    worker.commit(held, gone, warned)
    for message, action in ((held, "hold"), (held, "release"), (gone, "remove")):
        ident = message.message.ident
        worker.act(
            f"change {action}",
            [[ident]],
            lambda ident=ident, action=action: worker.store.change(
                Filter(idents=frozenset([ident])), action, now=T0 + 30, reason="a test"
            ),
        )
    [claim] = worker.claim(warned.message.ident)
    warning = worker.draft("a@example.com", sender="")
    worker.settle(
        settlement(claim, "delayed", retry_at=T0 + 1800, report=warning, warned=True, warn_at=T0 + 7200)
    )
    worker.reopen()

    returned, bounce = (
        worker.draft("m@example.net", size=large),
        worker.draft("a@example.com", sender="", size=large),
    )
    [claim] = worker.commit(_claimed(returned))
    worker.settle(settlement(claim, "failed", report=bounce))
    [claim] = worker.claim(reported)
    worker.settle(settlement(claim, "relayed"))
    worker.store.release(worker.claim())


def _claimed(draft: Draft) -> Draft:
    draft.claim = True
    return draft
