"""Rates: a burst of a minute's worth, then as many as time gives; a table of bounded size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.receive.rate import MINUTE, Bucket, Rates, network


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::ffff", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("", ""),
        ("unix:/run/a", "unix:/run/a"),
    ],
)
def test_a_client_is_an_address_or_a_64(address: str, counted: str) -> None:
    """SEC-5: rate limits; IPv6 by /64."""
    assert network(address) == counted


def test_a_burst_and_then_one_each_time() -> None:
    """SEC-5."""
    bucket = Bucket(6)
    assert [bucket.take("a", 100.0) for _ in range(7)] == [True] * 6 + [False]
    assert bucket.wait("a", 100.0) == pytest.approx(10)
    assert not bucket.take("a", 104.0)
    assert bucket.take("a", 110.0)
    assert not bucket.take("a", 110.0)
    assert bucket.take("b", 110.0), "another client has its own"
    assert [bucket.take("a", 300.0) for _ in range(7)] == [True] * 6 + [False]


def test_what_is_refused_is_not_counted() -> None:
    """A client that goes on trying is not locked out for longer."""
    bucket = Bucket(1)
    assert bucket.take("a", 0.0)
    assert not any(bucket.take("a", float(second)) for second in range(1, 59))
    assert bucket.take("a", 60.0)


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    bucket = Bucket(2)
    assert [bucket.take("a", 100_000.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take("a", 1000.0) for _ in range(3)] == [True, True, False]


def test_no_limit() -> None:
    bucket = Bucket(0)
    assert all(bucket.take("a", 0.0) for _ in range(1000))
    assert len(bucket) == 0
    assert bucket.wait("a", 0.0) == 0


def test_the_table_is_bounded_and_keeps_who_was_there_last() -> None:
    bucket = Bucket(1, remembered=3)
    for name in ("a", "b", "c"):
        assert bucket.take(name, 0.0)
    assert bucket.take("d", 0.0)
    assert len(bucket) == 3
    assert not bucket.take("c", 0.0)
    assert bucket.take("a", 0.0), "the one that was forgotten"


def test_the_three_are_counted_apart() -> None:
    rates = Rates(connections=1, messages=2)
    assert rates.connections.take("a", 0.0)
    assert rates.messages.take("a", 0.0)
    assert rates.recipients.take("a", 0.0)
    assert not rates.connections.take("a", 0.0)
    assert rates.messages.take("a", 0.0)


@given(st.integers(1, 2000), st.lists(st.floats(0, 5), max_size=300))
def test_never_more_than_two_minutes_worth_in_a_minute(limit: int, steps: list[float]) -> None:
    bucket, now = Bucket(limit), 0.0
    taken: list[float] = []
    for step in steps:
        now += step
        taken += [now for _ in range(limit // 10 + 1) if bucket.take("a", now)]
    for start in taken[:: max(1, len(taken) // 20)]:
        assert sum(start <= at < start + MINUTE for at in taken) <= 2 * limit + 1


@given(st.integers(1, 1000))
def test_a_full_burst_is_always_to_be_had(limit: int) -> None:
    """The sum of many steps is not exact; a client within its limit is never refused for that."""
    bucket = Bucket(limit)
    assert all(bucket.take("a", 1e6) for _ in range(limit))
    assert not bucket.take("a", 1e6)
