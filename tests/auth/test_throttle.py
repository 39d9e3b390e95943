"""Failed logins slowed and limited per address (AUT-5)."""

from hypothesis import given
from hypothesis import strategies as st

from mether.auth.throttle import Throttle, network


def test_each_failure_waits_longer_up_to_a_limit():
    throttle = Throttle()
    assert [throttle.failed("192.0.2.1", 0) for _ in range(6)] == [1, 2, 4, 8, 8, 8]
    assert throttle.delay("192.0.2.2", 0) == 0


def test_at_the_limit_the_address_is_blocked_until_the_score_has_sunk():
    throttle = Throttle(limit=3, period=60)
    for _ in range(2):
        throttle.failed("192.0.2.1", 0)
        assert not throttle.blocked("192.0.2.1", 0)
    throttle.failed("192.0.2.1", 0)
    assert throttle.blocked("192.0.2.1", 0)
    assert throttle.blocked("192.0.2.1", 59)
    assert not throttle.blocked("192.0.2.1", 60)
    assert not throttle.blocked("192.0.2.2", 0)


def test_a_block_ends_however_often_it_was_tried():
    throttle = Throttle(limit=3, period=60)
    for _ in range(1000):
        throttle.failed("192.0.2.1", 0)
    assert not throttle.blocked("192.0.2.1", 121)


def test_a_success_takes_one_failure_away_and_no_more():
    throttle = Throttle()
    for _ in range(3):
        throttle.failed("192.0.2.1", 0)
    throttle.succeeded("192.0.2.1", 0)
    assert throttle.delay("192.0.2.1", 0) == 2
    throttle.succeeded("192.0.2.1", 0)
    throttle.succeeded("192.0.2.1", 0)
    throttle.succeeded("192.0.2.1", 0)
    assert len(throttle) == 0


def test_no_limit_is_no_block():
    throttle = Throttle(limit=0)
    for _ in range(5000):
        throttle.failed("192.0.2.1", 0)
    assert not throttle.blocked("192.0.2.1", 0)
    assert throttle.delay("192.0.2.1", 0) == 8


def test_an_ipv6_client_has_a_64():
    throttle = Throttle(limit=1)
    throttle.failed("2001:db8::1", 0)
    assert throttle.blocked("2001:db8::ffff:1:2:3", 0)
    assert not throttle.blocked("2001:db8:0:1::1", 0)
    assert network("::ffff:192.0.2.1") == "192.0.2.1"
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("unix:/run/x") == "unix:/run/x"


@given(st.lists(st.integers(0, 40)))
def test_the_table_has_an_end(addresses):
    throttle = Throttle(size=8)
    for now, address in enumerate(addresses):
        throttle.failed(f"192.0.2.{address}", now)
        assert len(throttle) <= 8
        assert throttle.delay(f"192.0.2.{address}", now) >= 1  # the last one is always remembered
