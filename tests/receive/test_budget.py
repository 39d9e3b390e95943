"""The memory budget: never more than its limit, and whole again when all is given back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mether.receive.budget import Budget


@given(st.integers(0, 1000), st.lists(st.integers(0, 400)))
def test_no_more_than_the_limit_is_ever_taken(limit: int, wanted: list[int]) -> None:
    budget = Budget(limit)
    taken = [octets for octets in wanted if budget.take(octets)]
    assert sum(taken) == budget.used <= limit
    for octets in taken:
        budget.give(octets)
    assert budget.used == 0


def test_it_can_be_used_to_the_last_octet() -> None:
    budget = Budget(10)
    assert budget.take(10)
    assert not budget.take(1)
    assert budget.used == 10
