"""The power-cut test: a store is worked, the power fails at every step, and the promises must hold.

`record` runs a workload on a store above a recording disk (powercut_journal), and remembers what the store
showed before and after each verb.  `failures` plays the journal; at every step, for every image that a
disk may then hold (powercut_image), the ordinary store opens the image, as after a restart, and must show

- all that was answered before the cut, with its whole content: what a verb had returned is durable;
- of a verb cut in two, each unit (a message queued; a settlement with the reports that follow from
  it; a message changed) wholly or not at all, and with `atomic` all units or none;
- nothing else; the same after the sweeper has been, and then nothing wrong by its own `check` (before, files
  of what was never answered may lie about); and all of it can be claimed.

`needless` leaves out each sync in turn, which must then be missed: it proves that the sync is needed and
that this test would notice if it were gone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from typing import Any

from powercut_image import Image, State
from powercut_journal import Journal, RecordingDisk, RecordingVFS, Step

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue.disk import REAL, Disk
from mether.queue.store import (
    Arrival,
    Claim,
    Decision,
    Draft,
    Filter,
    Message,
    Row,
    Select,
    Settlement,
    Store,
    StoreError,
)
from mether.reply import Reply

T0 = 1_800_000_000.0
AFTER = T0 + 86400
"""When the power is back: every owner of before is long dead."""

Open = Callable[[str, float, Disk, "str | None"], Store]
Facts = tuple[Any, ...]
Shown = dict[str, Facts]
"""What a store shows of each message: all that a restart must not change."""

UNKNOWN = "?"
"""A last outcome of which nobody knows how it ended."""

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


class Recording:
    """A worked store: its journal, and the operations that the marks in it number."""

    def __init__(
        self, journal: Journal, operations: list[Operation], opener: Open, atomic: bool, history: bool
    ) -> None:
        self.journal = journal
        self.operations = operations
        self.open = opener
        self.atomic = atomic
        self.history = history
        self._seen: dict[bytes, tuple[Shown, list[str]]] = {}

    def syncs(self) -> dict[int, str]:
        """The steps that made something durable which was not so before, each with who asked for it."""
        state = State(self.journal)
        return {
            number: step.site
            for number, step in enumerate(self.journal.steps)
            if state.play(step) and step.site
        }

    def failures(self, without: Collection[int] = ()) -> Iterator[str]:
        """Cut the power at every step; a line for each image that breaks a promise.

        The syncs that are the steps numbered `without` do not happen.
        """
        state = State(self.journal)
        begun = ended = 0
        for number, step in enumerate(self.journal.steps):
            if number in without:
                continue
            if step.kind == "mark":
                begun += step.args == ("begin",)
                ended += step.args == ("end",)
            state.play(step)
            if not without or number > min(without):  # before the missing sync nothing differs
                for image in state.images(number):
                    for fault in self._judge(image, begun, ended):
                        yield f"cut after step {number}, {step}; {image.how}: {fault}"

    def needless(self, excused: Collection[str]) -> list[str]:
        """The syncs that can be left out, one at a time, without any promise being seen to break.

        `excused` are beginnings of call sites whose syncs are not asked about.
        """
        idle = []
        for number, site in self.syncs().items():
            asked = not site.startswith(tuple(excused))
            if asked and next(self.failures(self._repeated(number)), None) is None:
                idle.append(f"step {number}: {site}")
        return idle

    def _repeated(self, number: int) -> list[int]:
        """The sync, and those of the same file right behind it: said twice in one breath, it is one."""
        first, numbers = self.journal.steps[number], [number]
        for step in self.journal.steps[number + 1 :]:
            if (step.kind, step.args) != (first.kind, first.args):
                break
            numbers.append(numbers[-1] + 1)
        return numbers

    def _judge(self, image: Image, begun: int, ended: int) -> Iterator[str]:
        if image.digest not in self._seen:
            self._seen[image.digest] = self._restart(image)
        shown, faults = self._seen[image.digest]
        yield from faults
        if begun == ended:
            last = self.operations[ended - 1].after if ended else self.operations[0].before
            yield from _differences(shown, last, "answered before")
            return
        operation = self.operations[begun - 1]
        units = [set().union(*operation.units)] if self.atomic and operation.units else operation.units
        for unit in units:
            found, old, new = (
                {ident: facts for ident, facts in each.items() if ident in unit}
                for each in (shown, operation.before, operation.after)
            )
            older = None if self.atomic else old
            if any(_differences(found, old, "")) and any(_differences(found, new, "", older)):
                yield f"{operation.name} was cut and left a half: {found} is neither {old} nor {new}"
        rest = set().union(*operation.units)
        yield from _differences(
            {ident: facts for ident, facts in shown.items() if ident not in rest},
            {ident: facts for ident, facts in operation.before.items() if ident not in rest},
            f"{operation.name} should have left alone",
        )

    def _restart(self, image: Image) -> tuple[Shown, list[str]]:
        """What the ordinary store makes of the image, and what is wrong with it."""
        directory = tempfile.mkdtemp(prefix="cut-", dir=_memory())
        try:
            image.write(directory)
            try:
                store = self.open(directory, AFTER, REAL, None)
            except Exception as error:
                return {}, [f"it does not open: {error!r}"]
            try:
                return _examine(store, self.history)
            except Exception as error:
                return {}, [f"it cannot be read: {error!r}"]
            finally:
                store.close()
        finally:
            shutil.rmtree(directory)


def record(
    opener: Open,
    *,
    work: Callable[[Worker], None],
    atomic: bool = True,
    sqlite: bool = False,
    history: bool = True,
    aside: Collection[str] = (),
) -> Recording:
    """Run the workload on a new store; returns what is to be judged.

    `atomic`: a verb is one transaction, whatever it is given; else each unit is for itself, and a
    recipient that a cut settlement puts off may still be due as before: it is then tried sooner.
    `sqlite`: SQLite's files are to be recorded too.  `history`: what was tried for a message is promised
    to last as the message does.  `aside`: files that mean nothing after a restart.
    """
    directory = tempfile.mkdtemp(prefix="powercut-", dir=_memory())
    vfs = None
    try:
        opener(directory, T0, REAL, None).close()
        journal = Journal(directory)
        if sqlite:
            vfs = RecordingVFS(journal, f"powercut-{os.getpid()}")
        worker = Worker(opener, directory, journal, vfs.vfs_name if vfs else None, history)
        work(worker)
        state = State(journal)
        for step in journal.steps:
            state.play(step)
        unseen = journal.unseen(state.everything(), aside)
        assert unseen == [], f"something was done that the journal does not know: {unseen}"
        worker.store.close()
        return Recording(journal, worker.operations, opener, atomic, history)
    finally:
        if vfs is not None:
            vfs.unregister()
        shutil.rmtree(directory)


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
        self.shown, faults = _shown(self.store, self._history)
        assert not faults

    def act(self, name: str, units: Collection[Collection[str]], action: Callable[[], Any]) -> Any:
        """Call a verb between two marks."""
        self.journal.add("mark", "begin")
        result = action()
        self.journal.add("mark", "end")
        before = self.shown
        self.shown, faults = _shown(self.store, self._history)
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
        message = Message(
            ident, envelope, Arrival(T0, "ESMTP"), trace=b"Received: x\r\n", size=size, expires=T0 + 5 * 86400
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


def _shown(store: Store, history: bool) -> tuple[Shown, list[str]]:
    """What the store shows of every message, and what it cannot show."""
    shown: Shown = {}
    faults = []
    for entry in store.entries(Filter()):
        message = entry.message
        rows = tuple(map(_row, entry.rows))
        try:
            content = hashlib.sha256(store.content(message.ident).read()).hexdigest()[:12]
        except (StoreError, OSError) as error:
            content = "unreadable"
            faults.append(f"the content of {message.ident}: {error}")
        tried = tuple(
            (attempt.started, str(attempt.route), tuple(map(_text, attempt.outcomes)))
            for attempt in store.attempts(message.ident)
            if history
        )
        facts = (
            str(message.envelope.reverse_path),
            message.trace,
            message.size,
            message.hold,
            message.warn_at,
        )
        shown[message.ident] = (*facts, content, tried, rows)
    return shown, faults


def _examine(store: Store, history: bool) -> tuple[Shown, list[str]]:
    """What the store shows after a restart, and everything that is wrong with it."""
    shown, faults = _shown(store, history)
    store.sweep(AFTER)
    again, more = _shown(store, history)
    faults += more + list(_differences(again, shown, "there before the sweep"))
    faults += [f"check says: {line}" for line in store.check()]
    claimed = {claim.message.ident for claim in store.claim(1000, AFTER, Select(regardless=True, held=True))}
    if not claimed <= shown.keys() or bool(claimed) != bool(shown):
        faults.append(f"of {sorted(shown)} {sorted(claimed)} can be claimed")
    return shown, faults


def _row(row: Row) -> tuple[Any, ...]:
    attempts, last = row.attempts, _text(row.last)
    if row.last is not None and row.last.uncertain:
        # Opening may take over what a dead owner held, which counts as an attempt that nobody saw end.
        attempts, last = attempts - 1, UNKNOWN
    return row.number, str(row.recipient.forward_path), str(row.route), row.next_attempt, attempts, last


def _like(found: Facts | None, expected: Facts | None, older: Facts | None = None) -> bool:
    """Whether they are equal, but for a last outcome that is unknown now, or rows as `older` has them."""
    if found is None or expected is None:
        return found is expected
    *facts, rows = found
    *others, wanted = expected
    numbers = [row[0] for row in rows]
    allowed = [*wanted, *older[-1]] if older else wanted
    return (
        facts == others
        and numbers == [row[0] for row in wanted]
        and all(
            any(row == want or (row[-1] == UNKNOWN and row[:-1] == want[:-1]) for want in allowed)
            for row in rows
        )
    )


def _text(outcome: Outcome | None) -> str:
    return "" if outcome is None else f"{outcome.recipient} {outcome.action} {outcome.reply}"


def _differences(found: Shown, expected: Shown, what: str, older: Shown | None = None) -> Iterator[str]:
    for ident in sorted(found.keys() | expected.keys()):
        if not _like(found.get(ident), expected.get(ident), older.get(ident) if older else None):
            yield f"{ident}, {what}: expected {expected.get(ident)}, found {found.get(ident)}"


def _memory() -> str | None:
    """Where syncs cost nothing, if there is such a place: nothing here survives a power cut by them."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


__all__ = ["Open", "Recording", "Step", "Worker", "record", "workload"]
