"""The daemon: its life in one process, from the start to an end in good order.

`serve` opens the queue and the listening sockets, says so, and works until SIGTERM or SIGINT. Then it accepts
no more, answers 421 4.3.2 to those who wait in the backlog and to each session at its next safe point,
finishes the attempts in hand, gives back its claims and returns.  A second signal ends the sessions at once;
nothing that was answered 250 is lost by that.  SIGHUP has it read the configuration again: where that is
wrong one line says so, and everything stays as it was.  So do `smtpd` and, without listening, the daemon that
works the queue alone; `once` is for a run that ends by itself.

With several workers `setup.parent` starts this in each, and `setup.worker` has what is other there.

uvloop is used where it is installed, plain asyncio otherwise.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import sys
import time

from mether import __version__
from mether.event import mail as event
from mether.queue.open import open_store
from mether.queue.store import StoreError
from mether.setup import logs, places, systemd, wiring
from mether.setup.daemon import Daemon, lively
from mether.setup.reload import failed, kept
from mether.setup.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Final

    from mether.queue.store import Store
    from mether.relay.asuser import Helper
    from mether.runner.run import Runner
    from mether.setup.config import Config
    from mether.setup.daemon import Prepared
    from mether.setup.logs import Log
    from mether.setup.places import Key, Place
    from mether.setup.systemd import Notifier
    from mether.setup.worker import Child

COUNTED: Final = 1_000_000
"""Messages that are counted at the start."""

GRACE: Final = 30.0
"""Seconds that sessions have to come to a safe point when the service stops."""

SWITCH_INTERVAL: Final = 0.0005
"""Seconds between the interpreter's thread switches: the queue's writer shares it with a busy loop, and
waits this long after every step it takes outside (5 ms by default)."""

COLLECT: Final = (10_000, 20, 20)
"""How many objects the interpreter makes before it looks for rings of them, and how often it looks at older
ones.  A message makes some hundred objects, and a session thirty, that end by themselves; at 700, the
default, a thirtieth of all time goes there."""


def run(main: Coroutine[Any, Any, int], *, uvloop: bool = True) -> int:
    """Run a program's main coroutine on the best event loop there is; returns its exit status."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(*COLLECT)
    gc.freeze()  # what was loaded by now stays
    loop = asyncio.run
    if uvloop:
        try:
            import uvloop as fast
        except ImportError:
            pass
        else:
            loop = fast.run
    try:
        return loop(main)
    finally:
        main.close()  # where there can be no loop it has not begun


async def serve(
    config: Config,
    *,
    receives: bool = True,
    with_runner: bool = True,
    load: Callable[[], Config] | None = None,
    notifier: Notifier | None = None,
    child: Child | None = None,
    opened: dict[Key, Place] | None = None,
    helper: Helper | None = None,
) -> int:
    """Run the service until a signal ends it: it receives mail, works the queue, or both.

    `load` reads the configuration again; `child` is what a worker has from its parent.  `opened` are the
    places to listen on that root has opened, and `helper` delivers as Unix users (`setup.privileges`).
    Raises StoreError, CannotListen or ConfigError.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_trouble)
    log = logs.Log(config, sys.stderr, loop, shared=child is not None)
    store = open_store(config.queue.spool, now=time.time())
    store.runs, store.receives = with_runner, receives
    if with_runner and store.single_runner:
        _take(store, receives)
    queued = store.count(COUNTED) if child is None or child.first else None  # before anyone else uses it
    workers = child.workers if child else 1
    made = Daemon(
        loop, config, store, receives=receives, with_runner=with_runner, workers=workers, helper=helper
    )
    life: Alone | Worker
    if child is None:
        life = Alone(made, log, load or (lambda: config), notifier or systemd.Notifier(), opened)
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


def _take(store: Store, receives: bool) -> None:
    """Become the one process that works this queue.  Where another does, one that receives goes on without;
    raises StoreError for one that can do nothing else."""
    try:
        store.claim(0, time.time())
    except StoreError as error:
        if not receives:
            store.close()
            raise
        event.warning(f"{error}: mail is only received here while that lasts")


def _trouble(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The loop tells of what it could not do, such as to accept a connection."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        event.error(f"{context.get('message')}: {error.strerror}")
        return
    loop.default_exception_handler(context)


class Alone:
    """The life of a service of one process: signals come to it, and the listening sockets are its own."""

    def __init__(
        self,
        daemon: Daemon,
        log: Log,
        load: Callable[[], Config],
        notifier: Notifier,
        opened: dict[Key, Place] | None = None,
    ) -> None:
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self._name = "smtpd" if daemon.receives else "runsmtpq"
        self._daemon = daemon
        self._log = log
        self._load = load
        self._notifier = notifier
        self._places: dict[Key, Place] = {}
        self._ready = opened
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
        prepared = self._daemon.prepare(config)
        opened, self._ready = self._ready, None
        await self._adopt(prepared, self._opened(config) if opened is None else opened)
        event.started(
            self._name,
            version=__version__,
            addresses=tuple(places.addresses(self._places)),
            spool=config.queue.spool,
            queued=queued,
        )
        self._notifier.ready(self._status())
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
        if self.stopping.is_set():
            event.stopped(self._name)

    def _end(self) -> None:
        if self.stopping.is_set():
            self.hurry.set()
            return
        what = "ending the sessions" if self._daemon.receives else "finishing what is in hand"
        self._notifier.stopping(what)
        event.stopping(self._name, reason="signal")
        self.stopping.set()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._notifier.reloading()
            try:
                config = kept(self._load(), self._daemon.config, workers=self._daemon.receives)
                opened = self._opened(config)
                try:
                    prepared = self._daemon.prepare(config)
                except BaseException:
                    for place in opened.values():
                        place.end()
                    raise
                self._log.adopt(config)
                before = self._places
                await self._adopt(prepared, opened)
                places.tell(before, self._places)
                event.noted("the configuration was read anew")
                self._notifier.ready(self._status())
            except Exception as error:
                event.error(failed(error))
                self._notifier.ready(failed(error))

    def _opened(self, config: Config) -> dict[Key, Place]:
        """What is to be listened on and is not open yet.  Raises CannotListen."""
        return places.opened(self._daemon.listens(config), self._places, 1)

    def _status(self) -> str:
        return places.status(self._places) if self._daemon.receives else "working the queue"

    async def _adopt(self, prepared: Prepared, opened: dict[Key, Place]) -> None:
        before = self._places
        self._places = places.kept(before, opened, self._daemon.listens(prepared.config))
        await self._daemon.adopt(prepared, {key: place.sockets[0] for key, place in opened.items()})
        for key, place in before.items():
            if key not in self._places:
                place.end()


async def once(
    config: Config,
    task: Callable[[Runner], Coroutine[Any, Any, int]],
    *,
    quiet: bool = False,
    helper: Helper | None = None,
) -> int:
    """What `task` does with the runner of a queue that nothing else is done with, which is returned.

    The first SIGTERM or SIGINT ends it in good order, a second one at once.  With `quiet` nothing is logged.
    Raises StoreError.
    """
    loop = asyncio.get_running_loop()
    finish = logs.to_stream(config, sys.stderr, loop) if not quiet else lambda: None
    store = open_store(config.queue.spool, now=time.time())
    working = wiring.working(config, store, config.router(), loop, helper)
    stopping = False
    hurry = asyncio.Event()

    def signalled() -> None:
        nonlocal stopping
        if stopping:
            hurry.set()
        stopping = True
        working.runner.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        return await task(working.runner)
    finally:
        finish()
        await working.close(hurry)
