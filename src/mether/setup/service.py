"""The daemon: listeners, the runner, signals, and an end in good order.

`serve` opens the queue and the listening sockets, says so, and works until SIGTERM or SIGINT.  Then it
accepts no more, answers 421 4.3.2 to each session at its next safe point, finishes the attempts in
hand, gives back its claims and returns.  A second signal ends the sessions at once; nothing that was
answered 250 is lost by that.

uvloop is used where it is installed, plain asyncio otherwise.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from mether import __version__
from mether.event import mail as event
from mether.queue.open import open_store
from mether.queue.store import StoreError
from mether.receive.access import Counter, Networks
from mether.receive.budget import Budget
from mether.receive.rate import network
from mether.receive.session import Session
from mether.reply import Reply
from mether.runner.run import Runner
from mether.server.dialogue import SHUTTING_DOWN, Dialogue
from mether.server.proxied import Proxied
from mether.server.stream import Connection
from mether.setup import endpoint, logs, wiring
from mether.smtp.server import ServerProtocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Final

    from mether.net.stream import Stream
    from mether.queue.store import Committed, Draft
    from mether.receive.reception import Reception
    from mether.routing.table import Table
    from mether.setup.config import Config, Listen
    from mether.setup.wiring import Working

BACKLOG: Final = 1024
GRACE: Final = 30.0
"""Seconds that sessions have to come to a safe point when the service stops."""

SWITCH_INTERVAL: Final = 0.0005
"""Seconds between the interpreter's thread switches: the queue's writer shares it with a busy loop, and
waits this long after every step it takes outside (5 ms by default)."""

BUSY: Final = Reply(421, "4.3.2", "too many connections; please try again later")
TOO_OFTEN: Final = Reply(421, "4.7.0", "too many connections in a short time; please try again later")


class CannotListen(Exception):
    """A listening socket can't be had; str() says which and why."""

    sysexit = 69


