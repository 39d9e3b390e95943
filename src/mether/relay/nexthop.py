"""One next hop: its connections, kept and reused, and the claims that wait for them.

A `NextHop` takes claims with `offer` and works each over one of at most `limit` connections, which grows
by one with each success up to the configured maximum and falls to one when no host can be reached.  A
connection that has nothing to do is kept for IDLE_SECONDS and then ended with QUIT.

When no host can be used, the claim in hand gets the outcome and all that wait are given back untried,
so that a dead next hop holds nothing.  A session that ends before any content was sent, on a kept
connection or with other hosts left, is no failure yet: the claim is tried on the next one.

A connection is used again only for claims that it is good enough for: those with the same login, and, when
the sender asked for REQUIRETLS, only where the server was verified and offers it.  A claim that needs more
than the others gets its outcome alone when no host gives it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from mether.net.tls import ClientTls
from mether.relay import failure, smtp, tlspolicy
from mether.relay.tlspolicy import Policy
from mether.relay.walk import Unusable, Walk
from mether.routing import target
from mether.smtp import fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Final

    from mether.client.session import Timeouts
    from mether.client.stream import StreamClient
    from mether.outcome import Outcome, Route
    from mether.queue.claim import Claim
    from mether.queue.content import Content
    from mether.relay import hosts
    from mether.relay.credentials import Login, Logins

IDLE_SECONDS: Final = 3.0
INITIAL: Final = 5
"""Connections to a next hop that nothing is known of."""
MOST_SESSIONS: Final = 20
"""Sessions that the limits of a server may cost one message (RFC 9422 section 6); in the last one they are
not kept to, and what the server then refuses is deferred."""


class Settings:
    """What all next hops share.

    `find` gives a route's hosts; `content` a claim's content; `hostname` is what EHLO says; `done` takes
    a worked claim with its outcomes, when it began and when it had its connection (Unix seconds);
    `returned` takes one back untried.  `policy` says what TLS a route is to have, `tls` has the certificates,
    and `logins` who we are there.  `fitting` is what may be done where a host lacks an extension.
    """

    __slots__ = (
        "clock",
        "connections",
        "content",
        "done",
        "find",
        "fitting",
        "hostname",
        "logins",
        "loop",
        "policy",
        "returned",
        "timeouts",
        "tls",
    )

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        find: Callable[[Route], Awaitable[list[hosts.Host]]],
        content: Callable[[Claim], Awaitable[Content]],
        hostname: str,
        timeouts: Timeouts,
        clock: Callable[[], float],
        done: Callable[[Claim, list[Outcome], float, float], None],
        returned: Callable[[list[Claim]], None],
        connections: int = 20,
        policy: Callable[[Route], Policy] = lambda route: Policy(),
        tls: ClientTls | None = None,
        logins: Logins | None = None,
        fitting: fit.Policy = fit.DEFAULT,
    ) -> None:
        self.fitting = fitting
        self.policy = policy
        self.tls = tls or ClientTls()
        self.logins = logins
        self.loop = loop
        self.find = find
        self.content = content
        self.hostname = hostname
        self.timeouts = timeouts
        self.clock = clock
        self.done = done
        self.returned = returned
        self.connections = connections


class NextHop:
    """The connections to `route`.  `idle` tells whether nothing is going on there."""

    def __init__(self, route: Route, settings: Settings) -> None:
        self.route = route
        self._settings = settings
        self._waiting: deque[Claim] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._resting: list[tuple[asyncio.Future[bool], float]] = []
        self._reaper: asyncio.TimerHandle | None = None
        self._limit = min(INITIAL, settings.connections)
        self._closing = False

    @property
    def idle(self) -> bool:
        """Whether no claim waits and no connection is open."""
        return not self._workers and not self._waiting

    def offer(self, claim: Claim) -> None:
        """Take a claim to work on; after `close` it is given back."""
        if self._closing:
            self._settings.returned([claim])
            return
        self._line_up(claim)
        if self._resting:
            self._wake(self._resting.pop()[0], True)  # the latest one: the others may go to sleep
        elif len(self._workers) < self._limit:
            self._begin()

    def _line_up(self, claim: Claim) -> None:
        """Let it wait behind those of its priority and above, as in the queue (RFC 6710 section 5)."""
        waiting, priority = self._waiting, claim.message.envelope.priority
        place = len(waiting)
        while place and waiting[place - 1].message.envelope.priority < priority:
            place -= 1
        waiting.insert(place, claim)

    def _begin(self) -> None:
        task = self._settings.loop.create_task(self._work())
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)

    async def close(self) -> None:
        """Give back what waits, finish what is in hand, and end every connection."""
        self._closing = True
        self._give_back()
        for future, _ in self._resting:
            self._wake(future, False)
        self._resting.clear()
        if self._workers:
            await asyncio.wait(set(self._workers))

    async def _work(self) -> None:
        """One connection's life: claims over it until there are none."""
        client: StreamClient | None = None
        host = ""
        try:
            while True:
                while self._waiting:
                    claim = self._waiting.popleft()
                    client, host = await self._deliver(claim, client, host)
                if self._closing or client is None or not await self._rest():
                    break
        finally:
            if client is not None:
                await client.quit()
        # From here on this one takes no claim: whoever offers one must not count it, for want of others.
        task = asyncio.current_task()
        if task is not None:
            self._workers.discard(task)
        # A claim that came while QUIT was on its way has nobody else to work it.
        if self._waiting:
            self._begin()

    async def _rest(self) -> bool:
        """Wait for a claim; False when none came in time, or the next hop is closed."""
        loop = self._settings.loop
        future: asyncio.Future[bool] = loop.create_future()
        self._resting.append((future, loop.time() + IDLE_SECONDS))
        if self._reaper is None:
            self._reaper = loop.call_later(IDLE_SECONDS, self._reap)
        return await future

    def _reap(self) -> None:
        """Let go of the connections that have rested for long; one timer serves them all."""
        now = self._settings.loop.time()
        self._reaper = None
        while self._resting and self._resting[0][1] <= now:
            self._wake(self._resting.pop(0)[0], False)
        if self._resting:
            self._reaper = self._settings.loop.call_at(self._resting[0][1], self._reap)

    @staticmethod
    def _wake(future: asyncio.Future[bool], claim: bool) -> None:
        if not future.done():
            future.set_result(claim)

    async def _deliver(
        self, claim: Claim, client: StreamClient | None, host: str
    ) -> tuple[StreamClient | None, str]:
        """Work one claim; returns the session to go on with, and its host."""
        settings = self._settings
        started = settings.clock()
        strict = tlspolicy.asks(claim.message.envelope, lmtp=self.route.transport == "lmtp")
        login = self._login(claim) if settings.logins else None
        walk = Walk(self.route, settings, strict, login)
        outcomes: list[Outcome] = []
        lacking: list[Outcome] = []
        sessions = 0
        try:
            content = claim.content if claim.content is not None else await settings.content(claim)
            if client is not None and not client.alive:
                client.close()
                client = None
            elif client is not None and not _enough(client, strict, login):
                await client.quit()
                client = None
            while True:
                reused = client is not None
                if client is None:
                    client, host = await walk.open(claim.route.helo or settings.hostname)
                    sessions += 1
                connected = settings.clock()
                pending = claim.pending[len(outcomes) :]
                try:
                    some, usable = await smtp.send(
                        client,
                        claim,
                        content,
                        remote_mta=host,
                        clock=settings.clock,
                        pending=pending,
                        heed=sessions < MOST_SESSIONS,
                        more=walk.more,
                        fitting=settings.fitting,
                    )
                except smtp.Lacking as error:
                    lacking = error.outcomes
                    await client.quit()
                    client = None
                    continue
                if len(some) < len(pending):
                    # The session takes no more by the limits that its server announced: on in another.
                    outcomes += some
                    lacking = []  # of a host that was asked for more recipients than are left now
                    await client.quit()
                    client = None
                    walk = Walk(self.route, settings, strict, login)
                    continue
                if not usable:
                    client.close()
                    client = None
                    untouched = all(one.scope == "host" and not one.uncertain for one in some)
                    if untouched and (reused or walk.more):
                        walk.note(Unusable(some[0].reply, host))
                        continue
                outcomes += some
                break
        except Unusable as error:
            at = settings.clock()
            if lacking:
                # A host answered, and is as good for other messages as it was.
                settings.done(claim, outcomes + lacking, started, at)
                return None, ""
            left = claim.pending[len(outcomes) :]
            outcomes += [error.outcome(one.number, at) for one in left]
            settings.done(claim, outcomes, started, at)
            if not error.alone:
                self._limit = 1
                self._give_back()
            return None, ""
        except Exception as error:  # a fault of ours must not stop the queue
            at = settings.clock()
            what = f"internal error: {error!r}"
            left = claim.pending[len(outcomes) :]
            outcomes += [failure.of_fault(one.number, what, at=at) for one in left]
            settings.done(claim, outcomes, started, at)
            if client is not None:
                client.abort()
            return None, ""
        if usable:
            self._limit = min(self._limit + 1, settings.connections)
        settings.done(claim, outcomes, started, connected)
        return client, host

    def _login(self, claim: Claim) -> Login | None:
        """Who we are to be there, for this claim's sender."""
        sender = claim.message.envelope.reverse_path
        logins = self._settings.logins
        try:
            where = target.from_route(self.route)
        except target.TargetError:
            return None  # `find` will say so
        return logins.choose(where, "" if sender is None else str(sender)) if logins else None

    def _give_back(self) -> None:
        if self._waiting:
            claims = list(self._waiting)
            self._waiting.clear()
            self._settings.returned(claims)


def _enough(client: StreamClient, strict: bool, login: Login | None) -> bool:
    """Whether a kept session will do for a claim: `strict` asks for REQUIRETLS."""
    return client.account is login and tlspolicy.good_enough(
        client.secure, client.protocol.offer.keywords, requiretls=strict
    )
