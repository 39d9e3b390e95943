"""One listening address and its sessions: what the configuration says of it, made to work.

A `Listener` accepts connections, reads a proxy's header where one is due, refuses clients that are too many
or come too often, or for whom there are no file descriptors (`setup.descriptors`), and runs a
`receive.session` for each other.  `stop` ends each session at its next safe point.  It goes by its `Rules`;
when it is given others, sessions keep those they began with.  Where several processes receive, `share` gives
each its part of every limit.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from functools import partial

from mether.event import mail as event
from mether.receive.access import Counter, part
from mether.receive.rate import network
from mether.receive.session import Session
from mether.reply import Reply
from mether.routing.networks import Networks
from mether.routing.request import UNKNOWN
from mether.server.dialogue import SHUTTING_DOWN, Dialogue
from mether.server.proxied import Proxied
from mether.server.stream import Connection
from mether.setup import descriptors, places, wiring
from mether.setup.places import BACKLOG
from mether.smtp.server import ServerProtocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from mether.net.stream import Stream
    from mether.net.tlsserver import ServerTls
    from mether.queue.content import Writer
    from mether.queue.message import Draft
    from mether.queue.pace import Pace
    from mether.queue.suppressed_watch import Watch
    from mether.receive.budget import Budget
    from mether.receive.learning import Learn
    from mether.receive.rate import Rates
    from mether.receive.reception import Commit, Reception, Start
    from mether.routing.router import Router
    from mether.setup.config import Config, Listen
    from mether.setup.logins import Logins

    class Queue(Protocol):
        """Where sessions bring mail: see receive.reception."""

        @property
        def commit(self) -> Commit:
            """Queues a draft."""

        @property
        def start(self) -> Start:
            """Starts the queue of a domain."""

        def stage(self, ident: str) -> Writer:
            """A writer in the spool."""

        def admit(self, draft: Draft) -> bool:
            """Whether there is room to take a draft straight through."""


BUSY: Final = Reply(421, "4.3.2", "too many connections; please try again later")
TOO_OFTEN: Final = Reply(421, "4.7.0", "too many connections in a short time; please try again later")


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


class Rules:
    """What a configuration says of a listener, as its sessions need it: each keeps what it began with."""

    __slots__ = ("announces", "listen", "proxies", "rates", "reception", "tls", "trusted")

    def __init__(
        self,
        config: Config,
        listen: Listen,
        *,
        router: Router,
        budget: Budget,
        rates: Rates,
        queue: Queue,
        tls: ServerTls | None = None,
        logins: Logins | None = None,
        learn: Learn | None = None,
        watch: Watch | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.listen = listen
        self.rates = rates
        # Whoever may write to it is of this host; what a proxy says has no say here, as there is none.
        self.trusted = bool(listen.path) and listen.role == "local"
        self.tls = tls if listen.tls != "none" else None
        # Where TLS comes before the greeting a client that waits for that must not be invisible.
        self.announces = self.tls is not None and listen.tls == "implicit"
        self.proxies = Networks(listen.proxy_from) if listen.proxy_from else None
        self.reception: Reception = wiring.reception(
            config,
            listen,
            router,
            budget,
            stage=queue.stage,
            commit=queue.commit,
            admit=queue.admit,
            start=queue.start,
            rates=rates,
            authentication=logins.authentication if logins is not None and listen.auth else None,
            learn=learn,
            watch=watch,
            pace=pace,
            tls=self.tls is not None,
        )


class Listener:
    """One listening address and its sessions, accepted from `sockets`; `gone` is told of each that has ended.

    The sockets may be held by another process too: `pause` leaves them, and who waits there, to that.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rules: Rules,
        sockets: list[socket.socket],
        gone: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self.connections: set[Connection] = set()
        self.rules = rules
        self._loop = loop
        self._sockets = sockets
        self._ended = gone
        self._servers: list[asyncio.Server] = []
        self._receivers = 1
        self._counter = Counter(1, 0)
        self._idle = asyncio.Event()
        self._stopping = False
        self._descriptors = descriptors.soft()
        self._ceiling = descriptors.ceiling(self._descriptors)
        self.share(1)

    async def open(self) -> None:
        """Accept from now on."""
        for sock in self._sockets:
            # What stops accepting closes its socket, and this one is to last until its backlog is answered.
            mine = sock.dup()
            if sock.family != socket.AF_UNIX:
                server = await self._loop.create_server(self._accepted, sock=mine, backlog=BACKLOG)
            elif sys.version_info >= (3, 13) and isinstance(self._loop, asyncio.BaseEventLoop):
                # The file stays as long as whoever made it.
                server = await self._loop.create_unix_server(
                    self._accepted, sock=mine, backlog=BACKLOG, cleanup_socket=False
                )
            else:
                server = await self._loop.create_unix_server(self._accepted, sock=mine, backlog=BACKLOG)
            self._servers.append(server)

    def adopt(self, rules: Rules) -> None:
        """Let new sessions go by these rules."""
        self.rules = rules
        self.share(self._receivers)

    def share(self, receivers: int) -> None:
        """Take this process's part of the limits, which hold for so many together."""
        self._receivers = receivers
        listen, rates = self.rules.listen, self.rules.rates
        self._counter.limit = part(listen.max_connections, receivers)
        self._counter.per_client = part(listen.max_connections_per_client, receivers)
        rates.connections.limit = part(listen.max_connections_per_minute, receivers)
        rates.messages.limit = part(listen.max_messages_per_minute, receivers)
        rates.recipients.limit = part(listen.max_recipients_per_minute, receivers)

    def pause(self) -> None:
        """Accept no more; who connects waits in the backlog."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def close(self) -> None:
        """Accept no more, answer those who wait in the backlog with 421, and let go of the sockets."""
        self.pause()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            places.dismiss(sock, self.rules.listen)
            sock.close()

    def let_go(self) -> None:
        """Accept no more, and leave those who wait in the backlog to another process."""
        self.pause()
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            sock.close()

    def stop(self) -> None:
        """Accept no more, and end each session at its next safe point."""
        self._stopping = True
        self.pause()
        for connection in list(self.connections):
            connection.stop()

    def abort(self) -> None:
        """End every session at once."""
        for connection in list(self.connections):
            connection.abort()

    async def ended(self) -> None:
        """Wait until no session is left."""
        while self.connections:
            self._idle.clear()
            await self._idle.wait()

    def _accepted(self) -> Stream:
        """The protocol of a new connection."""
        rules = self.rules
        if rules.proxies is None:
            return self._connection(rules)
        return Proxied(self._loop, rules.proxies.__contains__, partial(self._connection, rules), _no_header)

    def _connection(self, rules: Rules) -> Connection:
        listen, tls = rules.listen, rules.tls
        return Connection(
            self._loop,
            partial(self._dialogue, rules),
            self._gone,
            timeout=listen.command_timeout,
            terms=tls.terms if tls is not None else None,
            implicit=listen.tls == "implicit",
            enter=partial(self._enter, rules),
            min_rate=listen.min_rate,
        )

    def _enter(self, rules: Rules, connection: Connection) -> bool:
        """Count a client that has just connected; whether it is welcome."""
        address = connection.peer[0]
        if not address and not rules.listen.path:
            address = UNKNOWN  # its proxy did not say
        refuse, counted = self._refusal(address)
        number = _descriptor(connection)
        if number >= self._ceiling and refuse is None:
            self._counter.leave(network(address))
            refuse, counted = BUSY, False
            without = number >= self._descriptors - 2  # what comes now is closed below us
            event.error(
                f"all but the last of {self._descriptors} file descriptors are in use (ulimit -n): clients "
                + ("are closed without a reply" if without else "get 421 4.3.2")
            )
        self.connections.add(connection)
        connection.about = About(address, refuse, counted, self._loop.time())
        if rules.announces and refuse is None:
            event.connected(address)
        return refuse is None

    def _dialogue(self, rules: Rules, connection: Connection) -> Dialogue:
        if connection.about is None:
            self._enter(rules, connection)
        about: About = connection.about
        session = about.session = Session(
            rules.reception,
            about.address,
            connection.decided,
            refuse=about.refuse,
            trusted=rules.trusted,
            announced=rules.announces,
        )
        protocol = ServerProtocol(
            rules.reception.grammar,
            max_size=rules.listen.max_size,
            lmtp=rules.listen.role == "lmtp",
            normalize=rules.listen.bare_newlines == "normalize",
        )
        return Dialogue(protocol, session)

    def _refusal(self, address: str) -> tuple[Reply | None, bool]:
        """The refusal for a client that has just connected, if any, and whether it was counted."""
        if self._stopping:  # it came at the last moment, or its proxy has told us only now who it is
            return SHUTTING_DOWN, False
        per_minute = self.rules.rates.connections
        if per_minute.limit and not per_minute.take(network(address), self._loop.time()):
            return TOO_OFTEN, False
        if not self._counter.enter(network(address)):
            return BUSY, False
        return None, True

    def _gone(self, connection: Connection) -> None:
        about: About = connection.about
        if about.counted:
            self._counter.leave(network(about.address))
        self.connections.discard(connection)
        if about.session is not None:
            about.session.ended("" if about.session.last == "QUIT" else connection.why)
        elif about.refuse is not None:
            event.rejected(about.address, "CONNECT", about.refuse)
        else:
            event.cut(about.address, connection.why, after="CONNECT")
            event.disconnected(about.address, commands={}, seconds=self._loop.time() - about.since)
        self._ended(connection)
        if not self.connections:
            self._idle.set()


def _descriptor(connection: Connection) -> int:
    """The number of a connection's descriptor, -1 where it has none any more."""
    transport = connection.transport
    sock = transport.get_extra_info("socket") if transport is not None else None
    return sock.fileno() if sock is not None else -1


def _no_header(proxy: str, why: str) -> None:
    event.cut(proxy, why, after="CONNECT")
