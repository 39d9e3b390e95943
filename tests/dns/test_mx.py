"""Which hosts get the mail for a domain, in which order, and what is said when there is none."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.dns import mx
from mether.dns.answer import Addresses, Answer, Shortage
from mether.dns.mx import Candidate, DnsFailure
from mether.testing.dns import Resolver, Zone


def lookup(
    domain: str, records: dict[str, list[str]], *, broken: tuple[str, ...] = (), **options: object
) -> list[Candidate]:
    zone = Zone(records)
    zone.codes.update(dict.fromkeys(broken, "SERVFAIL"))
    return asyncio.run(mx.lookup(domain, Resolver(zone), lambda: 0.5, **options))  # type: ignore[arg-type]


def failure(domain: str, records: dict[str, list[str]], **options: object) -> str:
    with pytest.raises(DnsFailure) as caught:
        lookup(domain, records, **options)  # type: ignore[arg-type]
    assert caught.value.permanent == (caught.value.reply.code >= 500)
    return f"{caught.value.reply.code} {caught.value.reply.status}"


TWO = {
    "example.org": ["MX 20 b.example.org", "MX 10 a.example.org", "A 192.0.2.99"],
    "a.example.org": ["A 192.0.2.1"],
    "b.example.org": ["A 192.0.2.2", "AAAA 2001:db8::2"],
}


def test_hosts_come_by_preference() -> None:
    """MX-1, MX-5, MX-9: best first, all addresses in the resolver's order."""
    assert lookup("example.org", TWO) == [
        Candidate("a.example.org", ["192.0.2.1"], 10),
        Candidate("b.example.org", ["2001:db8::2", "192.0.2.2"], 20),
    ]


def test_an_alias_is_followed_and_its_target_asked() -> None:
    """MX-1."""
    records = {**TWO, "www.example.org": ["CNAME example.org"]}
    assert [one.host for one in lookup("www.example.org", records)] == ["a.example.org", "b.example.org"]


def test_an_alias_to_a_name_without_mx() -> None:
    """MX-1, MX-2: the implicit MX is that of the target."""
    records = {"x.example": ["CNAME y.example"], "y.example": ["A 192.0.2.7"]}
    assert lookup("x.example", records) == [Candidate("y.example", ["192.0.2.7"])]


def test_no_such_domain_is_for_good() -> None:
    """MX-2."""
    assert failure("nowhere.example", {}) == "550 5.1.2"


def test_a_silent_dns_is_not() -> None:
    """MX-2, ENH-14."""
    assert failure("example.org", TWO, broken=("example.org",)) == "451 4.4.3"


def test_without_mx_the_domain_is_its_own_host() -> None:
    """MX-2."""
    assert lookup("example.org", {"example.org": ["A 192.0.2.9"]}) == [
        Candidate("example.org", ["192.0.2.9"])
    ]


def test_neither_mx_nor_address() -> None:
    """MX-2, MX-3, ENH-14."""
    assert failure("example.org", {"example.org": ["TXT x"]}) == "550 5.4.4"


def test_with_an_mx_the_domains_own_address_is_never_used() -> None:
    """MX-3."""
    records = {"example.org": ["MX 10 gone.example.org", "A 192.0.2.9"]}
    assert failure("example.org", records) == "550 5.4.4"


def test_null_mx() -> None:
    """MX-4, ENH-6."""
    assert failure("example.org", {"example.org": ["MX 0 .", "A 192.0.2.9"]}) == "556 5.1.10"


def test_null_mx_beside_others_says_nothing() -> None:
    """MX-4: RFC 7505 section 3."""
    records = {**TWO, "example.org": ["MX 0 .", "MX 10 a.example.org"]}
    assert [one.host for one in lookup("example.org", records)] == ["a.example.org"]


def test_equals_are_shuffled() -> None:
    """MX-5."""
    answer = Answer("example.org", [(10, "a"), (10, "b"), (5, "c")])
    draws = iter([0.9, 0.1, 0.5])
    assert mx.order("example.org", answer, lambda: next(draws)) == [(5, "c"), (10, "b"), (10, "a")]


