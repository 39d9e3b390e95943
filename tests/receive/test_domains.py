"""What a client is told of the domains it names."""

from __future__ import annotations

import pytest
from clock import running, virtual

from mether.dns.answer import Addresses, Answer, NoSuchName, Shortage, Unavailable
from mether.dns.mx import DnsFailure
from mether.receive.domains import SECONDS, Domains, of_recipient, of_sender
from mether.reply import Reply
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
    return zone, Domains(Resolver(zone), lambda: 0.5, ourselves={"us.example"})


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
    """SEC-6, SEC-7: RFC 7505 section 4.1; what the DNS does not say now is never refused for good."""
    assert short(await domains()[1].sender(domain)) == reply


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("good.example", ""),
        ("host.example", ""),
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
    """MX-2, MX-4, MX-6: what would bounce is refused at once; in doubt it is taken."""
    assert short(await domains()[1].recipient(domain)) == reply


@virtual
async def test_nobody_waits_for_long() -> None:
    """SEC-6: a DNS that says nothing is temporary."""
    zone, asked = domains()
    zone.hold("good.example")
    assert short(await asked.sender("good.example")) == "451 4.1.8"
    assert running().time() == SECONDS
    assert await asked.recipient("good.example") is None
    assert running().time() == 2 * SECONDS


@virtual
async def test_our_own_shortage_is_temporary() -> None:
    """SEC-6."""

    class Short:
        async def mx(self, domain: str) -> Answer:
            raise Shortage("asking the DNS: Too many open files")

        async def addresses(self, host: str, *, search: bool = False) -> Addresses:
            raise Shortage("asking the DNS: Too many open files")

    asked = Domains(Short(), lambda: 0.5)
    assert short(await asked.sender("good.example")) == "451 4.3.2"
    assert await asked.recipient("good.example") is None


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
