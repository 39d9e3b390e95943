"""One connection of a next hop: the claims that are worked over it, and each one's attempt.

A `Worker` takes claims from its next hop until there are none, the connection has rested for long or others
need it. A session that ends before any content was sent, on a kept connection or with other hosts left, is
no failure yet: the claim is tried on the next one.  So are recipients whose reply is one of those for which
their next hop is to fail over (`relay.failover`); the next message begins at the first host again.  A session
that has taken as many messages as it may is ended, and another begun.

A connection is used again only for claims that it is good enough for: those with the same login, and, when
the sender asked for REQUIRETLS, only where the server was verified and offers it.  A claim that needs more
than the others gets its outcome alone when no host gives it.

`interrupt` ends the attempt in hand wherever it is: looking up, connecting, or in the midst of a reply.
"""

from __future__ import annotations

import asyncio

from mether.client import transcript
from mether.client.session import Lost
from mether.outcome import DONE
from mether.relay import failure, smtp, tlspolicy
from mether.relay.failover import Held, arrange, elsewhere, left
from mether.relay.walk import Unusable, Walk
from mether.relay.window import patience
from mether.routing.source import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.client.stream import StreamClient
    from mether.outcome import Outcome
    from mether.queue.claim import Claim
    from mether.relay.credentials import Login
    from mether.relay.nexthop import NextHop
    from mether.relay.walk import Session, Tried

MOST_SESSIONS: Final = 20
"""Sessions that the limits of a server may cost one message (RFC 9422 section 6); in the last one they are
not kept to, and what the server then refuses is deferred."""


