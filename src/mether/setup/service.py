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
from mether.receive.budget import Budget
from mether.runner.run import Runner
from mether.setup import certificates, check, logs, wiring
from mether.setup.listener import Listener
from mether.setup.logins import Logins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Final

    from mether.setup.config import Config
    from mether.setup.wiring import Working

COUNTED: Final = 1_000_000
"""Messages that are counted at the start."""

GRACE: Final = 30.0
"""Seconds that sessions have to come to a safe point when the service stops."""

SWITCH_INTERVAL: Final = 0.0005
"""Seconds between the interpreter's thread switches: the queue's writer shares it with a busy loop, and
waits this long after every step it takes outside (5 ms by default)."""


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

    Raises StoreError, CannotListen or ConfigError.
    """
    loop = asyncio.get_running_loop()
    finish = logs.to_stream(config, sys.stderr, loop)
    store = open_store(config.queue.spool, now=time.time())
    queued = store.count(COUNTED)  # before anyone else uses it
    table = config.table()
    working = wiring.working(config, store, table, loop)
    listeners: list[Listener] = []
    logins: Logins | None = None
    tasks: list[asyncio.Task[None]] = []
    stopping = asyncio.Event()
    hurry = asyncio.Event()

    def signalled() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        budget = Budget(config.queue.memory)
        tls = certificates.server_tls(config)
        if config.auth is not None:
            logins = Logins(config, config.auth, loop)
        for found in check.findings(config, time.time(), tls=tls):
            (event.error if found.fatal else event.warning)(found.what)
        for listen in config.listen:
            listener = Listener(
                loop, config, listen, table, budget, working, with_runner, tls=tls, logins=logins
            )
            await listener.open()
            listeners.append(listener)
        working.queue.wakes_others = not with_runner
        if with_runner:
            loop.add_reader(store.fileno(), _woken, working)
            tasks.append(loop.create_task(working.runner.run()))
            tasks.append(loop.create_task(_sweep(working)))
        addresses = [one for listener in listeners for one in listener.addresses]
        event.started(
            "smtpd",
            version=__version__,
            addresses=tuple(addresses),
            spool=config.queue.spool,
            queued=queued,
        )
        ready(addresses)
        await stopping.wait()
        event.stopped("smtpd", reason="signal")
        working.runner.stop()
        await _end(listeners, hurry)
    finally:
        finish()
        for listener in listeners:
            listener.close()
        for task in tasks:
            task.cancel()
        if with_runner and tasks:
            loop.remove_reader(store.fileno())
        if logins is not None:
            await logins.close()
        await working.close(hurry)
    return 0


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
    finish = logs.to_stream(config, sys.stderr, loop) if not quiet else lambda: None
    store = open_store(config.queue.spool, now=time.time())
    queued = store.count(COUNTED) if once is None else None
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
        event.started("runsmtpq", version=__version__, spool=config.queue.spool, queued=queued)
        await stopping.wait()
        event.stopped("runsmtpq", reason="signal")
        for task in tasks:
            task.cancel()
        return 0
    finally:
        finish()
        if once is None:
            loop.remove_reader(store.fileno())
        await working.close(hurry)
