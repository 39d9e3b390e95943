"""One listening address and its sessions: what the configuration says of it, made to work.

A `Listener` accepts connections, reads a proxy's header where one is due, refuses clients that are too many
or come too often, and runs a `receive.session` for each other.  `stop` ends each session at its next safe
point.  `open` fails with CannotListen, one line.
"""

from __future__ import annotations

import asyncio
import os

from mether.event import mail as event
from mether.net import unix
from mether.receive.access import Counter, Networks
from mether.receive.rate import network
from mether.receive.session import Session
from mether.reply import Reply
from mether.server.dialogue import SHUTTING_DOWN, Dialogue
from mether.server.proxied import Proxied
from mether.server.stream import Connection
from mether.setup import endpoint, wiring
from mether.smtp.server import ServerProtocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.net.stream import Stream
    from mether.net.tlsserver import ServerTls
    from mether.queue.message import Draft
    from mether.queue.store import Committed
    from mether.receive.budget import Budget
    from mether.receive.reception import Reception
    from mether.routing.table import Table
    from mether.setup.config import Config, Listen
    from mether.setup.logins import Logins
    from mether.setup.wiring import Working

BACKLOG: Final = 1024
BUSY: Final = Reply(421, "4.3.2", "too many connections; please try again later")
TOO_OFTEN: Final = Reply(421, "4.7.0", "too many connections in a short time; please try again later")


class CannotListen(Exception):
    """A listening socket can't be had; str() says which and why."""

    sysexit = 69


def _why(error: OSError) -> str:
    """Why there is no socket, in the system's own words: event loops put others around them."""
    known = error.errno if error.errno is not None and error.errno > 0 else None
    words = os.strerror(known) if known is not None else error.strerror or str(error)
    return words[:1].lower() + words[1:]


class About:
    """What a listener knows of a connection: whose it is, why it is refused, whether it is counted among the
    open ones, since when it is there (the loop's time), and its session once there is one."""

    __slots__ = ("address", "counted", "refuse", "session", "since")

    def __init__(self, address: str, refuse: Reply | None, counted: bool, since: float) -> None:
        self.since = since
        self.address = address
        self.refuse = refuse
        self.counted = counted
        self.session: Session | None = None


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
        *,
        tls: ServerTls | None = None,
        logins: Logins | None = None,
    ) -> None:
        self.addresses: list[str] = []
        self._loop = loop
        self._listen = listen
        self._working = working
        self._connections: set[Connection] = set()
        self._counter = Counter(listen.max_connections, listen.max_connections_per_client)
        self._server: asyncio.Server | None = None
        # Whoever may write to it is of this host; what a proxy says has no say here, as there is none.
        self._trusted = bool(listen.path) and listen.role == "local"
        self._file: tuple[int, int] | None = None
        self._idle = asyncio.Event()
        self._stopping = False
        self._rates = wiring.rates(listen)
        self._tls = tls if listen.tls != "none" else None
        # Where TLS comes before the greeting a client that waits for that must not be invisible.
        self._announces = self._tls is not None and listen.tls == "implicit"
        self._proxies = Networks(listen.proxy_from) if listen.proxy_from else None
        self._reception: Reception = wiring.reception(
            config,
            listen,
            table,
            budget,
            stage=working.store.stage,
            commit=self._commit if with_runner else working.queue.commit,
            admit=working.runner.admit if with_runner else lambda draft: False,
            start=working.runner.start,
            rates=self._rates,
            authentication=logins.authentication if logins is not None and listen.auth else None,
            tls=self._tls is not None,
        )

    async def open(self) -> None:
        """Listen.  Raises CannotListen."""
        listen = self._listen
        try:
            if listen.path:
                made = unix.listening(listen.path, listen.mode, BACKLOG)
                self._file = unix.identity(listen.path)
                self._server = await self._loop.create_unix_server(self._accepted, sock=made, backlog=BACKLOG)
                self.addresses.append(listen.address)
                return
            self._server = await self._loop.create_server(
                self._accepted, listen.host or None, listen.port, backlog=BACKLOG
            )
        except OSError as error:
            raise CannotListen(f"cannot listen on {listen.address}: {_why(error)}") from None
        for sock in self._server.sockets:
            host, port = sock.getsockname()[:2]
            self.addresses.append(endpoint.written(host, port))

    def close(self) -> None:
        """Accept no more."""
        if self._server is not None:
            self._server.close()
        if self._listen.path:
            unix.remove(self._listen.path, self._file)

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
        listen, tls = self._listen, self._tls
        return Connection(
            self._loop,
            self._dialogue,
            self._gone,
            timeout=listen.command_timeout,
            terms=tls.terms if tls is not None else None,
            implicit=listen.tls == "implicit",
            enter=self._enter,
            min_rate=listen.min_rate,
        )

    def _enter(self, connection: Connection) -> bool:
        """Count a client that has just connected; whether it is welcome."""
        address = connection.peer[0]
        refuse, counted = self._refusal(address)
        self._connections.add(connection)
        connection.about = About(address, refuse, counted, self._loop.time())
        if self._announces and refuse is None:
            event.connected(address)
        return refuse is None

    def _dialogue(self, connection: Connection) -> Dialogue:
        if connection.about is None:
            self._enter(connection)
        about: About = connection.about
        session = about.session = Session(
            self._reception,
            about.address,
            connection.decided,
            refuse=about.refuse,
            trusted=self._trusted,
            announced=self._announces,
        )
        protocol = ServerProtocol(
            self._reception.grammar,
            max_size=self._listen.max_size,
            lmtp=self._listen.role == "lmtp",
            normalize=self._listen.bare_newlines == "normalize",
        )
        return Dialogue(protocol, session)

    def _refusal(self, address: str) -> tuple[Reply | None, bool]:
        """The refusal for a client that has just connected, if any, and whether it was counted."""
        if self._stopping:  # its proxy has told us only now who it is
            return SHUTTING_DOWN, False
        per_minute = self._rates.connections
        if per_minute.limit and not per_minute.take(network(address), self._loop.time()):
            return TOO_OFTEN, False
        if not self._counter.enter(network(address)):
            return BUSY, False
        return None, True

    def _gone(self, connection: Connection) -> None:
        about: About = connection.about
        if about.counted:
            self._counter.leave(network(about.address))
        self._connections.discard(connection)
        if about.session is not None:
            about.session.ended("" if about.session.last == "QUIT" else connection.why)
        elif about.refuse is not None:
            event.rejected(about.address, "CONNECT", about.refuse)
        else:
            event.cut(about.address, connection.why, after="CONNECT")
            event.disconnected(about.address, commands={}, seconds=self._loop.time() - about.since)
        if not self._connections:
            self._idle.set()

    def _commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        """Queue a draft; the client has its 250 before the runner begins."""

        def answered(answer: Committed) -> None:
            done(answer)
            self._working.runner.committed(draft, answer)

        self._working.queue.commit(draft, answered)


def _no_header(proxy: str, why: str) -> None:
    event.cut(proxy, why, after="CONNECT")
