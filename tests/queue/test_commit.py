"""Group commit: what is answered, when, and what is never forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from clock import T0
from mail import DAY, LATER, OK, draft

from mether.outcome import Outcome
from mether.queue import commit
from mether.queue.claim import Claim, Decision, Settlement
from mether.queue.commit import MAX_BATCH, TURNS, GroupCommit
from mether.queue.memory import MemoryStore
from mether.queue.store import Applied, Committed, Filter, NoSpace, Store, StoreError


class Gated(MemoryStore):
    """A store whose transactions wait at a gate, are recorded, and may be told to fail."""

    def __init__(self) -> None:
        super().__init__(now=T0)
        self.gate = threading.Event()
        self.gate.set()
        self.entered: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self.failure: Exception | None = None
        self.wakes = 0
        self.poison: Settlement | None = None

    def apply(self, drafts: Any = (), settlements: Any = (), hops: Any = (), *, now: float) -> Applied:
        self.entered.put((len(drafts), len(settlements)))
        self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if any(one is self.poison for one in settlements):
            raise StoreError("this one cannot be stored")
        return super().apply(drafts, settlements, hops, now=now)

    def wake(self) -> None:
        self.wakes += 1
        if self.wakes == 3:
            raise OSError("nobody can be woken")


class Caller:
    """The thread that asks: runs what is posted, and keeps the answers in order."""

    def __init__(self, store: Store, soon: Callable[[Callable[[], None]], object] | None = None) -> None:
        self.posted: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.trouble: list[StoreError] = []
        self.answers: list[Committed] = []
        self.settled: list[bool] = []
        self.results: list[Any] = []
        self.queue = GroupCommit(store, self.posted.put, lambda: T0, self.trouble.append, soon=soon)

    def run(self, until: Callable[[], bool]) -> None:
        """Run what is posted until that holds."""
        while not until():
            self.posted.get()()

    def answered(self, count: int) -> list[Committed]:
        """Wait for so many answers in all."""
        self.run(lambda: len(self.answers) >= count)
        return self.answers

    def commit(self, *drafts: Any) -> None:
        for one in drafts:
            self.queue.commit(one, self.answers.append)

    def settle(self, *claims: Claim, retry_at: float | None = None) -> None:
        for one in claims:
            self.queue.settle(settlement(one, retry_at), None, self.settled.append)

    def barrier(self) -> None:
        """Wait until the writer thread has come to what is asked now."""
        self.results.clear()
        self.queue.call(lambda store: "reached", self.results.append)
        self.run(lambda: bool(self.results))


def settlement(claim: Claim, retry_at: float | None = None) -> Settlement:
    action, reply = ("relayed", OK) if retry_at is None else ("delayed", LATER)
    outcomes = [Outcome(one.number, action, reply) for one in claim.pending]  # type: ignore[arg-type]
    return Settlement(claim, [Decision(one.recipient, one, retry_at) for one in outcomes])


@pytest.fixture
def store() -> Gated:
    return Gated()


@pytest.fixture
def caller(store: Gated, monkeypatch: pytest.MonkeyPatch) -> Iterator[Caller]:
    monkeypatch.setattr(commit, "RETRY_SECONDS", 0.001)
    made = Caller(store)
    yield made
    store.gate.set()
    made.queue.close()


def queued(store: Store) -> set[str]:
    return {entry.message.ident for entry in store.entries(Filter())}


def test_an_answer_comes_when_the_message_is_queued(store: Gated, caller: Caller) -> None:
    one = draft()
    caller.commit(one)
    (answer,) = caller.answered(1)
    assert answer.error is None
    assert answer.ident == one.message.ident
    assert queued(store) == {one.message.ident}


def test_nothing_is_answered_while_the_transaction_is_in_flight(store: Gated, caller: Caller) -> None:
    """QUE-1: no 250 before the sync."""
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    assert caller.posted.empty()
    store.gate.set()
    caller.answered(1)


def test_what_comes_during_a_transaction_shares_the_next(store: Gated, caller: Caller) -> None:
    store.gate.clear()
    caller.commit(draft())
    assert store.entered.get() == (1, 0)
    caller.commit(*(draft() for _ in range(20)))
    store.gate.set()
    caller.answered(21)
    assert store.entered.get() == (20, 0)
    assert caller.queue.batches == 2
    assert caller.queue.committed == 21


def test_what_comes_while_another_process_writes_goes_along(store: Gated, caller: Caller) -> None:
    waits, turn = threading.Event(), threading.Event()

    def wait_for_turn() -> None:
        waits.set()
        turn.wait()

    store.turn = wait_for_turn  # type: ignore[method-assign]
    caller.commit(draft())
    assert waits.wait(10)
    caller.commit(draft(), draft())
    turn.set()
    caller.answered(3)
    assert store.entered.get() == (3, 0)


def test_drafts_and_settlements_share_a_transaction(store: Gated, caller: Caller) -> None:
    caller.commit(draft(claim=True))
    claims = caller.answered(1)[0].claims
    store.entered.get()
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    caller.settle(*claims)
    caller.commit(draft())
    store.gate.set()
    caller.answered(3)
    caller.run(lambda: caller.settled == [True])
    assert store.entered.get() == (1, 1)


def test_a_batch_is_bounded(store: Gated, caller: Caller) -> None:
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    caller.commit(*(draft() for _ in range(MAX_BATCH + 10)))
    store.gate.set()
    caller.answered(MAX_BATCH + 11)
    assert [store.entered.get()[0] for _ in range(2)] == [MAX_BATCH, 10]


@pytest.mark.parametrize("count", [3, MAX_BATCH + 10])
def test_a_turn_of_the_loop_shares_a_batch_within_its_bound(store: Gated, count: int) -> None:
    turn: list[Callable[[], None]] = []
    caller = Caller(store, turn.append)
    caller.commit(*(draft() for _ in range(count)))
    assert len(turn) == 1
    assert store.entered.empty()
    while turn:
        turn.pop()()
    assert [answer.error for answer in caller.answered(count)] == [None] * count
    sizes = [store.entered.get()[0] for _ in range(caller.queue.batches)]
    assert sizes == [size for size in (min(count, MAX_BATCH), count - MAX_BATCH) if size > 0]
    caller.commit(draft())
    assert len(turn) == 1
    caller.queue.close()
    caller.answered(count + 1)
    turn.pop()()


def test_jobs_gather_while_each_turn_of_the_loop_brings_more(store: Gated) -> None:
    turn: list[Callable[[], None]] = []
    caller = Caller(store, turn.append)
    store.gate.clear()
    for count in (2, TURNS):
        for _ in range(count):
            assert store.entered.empty()
            caller.commit(draft())
            turn.pop()()
        if count < TURNS:
            turn.pop()()  # a turn that brings nothing
        assert store.entered.get() == (count, 0)
        store.gate.set()
        caller.answered(count)
        caller.answers.clear()
        store.gate.clear()
    assert not turn
    store.gate.set()
    caller.queue.close()


def test_what_is_coming_is_waited_for_a_few_turns(store: Gated) -> None:
    """While content is being received a turn that brings nothing does not end the gathering; TURNS do."""
    turn: list[Callable[[], None]] = []
    caller = Caller(store, turn.append)
    caller.queue.coming = lambda: True
    caller.commit(draft())
    for _ in range(TURNS - 1):
        turn.pop()()
    assert store.entered.empty()
    caller.commit(draft())
    turn.pop()()
    assert store.entered.get() == (2, 0)
    assert not turn
    caller.answered(2)
    caller.queue.close()


def test_another_process_is_woken_once_a_batch(store: Gated, caller: Caller) -> None:
    caller.queue.wakes_others = True
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    caller.commit(*(draft() for _ in range(20)))
    store.gate.set()
    caller.answered(21)
    caller.barrier()
    assert store.wakes == 2
    store.failure = StoreError("the disk is full")
    caller.commit(draft())
    caller.answered(22)
    caller.barrier()
    assert store.wakes == 2
    store.failure = None
    caller.commit(draft())
    assert caller.answered(23)[-1].error is None
    caller.barrier()
    assert "nobody can be woken" in str(caller.trouble[-1])


def test_one_bad_draft_fails_alone(store: Gated, caller: Caller) -> None:
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    good, bad, also_good = draft(), draft(routes=[]), draft()
    caller.commit(good, bad, also_good)
    store.gate.set()
    answers = caller.answered(4)[1:]
    assert [answer.error is None for answer in answers] == [True, False, True]
    assert answers[1].ident == bad.message.ident
    assert {good.message.ident, also_good.message.ident} <= queued(store)
    assert bad.message.ident not in queued(store)


def test_a_failed_transaction_answers_its_drafts_with_the_error(store: Gated, caller: Caller) -> None:
    store.failure = NoSpace("the disk is full")
    caller.commit(draft(), draft())
    answers = caller.answered(2)
    assert all(answer.error is not None and answer.error.reply.code == 452 for answer in answers)
    assert caller.trouble
    store.failure = None
    caller.commit(draft())
    assert caller.answered(3)[2].error is None
    assert len(queued(store)) == 1


def test_settlements_are_kept_until_the_store_works_again(store: Gated, caller: Caller) -> None:
    """An outcome that has happened is not forgotten because the disk is full."""
    caller.commit(draft(claim=True), draft(claim=True))
    claims = [claim for answer in caller.answered(2) for claim in answer.claims]
    store.failure = NoSpace("the disk is full")
    caller.settle(*claims)
    caller.run(lambda: len(caller.trouble) >= 3)
    assert not caller.settled
    store.failure = None
    caller.run(lambda: caller.settled == [True, True])
    assert not queued(store)


def test_a_flood_of_settlements_that_cannot_be_stored_holds_up_nothing_else(
    store: Gated, caller: Caller
) -> None:
    """While the store fails, drafts are still answered and calls still made, however much is kept."""
    count = MAX_BATCH + 5
    caller.commit(*(draft(claim=True) for _ in range(count)))
    claims = [claim for answer in caller.answered(count) for claim in answer.claims]
    store.failure = StoreError("no")
    caller.settle(*claims)
    caller.commit(draft())
    assert caller.answered(count + 1)[count].error is not None
    caller.barrier()
    store.failure = None
    caller.run(lambda: len(caller.settled) == count)
    assert not queued(store)


def test_close_returns_although_many_settlements_cannot_be_stored(store: Gated, caller: Caller) -> None:
    count = MAX_BATCH + 5
    caller.commit(*(draft(claim=True) for _ in range(count)))
    claims = [claim for answer in caller.answered(count) for claim in answer.claims]
    store.failure = StoreError("no")
    caller.settle(*claims)
    caller.run(lambda: len(caller.trouble) >= 2)
    caller.queue.close()
    assert len(queued(store)) == count, "their messages stay queued"


def test_one_settlement_that_cannot_be_stored_holds_up_no_other(store: Gated, caller: Caller) -> None:
    """The fault of one is told once, and nothing before, beside or behind it waits or fails for it."""
    caller.commit(*(draft(claim=True) for _ in range(5)))
    claims = [claim for answer in caller.answered(5) for claim in answer.claims]
    bad = settlement(claims[2])
    store.poison = bad
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    for one in claims[:2]:
        caller.settle(one)
    caller.queue.settle(bad, None, caller.settled.append)
    for one in claims[3:]:
        caller.settle(one)
    store.gate.set()
    caller.run(lambda: caller.settled == [True] * 4)
    told = len(caller.trouble)
    assert told == 2, "once for the batch, once for the one"
    for count in range(7, 12):
        caller.commit(draft())
        assert caller.answered(count)[-1].error is None, "what comes later is not in its batch"
    assert len(caller.trouble) == told
    store.poison = None
    caller.run(lambda: caller.settled == [True] * 5)


def test_an_answer_that_raises_costs_no_other_its_own(store: Gated, caller: Caller) -> None:
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()

    def broken(answer: Committed) -> None:
        raise ZeroDivisionError("of the caller")

    caller.queue.commit(draft(), broken)
    caller.commit(draft())
    store.gate.set()
    assert all(answer.error is None for answer in caller.answered(2))
    assert [str(error) for error in caller.trouble] == ["internal error: ZeroDivisionError('of the caller')"]


def test_a_refused_settlement_is_told(store: Gated, caller: Caller) -> None:
    caller.commit(draft(claim=True))
    (claim,) = caller.answered(1)[0].claims
    claim.token += 1
    caller.settle(claim)
    caller.run(lambda: caller.settled == [False])


def test_close_finishes_what_was_asked_for(store: Gated, caller: Caller) -> None:
    store.gate.clear()
    caller.commit(draft())
    store.entered.get()
    caller.commit(*(draft() for _ in range(2 * MAX_BATCH)))
    caller.queue.call(lambda one: "called", caller.results.append)
    threading.Timer(0, store.gate.set).start()
    caller.queue.close()
    assert len(queued(store)) == 2 * MAX_BATCH + 1
    caller.answered(2 * MAX_BATCH + 1)
    caller.run(lambda: caller.results == ["called"])


@pytest.mark.parametrize("fault", [ValueError("a fault"), MemoryError(), KeyError("x")])
def test_no_fault_of_the_store_stops_the_thread(store: Gated, caller: Caller, fault: Exception) -> None:
    store.failure = fault
    caller.commit(draft())
    (answer,) = caller.answered(1)
    assert isinstance(answer.error, StoreError)
    assert answer.error.reply.code == 451
    store.failure = None
    caller.commit(draft())
    assert caller.answered(2)[1].error is None


def test_calls_run_in_the_writer_thread_and_their_errors_come_back(store: Gated, caller: Caller) -> None:
    names: list[str] = []

    def work(one: Store) -> int:
        assert one is store
        names.append(threading.current_thread().name)
        return 7

    def fail(one: Store) -> int:
        raise NoSpace("full")

    def break_down(one: Store) -> int:
        raise ZeroDivisionError

    for job in (work, fail, break_down, work):
        caller.queue.call(job, caller.results.append)
    caller.run(lambda: len(caller.results) == 4)
    assert [type(result) for result in caller.results] == [int, NoSpace, StoreError, int]
    assert names == ["queue-writer"] * 2


class Staged:
    """Content in a file whose sync waits at a gate."""

    size = 5

    def __init__(self, failure: Exception | None = None) -> None:
        self.gate = threading.Event()
        self.syncing = threading.Event()
        self.failure = failure
        self.pieces = [b"large"]
        self.synced = False

    def write(self, data: bytes) -> None:
        """Not used here."""

    def sync(self) -> None:
        self.syncing.set()
        self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.synced = True

    def discard(self) -> None:
        """Nothing to remove."""


def test_staged_content_is_synced_before_its_draft_joins_a_batch(
    store: Gated, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large message that takes long to sync holds up no small one."""
    monkeypatch.setattr("mether.queue.memory.Staged", Staged)
    large, content = draft(), Staged()
    large.content = content  # type: ignore[assignment]
    caller.commit(large)
    content.syncing.wait()
    small = draft()
    caller.commit(small)
    assert caller.answered(1)[0].ident == small.message.ident
    assert queued(store) == {small.message.ident}
    content.gate.set()
    assert caller.answered(2)[1].ident == large.message.ident
    assert large.message.ident in queued(store)


@pytest.mark.parametrize(
    "failure", [NoSpace("full"), StoreError("no"), OSError(5, "broken"), ValueError("x")]
)
def test_content_that_cannot_be_synced_fails_its_draft_alone(
    store: Gated, caller: Caller, failure: Exception
) -> None:
    content = Staged(failure)
    content.gate.set()
    bad = draft()
    bad.content = content  # type: ignore[assignment]
    caller.commit(bad)
    (answer,) = caller.answered(1)
    assert answer.error is not None
    assert answer.error.reply.code == (452 if isinstance(failure, NoSpace) else 451)
    assert not queued(store)


def test_close_waits_for_content_that_is_being_synced(
    store: Gated, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mether.queue.memory.Staged", Staged)
    large, content = draft(at=T0 - DAY), Staged()
    large.content = content  # type: ignore[assignment]
    caller.commit(large)
    content.syncing.wait()
    threading.Timer(0, content.gate.set).start()
    caller.queue.close()
    assert queued(store) == {large.message.ident}
    assert caller.answered(1)[0].error is None