def test_a_limit_on_hosts() -> None:
    """MX-5."""
    assert len(lookup("example.org", TWO, limit=1)) == 1


def test_ourselves_and_all_no_better_are_dropped() -> None:
    """MX-6: by name."""
    assert [one.host for one in lookup("example.org", TWO, ourselves={"b.example.org"})] == ["a.example.org"]
    assert failure("example.org", TWO, ourselves={"a.example.org"}) == "554 5.4.6"


def test_ourselves_by_address() -> None:
    """MX-6: under whatever name."""
    assert [one.host for one in lookup("example.org", TWO, own_addresses={"192.0.2.2"})] == ["a.example.org"]
    assert failure("example.org", TWO, own_addresses={"192.0.2.1"}) == "554 5.4.6"
    assert failure("x.example", {"x.example": ["A 192.0.2.1"]}, own_addresses={"192.0.2.1"}) == "554 5.4.6"


def test_an_mx_that_is_an_alias_is_followed() -> None:
    """MX-7."""
    records = {**TWO, "example.org": ["MX 1 alias.example.org"], "alias.example.org": ["CNAME a.example.org"]}
    assert lookup("example.org", records) == [Candidate("alias.example.org", ["192.0.2.1"], 1)]


def test_an_mx_that_is_an_ip_address_is_ignored() -> None:
    """MX-7."""
    records = {**TWO, "example.org": ["MX 1 192.0.2.200", "MX 10 a.example.org"]}
    assert [one.host for one in lookup("example.org", records)] == ["a.example.org"]
    assert failure("example.org", {"example.org": ["MX 1 192.0.2.200"]}) == "550 5.4.4"


