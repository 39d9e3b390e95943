"""What a client is told of the domains it names."""

from __future__ import annotations

import asyncio

import pytest
from clock import running, virtual

from mether.dns import answer as answers
from mether.dns.answer import Addresses, Answer, NoSuchName, Shortage, Unavailable
from mether.dns.mx import DnsFailure
from mether.receive.domains import IN_FLIGHT, KEPT, REMEMBERED, SECONDS, Domains, of_recipient, of_sender
from mether.reply import Reply
from mether.routing.source import Needs, awaited
from mether.testing.dns import Resolver, Zone

RECORDS = {
    "good.example": ["MX 10 mail.good.example"],
    "mail.good.example": ["A 192.0.2.1"],
    "host.example": ["AAAA 2001:db8::1"],
    "null.example": ["MX 0 ."],
    "odd.example": ["MX 0 .", "MX 10 mail.good.example"],
    "empty.example": ["TXT x"],
    "loop.example": ["MX 10 us.example"],
    "us.example": ["A 192.0.2.9"],
    "inside.example": ["A 127.0.0.1"],
    "xn--bcher-kva.example": ["A 192.0.2.8"],
}


def domains() -> tuple[Zone, Domains]:
    zone = Zone(RECORDS)
    zone.codes["broken.example"] = "SERVFAIL"
    return zone, made(Resolver(zone))


def made(resolver: answers.Resolver) -> Domains:
    return Domains(
        lambda: resolver,
        lambda: 0.5,
        running().time,
        senders=True,
        recipients=True,
        ourselves={"us.example"},
        in_hosts={"inhosts.example"}.__contains__,
    )


async def sender(asked: Domains, domain: str) -> Reply | None:
    return await awaited(lambda: asked.sender(domain))


async def recipient(asked: Domains, domain: str) -> Reply | None:
    return await awaited(lambda: asked.recipient(domain))


def short(reply: Reply | None) -> str:
    return "" if reply is None else f"{reply.code} {reply.status}"


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("good.example", ""),
        ("host.example", ""),
        ("odd.example", ""),
        ("inside.example", ""),
        ("Bücher.example", ""),
        ("[192.0.2.1]", ""),
        ("", ""),
        ("nowhere.example", "550 5.1.8"),
        ("empty.example", "550 5.1.8"),
        ("null.example", "550 5.7.27"),
        ("broken.example", "451 4.1.8"),
    ],
)
@virtual
async def test_a_senders_domain(domain: str, reply: str) -> None:
    """SEC-6, SEC-7, ENH-7, ENH-29: RFC 7505 section 4.1; what the DNS does not say now is refused for now."""
    assert short(await sender(domains()[1], domain)) == reply


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("good.example", ""),
        ("host.example", ""),
        ("inhosts.example", ""),
        ("[192.0.2.1]", ""),
        ("nowhere.example", "550 5.1.2"),
        ("null.example", "556 5.1.10"),
        ("empty.example", "550 5.4.4"),
        ("loop.example", "554 5.4.6"),
        ("inside.example", "550 5.4.4"),
        ("broken.example", ""),
    ],
)
@virtual
async def test_a_recipients_domain(domain: str, reply: str) -> None:
    """MX-2, MX-4, MX-6, ENH-4, ENH-6, ENH-14: what would bounce is refused at once; in doubt it is taken."""
    assert short(await recipient(domains()[1], domain)) == reply


@virtual
async def test_nobody_waits_for_long() -> None:
    """SEC-6: a DNS that says nothing is temporary."""
    zone, asked = domains()
    zone.hold("good.example")
    assert short(await sender(asked, "good.example")) == "451 4.1.8"
    assert running().time() == SECONDS
    assert await recipient(asked, "good.example") is None
    assert running().time() == 2 * SECONDS


@virtual
async def test_our_own_shortage_is_temporary() -> None:
    """SEC-6."""

    class Short:
        async def mx(self, domain: str) -> Answer:
            raise Shortage("asking the DNS: Too many open files")

        async def addresses(self, host: str, *, search: bool = False) -> Addresses:
            raise Shortage("asking the DNS: Too many open files")

    asked = made(Short())
    assert short(await sender(asked, "good.example")) == "451 4.3.2"
    assert await recipient(asked, "good.example") is None


def test_the_words() -> None:
    assert str(of_sender("a.example", NoSuchName("a.example"))) == (
        "550 5.1.8 the sender's domain a.example does not exist"
    )
    assert str(of_sender("a.example", Unavailable("x"))) == (
        "451 4.1.8 the DNS has no answer about the sender's domain a.example now"
    )
    assert str(of_sender("a.example", Answer("a.example", [(0, "")]))) == (
        "550 5.7.27 the sender's domain a.example takes no mail (null MX), not even replies"
    )
    assert of_sender("a.example", Answer("a.example"), has_address=True) is None
    assert of_recipient(None) is None
    assert of_recipient(DnsFailure(Reply(451, "4.4.3", "x"))) is None
    assert of_recipient(DnsFailure(Reply(550, "5.1.2", "x"))) == Reply(550, "5.1.2", "x")


@virtual
async def test_what_was_asked_lately_is_known_at_once() -> None:
    _, asked = domains()
    assert short(await sender(asked, "null.example")) == "550 5.7.27"
    assert short(asked.sender("NULL.example")) == "550 5.7.27"
    with pytest.raises(Needs):
        asked.recipient("null.example")  # another question
    await asyncio.sleep(KEPT)
    with pytest.raises(Needs):
        asked.sender("null.example")


@virtual
async def test_not_too_much_is_remembered() -> None:
    _, asked = domains()
    with pytest.raises(Needs) as caught:
        asked.sender("a.example")
    source = caught.value.source
    for number in range(REMEMBERED + 5):
        await source.learn(f"d{number}.example")
    assert len(source._known) == REMEMBERED  # type: ignore[attr-defined]
    with pytest.raises(Needs):
        asked.sender("d0.example")
    assert source.get("d9.example") is None


@virtual
async def test_who_does_not_want_to_know_is_told_nothing() -> None:
    silent = Domains(lambda: Resolver(Zone()), lambda: 0.5, running().time)
    assert silent.sender("nowhere.example") is None
    assert silent.recipient("nowhere.example") is None


@virtual
async def test_sessions_do_not_ask_too_much_at_a_time() -> None:
    """So that the relay can still ask; who finds no place is told what a silent DNS would tell."""
    zone, asked = domains()
    names = [f"d{number}.example" for number in range(IN_FLIGHT + 5)]
    for name in names:
        zone.hold(name)
    replies = await asyncio.gather(*(sender(asked, name) for name in names))
    assert {short(reply) for reply in replies} == {"451 4.1.8"}
    assert len(zone.asked) == IN_FLIGHT
