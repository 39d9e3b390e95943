"""A service in one of several processes: a worker, which does what its parent says.

`Child` is what a worker has from its parent (`setup.parent`): the configuration, its sockets and a line on
which it is told what to do.  `Worker` listens there, and tells when it is ready, when it has prepared or
adopted a newer configuration, and that it is alive.  When the parent is gone it ends in good order.

What it cannot prepare is told in one line to the parent, and nothing has changed; a failure in adopting,
which should not be, ends the worker, and the next one goes by the new configuration from its start.
"""

from __future__ import annotations

import asyncio
import signal

from mether.event import mail as event
from mether.setup.daemon import lively
from mether.setup.reload import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from mether.relay.asuser import Helper
    from mether.setup.channel import Channel
    from mether.setup.config import Config
    from mether.setup.daemon import Daemon, Prepared
    from mether.setup.logs import Log
    from mether.setup.places import Key


class Child:
    """What a worker has from its parent: its number, the configuration, its sockets and the line to the
    parent.

    `first` is set for the one that tells what is to be told once; a sign of life is wanted each `alive`
    seconds, 0 for never.  `helper` delivers as Unix users.
    """

    __slots__ = ("alive", "channel", "config", "first", "helper", "number", "sockets", "workers")

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
        helper: Helper | None = None,
    ) -> None:
        self.number = number
        self.workers = workers
        self.config = config
        self.sockets = sockets
        self.channel = channel
        self.first = first
        self.alive = alive
        self.helper = helper


class Worker:
    """The life of a service in this process, led by the parent; see `service.Alone` for one without."""

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
            # It is gone, which is heard of, or has half a message: the next worker begins with a new line.
            self.stopping.set()
