"""The resolver against a name server on loopback."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from mether.dns.answer import NoSuchName, Shortage, Unavailable
from mether.dns.resolvconf import Conf
from mether.dns.resolver import Resolver
from mether.testing.dns import Server, Zone

pytestmark = pytest.mark.asyncio


class System(Conf):
    """A resolv.conf whose server is at a port of its own."""

    def __init__(self, path: str, port: int) -> None:
        super().__init__(path)
        self.port = port

    def endpoints(self) -> tuple[tuple[str, int], ...]:
        return (("127.0.0.1", self.port),)


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
        assert (found[0], found[2:]) == ("2001:db8::1", tuple(ip for ip in found[2:] if "." in ip))
        assert sorted(found) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
        assert await resolver.addresses("four.example") == ("192.0.2.4",)
        assert await resolver.addresses("empty.example") == ()
        assert await resolver.addresses("Bücher.example") == ("192.0.2.8",)


async def test_a_host_without_a_dot_is_asked_for_as_it_is_when_there_is_no_search_list() -> None:
    zone = Zone({"mailhub": ["A 192.0.2.7"]})
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        assert await resolver.addresses("mailhub", search=True) == ("192.0.2.7",)
        assert await resolver.addresses("mailhub") == ("192.0.2.7",)


async def test_the_systems_servers_are_those_of_resolv_conf(tmp_path: Path) -> None:
    """MX-2: a broken set-up on our side must not return mail."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.99\nnameserver 127.0.0.98\n")
    with pytest.raises(Unavailable) as caught:
        await Resolver(system=Conf(str(conf))).mx("example.org")
    assert str(caught.value) == "127.0.0.99: Connection refused; 127.0.0.98: Connection refused"


async def test_a_short_name_is_completed_from_the_search_list(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("search none.example example.org\n")
    zone = Zone({"mail.example.org": ["A 192.0.2.1"], "mailhub": ["A 192.0.2.7"]})
    async with Server(zone) as server:
        resolver = Resolver(system=System(str(conf), server.port))
        assert await resolver.addresses("mail", search=True) == ("192.0.2.1",)
        assert await resolver.addresses("mailhub", search=True) == ("192.0.2.7",)
        with pytest.raises(NoSuchName):
            await resolver.addresses("mail")


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
    zone.codes["example.org"] = "SERVFAIL"
    async with Server(zone) as server:
        with pytest.raises(Unavailable, match=r"^127\.0\.0\.1: SERVFAIL$"):
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
    zone.truncated.add("big.example")
    async with Server(zone) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("big.example")
    assert len(answer.records) == 60


async def test_questions_in_flight_are_bounded() -> None:
    zone = Zone({f"h{n}.example": ["MX 1 m"] for n in range(20)})
    for name in zone.records:
        zone.hold(name)
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], in_flight=2)
        asking = asyncio.gather(*(resolver.mx(f"h{n}.example") for n in range(20)))
        while len(zone.asked) < 2:
            await asyncio.sleep(0)
        for name in list(zone.records):
            assert len(zone.asked) <= 2 + list(zone.records).index(name)
            zone.release(name)
            await asyncio.sleep(0)
        assert len(await asking) == 20


async def test_the_same_question_is_asked_once_at_a_time() -> None:
    """And whoever gives up waiting takes the answer from nobody else."""
    zone = Zone(RECORDS)
    zone.hold("example.org")
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        askers = [asyncio.ensure_future(resolver.mx("Example.org")) for _ in range(5)]
        while not zone.asked:
            await asyncio.sleep(0)
        askers[0].cancel()
        zone.release("example.org")
        found = await asyncio.gather(*askers, return_exceptions=True)
    assert zone.asked == [("example.org", "MX")]
    assert isinstance(found[0], asyncio.CancelledError)
    assert [len(one.records) for one in found[1:]] == [2, 2, 2, 2]  # type: ignore[union-attr]


async def test_what_is_too_old_is_asked_again() -> None:
    now = 1000.0
    zone = Zone(RECORDS, ttl=60)
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], clock=lambda: now)
        for later in (0.0, 59.0, 2.0):
            now += later
            await resolver.mx("example.org")
    assert len(zone.asked) == 2


async def test_a_failure_is_remembered_for_a_moment() -> None:
    now = 1000.0
    zone = Zone(RECORDS)
    zone.codes["example.org"] = "REFUSED"
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], clock=lambda: now)
        for _ in range(2):
            with pytest.raises(Unavailable, match="REFUSED"):
                await resolver.mx("example.org")
        assert len(zone.asked) == 1
        del zone.codes["example.org"]
        now += 6
        assert (await resolver.mx("example.org")).records


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", "NOTAUTH"])
async def test_the_next_server_is_asked_when_one_fails(code: str) -> None:
    """MX-2."""
    bad, good = Zone(RECORDS), Zone(RECORDS)
    bad.codes["example.org"] = code
    async with Server(bad) as one, Server(good, "127.0.0.2") as two:
        servers = [("127.0.0.1", one.port), ("127.0.0.2", two.port), ("127.0.0.9", 1)]
        assert len((await Resolver(servers).mx("example.org")).records) == 2
    assert (len(bad.asked), len(good.asked)) == (1, 1)


