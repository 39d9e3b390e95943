"""A next hop of servers that do as they are told, and what it made of the claims."""

from __future__ import annotations

import asyncio

from clock import running
from mail import HOP
from script_server import ScriptServer

from mether.client.session import Timeouts
from mether.dns.mx import DnsFailure
from mether.outcome import Outcome, Route
from mether.queue.claim import Claim
from mether.queue.content import Content
from mether.queue.store import StoreError
from mether.relay.hosts import Host
from mether.relay.manner import PLAIN, Manner
from mether.relay.nexthop import NextHop
from mether.relay.settings import Settings
from mether.relay.slots import Slots
from mether.relay.window import Limits
from mether.reply import Reply
from mether.routing.target import Target


class Relay:
    """A NextHop to these servers, in their order, and what it made of the claims."""

    def __init__(
        self,
        *servers: ScriptServer,
        route: Route = HOP,
        connections: int = 20,
        messages: int = 1000,
        rate: float = 0.0,
        slots: Slots | None = None,
        no_hosts: Reply | None = None,
        content: Content | StoreError | None = None,
        manner: Manner = PLAIN,
    ) -> None:
        self.hosts = [Host(f"mx{n}.example.net", "127.0.0.1", one.port) for n, one in enumerate(servers)]
        self.no_hosts = no_hosts
        self.stored = content
        self.worked: asyncio.Queue[tuple[Claim, list[Outcome]]] = asyncio.Queue()
        self.untried: list[Claim] = []
        self.looked_up = 0
        self.transcripts: dict[str, str] = {}
        loop = running()
        self.hop = NextHop(
            route,
            Settings(
                loop=loop,
                find=self._find,
                content=self._content,
                hostname="us.example.com",
                timeouts=Timeouts(),
                clock=loop.clock,
                done=self._done,
                returned=self.untried.extend,
                limits=lambda route: Limits(connections, messages, rate),
                slots=slots,
                manner=lambda route: manner,
            ),
        )

    def _done(
        self, claim: Claim, outcomes: list[Outcome], started: float, connected: float, transcript: str
    ) -> None:
        self.transcripts[claim.message.ident] = transcript
        self.worked.put_nowait((claim, outcomes))

    async def _find(self, route: Route, where: Target) -> list[Host]:
        self.looked_up += 1
        await asyncio.sleep(0)
        if self.no_hosts is not None:
            raise DnsFailure(self.no_hosts, short=self.no_hosts.status == "4.3.2")
        if "," in route.next_hop:
            found = [host for host in self.hosts if host.port == where.port]
            if not found:
                raise DnsFailure(Reply(550, "5.1.2", f"the host {where.host} does not exist"))
            return found
        return list(self.hosts)

    async def _content(self, claim: Claim) -> Content:
        if isinstance(self.stored, StoreError):
            raise self.stored
        assert self.stored is not None
        return self.stored

    async def send(self, *claims: Claim) -> list[list[Outcome]]:
        """Offer claims; their outcomes, in the order of the claims."""
        for one in claims:
            self.hop.offer(one)
        done: dict[str, list[Outcome]] = {}
        while len(done) < len(claims):
            worked, outcomes = await self.worked.get()
            assert worked.message.ident not in done, "worked twice"
            assert [one.recipient for one in outcomes] == [one.number for one in worked.pending]
            done[worked.message.ident] = outcomes
        return [done[one.message.ident] for one in claims]


def listing(*servers: ScriptServer) -> Route:
    """The next hop of a list of these servers."""
    return Route("smtp", ",".join(f"mx{n}.example.net:{one.port}" for n, one in enumerate(servers)))


async def server(**options: list[str]) -> ScriptServer:
    return await ScriptServer(**options).start()
