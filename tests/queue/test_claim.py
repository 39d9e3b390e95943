"""What values around a claim decide: whether a next hop is blocked, which reports still tell of anyone."""

from __future__ import annotations

import pytest
from clock import T0
from mail import HOP, claim, draft

from mether.queue.claim import Decision, Hop, Settlement


@pytest.mark.parametrize(
    ("hop", "blocked"),
    [
        (Hop(HOP), False),
        (Hop(HOP, failures=1, not_before=T0), False),
        (Hop(HOP, failures=1, not_before=T0 + 1), True),
        (Hop(HOP, suspended="asked"), True),
        (Hop(HOP, suspended="asked", suspended_until=T0 + 1), True),
        (Hop(HOP, suspended="asked", suspended_until=T0), False),
        (Hop(HOP, suspended="asked", suspended_until=T0, not_before=T0 + 1), True),
    ],
)
def test_when_a_next_hop_is_not_to_be_tried(hop: Hop, blocked: bool) -> None:
    assert hop.blocked(T0) is blocked


def test_a_next_hop_that_only_backs_off_is_not_suspended() -> None:
    assert not Hop(HOP, failures=1, not_before=T0 + 1).suspended_at(T0)
    assert Hop(HOP, suspended="", suspended_until=T0 + 1).suspended_at(T0)
    assert not Hop(HOP, suspended="asked", suspended_until=T0).suspended_at(T0)


def settlement() -> Settlement:
    """Three recipients end, with a report on the first, one on the other two, and one on all."""
    made = claim("ann@example.net", "bob@example.net", "cat@example.net")
    decisions = [Decision(number, None, None) for number in range(3)]
    reports = [draft(), draft(), draft()]
    reports[0].tells, reports[1].tells = (0,), (1, 2)
    return Settlement(made, decisions, reports=reports)


@pytest.mark.parametrize(
    ("removed", "left"),
    [((), [0, 1, 2]), ((0,), [1, 2]), ((1,), [0, 1, 2]), ((1, 2), [0, 2]), ((0, 1, 2), [])],
)
def test_a_report_goes_when_all_that_it_tells_of_were_removed(
    removed: tuple[int, ...], left: list[int]
) -> None:
    """A report that names nobody (`tells` empty) tells of all that end here."""
    one = settlement()
    reports = list(one.reports)
    one.forgo(set(removed))
    assert list(one.reports) == [reports[number] for number in left]