@pytest.mark.parametrize(
    ("literal", "ip"), [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")]
)
def test_an_address_literal_is_not_looked_up(literal: str, ip: str) -> None:
    """MX-8."""
    zone = Zone()
    assert asyncio.run(mx.lookup(literal, Resolver(zone), lambda: 0.5)) == [Candidate(ip, [ip])]
    assert zone.asked == []


def test_our_own_address_literal_is_a_loop() -> None:
    """MX-6, MX-8."""
    assert failure("[192.0.2.1]", {}, own_addresses={"192.0.2.1"}) == "554 5.4.6"


def test_trouble_with_one_host_leaves_the_other() -> None:
    """MX-2, MX-9."""
    assert [one.host for one in lookup("example.org", TWO, broken=("a.example.org",))] == ["b.example.org"]
    assert failure("example.org", TWO, broken=("a.example.org", "b.example.org")) == "451 4.4.3"


def test_an_address_that_means_this_host_is_no_address() -> None:
    assert failure("x.example", {"x.example": ["A 0.0.0.0"]}) == "550 5.4.4"


def test_u_labels_are_asked_as_a_labels() -> None:
    """EAI-3."""
    zone = Zone({"xn--bcher-kva.example": ["A 192.0.2.1"]})
    asyncio.run(mx.lookup("Bücher.example", Resolver(zone), lambda: 0.5))
    assert {name for name, _ in zone.asked} == {"xn--bcher-kva.example"}


RECORDS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b", "c", "me", "d.", "1.2.3.4"])))


@given(RECORDS, st.randoms(use_true_random=False))
def test_order_promises(records: list[tuple[int, str]], random: object) -> None:
    """MX-5, MX-6: sorted, no host twice, none at or below our own preference, never ourselves."""
    try:
        hosts = mx.order("x", Answer("x", records), random.random, {"me"})  # type: ignore[attr-defined]
    except DnsFailure:
        hosts = []
    mine = [preference for preference, host in records if host == "me"]
    assert hosts or not any(host in "abc" and p < min(mine, default=9) for p, host in records)
    assert [one[0] for one in hosts] == sorted(one[0] for one in hosts)
    assert len({one[1] for one in hosts}) == len(hosts)
    assert all(preference < min(mine, default=9) for preference, _ in hosts)
    assert not {"me", "1.2.3.4", ""} & {host for _, host in hosts}


def direct(host: str, zone: Zone, in_hosts: dict[str, tuple[str, ...]] | None = None) -> Candidate:
    return asyncio.run(mx.direct(host, Resolver(zone), lambda name: (in_hosts or {}).get(name, ())))


def test_a_host_that_is_connected_to_whatever_its_mx() -> None:
    zone = Zone({"mailhub": ["A 192.0.2.5", "MX 1 other"]})
    assert direct("mailhub", zone) == Candidate("mailhub", ["192.0.2.5"])
    assert ("mailhub", "MX") not in zone.asked


def test_the_hosts_file_goes_before_the_dns() -> None:
    zone = Zone()
    assert direct("mail.example", zone, {"mail.example": ("10.0.0.1",)}) == Candidate(
        "mail.example", ["10.0.0.1"]
    )
    assert direct("::1", zone) == Candidate("::1", ["::1"])
    assert zone.asked == []


@pytest.mark.parametrize(
    ("host", "reply"), [("nowhere", "550 5.1.2"), ("empty", "550 5.4.4"), ("broken", "451 4.4.3")]
)
def test_a_host_that_cannot_be_found(host: str, reply: str) -> None:
    zone = Zone({"empty": ["TXT x"]})
    zone.codes["broken"] = "SERVFAIL"
    with pytest.raises(DnsFailure) as caught:
        direct(host, zone)
    assert f"{caught.value.reply.code} {caught.value.reply.status}" == reply


def why(domain: str, records: dict[str, list[str]], **options: object) -> str:
    with pytest.raises(DnsFailure) as caught:
        lookup(domain, records, **options)  # type: ignore[arg-type]
    return str(caught.value.reply)


LOCAL = {
    "example.org": ["MX 10 a.example.org", "MX 20 b.example.org"],
    "a.example.org": ["A 127.0.0.1", "A 0.0.0.0", "AAAA ::1"],
    "b.example.org": ["A 10.0.0.1"],
}


def test_an_mx_may_not_point_at_this_host() -> None:
    """MX-7: nor anywhere that is forbidden."""
    assert lookup("example.org", LOCAL) == [Candidate("b.example.org", ["10.0.0.1"], 20)]
    assert lookup("example.org", LOCAL, level="allow")[0] == Candidate(
        "a.example.org", ["::1", "127.0.0.1"], 10
    )
    assert why("example.org", LOCAL, level="refuse") == (
        "550 5.4.4 no mail exchanger of example.org has an address to connect to: "
        "10.0.0.1 is an address of a private network"
    )
    assert why("a.example.org", LOCAL) == (
        "550 5.4.4 a.example.org has none to connect to: 0.0.0.0 means this host"
    )


def test_what_is_ours_is_a_loop_before_it_is_forbidden() -> None:
    """MX-6."""
    assert failure("example.org", LOCAL, own_addresses={"127.0.0.1"}) == "554 5.4.6"


def test_candidates_know_whether_they_are_authenticated() -> None:
    zone = Zone(TWO)
    zone.authenticated.update(("example.org", "a.example.org"))
    found = asyncio.run(mx.lookup("example.org", Resolver(zone), lambda: 0.5))
    assert [one.authenticated for one in found] == [True, False]


def test_our_own_shortage_is_none_of_the_domains() -> None:
    """A look-up without a descriptor is neither silence nor an answer."""

    class Short:
        async def mx(self, domain: str) -> Answer:
            raise Shortage("asking the DNS: Too many open files")

        async def addresses(self, host: str, *, search: bool = False) -> Addresses:
            raise Shortage("asking the DNS: Too many open files")

    for question in (
        mx.lookup("example.org", Short(), lambda: 0.5),
        mx.direct("example.org", Short(), lambda name: ()),
    ):
        with pytest.raises(DnsFailure) as caught:
            asyncio.run(question)
        assert caught.value.short
        assert str(caught.value.reply) == "451 4.3.2 asking the DNS: Too many open files"
