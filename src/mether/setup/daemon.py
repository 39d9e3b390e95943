"""The parts of a service in one process, and how they take a newer configuration.

A `Daemon` has the queue at work, the listeners and the logins; one that does not receive has the queue alone.
`prepare` makes all that a configuration asks for and changes nothing; `adopt` puts it in the place of what
was there.  Sessions keep what they began with, and so do attempts; a listener that stays goes on accepting
all the while.  Where several processes receive, `share` takes this one's part of the limits and of the
memory.

`prepare` fails with ConfigError.
"""

from __future__ import annotations

import asyncio
import time

from mether.event import mail as event
from mether.queue.store import StoreError
from mether.receive.access import part
from mether.receive.budget import Budget
from mether.receive.learning import Learning
from mether.runner.asking import asker
from mether.runner.lease import Lease
from mether.setup import certificates, check, places, reporting, wiring
from mether.setup.listener import Listener, Rules
from mether.setup.logins import Logins

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any, Final

    from mether.net.tlsserver import ServerTls
    from mether.queue.content import Writer
    from mether.queue.figures import Live
    from mether.queue.message import Draft
    from mether.queue.store import Committed, Store
    from mether.relay.asuser import Helper
    from mether.relay.pool import Pool
    from mether.routing.router import Router
    from mether.runner.notify import Reporter
    from mether.server.stream import Connection
    from mether.setup.config import Config, Listen
    from mether.setup.places import Key

SWEEP: Final = 3600.0
"""Seconds between two looks for files that dead processes left."""


class Prepared:
    """All that a configuration asks for, ready to be adopted; `pool` and `reporter` are None where they are
    at work already."""

    __slots__ = ("config", "logins", "pool", "reporter", "router", "rules", "tls")

    def __init__(
        self,
        config: Config,
        router: Router,
        tls: ServerTls | None,
        logins: Logins | None,
        pool: Pool | None,
        reporter: Reporter | None,
        rules: dict[Key, Rules],
    ) -> None:
        self.reporter = reporter
        self.config = config
        self.router = router
        self.tls = tls
        self.logins = logins
        self.pool = pool
        self.rules = rules


