"""The index finds the rules that asking each of them in order would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from some_rules import REQUESTS, RULES

from mether.routing.index import REMEMBERED, Index
from mether.routing.match import Addresses
from mether.routing.request import Request
from mether.routing.rule import Rule


@given(RULES, st.lists(REQUESTS, min_size=1, max_size=4))
def test_it_finds_the_rules_that_take_a_request_in_order(rules: list[Rule], requests: list[Request]) -> None:
    index = Index(rules)
    for request in requests:
        found = list(index.meets(request, index.domain(request.domain)))
        assert found == [rule for rule in rules if rule.takes(request)]


def test_what_is_remembered_is_bounded() -> None:
    rules = [Rule(["mx*.test"], "discard", senders=Addresses(["news*@x.test"]))]
    index = Index(rules)
    for number in range(2 * REMEMBERED):
        index.domain(f"mx{number}.test")
    assert len(index._domain._known) <= REMEMBERED
