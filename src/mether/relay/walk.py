"""From host to host of a next hop, until one gives a session (RFC 5321 section 5.1).

A list of smart hosts is gone through in its order, or as its weights have it this time; the hosts of each
target in the order found.  Of those that are equal, the ones that could not be used lately come last
(`relay.health`).  Each target is looked up when it is reached, and TLS and login are those for the one that
is connected to.

A `Walk` is made for one claim: its session must be as good as that claim needs.  When no host is left it
raises `Unusable`, which tells what that means for a recipient: it failed only where every host refused, since
one that was merely down may take it later, and what a person has to mend, such as a refused login, is told
before what may pass (`relay.failure.outweighs`).

What was tried in vain is kept for the transcript: each host with what was said there.
"""

from __future__ import annotations

from mether.client.session import Lost
from mether.dns.mx import DnsFailure
from mether.event import mail as event
from mether.relay import failure, opening, tlspolicy
from mether.reply import Reply
from mether.routing import target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.client.stream import StreamClient
    from mether.client.transcript import Log
    from mether.outcome import Outcome, Route
    from mether.relay import hosts
    from mether.relay.credentials import Login
    from mether.relay.health import Key
    from mether.relay.manner import Manner
    from mether.relay.settings import Settings
    from mether.routing.target import Target

    Tried = list[tuple[str, list[Log], str]]
    """Hosts, what was said with each, and how that ended: see `client.transcript`."""


class Unusable(Exception):
    """No host is left to try; `reply` and `remote_mta` are those of the host that counts.  `nobody` tells
    that there was none but those that have answered, `missing` what the DNS said of a target that cannot be
    found for good, and `tried` is how many hosts were.
    """

    def __init__(
        self,
        reply: Reply,
        remote_mta: str,
        lost: Lost | None = None,
        shortfall: opening.Shortfall | None = None,
        *,
        nobody: bool = False,
    ) -> None:
        super().__init__(str(reply))
        self.nobody = nobody
        self.reply = reply
        self.remote_mta = remote_mta
        self.lost = lost
        self.shortfall = shortfall
        self.missing: Reply | None = None
        self.tried = 1

    @property
    def mend(self) -> bool:
        """Whether a person has to mend it before the host can be used."""
        short = self.shortfall
        if short is None:
            return False
        if short.said:
            return short.reply.permanent
        return not (short.alone and short.reply.permanent)

    @property
    def short(self) -> bool:
        """Whether we lack what a connection takes."""
        return self.lost is not None and self.lost.kind == "shortage"

    @property
    def alone(self) -> bool:
        """Whether it says nothing of the next hop: it concerns the claim in hand and no other, or is ours."""
        return self.short or (self.shortfall is not None and self.shortfall.alone)

    def outcome(self, number: int, at: float, *, named: bool = False) -> Outcome:
        """What it means for a recipient; `named`: a person named the next hop by hand."""
        short = self.shortfall
        if short is not None:
            return failure.of_shortfall(
                number,
                short.reply,
                remote_mta=self.remote_mta,
                said=short.said,
                alone=short.alone,
                user=short.user,
                tried=self.tried,
                at=at,
            )
        if self.lost is not None:
            return failure.of_lost(number, self.lost, remote_mta=self.remote_mta, at=at)
        reply, missing = self.reply, self.missing
        if named and missing is not None and reply.permanent:
            waits = failure.of_named(missing, failure.BY_HAND)
            if waits is not missing:
                return failure.of_host(number, waits, at=at)
        return failure.of_host(number, reply, remote_mta=self.remote_mta, at=at)


class Session:
    """A session that was opened: its `client`, the `host` as it is shown, the target (`where`) that led
    there, and the `keys` that `relay.health` knows these by."""

    __slots__ = ("client", "host", "keys", "where")

    def __init__(self, client: StreamClient, host: str, where: Target, keys: tuple[Key, ...]) -> None:
        self.client = client
        self.host = host
        self.where = where
        self.keys = keys


