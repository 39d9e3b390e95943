"""A runner at work on a queue in memory, with transports that do as they are told, in virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from clock import T0, running
from mail import DAY, LATER, OK, router
from mail import address as to_address

from mether.outcome import Outcome, Route
from mether.queue.claim import Claim, Hop, Settlement
from mether.queue.memory import MemoryStore
from mether.queue.message import Draft
from mether.queue.store import Committed, Filter, StoreError
from mether.reply import Reply
from mether.runner.notify import Reporter
from mether.runner.run import Runner
from mether.runner.schedule import Retry
from mether.runner.window import Window

RETRY = Retry(jitter=0.0)


class Queue:
    """A GroupCommit without a thread: each thing is done when the loop comes to it."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.loop = running()
        self.failure: StoreError | None = None
        self.delay = 0.0

    def commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        self.loop.call_later(self.delay, self._commit, draft, done)

    def _commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        if self.failure is not None:
            done(Committed(draft.message.ident, error=self.failure))
        else:
            done(self.store.commit([draft], now=self.loop.clock())[0])

    def settle(self, settlement: Settlement, hop: Hop | None, done: Callable[[bool], None]) -> None:
        self.loop.call_soon(self._settle, settlement, hop, done)

    def _settle(self, settlement: Settlement, hop: Hop | None, done: Callable[[bool], None]) -> None:
        hops = [] if hop is None else [hop]
        done(not self.store.apply((), [settlement], hops, now=self.loop.clock()).refused)

    def call(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        self.loop.call_soon(self._call, work, done)

    def _call(self, work: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        try:
            result = work(self.store)
        except StoreError as error:
            result = error
        except Exception as error:
            result = StoreError(f"internal error: {error!r}")
        done(result)


class Transport:
    """Works claims at once by what `answers` says for the recipient, or keeps them while `holding`.

    Each takes `seconds`; `most` is how many it takes at a time.
    """

    def __init__(self, runner: Runner, *, most: int = 200, seconds: float = 0.0) -> None:
        self.runner = runner
        self.loop = running()
        self.holding = False
        self.most = most
        self.seconds = seconds
        self.busy = 0
        self.peak = 0
        self.tried: list[tuple[float, str, list[str]]] = []
        self.held: deque[Claim] = deque()
        self.answers: dict[str, tuple[str, Reply, str]] = {}

    def offer(self, claim: Claim) -> None:
        recipients = [str(one.recipient.forward_path) for one in claim.pending]
        self.tried.append((self.loop.time(), claim.message.ident, recipients))
        self.busy += 1
        self.peak = max(self.peak, self.busy)
        if self.holding:
            self.held.append(claim)
        elif self.seconds:
            self.loop.call_later(self.seconds, self.work, claim)
        else:
            self.loop.call_soon(self.work, claim)

    @property
    def room(self) -> int:
        return max(0, self.most - self.busy)

    def withdraw(self, tokens: set[int]) -> None:
        given_up = [claim for claim in self.held if claim.token in tokens]
        self.held = deque(claim for claim in self.held if claim.token not in tokens)
        self.give_back(given_up)

    def give_back(self, claims: list[Claim]) -> None:
        self.busy -= len(claims)
        self.runner.returned(claims)

    def work(self, claim: Claim) -> None:
        now = self.loop.clock()
        self.busy -= 1
        outcomes = []
        for one in claim.pending:
            told = self.answers.get(str(one.recipient.forward_path)) or self.answers.get("*")
            action, reply, scope = told or ("relayed", OK, "recipient")
            outcomes.append(Outcome(one.number, action, reply, scope=scope, at=now))  # type: ignore[arg-type]
        self.runner.done(claim, outcomes, now, now)

    async def close(self) -> None:
        """Finish what is in hand."""

    def times(self) -> list[float]:
        return [time for time, _, _ in self.tried]


class Transports:
    """The transports of a service: one for each route in `own`, and one for all others."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.own: dict[Route, Transport] = {}
        self.runners: list[int] = []

    def transport(self, route: Route) -> Transport:
        return self.own.get(route, self._service.transport)

    def rooms(self) -> dict[Route, int]:
        return {route: one.room for route, one in self.own.items()}

    def share(self, runners: int) -> None:
        self.runners.append(runners)


class Service:
    """A runner at work."""

    def __init__(
        self,
        *,
        window: Window | None = None,
        store: MemoryStore | None = None,
        retry: Retry = RETRY,
        each: int = 200,
        clock: Callable[[], float] | None = None,
    ) -> None:
        loop = running()
        self.store = store or MemoryStore(now=T0)
        self.queue = Queue(self.store)
        self.reporter = Reporter(
            hostname="mx.example.com",
            postmaster=to_address("postmaster@example.com"),
            tell_postmaster=True,
            router=router(),
            lifetime=DAY,
            boundary=lambda: "b0undary",
        )
        self.runner = Runner(
            loop=loop,
            queue=self.queue,  # type: ignore[arg-type]
            transports=lambda: self.transports,
            each=each,
            router=router(),
            reporter=self.reporter,
            retry=retry,
            clock=clock or loop.clock,
            random=lambda: 0.5,
            window=window,
        )
        self.transport = Transport(self.runner)
        self.transports = Transports(self)
        self.task: asyncio.Task[None] | None = None

    def start(self) -> Service:
        self.task = running().create_task(self.runner.run())
        return self

    def receive(self, *drafts: Draft) -> None:
        """What a listener does with a message."""
        for one in drafts:
            one.claim = self.runner.admit(one)

            def answered(answer: Committed, one: Draft = one) -> None:
                self.runner.committed(one, answer)

            self.queue.commit(one, answered)

    def put(self, *drafts: Draft) -> None:
        """What another process queued."""
        answers = self.store.commit(drafts, now=running().clock())
        assert not any(answer.error for answer in answers)

    def queued(self) -> list[str]:
        return [entry.message.ident for entry in self.store.entries(Filter())]

    def reports(self) -> list[Any]:
        return [
            entry for entry in self.store.entries(Filter()) if entry.message.envelope.reverse_path is None
        ]


def delayed(scope: str = "recipient", reply: Reply = LATER) -> tuple[str, Reply, str]:
    return ("delayed", reply, scope)


async def settled() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)
