"""In which order claims wait."""

from __future__ import annotations

from mail import claim

from mether.queue.claim import Claim
from mether.relay.line import Line


def waiting(priority: int = 0, token: int = 1) -> Claim:
    one = claim()
    one.message.envelope.priority = priority
    one.token = token
    return one


def test_by_priority_and_then_as_they_came() -> None:
    """EXT-3: RFC 6710 section 5."""
    line = Line()
    claims = [waiting(priority) for priority in (0, -4, 9, 0, 5, 9)]
    for one in claims:
        line.add(one)
    assert len(line) == 6
    assert [claims.index(line.popleft()) for _ in range(6)] == [2, 5, 4, 0, 3, 1]
    assert not line


def test_one_that_was_taken_goes_before_its_like() -> None:
    line = Line()
    first, second, urgent = waiting(), waiting(), waiting(3)
    line.add(second)
    line.add(urgent)
    line.back(first)
    assert line.take_all() == [urgent, first, second]


def test_withdrawn_ones_are_taken_out() -> None:
    line = Line()
    claims = [waiting(token=token) for token in (1, 2, 3, 2)]
    for one in claims:
        line.add(one)
    assert line.withdraw({2, 9}) == [claims[1], claims[3]]
    assert line.withdraw({2}) == []
    assert line.take_all() == [claims[0], claims[2]]