class Walk:
    """Goes from host to host of a route until one gives a session as good as the claim needs.

    `manner` is the route's; `strict` asks for REQUIRETLS; `login` says who we are at a target.  `tried` gets
    the hosts that gave no session.
    """

    __slots__ = (
        "_hosts",
        "_last",
        "_listed",
        "_login",
        "_manner",
        "_missing",
        "_number",
        "_route",
        "_settings",
        "_skipped",
        "_sound",
        "_strict",
        "_targets",
        "_tried",
        "_where",
    )

    def __init__(
        self,
        route: Route,
        settings: Settings,
        manner: Manner,
        strict: bool,
        login: Callable[[Target], Login | None],
        tried: Tried,
    ) -> None:
        self._route = route
        self._settings = settings
        self._manner = manner
        self._strict = strict
        self._login = login
        self._tried = tried
        self._targets: list[Target] | None = None
        self._listed = False
        self._where: Target | None = None
        self._sound = True
        self._hosts: list[hosts.Host] = []
        self._last: Unusable | None = None
        self._missing: Reply | None = None
        self._number = 0
        self._skipped: set[Key] = set()

    @property
    def more(self) -> bool:
        """Whether there are hosts that were not tried yet, or may be."""
        return self._targets is None or bool(self._hosts) or bool(self._targets)

    def skip(self, session: Session) -> None:
        """Go to the host of this session no more: it has answered."""
        self._skipped.add(session.keys[0])

    def anew(self) -> Walk:
        """The same walk from its beginning, but for the hosts that are skipped."""
        walk = Walk(self._route, self._settings, self._manner, self._strict, self._login, self._tried)
        walk._skipped = self._skipped
        return walk

    async def open(self, name: str) -> Session:
        """The next session.  Raises Unusable when there is none."""
        if self._targets is None:
            self._targets = self._begin()
        while True:
            while self._hosts and self._where is not None:
                session = await self._try(name, self._where, self._hosts.pop(0))
                if session is not None:
                    return session
            if not self._sound and self._listed and self._where is not None and self._where.kind == "mx":
                self._blame(_key(self._where))
            if not self._targets:
                raise self._end()
            self._where, self._sound = self._targets.pop(0), False
            self._hosts = await self._find(self._where)

    def _begin(self) -> list[Target]:
        """The targets of the route, in the order in which to try them.  Raises Unusable."""
        if self._manner.trouble is not None:
            self._tried.append(("", [], str(self._manner.trouble)))
            raise Unusable(self._manner.trouble, "")
        try:
            found = target.from_route(self._route)
        except target.TargetError as error:
            reply = Reply(550, "5.1.2", str(error))
            self._tried.append(("", [], f"{self._route.next_hop}: {reply}"))
            self._missing = reply
            self._note(Unusable(reply, ""))
            raise self._end() from None
        settings = self._settings
        targets = found.order(settings.random)
        self._listed = len(targets) > 1
        return settings.health.order(targets, _key, settings.loop.time()) if self._listed else list(targets)

    async def _find(self, where: Target) -> list[hosts.Host]:
        """The hosts of a target, none where there is nothing to connect to."""
        settings = self._settings
        try:
            found = await settings.find(self._route, where)
        except DnsFailure as error:
            self._tried.append(("", [], f"{where.next_hop}: {error.reply}"))
            if error.short:  # ours: no other target fares better
                raise Unusable(error.reply, "", Lost("shortage", "", error.reply.text)) from None
            if error.reply.permanent and self._missing is None:
                self._missing = error.reply
            self._note(Unusable(error.reply, ""))
            if self._listed:
                self._blame(_key(where))
            self._sound = True
            return []
        if self._skipped:
            found = [host for host in found if host.key not in self._skipped]
            self._sound = self._sound or not found
        if len(found) > 1 and settings.health:
            return settings.health.order(found, _host_key, settings.loop.time(), _preference)
        return found

    async def _try(self, name: str, where: Target, host: hosts.Host) -> Session | None:
        """A session with this host, None when it gives none.  Raises Unusable where no other fares better."""
        settings, manner = self._settings, self._manner
        if unreachable := manner.unreachable(host):
            left = host.without(unreachable)
            if left is None:
                text = (
                    f"cannot send from {' or '.join(manner.sources)} to {host.shown}: no such address family"
                )
                self._tried.append(("", [], text))
                self._note(Unusable(Reply(451, "4.3.5", text), ""))
                self._sound = True
                event.warning(text)
                return None
            host = left
        login = self._login(where)
        account = None if login is None else opening.Account(login, settings.logins, where.host)
        need = tlspolicy.need(
            settings.policy(self._route),
            where,
            host.name,
            host.port,
            requiretls=self._strict,
            login=account is not None,
        )
        clients: list[StreamClient] = []
        problem: Unusable
        end = ""
        try:
            client = await opening.open(
                settings.loop,
                host,
                name,
                settings.timeouts,
                lmtp=self._route.transport == "lmtp",
                need=need,
                tls=settings.tls,
                account=account,
                clients=clients,
                source=manner.source,
            )
        except Lost as error:
            shown = self._reached(host, clients)
            problem = Unusable(Reply(451, "4.4.1", str(error)), shown, error)
            end = str(error)
            blames = error.kind not in failure.NOWHERE
            if error.kind == "source":
                event.warning(end)
        except opening.Refused as error:
            shown = self._reached(host, clients)
            problem, blames = Unusable(error.reply, shown), True
        except opening.Shortfall as error:
            shown = self._reached(host, clients)
            problem, blames = Unusable(error.reply, shown, shortfall=error), error.blames
            end = "" if error.said else str(error.reply)
        except BaseException:
            shown = self._reached(host, clients)
            self._tried.append((shown, [log for one in clients for log in one.logs], "given up"))
            raise
        else:
            self._sound = True
            keys = (host.key, _key(where)) if self._listed and where.kind == "mx" else (host.key,)
            return Session(client, host.at(client.address).shown, where, keys)
        self._tried.append((shown, [log for one in clients for log in one.logs], end))
        if blames:
            self._blame(host.key)
        else:
            self._sound = True
        if problem.short:
            raise problem  # no other host fares better
        self._note(problem)
        return None

    def _blame(self, key: Key) -> None:
        self._settings.health.failed(key, self._settings.loop.time())

    def _note(self, problem: Unusable) -> None:
        """Remember why a host could not be used: for good only when that holds for every host."""
        self._number += 1
        last = self._last
        if last is None or failure.outweighs(problem.reply, last.reply, mend=problem.mend, before=last.mend):
            self._last = problem

    def _end(self) -> Unusable:
        """What it comes to that no host is left."""
        last = self._last
        if last is None:
            return Unusable(Reply(451, "4.4.1", "no host answered"), "", nobody=True)
        last.missing, last.tried = self._missing, self._number
        return last

    def _reached(self, host: hosts.Host, clients: list[StreamClient]) -> str:
        """How the address is called that a session was begun with; the host's others are tried next."""
        if not clients:
            return host.shown  # none of them answered
        last = clients[-1]
        others = host.without((last.address, *(gone for one in clients for gone in one.passed)))
        if others is not None:
            self._hosts.insert(0, others)
        return host.at(last.address).shown


def _key(where: Target) -> Key:
    return where.host, where.port


def _host_key(host: hosts.Host) -> Key:
    return host.key


def _preference(host: hosts.Host) -> int:
    return host.preference