async def test_a_server_that_lost_a_question_is_asked_once_more() -> None:
    zone = Zone(RECORDS)
    zone.lies["example.org"] = lambda response: b"" if len(zone.asked) == 1 else response
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], timeout=0.05, lifetime=20)
        assert len((await resolver.mx("example.org")).records) == 2
    assert len(zone.asked) == 2


async def test_a_server_without_edns_is_asked_without() -> None:
    zone = Zone(RECORDS)

    def old(response: dns.message.Message) -> dns.message.Message:
        asked_with = len(zone.asked) == 1
        if asked_with:
            response.use_edns(False)
            response.answer = []
            response.set_rcode(dns.rcode.FORMERR)
        return response

    zone.lies["example.org"] = old
    async with Server(zone) as server:
        assert len((await Resolver([("127.0.0.1", server.port)]).mx("example.org")).records) == 2


async def test_the_ad_bit_is_kept() -> None:
    """A name server of this host is believed, another only when that is configured."""
    zone = Zone(RECORDS)
    zone.authenticated.update(("example.org", "mail.example.org"))
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        for _ in range(2):
            assert (await resolver.mx("example.org")).authenticated
            assert (await resolver.mx("www.example.org")).authenticated
            assert not (await resolver.mx("null.example")).authenticated
            assert (await resolver.addresses("mail.example.org")).authenticated
            assert not (await resolver.addresses("four.example")).authenticated


@pytest.mark.parametrize(
    ("server", "trust_ad", "believed"),
    [
        ("127.0.0.53", False, True),
        ("::1", False, True),
        ("192.0.2.1", False, False),
        ("192.0.2.1", True, True),
    ],
)
async def test_whose_ad_bit_is_believed(
    server: str, trust_ad: bool, believed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(loop: object, at: object, query: dns.message.Message) -> dns.message.Message:
        assert query.flags & dns.flags.AD
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AD
        response.answer.append(Zone().rrset("example.org", "MX", ["10 mx.example.org"]))
        return response

    monkeypatch.setattr("mether.dns.exchange.ask", ask)
    found = await Resolver([(server, 53)], trust_ad=trust_ad).mx("example.org")
    assert found.authenticated is believed


async def test_an_alias_that_the_server_did_not_follow_is_asked_for() -> None:
    """MX-1."""
    zone = Zone(RECORDS)

    def cut(response: dns.message.Message) -> dns.message.Message:
        del response.answer[1:]
        return response

    zone.lies["www.example.org"] = cut
    async with Server(zone) as server:
        answer = await Resolver([("127.0.0.1", server.port)]).mx("www.example.org")
    assert (answer.name, len(answer.records)) == ("example.org", 2)
    assert zone.asked == [("www.example.org", "MX"), ("example.org", "MX")]


async def test_aliases_in_a_circle_are_trouble() -> None:
    """MX-1, MX-2: whether the server sends the circle whole or in pieces."""
    zone = Zone({"a.example": ["CNAME b.example"], "b.example": ["CNAME a.example"]})
    async with Server(zone) as server:
        with pytest.raises(Unavailable, match="lead nowhere"):
            await Resolver([("127.0.0.1", server.port)]).mx("a.example")

    def cut(response: dns.message.Message) -> dns.message.Message:
        del response.answer[1:]
        response.authority.clear()
        response.set_rcode(dns.rcode.NOERROR)
        return response

    zone.lies.update({"a.example": cut, "b.example": cut})
    zone.asked.clear()
    async with Server(zone) as server:
        with pytest.raises(Unavailable, match="lead nowhere"):
            await Resolver([("127.0.0.1", server.port)]).mx("a.example")
    assert len(zone.asked) <= 9


async def test_no_descriptor_is_left_to_ask_with() -> None:
    """That is our shortage: neither the DNS nor the domain has anything to do with it."""
    async with Server(Zone(RECORDS)) as server:
        resolver = Resolver([("127.0.0.1", server.port)])
        await resolver.mx("null.example")  # what is imported at first needs descriptors too
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken: list[int] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, hard))
            while True:
                try:
                    taken.append(os.dup(0))
                except OSError:
                    break
            with pytest.raises(Shortage, match=r"^asking the DNS: Too many open files$"):
                await resolver.mx("example.org")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in taken:
                os.close(fd)
        assert (await resolver.mx("example.org")).records  # and it is not remembered


async def test_a_question_that_nobody_waits_for_any_more_is_given_up() -> None:
    """It keeps no place from others."""
    zone = Zone(RECORDS)
    zone.silent.add("example.org")
    async with Server(zone) as server:
        resolver = Resolver([("127.0.0.1", server.port)], in_flight=1)
        asking = asyncio.ensure_future(resolver.mx("example.org"))
        while not zone.asked:
            await asyncio.sleep(0)
        asking.cancel()
        assert (await resolver.mx("null.example")).records
        zone.silent.clear()
        assert (await resolver.mx("example.org")).records
