"""Where hosts are found under a configuration."""

from __future__ import annotations

import asyncio

import pytest

from mether.dns.mx import DnsFailure
from mether.outcome import Route
from mether.routing import target
from mether.setup.config import loads
from mether.setup.finding import finder, own_endpoints

TEXT = """
[service]
hostname = "mx.example.org"
[[listen]]
address = "127.0.0.1:2525"
[[listen]]
address = ":2526"
[[listen]]
address = "unix:/run/mether/lmtp"
[dns]
enabled = false
hosts = false
[[route]]
domains = ["named.example"]
smtp = "gone.example"
"""


def found(next_hop: str, warned: list[str]) -> list[str]:
    config = loads(TEXT, environ={})

    async def main() -> list[str]:
        find = finder(config, config.router(), asyncio.get_running_loop(), warned.append)
        route = Route("smtp", next_hop)
        return [host.address for host in await find(route, target.from_route(route).targets[0])]

    return asyncio.run(main())


def test_our_own_endpoints_are_known() -> None:
    """So that mail is not relayed to ourselves."""
    ours = own_endpoints(loads(TEXT, environ={}))
    assert ("127.0.0.1", 2525) in ours
    assert ("127.0.0.1", 2526) in ours
    assert ("127.0.0.1", 25) not in ours
    assert ("/run/mether/lmtp", 0) in ours
    with pytest.raises(DnsFailure, match="a loop"):
        found("127.0.0.1:2525", [])


def test_an_address_is_itself() -> None:
    assert found("192.0.2.1", []) == ["192.0.2.1"]


def test_of_a_host_that_the_configuration_names_somebody_is_told() -> None:
    warned: list[str] = []
    with pytest.raises(DnsFailure):
        found("other.example", warned)
    assert warned == []
    with pytest.raises(DnsFailure) as failure:
        found("gone.example", warned)
    assert failure.value.reply.code // 100 == 4
