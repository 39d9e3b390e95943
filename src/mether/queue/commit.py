"""Group commit: many messages share one sync, with no timer and no knob (docs/internals.md).

One writer thread owns the store.  While one transaction is in flight, new drafts and settlements gather;
when it returns, all that have gathered go in the next.  Idle, a message costs one sync of latency;
busy, the batches grow by themselves.  While another process writes they grow, too: a batch is closed when
it is this one's turn.  Everything else that touches the store (claims, renewals, changes) runs in the same
thread between batches, through `call`.

Content that was staged in a file is synced in another thread before its draft joins a batch, so that a
large message never holds up the others.

Answers come back through `post`, once per batch: under asyncio it is `loop.call_soon_threadsafe`.  When
a transaction fails, every draft in it is answered with the error and its settlements are tried one by one,
for the fault may be one's alone.  Those that fail are kept, apart from what comes after them, and tried
again each RETRY_SECONDS: an outcome that has happened must not be forgotten because the disk is full.  Each
is told of once.  A fault of a `done` costs no other its answer.  Limits: MAX_BATCH jobs per transaction.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from time import monotonic

from mether.queue.store import Committed, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from mether.queue.claim import Hop, Settlement
    from mether.queue.message import Draft
    from mether.queue.store import Store

    T = TypeVar("T")
    Job = tuple[str, Any, Any]
    Drafted = tuple[Draft, Callable[[Committed], None]]
    Settled = tuple[tuple[Settlement, Hop | None], Callable[[bool], None] | None]

_STORED = ("draft", "settle")

MAX_BATCH = 256
TURNS = 8
"""Turns of a busy event loop in which jobs gather before they go to the writer."""

RETRY_SECONDS = 1.0
"""How long to wait before settlements are tried again after the store failed."""

MAX_FAILURES = 8
"""Settlements that may fail one after the other before the rest is left for later."""


class GroupCommit:
    """The writer thread of one store.  Methods may be called from one thread, the event loop's.

    `clock` gives Unix seconds; `post(function)` runs a function in the caller's thread soon.  With `soon`,
    which does the same from that thread, what is asked for in one turn of the event loop goes to the writer
    together, and so does what the next turns bring; `coming` tells whether a draft is about to come, such as
    content that is being received.  Where `wakes_others` is set, another process works the queue, which
    is woken once for each batch with drafts.
    """

    def __init__(
        self,
        store: Store,
        post: Callable[[Callable[[], None]], object],
        clock: Callable[[], float],
        trouble: Callable[[StoreError], None] = lambda error: None,
        gone: Callable[[str], None] = lambda ident: None,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.store = store
        self.batches = 0
        self.committed = 0
        self.wakes_others = False
        self.coming: Callable[[], bool] = lambda: False
        self._post = post
        self._clock = clock
        self._trouble = trouble
        self._gone = gone
        self._soon = soon
        self._gathered: list[Job] = []
        self._seen = 0
        self._turns = 0
        self._jobs: SimpleQueue[list[Job]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)
        self._syncer: Any = None
        self._known_bad: set[int] = set()
        self._thread.start()

    def commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        """Queue a draft; `done` is called when it is durable, or with an answer whose `error` is set."""
        if isinstance(draft.content, bytes):
            self._put(("draft", draft, done))
        else:
            self._sync_first(draft, done)

    def settle(
        self, settlement: Settlement, hop: Hop | None, done: Callable[[bool], None] | None = None
    ) -> None:
        """Apply a settlement; `done` is told whether it was applied or refused as no longer ours."""
        self._put(("settle", (settlement, hop), done))

    def call(self, work: Callable[[Store], T], done: Callable[[T | StoreError], None]) -> None:
        """Run `work` on the store in the writer thread; `done` gets its result or the StoreError."""
        self._put(("call", work, done))

    def close(self) -> None:
        """Finish what was asked for, then end the thread.  Settlements that can't be stored are dropped:
        their messages stay queued."""
        if self._syncer is not None:
            self._syncer.shutdown()
        self._hand_over()
        self._jobs.put([("stop", None, None)])
        self._thread.join()

    def _put(self, job: Job) -> None:
        """Give the writer a job.

        Waking it costs two system calls and the interpreter's lock, and a transaction as much as many jobs
        in it.  So they gather as long as each turn of the loop brings more, or more is coming, for TURNS at
        most: a turn waits for nothing, so that on an idle loop they are over at once.
        """
        if self._soon is None:
            self._jobs.put([job])
            return
        if not self._gathered:
            self._soon(self._look)
        self._gathered.append(job)

    def _look(self) -> None:
        """At the end of a turn of the loop: is there more to come, or shall it go?"""
        more = len(self._gathered) > self._seen
        self._seen = len(self._gathered)
        self._turns += 1
        if self._turns < TURNS and self._soon is not None and (more or self.coming()):
            self._soon(self._look)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        jobs, self._gathered = self._gathered, []
        self._seen = self._turns = 0
        if jobs:
            self._jobs.put(jobs)

    def _sync_first(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        if self._syncer is None:
            from concurrent.futures import ThreadPoolExecutor

            self._syncer = ThreadPoolExecutor(4, thread_name_prefix="content-sync")

        def sync() -> None:
            assert not isinstance(draft.content, bytes)
            try:
                draft.content.sync()
            except Exception as error:
                # Whatever it is, the session that waits must be told.
                answer = Committed(draft.message.ident, error=_problem(error))
                self._post(lambda: done(answer))
            else:
                self._jobs.put([("draft", draft, done)])

        self._syncer.submit(sync)

    def _run(self) -> None:
        get, get_nowait = self._jobs.get, self._jobs.get_nowait
        kept: list[Settled] = []
        due = 0.0
        stop = False
        waiting: list[Job] = []
        while not stop:
            drafts: list[Drafted] = []
            settlements: list[Settled] = []
            calls: list[Job] = []
            try:
                if not waiting:
                    waiting = get(timeout=max(0.0, due - monotonic())) if kept else get()
                if waiting[0][0] in _STORED:
                    self.store.turn()
                while len(waiting) < MAX_BATCH:
                    waiting += get_nowait()
            except Empty:
                pass
            jobs, waiting = waiting[:MAX_BATCH], waiting[MAX_BATCH:]
            for job in jobs:
                kind, what, done = job
                if kind == "draft":
                    drafts.append((what, done))
                elif kind == "settle":
                    settlements.append((what, done))
                elif kind == "call":
                    calls.append(job)
                elif kind == "stop":
                    stop = True
            if kept and (stop or monotonic() >= due):
                batch, rest = kept[:MAX_BATCH], kept[MAX_BATCH:]
                failed = self._again(batch)
                kept = rest + failed
                due = monotonic() + (RETRY_SECONDS if failed else 0.0)
            if (drafts or settlements) and not self._transact(drafts, settlements):
                # What failed together may be the fault of one: the others are not to wait for it.
                kept += self._one_by_one(settlements)
                due = monotonic() + RETRY_SECONDS
            for _, work, done in calls:
                self._call(work, done)

    def _again(self, settlements: list[Settled]) -> list[Settled]:
        """Try what was kept; those that failed."""
        if len(settlements) > 1 and self._transact([], settlements, quiet=True):
            return []
        return self._one_by_one(settlements)

    def _one_by_one(self, settlements: list[Settled]) -> list[Settled]:
        """Try each in a transaction of its own; those that are left, the ones that failed last.

        After MAX_FAILURES it is the store that is in trouble, and the others wait with them.
        """
        failed: list[Settled] = []
        for number, one in enumerate(settlements):
            if len(failed) >= MAX_FAILURES:
                return settlements[number:] + failed
            settlement = one[0][0]
            known = id(settlement) in self._known_bad
            if not self._transact([], [one], quiet=known):
                self._known_bad.add(id(settlement))
                failed.append(one)
        return failed

    def _transact(self, drafts: list[Drafted], settlements: list[Settled], *, quiet: bool = False) -> bool:
        """Store these, and answer; False when the store failed.  `quiet`: without telling of trouble."""
        hops = [hop for (_, hop), _ in settlements if hop is not None]
        try:
            applied = self.store.apply(
                [draft for draft, _ in drafts],
                [settlement for (settlement, _), _ in settlements],
                hops,
                now=self._clock(),
            )
        except Exception as error:
            # The thread must outlive any fault: without it every session would wait for ever.
            problem = _problem(error)
            answers = [(done, Committed(draft.message.ident, error=problem)) for draft, done in drafts]

            def failed() -> None:
                if not quiet:
                    self._trouble(problem)
                for done, answer in answers:
                    self._tell(done, answer)

            self._post(failed)
            return False
        if self._known_bad:
            self._known_bad.difference_update(id(settlement) for (settlement, _), _ in settlements)
        self.batches += 1
        self.committed += len(drafts)
        refused = {id(settlement) for settlement in applied.refused}

        def succeeded() -> None:
            tell = self._tell
            for (_, done), answer in zip(drafts, applied.answers, strict=True):
                tell(done, answer)
            for (settlement, _), settled in settlements:
                if settled is not None:
                    tell(settled, id(settlement) not in refused)
            for ident in applied.gone:
                tell(self._gone, ident)

        self._post(succeeded)
        if drafts and self.wakes_others:
            self._wake()
        return True

    def _wake(self) -> None:
        try:
            self.store.wake()
        except Exception as error:
            problem = _problem(error)
            self._post(lambda: self._trouble(problem))

    def _tell(self, done: Callable[[Any], None], answer: object) -> None:
        """Give one answer: a fault of who gets it is not to cost the others theirs."""
        try:
            done(answer)
        except Exception as error:
            self._trouble(_problem(error))

    def _call(self, work: Callable[[Store], Any], done: Callable[[Any], None]) -> None:
        result: Any
        try:
            result = work(self.store)
        except Exception as error:
            result = _problem(error)
        self._post(lambda: done(result))


def _problem(error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"internal error: {error!r}")