def run(main: Coroutine[Any, Any, int], *, uvloop: bool = True) -> int:
    """Run a program's main coroutine on the best event loop there is; returns its exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    if uvloop:
        try:
            import uvloop as fast
        except ImportError:
            pass
        else:
            return fast.run(main)
    return asyncio.run(main)


async def serve(config: Config, *, with_runner: bool, ready: Callable[[list[str]], None]) -> int:
    """Run the service until a signal ends it; `ready` is told the addresses listened on.

    Raises StoreError, or CannotListen.
    """
    loop = asyncio.get_running_loop()
    logs.to_stream(config, sys.stderr, loop)
    store = open_store(config.queue.spool, now=time.time())
    table = config.table()
    working = wiring.working(config, store, table, loop)
    listeners: list[Listener] = []
    tasks: list[asyncio.Task[None]] = []
    stopping = asyncio.Event()
    hurry = asyncio.Event()

    def signalled() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        budget = Budget(config.queue.memory)
        for listen in config.listen:
            listener = Listener(loop, config, listen, table, budget, working, with_runner)
            await listener.open()
            listeners.append(listener)
        if with_runner:
            loop.add_reader(store.fileno(), _woken, working)
            tasks.append(loop.create_task(working.runner.run()))
            tasks.append(loop.create_task(_sweep(working)))
        addresses = [one for listener in listeners for one in listener.addresses]
        event.started("smtpd", version=__version__, addresses=tuple(addresses), spool=config.queue.spool)
        ready(addresses)
        await stopping.wait()
        event.stopped("smtpd", reason="signal")
        working.runner.stop()
        await _end(listeners, hurry)
    finally:
        for listener in listeners:
            listener.close()
        for task in tasks:
            task.cancel()
        if with_runner and tasks:
            loop.remove_reader(store.fileno())
        await working.close(hurry)
    return 0


class Listener:
    """One listening address and its sessions."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        listen: Listen,
        table: Table,
        budget: Budget,
        working: Working,
        with_runner: bool,
    ) -> None:
        self.addresses: list[str] = []
        self._loop = loop
        self._listen = listen
        self._working = working
        self._connections: set[Connection] = set()
        self._counter = Counter(listen.max_connections, listen.max_connections_per_client)
        self._server: asyncio.Server | None = None
        self._idle = asyncio.Event()
        self._stopping = False
        self._rates = wiring.rates(listen)
        self._proxies = Networks(listen.proxy_from) if listen.proxy_from else None
        self._reception: Reception = wiring.reception(
            config,
            listen,
            table,
            budget,
            stage=working.store.stage,
            commit=self._commit if with_runner else self._commit_only,
            admit=working.runner.admit if with_runner else lambda draft: False,
        )

    async def open(self) -> None:
        """Listen.  Raises CannotListen."""
        listen = self._listen
        try:
            self._server = await self._loop.create_server(
                self._accepted, listen.host or None, listen.port, backlog=BACKLOG
            )
        except OSError as error:
            raise CannotListen(f"cannot listen on {listen.address}: {error.strerror or error}") from None
        for sock in self._server.sockets:
            host, port = sock.getsockname()[:2]
            self.addresses.append(endpoint.written(host, port))

    def close(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()

    def stop(self) -> None:
        """Accept no more, and end each session at its next safe point."""
        self._stopping = True
        self.close()
        for connection in list(self._connections):
            connection.stop()

    def abort(self) -> None:
        """End every session at once."""
        for connection in list(self._connections):
            connection.abort()

    async def ended(self) -> None:
        """Wait until no session is left."""
        while self._connections:
            self._idle.clear()
            await self._idle.wait()

    def _accepted(self) -> Stream:
        """The protocol of a new connection."""
        if self._proxies is None:
            return self._connection()
        return Proxied(self._loop, self._proxies.__contains__, self._connection, _no_header)

    def _connection(self) -> Connection:
        return Connection(self._loop, self._dialogue, self._gone, timeout=self._listen.command_timeout)

    def _dialogue(self, connection: Connection) -> Dialogue:
        address = connection.peer[0]
        refuse, welcome = self._refusal(address)
        self._connections.add(connection)
        session = Session(self._reception, address, connection.decided, refuse=refuse)
        connection.about = (session, address, welcome)
        return Dialogue(ServerProtocol(self._reception.grammar, max_size=self._listen.max_size), session)

    def _refusal(self, address: str) -> tuple[Reply | None, bool]:
        """The refusal for a client that has just connected, if any, and whether it was counted."""
        if self._stopping:  # its proxy has told us only now who it is
            return SHUTTING_DOWN, False
        per_minute = self._rates.connections
        if per_minute.limit and not per_minute.take(network(address), self._loop.time()):
            return TOO_OFTEN, False
        if not self._counter.enter(address):
            return BUSY, False
        return None, True

    def _gone(self, connection: Connection) -> None:
        session, address, welcome = connection.about
        if welcome:
            self._counter.leave(address)
        self._connections.discard(connection)
        session.ended("" if session.last == "QUIT" else connection.why)
        if not self._connections:
            self._idle.set()

    def _commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        """Queue a draft; the client has its 250 before the runner begins."""

        def answered(answer: Committed) -> None:
            done(answer)
            self._working.runner.committed(draft, answer)

        self._working.queue.commit(draft, answered)

    def _commit_only(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        """Queue a draft for a runner in another process."""

        def answered(answer: Committed) -> None:
            done(answer)
            if answer.error is None:
                self._working.queue.call(lambda store: store.wake(), lambda result: None)

        self._working.queue.commit(draft, answered)


def _no_header(proxy: str, why: str) -> None:
    event.cut(proxy, why, after="CONNECT")


async def _end(listeners: list[Listener], hurry: asyncio.Event) -> None:
    """End the sessions: at a safe point within GRACE seconds, at once when in a hurry."""
    for listener in listeners:
        listener.stop()

    async def ended() -> None:
        for listener in listeners:
            await listener.ended()

    safe, rushed = asyncio.ensure_future(ended()), asyncio.ensure_future(hurry.wait())
    await asyncio.wait((safe, rushed), timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
    rushed.cancel()
    for listener in listeners:
        listener.abort()
    await safe


def _woken(working: Working) -> None:
    working.store.wait(0)
    working.runner.wake()


async def _sweep(working: Working) -> None:
    """Remove what dead processes left of messages they never queued, now and then."""
    while True:
        working.queue.call(lambda store: store.sweep(time.time()), _swept)
        await asyncio.sleep(3600)


def _swept(result: object) -> None:
    if isinstance(result, StoreError):
        event.warning(f"sweeping the spool: {result}")


async def work(
    config: Config, once: Callable[[Runner], Coroutine[Any, Any, int]] | None, *, quiet: bool = False
) -> int:
    """Run the queue without listening: what `once` does with the runner, or until a signal when it is None.

    With `quiet` nothing is logged.  Returns what `once` did.  Raises StoreError.
    """
    loop = asyncio.get_running_loop()
    if not quiet:
        logs.to_stream(config, sys.stderr, loop)
    store = open_store(config.queue.spool, now=time.time())
    working = wiring.working(config, store, config.table(), loop)
    if once is None:  # whoever queues a message takes a process that can be woken for one that stays
        loop.add_reader(store.fileno(), _woken, working)
    stopping = asyncio.Event()
    hurry = asyncio.Event()

    def signalled() -> None:
        (hurry if stopping.is_set() else stopping).set()
        working.runner.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        if once is not None:
            return await once(working.runner)
        tasks = [loop.create_task(working.runner.run()), loop.create_task(_sweep(working))]
        event.started("runsmtpq", version=__version__, spool=config.queue.spool)
        await stopping.wait()
        event.stopped("runsmtpq", reason="signal")
        for task in tasks:
            task.cancel()
        return 0
    finally:
        if once is None:
            loop.remove_reader(store.fileno())
        await working.close(hurry)