class Worker:
    """Works claims of `hop`; `leave` is set when it is to end.

    `since` is when it began and `began` when its present attempt did (the loop's time); `claim` is what it
    has in hand.
    """

    __slots__ = (
        "_aside",
        "_cause",
        "_held",
        "_hop",
        "_lacking",
        "_messages",
        "_session",
        "_stage",
        "began",
        "claim",
        "client",
        "leave",
        "since",
        "task",
    )

    def __init__(self, hop: NextHop) -> None:
        self._hop = hop
        self._session: Session | None = None
        self._messages = 0
        self._stage = ""
        self._cause: Lost | None = None
        self._lacking: list[Outcome] = []
        self._held = Held()
        self._aside = False
        self.client: StreamClient | None = None
        self.claim: Claim | None = None
        self.leave = False
        loop = hop.settings.loop
        self.since = self.began = loop.time()
        self.task = loop.create_task(self._run())

    @property
    def working(self) -> bool:
        """Whether it has a session that can be used, or may have one yet."""
        if self.client is not None:
            return self.client.alive
        return self.claim is not None and self._stage == "open"

    def overdue(self, now: float) -> bool:
        """Whether the attempt in hand has outlived its time."""
        claim = self.claim
        return claim is not None and now - self.began > patience(claim.message.size, len(claim.pending))

    def interrupt(self, cause: Lost, *, late: bool = True) -> None:
        """End the attempt in hand for this cause; without `late` not once the end of the content was sent."""
        if self.claim is None or self._cause is not None:
            return
        if self._stage == "send" and self.client is not None:
            if self.client.give_up(cause.kind, str(cause), late=late):
                self._cause = cause
        else:
            self._cause = cause
            self.task.cancel()

    def leave_off(self) -> None:
        """End the attempt in hand, unless its content is on its way: its claim comes back untried."""
        if self._stage != "send" or self.client is None or not self.client.sending:
            self.interrupt(Lost("withdrawn", "", "the service ends"), late=False)

    def cut(self) -> None:
        """Wait for no goodbye any more, where there is no attempt in hand."""
        if self.claim is None and self.client is not None:
            self.client.give_up("timeout", "the server did not answer in time")

    async def _run(self) -> None:
        hop = self._hop
        try:
            while True:
                while not self.leave and (claim := hop.next(self)) is not None:
                    await self._deliver(claim)
                if self.leave or self.client is None or not await hop.rest():
                    break
        except asyncio.CancelledError:
            # The process ends, and waits for nobody.
            if self.client is not None:
                self.client.abort()
                self.client = None
            raise
        finally:
            if self.client is not None:
                await self.client.quit()
            hop.ended(self)

    async def _deliver(self, claim: Claim) -> None:
        """Work one claim, and tell what came of it."""
        hop = self._hop
        settings = hop.settings
        started = connected = settings.clock()
        self._take(claim)
        outcomes: list[Outcome] = []
        tried: Tried = []
        failed = usable = False
        try:
            connected, usable, failed = await self._send(claim, outcomes, tried)
        except Unusable as error:
            connected = settings.clock()
            answered = self._held.answered
            refused = not (answered or self._lacking or outcomes) and (error.short or not error.alone)
            if refused and hop.others_work(self):
                # Where all fail the last one to do so decides, and all but its claim come back untried.
                self.claim = None
                hop.refused(self, claim)
                self._short(error)
                return
            self._left_over(claim, outcomes, error, connected)
            # Where a host answered, it is as good for other messages as it was.
            failed = not (error.alone or answered or self._lacking)
            self._short(error)
        except asyncio.CancelledError:
            if self._cause is None:
                raise
            self.task.uncancel()
            connected, failed = settings.clock(), self._stage == "open" and self._cause.kind != "withdrawn"
            self._cancelled(claim, outcomes, self._cause, connected)
        except TableError as error:  # before anything was sent
            connected, usable = settings.clock(), self.client is not None and self.client.alive
            outcomes += [failure.of_fault(one.number, str(error), at=connected) for one in claim.pending]
        except Exception as error:  # a fault of ours must not stop the queue
            connected = settings.clock()
            self._fault(claim, outcomes, f"internal error: {error!r}", connected)
        self.claim = None
        if self._held:
            arrange(claim, outcomes)
        if usable:
            hop.worked(self)
        else:
            hop.broken(self, any(one.uncertain or one.scope == "host" for one in outcomes))
        if self._cause is not None and self._cause.kind == "withdrawn" and not _came_of(outcomes):
            settings.returned([claim])
            failed = False
        else:
            settings.done(claim, outcomes, started, connected, self._transcript(outcomes, tried))
        if failed:
            hop.failed()
        for one in outcomes:
            if one.action == "delayed" and failure.slows(one, settings.rules):
                hop.slowed()
                break
        if self.client is not None:
            self._messages += 1
            if self._messages >= hop.limits.messages or self._aside:
                await self._end()

    def _left_over(self, claim: Claim, outcomes: list[Outcome], error: Unusable, at: float) -> None:
        """No host is left for the recipients that have no outcome yet."""
        lacking = {one.recipient: one for one in self._lacking}
        for one in left(claim, outcomes):
            outcome = lacking.get(one.number) or (self._held.alone(one.number) if error.nobody else None)
            if outcome is None:
                named = failure.is_named(one.pinned, claim.route, one.recipient)
                outcome = self._held.with_(error.outcome(one.number, at, named=named))
            outcomes.append(outcome)

    def _short(self, error: Unusable) -> None:
        """Where we lack what a connection takes this one makes room for those that work."""
        if error.short:
            self.leave = True
            settings = self._hop.settings
            settings.slots.lack(settings.loop.call_later)

    def _take(self, claim: Claim) -> None:
        self.began = self._hop.settings.loop.time()
        self.claim = claim
        self._cause = None

    async def _send(self, claim: Claim, outcomes: list[Outcome], tried: Tried) -> tuple[float, bool, bool]:
        """Send a claim's message to all its recipients.

        Gives when there was a connection, whether the session is of use still, and whether the next hop has
        failed.
        """
        hop = self._hop
        settings, route = hop.settings, hop.route
        strict = tlspolicy.asks(claim.message.envelope, lmtp=route.transport == "lmtp")
        manner = hop.manner
        login = manner.chooses(settings.logins, claim.message.envelope.reverse_path)
        walk = Walk(route, settings, manner, strict, login, tried)
        self._held = Held()
        self._aside = False
        self._lacking = []
        sessions = 0
        self._stage = "content"
        content = claim.content if claim.content is not None else await settings.content(claim)
        changed = None
        if (rewriting := settings.rewriting(route)) is not None:
            changed = await rewriting.changed(
                claim.message.envelope, [one.recipient for one in claim.pending], content
            )
        self._stage = "open"
        client = self.client
        if client is not None and not client.alive:
            self._drop()
        elif (
            client is not None
            and self._session is not None
            and not _enough(client, strict, login(self._session.where))
        ):
            await self._end()
        while True:
            reused = self.client is not None
            session = self._session
            if self.client is None or session is None:
                session = self._session = await walk.open(
                    claim.route.helo or manner.helo or settings.hostname
                )
                self.client = session.client
                self._messages = 0
                sessions += 1
            client, host = session.client, session.host
            connected = settings.clock()
            pending = left(claim, outcomes)
            self._stage = "send"
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
                    changed=changed,
                )
            except smtp.Lacking as error:
                self._lacking = error.outcomes
                tried.append((host, client.logs, "another host is tried"))
                self._stage = "open"
                await self._end()
                continue
            self._stage = "open"
            again: list[Outcome] = []
            if self._cause is None and walk.more:
                again = [one for one in some if elsewhere(one, manner.failover)]
            if again:
                tried.append((host, client.logs, client.problem or "another host is tried"))
                some = [one for one in some if not elsewhere(one, manner.failover)]
                if any(one.scope != "host" for one in again):
                    walk.skip(session)
                    self._aside = True
                elif not reused:
                    settings.health.failed(session.keys[0], settings.loop.time())
                self._held.add(again)
                outcomes += some
                if client.alive:
                    await self._end()
                else:
                    self._drop()
                continue
            if self._cause is None and len(some) < len(pending):
                # The session takes no more by the limits that its server announced: on in another.
                outcomes += some
                self._lacking = []  # of a host that was asked for more recipients than are left now
                await self._end()
                walk = walk.anew()
                continue
            if self._held:
                some = [self._held.with_(one) if elsewhere(one, manner.failover) else one for one in some]
            failed = False
            if not usable:
                tried.append((host, client.logs, client.problem))
                self._drop()
                failed = all(one.scope == "host" and not one.uncertain for one in some)
            if failed and self._cause is None:
                settings.health.failed(session.keys[0], settings.loop.time())
            elif settings.health and any(one.scope != "host" and not one.uncertain for one in some):
                for key in session.keys:
                    settings.health.worked(key)
            outcomes += some
            return connected, usable, failed

    def _cancelled(self, claim: Claim, outcomes: list[Outcome], cause: Lost, at: float) -> None:
        """The attempt was interrupted outside of any transaction."""
        if self.client is not None:
            self.client.abort()
            self.client = None
        if self._stage == "content":
            self._fault(claim, outcomes, "the content of the message cannot be had in time", at)
            return
        host = "" if self._session is None else self._session.host
        outcomes += [
            self._held.with_(failure.of_lost(one.number, cause, remote_mta=host, at=at))
            for one in left(claim, outcomes)
        ]

    def _fault(self, claim: Claim, outcomes: list[Outcome], what: str, at: float) -> None:
        """A fault of ours, in the midst of anything."""
        outcomes += [failure.of_fault(one.number, what, at=at) for one in left(claim, outcomes)]
        if self.client is not None:
            self.client.abort()
            self.client = None

    def _transcript(self, outcomes: list[Outcome], tried: Tried) -> str:
        """What was said, if anything failed."""
        for outcome in outcomes:
            if outcome.action not in DONE:
                break
        else:
            return ""
        if self.client is not None and self._session is not None:
            tried.append((self._session.host, self.client.logs, ""))
        return transcript.text(tried)

    def _drop(self) -> None:
        """Let go of a session that is over."""
        if self.client is not None:
            self.client.close()
            self.client = None

    async def _end(self) -> None:
        """End the session, in peace."""
        if self.client is not None:
            await self.client.quit()
            self.client = None


def _came_of(outcomes: list[Outcome]) -> bool:
    """Whether an attempt decided anything."""
    return any(one.action != "delayed" or one.uncertain for one in outcomes)


def _enough(client: StreamClient, strict: bool, login: Login | None) -> bool:
    """Whether a kept session will do for a claim: `strict` asks for REQUIRETLS."""
    return client.account is login and tlspolicy.good_enough(
        client.secure, client.protocol.offer.keywords, requiretls=strict
    )
