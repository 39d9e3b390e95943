"""Who works the claims of a route, and what is forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clock import running, virtual
from mail import HOP, OTHER, claim

from mether.client.session import Timeouts
from mether.dns.mx import DnsFailure
from mether.outcome import Route
from mether.relay import pool
from mether.relay.nexthop import FIRST_ROOM, NextHop
from mether.relay.pool import Pool
from mether.relay.settings import Settings
from mether.reply import Reply


class Local:
    """Delivers nothing, and notes its end."""

    closed = False

    def at(self, route: Route) -> Route:
        return route

    def rooms(self) -> dict[Route, int]:
        return {Route("pipe", "a"): 7}

    async def close(self) -> None:
        self.closed = True


class Made:
    """A pool in which no next hop exists."""

    def __init__(self) -> None:
        self.local = Local()
        self.worked: list[Any] = []
        loop = running()
        self.pool = Pool(
            Settings(
                loop=loop,
                find=self._find,
                content=self._find,  # type: ignore[arg-type]
                hostname="us.example.com",
                timeouts=Timeouts(),
                clock=loop.clock,
                done=lambda *worked: self.worked.append(worked),
                returned=self.worked.extend,
            ),
            self.local,  # type: ignore[arg-type]
        )

    async def _find(self, route: Route, where: object = None) -> Any:
        raise DnsFailure(Reply(550, "5.1.2", "no such domain"))


@virtual
async def test_each_next_hop_has_one_transport() -> None:
    made = Made()
    hop = made.pool.transport(HOP)
    assert isinstance(hop, NextHop)
    assert made.pool.transport(Route(HOP.transport, HOP.next_hop)) is hop
    assert made.pool.transport(OTHER) is not hop
    assert made.pool.transport(Route("smtp", HOP.next_hop, "other.name")) is not hop


@pytest.mark.parametrize("transport", ["maildir", "pipe"])
@virtual
async def test_each_route_of_this_host_has_one(transport: str) -> None:
    made = Made()
    assert made.pool.transport(Route(transport, "a")) == Route(transport, "a")


@virtual
async def test_idle_next_hops_are_forgotten_and_busy_ones_kept() -> None:
    made = Made()
    busy = Route("smtp", "busy.example")
    hop = made.pool.transport(busy)
    hop.offer(claim(route=busy))
    for number in range(3 * pool.REMEMBERED):
        made.pool.transport(Route("smtp", f"d{number}.example"))
    assert len(made.pool._hops) <= pool.REMEMBERED + 1
    assert made.pool.transport(busy) is hop
    await asyncio.sleep(1)
    assert len(made.worked) == 1


@virtual
async def test_close_closes_all() -> None:
    made = Made()
    made.pool.transport(HOP).offer(claim())
    await made.pool.close()
    assert made.local.closed
    assert len(made.worked) == 1, "nothing is left hanging"


@virtual
async def test_rooms_are_told_of_what_is_in_use() -> None:
    """Of 10,000 next hops that nothing is going on at there is nothing to tell."""
    made = Made()
    for number in range(1000):
        made.pool.transport(Route("smtp", f"d{number}.example"))
    busy = Route("smtp", "busy.example")
    made.pool.transport(busy).offer(claim(route=busy))
    assert made.pool.rooms() == {busy: FIRST_ROOM - 1, Route("pipe", "a"): 7}


@virtual
async def test_runners_share_the_limits_of_old_and_new_next_hops() -> None:
    made = Made()
    before = made.pool.transport(HOP)
    made.pool.share(4)
    after = made.pool.transport(OTHER)
    assert isinstance(before, NextHop) and isinstance(after, NextHop)
    assert [hop.limits.connections for hop in (before, after)] == [5, 5]
    made.pool.share(1)
    assert before.limits.connections == 20
