"""One rule: what it asks for, whom it is open to, and its next hop."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.outcome import Route
from mether.reply import Reply
from mether.routing import target
from mether.routing.match import Addresses, Logins
from mether.routing.networks import Networks
from mether.routing.request import Request
from mether.routing.rule import Rule


def request(**facts: str) -> Request:
    sender = facts.pop("sender", "")
    recipient = parse(facts.pop("recipient", "x@a.test"))
    return Request(recipient, sender=parse(sender) if sender else None, **facts)


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (Rule(["a.test"], "discard"), {}, {"recipient": "x@b.test"}),
        (Rule(["*"], "discard", senders=Addresses(["b.test"])), {"sender": "y@b.test"}, {}),
        (Rule(["*"], "discard", recipients=Addresses(["x@*"])), {}, {"recipient": "y@a.test"}),
        (Rule(["*"], "discard", clients=Networks(["192.0.2.0/24"])), {"client": "192.0.2.1"}, {}),
        (Rule(["*"], "discard", programs=True), {}, {"client": "192.0.2.1"}),
        (Rule(["*"], "discard", authenticated=True), {"login": "ann"}, {}),
        (Rule(["*"], "discard", authenticated=False), {}, {"login": "ann"}),
        (Rule(["*"], "discard", authenticated=Logins(["ann"])), {"login": "Ann"}, {"login": "bob"}),
        (Rule(["*"], "discard", authenticated=Logins(["*"])), {"login": "x"}, {}),
        (Rule(["*"], "discard", listeners=["inner"]), {"listener": "inner"}, {"listener": "outer"}),
    ],
)
def test_what_a_rule_takes(rule: Rule, yes: dict[str, str], no: dict[str, str]) -> None:
    assert rule.takes(request(**yes))
    assert not rule.takes(request(**no))


def test_clients_and_programs_are_either() -> None:
    rule = Rule(["*"], "discard", clients=Networks(["192.0.2.1"]), programs=True)
    assert rule.takes(request())
    assert rule.takes(request(client="192.0.2.1"))
    assert not rule.takes(request(client="192.0.2.2"))


@pytest.mark.parametrize(
    ("rule", "is_open"),
    [
        (Rule(["a.test"], "maildir", "/m"), True),
        (Rule(["a.test"], "lmtp", target.parse("unix:/l")), True),
        (Rule(["a.test"], "refuse", Reply(550, "5.7.1", "no")), True),
        (Rule(["a.test"], "forward", ("b@b.test",)), True),
        (Rule(["a.test"], "smtp"), False),
        (Rule(["a.test"], "smtp", target.parse("[h.test]")), False),
        (Rule(["a.test"], "smtp", opened=True), True),
        (Rule(["a.test"], "hold", "why"), False),
    ],
)
def test_whom_a_rule_is_open_to(rule: Rule, *, is_open: bool) -> None:
    """SEC-1: what is relayed is open only where its writer said so."""
    assert rule.open is is_open


def test_next_hops() -> None:
    assert Rule(["a.test"], "smtp").route("b.test") == Route("smtp", "b.test")
    assert Rule(["a.test"], "smtp", name="n", apart=True).route("b.test") == Route("smtp", "b.test", via="n")
    several = Rule(["*"], "smtp", target.Targets([target.parse("a:587"), target.parse("b:587")]))
    assert several.route("b.test") == Route("smtp", "a:587,b:587")
    assert Rule(["a.test"], "maildir", "/m").route("") == Route("maildir", "a.test")
    assert Rule(["a.test"], "discard").route("a.test") is None


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("mail", "is no action"),
        ("lmtp", "needs a target"),
        ("pipe", "needs what to deliver to"),
        ("hold", "reason"),
    ],
)
def test_what_makes_no_rule(action: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rule(["a.test"], action)


def test_plain_rules_have_no_globs() -> None:
    assert Rule(["a.test", ".b.test", "*"], "discard", senders=Addresses(["x@y.test", "z.test"])).plain
    assert not Rule(["a*.test"], "discard").plain
    assert not Rule(["*"], "discard", senders=Addresses(["x@*"])).plain
    assert not Rule(["*"], "discard", senders=Addresses(["a?.test"])).plain
    assert not Rule(["*"], "discard", authenticated=Logins(["a*"])).plain
