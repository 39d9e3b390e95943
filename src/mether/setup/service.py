"""The daemon: its life in one process, from the start to an end in good order.

`serve` opens the queue and the listening sockets, says so, and works until SIGTERM or SIGINT. Then it accepts
no more, answers 421 4.3.2 to those who wait in the backlog and to each session at its next safe point,
finishes the attempts in hand, gives back its claims and returns.  A second signal ends the sessions at once;
nothing that was answered 250 is lost by that.  SIGHUP has it read the configuration again: where that is
wrong one line says so, and everything stays as it was.

With several workers `setup.parent` starts this in each (`Child`): the sockets, and the word what to do, come
from the parent then, and when the parent is gone a worker ends in good order.

uvloop is used where it is installed, plain asyncio otherwise.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time

from mether import __version__
from mether.event import mail as event
from mether.queue.open import open_store
from mether.setup import daemon, logs, places, systemd, wiring
from mether.setup.daemon import Daemon

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any, Final

    from mether.runner.run import Runner
    from mether.setup.channel import Channel
    from mether.setup.config import Config
    from mether.setup.daemon import Prepared
    from mether.setup.logs import Log
    from mether.setup.places import Key, Place
    from mether.setup.systemd import Notifier

COUNTED: Final = 1_000_000
"""Messages that are counted at the start."""

GRACE: Final = 30.0
"""Seconds that sessions have to come to a safe point when the service stops."""

SWITCH_INTERVAL: Final = 0.0005
"""Seconds between the interpreter's thread switches: the queue's writer shares it with a busy loop, and
waits this long after every step it takes outside (5 ms by default)."""

COLLECT: Final = (10_000, 20, 20)
"""How many objects the interpreter makes before it looks for rings of them, and how often it looks at older
ones.  A message makes some hundred objects that end by themselves, and a session leaves a ring of thirty; at
700, the default, a thirtieth of all time goes there."""


class Child:
    """What a worker has from its parent: its number, the configuration, its sockets and the line to the
    parent.

    `first` is set for the one that tells what is to be told once; a sign of life is wanted each `alive`
    seconds, 0 for never.
    """

    __slots__ = ("alive", "channel", "config", "first", "number", "sockets", "workers")

    def __init__(
        self,
        number: int,
        workers: int,
        config: Config,
        sockets: dict[Key, list[socket.socket]],
        channel: Channel,
        *,
        first: bool,
        alive: float,
    ) -> None:
        self.number = number
        self.workers = workers
        self.config = config
        self.sockets = sockets
        self.channel = channel
        self.first = first
        self.alive = alive


def run(main: Coroutine[Any, Any, int], *, uvloop: bool = True) -> int:
    """Run a program's main coroutine on the best event loop there is; returns its exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(*COLLECT)
    gc.freeze()  # what was loaded by now stays
    if uvloop:
        try:
            import uvloop as fast
        except ImportError:
            pass
        else:
            return fast.run(main)
    return asyncio.run(main)


async def serve(
    config: Config,
    *,
    with_runner: bool,
    load: Callable[[], Config] | None = None,
    notifier: Notifier | None = None,
    child: Child | None = None,
) -> int:
    """Run the service until a signal ends it.

    `load` reads the configuration again; `child` is what a worker has from its parent.  Raises StoreError,
    CannotListen or ConfigError.
    """
    loop = asyncio.get_running_loop()
    log = logs.Log(config, sys.stderr, loop, shared=child is not None)
    store = open_store(config.queue.spool, now=time.time())
    store.runs, store.receives = with_runner, True
    queued = store.count(COUNTED) if child is None or child.first else None  # before anyone else uses it
    made = Daemon(loop, config, store, with_runner=with_runner, workers=child.workers if child else 1)
    life: Alone | Worker
    if child is None:
        life = Alone(made, log, load or (lambda: config), notifier or systemd.Notifier())
    else:
        life = Worker(made, log, child)
    try:
        life.listen_to_signals(loop)
        await life.begin(queued)
        made.begin()
        await life.stopping.wait()
        await life.settled()
        made.stop()
        life.stop()
        await made.ended(life.hurry, GRACE)
    finally:
        log.finish()
        await made.close(life.hurry)
        life.close()
    return 0


