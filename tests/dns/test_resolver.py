"""The resolver against a name server on loopback."""

from __future__ import annotations

import asyncio

import dns.asyncresolver
import dns.resolver
import pytest
from fakedns import Server, Zone

from mether.dns.mx import NoSuchName, Unavailable
from mether.dns.resolver import Resolver

pytestmark = pytest.mark.asyncio

RECORDS = {
    "example.org": ["MX 10 Mail.Example.org", "MX 20 other.example.net"],
    "null.example": ["MX 0 ."],
    "www.example.org": ["CNAME example.org"],
    "mail.example.org": ["A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1"],
    "four.example": ["A 192.0.2.4"],
    "empty.example": ["TXT x"],
    "xn--bcher-kva.example": ["A 192.0.2.8"],
}


async def test_mx_records_in_lower_case_without_dots() -> None:
    async with Server(Zone(RECORDS)) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("Example.ORG")
    assert answer.name == "example.org"
    assert sorted(answer.records) == [(10, "mail.example.org"), (20, "other.example.net")]


async def test_null_mx_has_an_empty_host() -> None:
    """MX-4."""
    async with Server(Zone(RECORDS)) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("null.example")
    assert answer.records == [(0, "")]


async def test_aliases_are_followed() -> None:
    """MX-1."""
    async with Server(Zone(RECORDS)) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("www.example.org")
    assert answer.name == "example.org"
    assert len(answer.records) == 2


async def test_no_mx_is_an_empty_answer() -> None:
    """MX-2."""
    async with Server(Zone(RECORDS)) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("four.example")
    assert (answer.name, answer.records) == ("four.example", [])


async def test_addresses_take_turns_by_family() -> None:
    """MX-9."""
    async with Server(Zone(RECORDS)) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        found = await resolver.addresses("mail.example.org")
        assert (found[0], found[2:]) == ("2001:db8::1", [ip for ip in found[2:] if "." in ip])
        assert sorted(found) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
        assert await resolver.addresses("four.example") == ["192.0.2.4"]
        assert await resolver.addresses("empty.example") == []
        assert await resolver.addresses("Bücher.example") == ["192.0.2.8"]


async def test_a_host_without_a_dot_is_asked_for_as_it_is_when_there_is_no_search_list() -> None:
    zone = Zone({"mailhub": ["A 192.0.2.7"]})
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        assert await resolver.addresses("mailhub", search=True) == ["192.0.2.7"]
        assert await resolver.addresses("mailhub") == ["192.0.2.7"]


async def test_without_a_name_server_the_dns_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """MX-2: a broken set-up on our side must not return mail."""

    def absent(**_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", absent)
    with pytest.raises(Unavailable, match="no name server is configured"):
        await Resolver().mx("example.org")


async def test_one_family_only() -> None:
    zone = Zone(RECORDS)
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], ipv6=False)
        assert sorted(await resolver.addresses("mail.example.org")) == ["192.0.2.1", "192.0.2.2"]
    assert {kind for _, kind in zone.asked} == {"A"}


async def test_a_name_that_does_not_exist() -> None:
    async with Server(Zone(RECORDS)) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        for name in ("nowhere.example", "a..b", "x" * 64 + ".example"):
            with pytest.raises(NoSuchName):
                await resolver.mx(name)
            with pytest.raises(NoSuchName):
                await resolver.addresses(name)


async def test_a_server_that_fails() -> None:
    zone = Zone(RECORDS)
    zone.broken.add("example.org")
    async with Server(zone) as server:
        with pytest.raises(Unavailable, match="failed to answer"):
            await Resolver([("127.0.0.1", server.port)], lifetime=0.5).mx("example.org")


async def test_a_server_that_is_silent() -> None:
    zone = Zone(RECORDS)
    zone.silent.add("example.org")
    async with Server(zone) as server:
        with pytest.raises(Unavailable, match="in time"):
            await Resolver([("127.0.0.1", server.port)], timeout=0.05, lifetime=0.1).mx("example.org")


async def test_answers_are_kept_also_negative_ones() -> None:
    zone = Zone(RECORDS)
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        for _ in range(3):
            await resolver.mx("example.org")
            await resolver.mx("four.example")
            with pytest.raises(NoSuchName):
                await resolver.mx("nowhere.example")
    assert len(zone.asked) == 3


async def test_a_truncated_answer_is_asked_for_again_by_tcp() -> None:
    zone = Zone({"big.example": [f"MX {n} mail{n}.big.example" for n in range(60)]})
    async with Server(zone, truncate=True) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("big.example")
    assert len(answer.records) == 60


async def test_questions_in_flight_are_bounded() -> None:
    zone = Zone({f"h{n}.example": ["MX 1 m"] for n in range(20)})
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], in_flight=2)
        answers = await asyncio.gather(*(resolver.mx(f"h{n}.example") for n in range(20)))
    assert len(answers) == 20
