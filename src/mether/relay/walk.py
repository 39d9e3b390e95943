"""From host to host of a next hop, in the order found, until one gives a session (RFC 5321 section 5.1).

A `Walk` is made for one claim: its session must be as good as that claim needs.  When no host is left it
raises `Unusable`, which tells what that means for a recipient: it failed only where every host refused, since
one that was merely down may take it later (`relay.failure.outweighs`).

What was tried in vain is kept for the transcript: each host with what was said there.
"""

from __future__ import annotations

from mether.client.session import Lost
from mether.dns.mx import DnsFailure
from mether.relay import failure, opening, tlspolicy
from mether.reply import Reply
from mether.routing import target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.client.stream import StreamClient
    from mether.client.transcript import Log
    from mether.outcome import Outcome, Route
    from mether.relay import hosts
    from mether.relay.credentials import Login
    from mether.relay.settings import Settings

    Tried = list[tuple[str, list[Log], str]]
    """Hosts, what was said with each, and how that ended: see `client.transcript`."""


class Unusable(Exception):
    """No host is left to try; `reply` and `remote_mta` are the last one's."""

    def __init__(
        self,
        reply: Reply,
        remote_mta: str,
        lost: Lost | None = None,
        shortfall: opening.Shortfall | None = None,
    ) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.remote_mta = remote_mta
        self.lost = lost
        self.shortfall = shortfall

    @property
    def short(self) -> bool:
        """Whether we lack what a connection takes."""
        return self.lost is not None and self.lost.kind == "shortage"

    @property
    def alone(self) -> bool:
        """Whether it says nothing of the next hop: it concerns the claim in hand and no other, or is ours."""
        return self.short or (self.shortfall is not None and self.shortfall.alone)

    def outcome(self, number: int, at: float) -> Outcome:
        """What it means for a recipient."""
        short = self.shortfall
        if short is not None:
            return failure.of_shortfall(
                number,
                short.reply,
                remote_mta=self.remote_mta,
                said=short.said,
                alone=short.alone,
                user=short.user,
                at=at,
            )
        if self.lost is not None:
            return failure.of_lost(number, self.lost, remote_mta=self.remote_mta, at=at)
        return failure.of_host(number, self.reply, remote_mta=self.remote_mta, at=at)


class Walk:
    """Goes from host to host of a route until one gives a session as good as the claim needs.  `tried` gets
    those that did not."""

    __slots__ = ("_hosts", "_last", "_login", "_next", "_route", "_settings", "_strict", "_tried")

    def __init__(
        self, route: Route, settings: Settings, strict: bool, login: Login | None, tried: Tried
    ) -> None:
        self._tried = tried
        self._route = route
        self._settings = settings
        self._strict = strict
        self._login = login
        self._hosts: list[hosts.Host] | None = None
        self._next = 0
        self._last: Unusable | None = None

    @property
    def more(self) -> bool:
        """Whether there are hosts that were not tried yet."""
        return self._hosts is None or self._next < len(self._hosts)

    def note(self, problem: Unusable) -> None:
        """Remember why a host could not be used: for good only when that holds for every host."""
        if self._last is None or failure.outweighs(problem.reply, self._last.reply):
            self._last = problem

    async def open(self, name: str) -> tuple[StreamClient, str]:
        """The next session, and its host's name.  Raises Unusable when there is none."""
        settings = self._settings
        if self._hosts is None:
            try:
                self._hosts = await settings.find(self._route)
            except DnsFailure as error:
                self._tried.append(("", [], f"{self._route.next_hop}: {error.reply}"))
                raise Unusable(error.reply, "") from None
        lmtp = self._route.transport == "lmtp"
        where = target.from_route(self._route)
        policy = settings.policy(self._route)
        account = None
        if self._login is not None and settings.logins is not None:
            account = opening.Account(self._login, settings.logins, where.host)
        while self._next < len(self._hosts):
            host = self._hosts[self._next]
            self._next += 1
            clients: list[StreamClient] = []
            problem: Unusable
            end = ""
            need = tlspolicy.need(
                policy, where, host.name, host.port, requiretls=self._strict, login=account is not None
            )
            try:
                client = await opening.open(
                    settings.loop,
                    host,
                    name,
                    settings.timeouts,
                    lmtp=lmtp,
                    need=need,
                    tls=settings.tls,
                    account=account,
                    clients=clients,
                )
            except Lost as error:
                shown = self._reached(host, clients)
                problem = Unusable(Reply(451, "4.4.1", str(error)), shown, error)
                end = str(error)
            except opening.Refused as error:
                shown = self._reached(host, clients)
                problem = Unusable(error.reply, shown)
            except opening.Shortfall as error:
                shown = self._reached(host, clients)
                problem = Unusable(error.reply, shown, shortfall=error)
                end = "" if error.said else str(error.reply)
            except BaseException:
                shown = self._reached(host, clients)
                self._tried.append((shown, [log for one in clients for log in one.logs], "given up"))
                raise
            else:
                return client, host.at(client.address).shown
            self._tried.append((shown, [log for one in clients for log in one.logs], end))
            if problem.short:
                raise problem  # no other host fares better
            self.note(problem)
        raise self._last or Unusable(Reply(451, "4.4.1", "no host answered"), "")

    def _reached(self, host: hosts.Host, clients: list[StreamClient]) -> str:
        """How the address is called that a session was begun with; the host's others are tried next."""
        if not clients:
            return host.shown  # none of them answered
        last = clients[-1]
        others = host.without((last.address, *(gone for one in clients for gone in one.passed)))
        if others is not None and self._hosts is not None:
            self._hosts.insert(self._next, others)
        return host.at(last.address).shown