class Daemon:
    """A service in this process; `workers` are the processes that it has in all."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        store: Store,
        *,
        receives: bool = True,
        with_runner: bool = True,
        workers: int = 1,
        helper: Helper | None = None,
    ) -> None:
        self.config = config
        self._helper = helper
        self.receives = receives
        self.with_runner = with_runner
        self.listeners: dict[Key, Listener] = {}
        self._loop = loop
        self._router = config.router()
        self.working = wiring.working(config, store, self._router, loop, helper)
        self.working.queue.wakes_others = not with_runner
        self._budget = budget = Budget(config.queue.memory)
        self.working.queue.coming = lambda: budget.coming > 0
        self._lease: Lease | None = None
        self._logins: Logins | None = None
        self._learn = Learning(loop)
        self._workers = workers
        self._receivers = workers
        self._leaving: list[Listener] = []
        self._retired: list[tuple[Logins, set[Connection]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def listens(self, config: Config) -> tuple[Listen, ...]:
        """What a configuration has to listen on here."""
        return config.listen if self.receives else ()

    def prepare(self, config: Config) -> Prepared:
        """Make what a configuration asks for.  Raises ConfigError."""
        first = config is self.config
        tls = certificates.server_tls(config) if self.receives else None
        router = self._router if first else config.router()
        working = self.working
        pool = (
            None
            if first
            else wiring.pool(config, router, working.runner, self._loop, working.health, self._helper)
        )
        reporter = None if first else reporting.reporter(config, router, working.pace)
        logins: Logins | None = None
        if config.auth is not None and self.receives:
            known = self._logins.throttle if self._logins is not None else None
            logins = Logins(config, config.auth, self._loop, throttle=known)
        rules: dict[Key, Rules] = {}
        for key, listen in places.keys(self.listens(config)).items():
            there = self.listeners.get(key)
            rules[key] = Rules(
                config,
                listen,
                router=router,
                budget=self._budget,
                rates=there.rules.rates if there is not None else wiring.rates(listen),
                queue=self,
                tls=tls,
                logins=logins,
                learn=self._learn,
                watch=working.kept.watch if working.kept is not None else None,
                pace=working.pace,
            )
        return Prepared(config, router, tls, logins, pool, reporter, rules)

    async def adopt(
        self, prepared: Prepared, sockets: Mapping[Key, list[socket.socket]], *, told: bool = True
    ) -> None:
        """Go by it from now on; `sockets` are those of the listeners that are new.  With `told`, say in the
        log what is not as it should be."""
        config = self.config = prepared.config
        if prepared.pool is not None and prepared.reporter is not None:
            self.working.adopt(config, prepared.router, prepared.pool, prepared.reporter)
        self._router = prepared.router
        before, self._logins = self._logins, prepared.logins
        if before is not None:
            self._retired.append((before, {one for each in self._all() for one in each.connections}))
        gone = [key for key in self.listeners if key not in prepared.rules]
        for key in gone:
            listener = self.listeners.pop(key)
            listener.close()
            self._leaving.append(listener)
        new: list[Listener] = []
        for key, rules in prepared.rules.items():
            there = self.listeners.get(key)
            if there is not None:
                there.adopt(rules)
                continue
            listener = Listener(self._loop, rules, sockets[key], self._gone)
            self.listeners[key] = listener
            new.append(listener)
        self.share(self._receivers)
        for listener in new:
            await listener.open()
        self._forget()
        if told:
            for found in check.findings(config, time.time(), tls=prepared.tls, receives=self.receives):
                (event.error if found.fatal else event.warning)(found.what)

    def begin(self) -> None:
        """Work the queue, or be counted among those who use it."""
        loop, working = self._loop, self.working
        if self.with_runner:
            working.runner.shared = self._shared
            loop.add_reader(working.store.fileno(), woken, working)
            self._start(working.runner.run())
            self._start(sweep(working))
        else:
            self._lease = Lease(loop, asker(loop, working.queue), time.time, self._shared)
            self._lease.start()

    def share(self, receivers: int) -> None:
        """Take this process's part of what so many have together."""
        self._receivers = receivers = max(receivers, self._workers)
        self._budget.limit = part(self.config.queue.memory, receivers)
        if self._logins is not None and self.config.auth is not None:
            self._logins.throttle.limit = part(self.config.auth.max_failures, receivers)
        for listener in self.listeners.values():
            listener.share(receivers)

    def _shared(self, live: Live) -> None:
        self.share(live.receivers)

    def alive(self, done: Callable[[], None]) -> None:
        """Call `done` when the queue's writer has had its turn, and the event loop after it."""

        def answered(result: object) -> None:
            done()

        self.working.queue.call(lambda store: None, answered)

    def stop(self) -> None:
        """Accept no more, claim no more, and end each session at its next safe point."""
        self.working.runner.stop()
        for listener in self._all():
            listener.stop()

    async def ended(self, hurry: asyncio.Event, grace: float) -> None:
        """Wait until the sessions have ended; when in a hurry, or after `grace` seconds, they are cut."""
        listeners = self._all()

        async def all_ended() -> None:
            for listener in listeners:
                await listener.ended()

        safe, rushed = asyncio.ensure_future(all_ended()), asyncio.ensure_future(hurry.wait())
        await asyncio.wait((safe, rushed), timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        rushed.cancel()
        for listener in listeners:
            listener.abort()
        await safe

    async def close(self, hurry: asyncio.Event) -> None:
        """Finish what is in hand, and let go of everything."""
        for listener in self._all():
            listener.let_go()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._lease is not None:
            self._lease.stop()
        if self.with_runner:
            self._loop.remove_reader(self.working.store.fileno())
        for logins in (self._logins, *(one for one, _ in self._retired)):
            if logins is not None:
                await logins.close()
        await self.working.close(hurry)

    # What sessions bring mail to (`listener.Queue`).

    def stage(self, ident: str) -> Writer:
        """A writer in the spool.  Raises StoreError."""
        return self.working.store.stage(ident)

    def admit(self, draft: Draft) -> bool:
        """Whether there is room to take a draft straight through."""
        return self.with_runner and self.working.runner.admit(draft)

    def commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        """Queue a draft; the client has its 250 before the runner begins."""
        if not self.with_runner:
            self.working.queue.commit(draft, done)
            return

        def answered(answer: Committed) -> None:
            done(answer)
            self.working.runner.committed(draft, answer)

        self.working.queue.commit(draft, answered)

    def start(self, domain: str, done: Callable[[int | StoreError], None]) -> None:
        """Try now what waits for a domain (ETRN)."""
        self.working.runner.start(domain, done)

    def _all(self) -> list[Listener]:
        return [*self.listeners.values(), *self._leaving]

    def _gone(self, connection: Connection) -> None:
        """A session has ended: what only it still used can go."""
        for _, left in self._retired:
            left.discard(connection)
        if self._retired or self._leaving:
            self._forget()

    def _forget(self) -> None:
        self._leaving = [one for one in self._leaving if one.connections]
        for logins, left in list(self._retired):
            if not left:
                self._retired.remove((logins, left))
                self._start(logins.close())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def lively(daemon: Daemon, tell: Callable[[], None], every: float) -> None:
    """Give a sign of life as long as event loop and writer are alive."""
    while True:
        daemon.alive(tell)
        await asyncio.sleep(every)


def woken(working: wiring.Working) -> None:
    """Another process says that there is work, or that somebody has changed the suppression list."""
    working.store.wait(0)
    if working.kept is not None:
        working.kept.watch.changed()
    working.runner.wake()


async def sweep(working: wiring.Working) -> None:
    """Remove what dead processes left of messages they never queued, and forget what is over of addresses,
    now and then."""
    while True:
        working.queue.call(lambda store: store.sweep(time.time()), _swept)
        if working.kept is not None:
            working.kept.expire()
        await asyncio.sleep(SWEEP)


def _swept(result: object) -> None:
    if isinstance(result, StoreError):
        event.warning(f"sweeping the spool: {result}")