class Alone:
    """A service of one process: signals come to it, and the listening sockets are its own."""

    def __init__(self, daemon: Daemon, log: Log, load: Callable[[], Config], notifier: Notifier) -> None:
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self._daemon = daemon
        self._log = log
        self._load = load
        self._notifier = notifier
        self._places: dict[Key, Place] = {}
        self._asked = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._living: asyncio.Task[None] | None = None

    def listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)

    async def begin(self, queued: int | None) -> None:
        """Listen, and say so.  Raises CannotListen or ConfigError."""
        config = self._daemon.config
        await self._adopt(self._daemon.prepare(config), places.opened(config.listen, {}, 1))
        event.started(
            "smtpd",
            version=__version__,
            addresses=tuple(addresses(self._places)),
            spool=config.queue.spool,
            queued=queued,
        )
        self._notifier.ready(status(self._places))
        loop = asyncio.get_running_loop()
        self._reloading = loop.create_task(self._reload_when_asked())
        if self._notifier.watchdog:
            every = self._notifier.watchdog / 2
            self._living = loop.create_task(lively(self._daemon, self._notifier.alive, every))

    async def settled(self) -> None:
        """Wait until nothing is half done."""
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait((self._reloading,))

    def stop(self) -> None:
        """Stop listening."""
        for place in self._places.values():
            place.end()

    def close(self) -> None:
        """Let go of everything."""
        if self._living is not None:
            self._living.cancel()
        for place in self._places.values():
            place.end()

    def _end(self) -> None:
        if self.stopping.is_set():
            self.hurry.set()
            return
        self._notifier.stopping("ending the sessions")
        event.stopped("smtpd", reason="signal")
        self.stopping.set()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._notifier.reloading()
            try:
                config = kept(self._load(), self._daemon.config)
                opened = places.opened(config.listen, self._places, 1)
                try:
                    prepared = self._daemon.prepare(config)
                except BaseException:
                    for place in opened.values():
                        place.end()
                    raise
                self._log.adopt(config)
                await self._adopt(prepared, opened)
                event.noted("the configuration was read anew")
                self._notifier.ready(status(self._places))
            except Exception as error:
                event.error(failed(error))
                self._notifier.ready(failed(error))

    async def _adopt(self, prepared: Prepared, opened: dict[Key, Place]) -> None:
        before = self._places
        self._places = places.kept(before, opened, prepared.config.listen)
        await self._daemon.adopt(prepared, {key: place.sockets[0] for key, place in opened.items()})
        for key, place in before.items():
            if key not in self._places:
                place.end()


