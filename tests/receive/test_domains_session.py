"""A session that asks the DNS about whom its client names."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from mail import heard
from places import Place

from mether.receive.domains import Domains
from mether.routing.source import Needs
from mether.testing.dns import Resolver, Zone

RECORDS = {
    "good.example": ["MX 10 mail.good.example"],
    "mail.good.example": ["A 192.0.2.1"],
    "null.example": ["MX 0 ."],
}


class Asked:
    """A client of a place that asks about domains, and the questions that wait."""

    def __init__(self, place: Place, from_: str = "192.0.2.1", **which: bool) -> None:
        self.zone = Zone(RECORDS)
        self.zone.codes["broken.example"] = "SERVFAIL"
        self.waiting: list[tuple[Needs, Callable[[], None]]] = []
        place.options["domains"] = Domains(
            lambda: Resolver(self.zone), lambda: 0.5, itertools.count().__next__, **which
        )
        place.options["learn"] = lambda need, done: self.waiting.append((need, done))
        self.client = place.client(from_)
        self.client.say("EHLO client.example")

    def answer(self) -> str:
        """Have what is needed found out; what the client is told then."""
        before = len(self.client.said)
        for need, done in self.waiting[:]:
            self.waiting.clear()
            asyncio.run(need.source.learn(need.key))
            done()
        return self.client.said[before:].decode()


@pytest.fixture
def senders(place: Place) -> Asked:
    return Asked(place, senders=True)


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("good.example", "250 2.1.0"),
        ("nowhere.example", "550 5.1.8"),
        ("null.example", "550 5.7.27"),
        ("broken.example", "451 4.1.8"),
    ],
)
def test_mail_is_answered_when_the_dns_has_answered(senders: Asked, domain: str, reply: str) -> None:
    """SEC-6, SEC-7."""
    assert senders.client.send(f"MAIL FROM:<ann@{domain}>\r\n".encode()) == ""
    with heard() as events:
        assert senders.answer().startswith(reply)
    assert [name for name, _ in events] == ([] if reply.startswith("250") else ["rejected"])
    next_reply = "250" if reply.startswith("250") else "503"
    assert senders.client.say("RCPT TO:<bob@example.com>")[0].startswith(next_reply)


def test_commands_sent_behind_it_wait(senders: Asked) -> None:
    """A group of commands (RFC 2920), of which the first has to be looked up."""
    group = b"MAIL FROM:<ann@good.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
    assert senders.client.send(group) == ""
    assert [line[:3] for line in senders.answer().splitlines()] == ["250", "250", "354"]


@pytest.mark.parametrize("path", ["<>", "<ann@[192.0.2.1]>"])
def test_what_has_no_domain_is_not_asked_about(senders: Asked, path: str) -> None:
    assert senders.client.say(f"MAIL FROM:{path}")[0].startswith("250")
    assert not senders.waiting


def test_who_may_relay_is_not_asked_about_senders(place: Place) -> None:
    asked = Asked(place, "127.0.0.1", senders=True)
    assert asked.client.say("MAIL FROM:<ann@nowhere.example>")[0].startswith("250")


def test_whose_connection_is_gone_hears_nothing(senders: Asked) -> None:
    senders.client.send(b"MAIL FROM:<ann@nowhere.example>\r\n")
    senders.client.end()
    with heard() as events:
        assert senders.answer() == ""
    assert events == []


@pytest.mark.parametrize(
    ("domain", "reply"),
    [
        ("good.example", "250 2.1.5"),
        ("nowhere.example", "550 5.1.2"),
        ("null.example", "556 5.1.10"),
        ("broken.example", "250 2.1.5"),
    ],
)
def test_rcpt_of_who_may_relay(place: Place, domain: str, reply: str) -> None:
    """MX-4: a null MX is refused at RCPT; SEC-6: in doubt the mail is taken."""
    asked = Asked(place, "127.0.0.1", recipients=True)
    asked.client.say("MAIL FROM:<ann@nowhere.example>")
    assert asked.client.send(f"RCPT TO:<bob@{domain}>\r\n".encode()) == ""
    assert asked.answer().startswith(reply)


def test_what_a_rule_takes_is_not_asked_about(place: Place) -> None:
    asked = Asked(place, "127.0.0.1", recipients=True)
    assert asked.client.say("MAIL FROM:<>", "RCPT TO:<bob@example.com>")[1].startswith("250")
    assert not asked.waiting


def test_nobody_asks_unless_told_to(place: Place) -> None:
    replies = place.client().say("EHLO x", "MAIL FROM:<ann@nowhere.example>", "RCPT TO:<bob@example.com>")
    assert [reply[:3] for reply in replies] == ["250", "250", "250"]
