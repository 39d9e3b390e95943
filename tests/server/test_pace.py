"""A client that drips is told from one that is merely slow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.server.pace import SLOW, Pace, too_slow


@pytest.mark.parametrize(
    ("octets", "seconds", "slow"),
    [
        (0, 0, False),
        (0, 59.9, False),
        (0, 60, True),
        (959, 60, True),
        (960, 60, False),
        (960, 61, True),
        (10**6, 3600, False),
    ],
)
def test_below_the_minimum_after_the_grace(octets: int, seconds: float, slow: bool) -> None:
    assert too_slow(octets, seconds, 16) is slow


def test_no_minimum_is_never_too_slow() -> None:
    assert not too_slow(0, 1e9, 0)
    assert not Pace(0).slow(1e9, 0)


def test_octets_sent_early_buy_no_dripping_later() -> None:
    pace = Pace(16)
    pace.begin(1000.0, 50)
    assert not pace.slow(1059.0, 50)
    assert not pace.slow(1060.0, 50 + 10_000_000)
    assert not pace.slow(1119.0, 50 + 10_000_000)
    assert pace.slow(1120.0, 60 + 10_000_000)


def test_a_pause_of_ours_is_not_the_clients() -> None:
    """The time in which we did not read does not count."""
    pace = Pace(16)
    pace.begin(0.0, 0)
    pace.begin(500.0, 0)
    assert not pace.slow(520.0, 0)


def test_what_it_is_told() -> None:
    """TMO: 421 4.4.2."""
    assert SLOW.encode().startswith(b"421 4.4.2 ")


@given(st.integers(17, 1000), st.lists(st.floats(0.1, 200), min_size=1, max_size=50))
def test_whoever_keeps_to_the_minimum_is_never_cut(rate: int, steps: list[float]) -> None:
    """TMO-1: a large message at a low but steady rate takes as long as it takes."""
    pace, now, sent = Pace(16), 0.0, 0
    pace.begin(now, sent)
    for step in steps:
        now += step
        sent = -int(-now * rate)  # rounded down, as octets are
        assert not pace.slow(now, sent + 1)