class Worker:
    """A service in one of several processes: its parent says what to do."""

    def __init__(self, daemon: Daemon, log: Log, child: Child) -> None:
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self._daemon = daemon
        self._log = log
        self._child = child
        self._told = False
        self._prepared: tuple[int, Prepared, dict[Key, list[socket.socket]]] | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._living: asyncio.Task[None] | None = None

    def listen_to_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take signals, and what the parent says, from now on.

        A terminal, or a service manager, may signal parent and workers alike: what counts is the parent's
        word, but for SIGTERM, by which one worker alone can be ended, and started anew.
        """
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        loop.add_reader(self._child.channel.fileno(), self._hear)

    async def begin(self, queued: int | None) -> None:
        """Accept, and say so.  Raises ConfigError."""
        prepared = self._daemon.prepare(self._child.config)
        await self._daemon.adopt(prepared, self._child.sockets, told=self._child.first)
        self._say("ready", queued)
        if self._child.alive:
            loop = asyncio.get_running_loop()
            self._living = loop.create_task(
                lively(self._daemon, lambda: self._say("alive"), self._child.alive)
            )

    async def settled(self) -> None:
        """Wait until nothing is half done."""
        if self._adopting is not None:
            await asyncio.wait((self._adopting,))

    def stop(self) -> None:
        """Stop listening; unless the parent wants it, who waits in the backlog is for the next worker."""
        if self._told:
            for listener in self._daemon.listeners.values():
                listener.close()

    def close(self) -> None:
        """Let go of everything."""
        if self._living is not None:
            self._living.cancel()
        asyncio.get_running_loop().remove_reader(self._child.channel.fileno())
        self._child.channel.close()

    def _hear(self) -> None:
        messages, there = self._child.channel.receive()
        for name, *rest in messages:
            if name == "prepare":
                self._prepare(*rest)
            elif name == "adopt" and self._prepared is not None:
                what, self._prepared = self._prepared, None
                self._adopting = asyncio.ensure_future(self._adopt(*what))
            elif name == "drop" and self._prepared is not None:
                self._drop(self._prepared[2])
                self._prepared = None
            elif name == "stop":
                self._stop()
            elif name == "hurry":
                self.hurry.set()
        if not there:
            asyncio.get_running_loop().remove_reader(self._child.channel.fileno())
            if not self._told:
                event.error("the parent process is gone; this worker ends")
            self._stop()

    def _stop(self) -> None:
        late = self.stopping.is_set() and not self._told
        self._told = True
        self.stopping.set()
        if late:
            self.stop()

    def _prepare(
        self,
        number: int,
        config: Config,
        keys: list[tuple[Key, int]],
        flat: list[socket.socket] | None = None,
    ) -> None:
        sockets: dict[Key, list[socket.socket]] = {}
        rest = list(flat or ())
        for key, count in keys:
            sockets[key], rest = rest[:count], rest[count:]
        try:
            self._prepared = number, self._daemon.prepare(config), sockets
        except Exception as error:
            self._drop(sockets)
            self._say("prepared", number, failed(error))
        else:
            self._say("prepared", number, "")

    def _drop(self, sockets: dict[Key, list[socket.socket]]) -> None:
        for mine in sockets.values():
            for sock in mine:
                sock.close()

    async def _adopt(self, number: int, prepared: Prepared, sockets: dict[Key, list[socket.socket]]) -> None:
        self._log.adopt(prepared.config)
        try:
            await self._daemon.adopt(prepared, sockets, told=self._child.first)
        except Exception as error:
            event.error(f"internal error in adopting the configuration: {error!r}")
            self.stopping.set()  # the next worker goes by it
        self._say("adopted", number, "")

    def _say(self, *message: object) -> None:
        try:
            self._child.channel.send(message)
        except OSError:
            pass  # it is gone, which is heard of


async def lively(daemon: Daemon, tell: Callable[[], None], every: float) -> None:
    """Give a sign of life as long as event loop and writer are alive."""
    while True:
        daemon.alive(tell)
        await asyncio.sleep(every)


def kept(config: Config, before: Config) -> Config:
    """The configuration with what no running service can change as it was before; the log tells of that."""
    import msgspec

    for table, key in (("queue", "spool"), ("service", "workers")):
        new, old = getattr(config, table), getattr(before, table)
        if getattr(new, key) != getattr(old, key):
            event.warning(f"{table}.{key} stays {getattr(old, key)}: it can only change by a new start")
            changed = msgspec.structs.replace(new, **{key: getattr(old, key)})
            config = msgspec.structs.replace(config, **{table: changed})
    return config


def failed(error: Exception) -> str:
    """The line about a configuration that cannot be adopted."""
    what = (
        str(error)
        if hasattr(error, "sysexit") or isinstance(error, OSError)
        else f"internal error: {error!r}"
    )
    return f"the configuration stays as it was: {what}"


def addresses(there: dict[Key, Place]) -> list[str]:
    """What is listened on."""
    return [one for place in there.values() for one in place.addresses]


def status(there: dict[Key, Place], workers: int = 1) -> str:
    """What a service manager shows of a service that works."""
    with_workers = f", {workers} workers" if workers > 1 else ""
    return f"listening on {', '.join(addresses(there))}{with_workers}"


async def work(
    config: Config,
    once: Callable[[Runner], Coroutine[Any, Any, int]] | None,
    *,
    quiet: bool = False,
    notifier: Notifier | None = None,
) -> int:
    """Run the queue without listening: what `once` does with the runner, or until a signal when it is None.

    With `quiet` nothing is logged.  Returns what `once` did.  Raises StoreError.
    """
    loop = asyncio.get_running_loop()
    notifier = notifier or systemd.Notifier()
    finish = logs.to_stream(config, sys.stderr, loop) if not quiet else lambda: None
    store = open_store(config.queue.spool, now=time.time())
    queued = store.count(COUNTED) if once is None else None
    working = wiring.working(config, store, config.table(), loop)
    if once is None:  # whoever queues a message takes a process that can be woken for one that stays
        loop.add_reader(store.fileno(), daemon.woken, working)
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
        tasks = [loop.create_task(working.runner.run()), loop.create_task(daemon.sweep(working))]
        event.started("runsmtpq", version=__version__, spool=config.queue.spool, queued=queued)
        notifier.ready("working the queue")
        await stopping.wait()
        notifier.stopping("finishing what is in hand")
        event.stopped("runsmtpq", reason="signal")
        for task in tasks:
            task.cancel()
        return 0
    finally:
        finish()
        if once is None:
            loop.remove_reader(store.fileno())
        await working.close(hurry)
