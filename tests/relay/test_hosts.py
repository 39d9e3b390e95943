"""From a route to the hosts to connect to, with a DNS in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mether.dns.hosts import Hosts
from mether.dns.mx import DnsFailure
from mether.outcome import Route
from mether.relay import hosts
from mether.relay.hosts import Host
from mether.routing import target
from mether.testing.dns import Resolver, Zone

ZONE = {
    "example.org": ["MX 10 one.example.org", "MX 20 two.example.org"],
    "one.example.org": ["A 192.0.2.1", "AAAA 2001:db8::1"],
    "two.example.org": ["A 192.0.2.2"],
    "plain.example.net": ["A 192.0.2.9"],
    "null.example.net": ["MX 0 ."],
    "inside.example": ["A 127.0.0.1"],
}


def find(route: Route, *, known: Hosts | None = None, **more: object) -> list[tuple[str, str, int]]:
    async def ask() -> list[Host]:
        return await hosts.find(
            target.from_route(route).targets[0],
            resolver=Resolver(Zone(ZONE)),
            hosts=known,
            random=lambda: 0.0,
            **more,  # type: ignore[arg-type]
        )

    return [(one.name, each, one.port) for one in asyncio.run(ask()) for each in one.addresses]


def test_a_domain_gives_its_mx_hosts_in_order() -> None:
    """RFC 5321 section 5.1"""
    found = find(Route("smtp", "example.org"))
    assert {address for _, address, _ in found[:2]} == {"192.0.2.1", "2001:db8::1"}
    assert found[2] == ("two.example.org", "192.0.2.2", 25)


def test_an_address_of_our_own_is_left_out() -> None:
    """MX-6: of a host with several."""
    route = Route("smtp", "one.example.org:2525")
    assert find(route, own={("192.0.2.1", 2525)}) == [("one.example.org", "2001:db8::1", 2525)]
    assert len(find(route, own={("192.0.2.1", 25)})) == 2


def test_the_parts_of_a_host() -> None:
    host = Host("mx", "a", 25, ["b", "c"])
    assert host.at("b").shown == "mx[b]:25"
    left = host.without(["a"])
    assert left is not None and left.addresses == ("b", "c")
    assert host.without(["a", "b", "c"]) is None


def test_a_host_tells_whether_dnssec_proves_it() -> None:
    zone = Zone(ZONE)
    zone.authenticated.update(("example.org", "one.example.org"))
    where = target.from_route(Route("smtp", "example.org")).targets[0]
    asking = hosts.find(where, resolver=Resolver(zone), hosts=None, random=lambda: 0.0)
    one, two = asyncio.run(asking)
    assert (one.authenticated, two.authenticated) == (True, False)
    left = one.without([one.address])
    assert left is not None and left.authenticated and one.at("192.0.2.1").authenticated


def test_a_domain_without_mx_is_its_own_host() -> None:
    assert find(Route("smtp", "plain.example.net")) == [("plain.example.net", "192.0.2.9", 25)]


def test_a_literal_is_connected_to_directly() -> None:
    assert find(Route("smtp", "[192.0.2.7]")) == [("[192.0.2.7]", "192.0.2.7", 25)]
    assert find(Route("smtp", "192.0.2.7:2525")) == [("[192.0.2.7]", "192.0.2.7", 2525)]


def test_a_host_with_a_port_is_not_asked_for_its_mx() -> None:
    assert find(Route("smtp", "two.example.org:2525")) == [("two.example.org", "192.0.2.2", 2525)]


def test_a_unix_socket_is_its_path() -> None:
    assert find(Route("lmtp", "unix:/run/lmtp")) == [("/run/lmtp", "/run/lmtp", 0)]


def test_a_unix_socket_of_our_own_is_a_loop() -> None:
    """MX-6, QUE-7: mail must not come back to where it was."""
    with pytest.raises(DnsFailure) as caught:
        find(Route("lmtp", "unix:/run/lmtp"), own={("/run/lmtp", 0)})
    assert (caught.value.reply.code, caught.value.reply.status) == (554, "5.4.6")


def test_a_name_in_the_hosts_file_is_connected_to_directly(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("192.0.2.77 example.org\n")
    known = Hosts(str(tmp_path / "hosts"))
    assert find(Route("smtp", "example.org"), known=known) == [("example.org", "192.0.2.77", 25)]


@pytest.mark.parametrize("next_hop", ["missing.example.net", "null.example.net"])
def test_what_can_never_be_reached_fails_for_good(next_hop: str) -> None:
    with pytest.raises(DnsFailure) as caught:
        find(Route("smtp", next_hop))
    assert caught.value.reply.permanent


def test_what_would_come_back_to_us_is_a_loop() -> None:
    """554 5.4.6, or the hosts that are not ours."""
    with pytest.raises(DnsFailure) as caught:
        find(Route("smtp", "192.0.2.7:2525"), own={("192.0.2.7", 2525)})
    assert str(caught.value.reply).startswith("554 5.4.6 ")
    assert find(Route("smtp", "192.0.2.7:2526"), own={("192.0.2.7", 2525)})


def test_a_next_hop_that_the_configuration_names_is_waited_for() -> None:
    """A slip of the pen in a route must not return all mail; a recipient's own domain is as it is."""
    lines: list[str] = []
    for hop in ("[hub.test]", "hub.test:587", "hub.test", "null.example.net"):
        with pytest.raises(DnsFailure) as caught:
            find(Route("smtp", hop), named=True, warn=lines.append)
        assert (caught.value.reply.code, caught.value.reply.status) == (451, "4.4.4")
    assert lines[0] == (
        "next hop [hub.test]: 550 5.1.2 the host hub.test does not exist; "
        "the configuration may be wrong, and the mail waits"
    )
    with pytest.raises(DnsFailure) as caught:
        find(Route("smtp", "hub.test"), warn=lines.append)
    assert caught.value.reply.status == "5.1.2"
    assert len(lines) == 4


def test_an_mx_may_not_point_at_this_host_unless_the_configuration_names_the_domain() -> None:
    """MX-7."""
    with pytest.raises(DnsFailure) as caught:
        find(Route("smtp", "inside.example"))
    assert caught.value.reply.status == "5.4.4"
    assert find(Route("smtp", "inside.example"), level="allow")
    assert find(Route("smtp", "inside.example"), named=True)
