"""Rules that can never take mail are found; none is said to be one that could."""

from __future__ import annotations

import pytest
from hypothesis import given
from some_rules import REQUESTS, RULES, TABLE

from mether.routing.cover import covered
from mether.routing.match import Addresses, Logins
from mether.routing.networks import Networks
from mether.routing.request import Request
from mether.routing.rule import Rule


def rule(domains: list[object] | None = None, action: str = "discard", **asks: object) -> Rule:
    return Rule(domains or ["*"], action, "why" if action == "hold" else None, **asks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (rule(), rule(["a.test"])),
        (rule([".test"]), rule(["a.test", ".b.test", "mx*.test"])),
        (rule([TABLE, "a.test"]), rule([TABLE])),
        (rule(senders=Addresses(["@a.test"])), rule(senders=Addresses(["ann@a.test", "b*@a.test"]))),
        (rule(senders=Addresses(["news-*@*"])), rule(senders=Addresses(["news-1@*.a.test"]))),
        (rule(recipients=Addresses(["*"])), rule(["a.test"])),
        (rule(clients=Networks(["192.0.2.0/24"]), programs=True), rule(clients=Networks(["192.0.2.7"]))),
        (rule(authenticated=True), rule(authenticated=Logins(["ann"]))),
        (rule(authenticated=Logins(["a*"])), rule(authenticated=Logins(["ann"]))),
        (rule(listeners=["x", "y"]), rule(listeners=["y"], senders=Addresses(["<>"]))),
    ],
)
def test_an_earlier_one_takes_all(earlier: Rule, later: Rule) -> None:
    found = list(covered([earlier, later]))
    assert [(one.rule, list(one.by), one.domain) for one in found] == [(later, [earlier], "")]
    assert not list(covered([later, earlier]))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (rule(["a.test"]), rule([".a.test"])),
        (rule(action="hold"), rule()),
        (rule([TABLE]), rule(["b.test"])),
        (rule(senders=Addresses(["*@*"])), rule(senders=Addresses(["<>"]))),
        (rule(senders=Addresses(["ann@a.test"])), rule(senders=Addresses(["a.test"]))),
        (rule(clients=Networks(["192.0.2.0/24"])), rule(programs=True)),
        (rule(authenticated=False), rule()),
        (rule(listeners=["x"]), rule()),
    ],
)
def test_what_it_does_not_take_gets_there(earlier: Rule, later: Rule) -> None:
    assert not list(covered([earlier, later]))


def test_for_some_of_its_domains() -> None:
    first, later = rule(["a.test"]), rule(["a.test", "b.test"])
    found = list(covered([first, later]))
    assert [(one.rule, list(one.by), one.domain) for one in found] == [(later, [first], "a.test")]
    second = rule(["b.test"])
    assert [list(one.by) for one in covered([first, second, later])] == [[first, second]]


def test_recipients_in_other_domains() -> None:
    odd = rule(["a.test"], recipients=Addresses(["ann@b.test"]))
    assert [(one.rule, list(one.by)) for one in covered([odd])] == [(odd, [])]
    assert not list(covered([rule(["a.test"], recipients=Addresses(["ann@a.test", "abuse@*"]))]))


@given(RULES, REQUESTS)
def test_no_rule_that_takes_mail_is_said_to_be_covered(rules: list[Rule], request: Request) -> None:
    taker = next((one for one in rules if one.takes(request)), None)
    for one in covered(rules):
        assert one.rule is not taker or (one.domain and not rule([one.domain]).takes(request))
