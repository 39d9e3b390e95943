"""How many connections, how many claims, how soon: values in, values out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mether.relay.window import (
    ATTEMPT,
    BURST,
    FIRST,
    PATIENCE,
    SLOW,
    SOON,
    Limits,
    Meter,
    Rate,
    Window,
    patience,
    room,
)


def round_of(window: Window, now: float = 0.0) -> int:
    """Every connection does one message; how many there may be then."""
    for _ in range(window.size):
        window.succeeded(now)
    return window.size


def test_success_widens_it_up_to_the_limit() -> None:
    window = Window(20)
    assert [window.size, *(round_of(window) for _ in range(3))] == [FIRST, 2 * FIRST, 20, 20]


def test_the_limit_is_never_passed_from_the_start() -> None:
    assert Window(2).size == 2


def test_a_failure_leaves_a_probe_and_success_resumes_gradually() -> None:
    """QUE-4: one message, then 2, 4 ... and from half of what there was by one a round."""
    window = Window(40)
    for _ in range(100):
        window.succeeded(0.0)
    window.fail()
    assert (window.size, window.probing) == (1, True)
    sizes = [round_of(window) for _ in range(7)]
    assert sizes == [2, 4, 8, 16, 20, 21, 22]
    assert not window.probing


def test_failures_in_a_row_change_nothing_more() -> None:
    window = Window(20)
    for _ in range(3):
        window.fail()
    assert [round_of(window) for _ in range(4)] == [2, 4, 5, 6]


def test_a_failure_after_refusals_is_resumed_from_at_once() -> None:
    window = Window(20)
    window.shrink(1, now=100.0)
    window.fail()
    assert [round_of(window, 101.0) for _ in range(3)] == [2, 4, 5]


def test_a_refused_connection_is_not_asked_for_again_soon() -> None:
    """A server that takes only so many is left at that, and tried beyond it now and then."""
    window = Window(20)
    round_of(window)
    window.shrink(7, now=100.0)
    assert round_of(window, 100.0 + PATIENCE - 1) == 7
    assert round_of(window, 100.0 + PATIENCE) == 8
    assert round_of(window, 100.0 + PATIENCE) == 9


def test_another_limit() -> None:
    window = Window(20)
    round_of(window)
    window.limit(4)
    assert window.size == 4
    window.limit(40)
    assert [round_of(window) for _ in range(4)] == [8, 16, 32, 40]


@given(some.lists(some.sampled_from(["ok", "fail", "shrink", "limit"])), some.integers(1, 30))
def test_it_stays_within_its_bounds(events: list[str], most: int) -> None:
    window = Window(most)
    for at, what in enumerate(events):
        if what == "ok":
            window.succeeded(float(at * 7))
        elif what == "fail":
            window.fail()
        elif what == "shrink":
            window.shrink(at % 5, float(at * 7))
        else:
            window.limit(1 + at % 30)
        assert 1 <= window.size <= window.most


@given(some.floats(0.05, 2000), some.lists(some.floats(0, 3), min_size=1, max_size=60))
def test_a_rate_is_kept(rate: float, pauses: list[float]) -> None:
    """However the messages come, no stretch of time has more than the rate allows, but for a moment's
    worth."""
    bucket, now, went = Rate(rate), 0.0, []
    for pause in pauses:
        now += pause
        now += bucket.wait(now)
        bucket.take(now)
        went.append(now)
    for first, start in enumerate(went):
        for last, end in enumerate(went[first:], first):
            assert last - first + 1 <= rate * (end - start + BURST) + 1 + 1e-6


def test_a_rate_spaces_messages_evenly() -> None:
    bucket, went, now = Rate(2.0), [], 10.0
    for _ in range(4):
        now += bucket.wait(now)
        bucket.take(now)
        went.append(round(now - 10.0, 1))
    assert went == [0.0, 0.4, 0.9, 1.4]
    assert not bucket.rested(now)
    assert bucket.rested(now + 1)


def test_two_runners_share_the_limits() -> None:
    half = Limits(5, 100, 3.0).share(2)
    assert (half.connections, half.messages, half.rate) == (2, 100, 1.5)
    assert Limits(1).share(8).connections == 1
    assert Limits(7).share(1).connections == 7


def test_the_meter_forgets_what_is_older_than_two_seconds() -> None:
    meter = Meter()
    for tenth in range(20):
        meter.count(10.0 + tenth / 10)
    assert 10 <= meter.recent(12.0) <= 20
    assert meter.recent(12.95) <= 10
    assert meter.recent(14.5) == 0


@pytest.mark.parametrize(
    ("recent", "in_hand", "expected"), [(0, 0, 10), (0, 4, 6), (0, 30, 0), (400, 30, 380), (1, 0, 11)]
)
def test_room_is_what_can_be_used_soon(recent: int, in_hand: int, expected: int) -> None:
    """A slow next hop holds a handful of claims, and a fast one hundreds."""
    assert room(Window(20), recent, None, in_hand, 0.0) == expected


def test_a_probe_has_room_for_one() -> None:
    window = Window(20)
    window.fail()
    assert room(window, 400, None, 0, 0.0) == 1
    assert room(window, 400, None, 1, 0.0) == 0


def test_a_rate_leaves_little_room() -> None:
    assert room(Window(20), 0, Rate(0.1), 0, 0.0) == 1
    assert room(Window(20), 100, Rate(3.0), 0, 0.0) <= 3 * SOON + 2


def test_an_attempt_has_time_for_every_command_and_for_its_content() -> None:
    """TMO-1: the sum of the times that RFC 5321 gives each command is less than that of the whole."""
    assert patience(0, 1) > ATTEMPT >= 30 + 60 + 4 * 300 + 120 + 600 - 240
    assert patience(50 << 20, 1) > 3 * 3600
    assert patience(1000, 100) > patience(1000, 1)


def test_less_is_given_to_who_says_that_it_gets_too_much() -> None:
    """Half as many connections, once in a while however many messages are told so, and then slowly more."""
    window = Window(20)
    for _ in range(20):
        window.succeeded(0.0)
    for _ in range(8):
        window.slow(10.0)
    assert window.size == 10
    assert round_of(window, 10.0 + SLOW - 1) == 10
    window.slow(10.0 + SLOW)
    assert window.size == 5
    assert [round_of(window, 11.0 + 2 * SLOW) for _ in range(3)] == [6, 7, 8]


def test_one_connection_is_always_left() -> None:
    window = Window(20)
    for number in range(10):
        window.slow(number * SLOW)
    assert window.size == 1
