"""When to try again: pure functions, held against what a schedule must promise."""

from __future__ import annotations

from typing import Any

import pytest
from clock import T0
from hypothesis import given
from hypothesis import strategies as st
from mail import DAY, HOP, message

from mether.content.classify import KINDS
from mether.queue.claim import Hop
from mether.runner import schedule
from mether.runner.schedule import Retry

PART = st.floats(0, 1)
TRIES = st.integers(1, 1000)
RETRY = Retry()


@given(TRIES, PART, PART, st.floats(1, 1e6))
def test_an_interval_is_within_the_jitter(tries: int, random: float, jitter: float, base: float) -> None:
    interval = Retry([base], jitter).interval(tries, random)
    assert base * (1 - jitter) * 0.999 <= interval <= base * (1 + jitter) * 1.001


@given(TRIES)
def test_intervals_grow(tries: int) -> None:
    """RFC 5321 section 4.5.4.1: the longer it lasts, the less often it is tried."""
    assert RETRY.interval(tries + 1, 0.5) >= RETRY.interval(tries, 0.5)


def test_the_first_tries_come_early_and_the_last_interval_repeats() -> None:
    assert [RETRY.interval(n, 0.5) for n in range(1, 10)] == [
        60,
        300,
        900,
        1800,
        3600,
        7200,
        14400,
        14400,
        14400,
    ]


def test_a_default_message_waits_five_days() -> None:
    """RFC 5321 section 4.5.4.1: at least 4-5 days."""
    assert RETRY.lifetime == 5 * 86400


@given(TRIES, PART, st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_no_retry_after_expiry_and_none_in_the_past(
    tries: int, random: float, age: float, left: float
) -> None:
    now, expires = T0 + age, T0 + age + left
    at = schedule.retry_at(RETRY, tries, now, expires, random)
    assert at >= now
    assert at <= max(expires, now)
    assert at <= now + RETRY.interval(tries, random)


@given(st.lists(st.floats(1, 9 * DAY), unique=True, max_size=4).map(sorted), st.floats(0, 6 * DAY), PART)
def test_the_next_warning_is_later_and_comes_before_the_return(
    ages: list[float], age: float, release: float
) -> None:
    """DSN-6: the same times as when it was queued."""
    one, retry = message(), Retry(warn=ages)
    one.release_at = T0 + release * DAY
    now = one.release_at + age
    at = schedule.warn_at(retry, one, now)
    left = [one.release_at + each for each in ages if now < one.release_at + each < one.expires]
    assert at == (left[0] if left else None)
    assert schedule.warn_at(Retry(), one, now) is None


@given(st.integers(0, 50), PART)
def test_a_failed_host_is_left_alone_longer_each_time(failures: int, random: float) -> None:
    hop = Hop(HOP, failures=failures, not_before=T0 - 1, last="451 before")
    failed = schedule.failed_hop(RETRY, hop, "451 4.4.1 no answer", T0, random)
    assert failed is not None
    assert failed.failures == failures + 1
    assert failed.last == "451 4.4.1 no answer"
    assert failed.not_before == T0 + RETRY.interval(failures + 1, random)
    assert failed.blocked(T0)


def test_a_burst_of_failures_counts_once() -> None:
    """Twenty connections that are lost at the same time are one failure of the host."""
    hop = Hop(HOP)
    for second in range(20):
        hop = schedule.failed_hop(RETRY, hop, "451 4.4.2 lost", T0 + second, 0.5) or hop
    assert (hop.failures, hop.not_before) == (1, T0 + 60)


def test_a_host_that_answers_is_as_good_as_new() -> None:
    hop = schedule.recovered_hop(Hop(HOP, failures=4, not_before=T0, last="451 x"))
    assert hop is not None
    assert (hop.failures, hop.not_before, hop.last) == (0, 0.0, "")
    assert schedule.recovered_hop(Hop(HOP)) is None, "nothing to write"


@pytest.mark.parametrize("until", [None, T0 - 5])
def test_a_suspension_is_kept_whatever_the_host_does(until: float | None) -> None:
    hop = Hop(HOP, failures=1, not_before=T0 - 1, suspended="maintenance", suspended_until=until)
    recovered = schedule.recovered_hop(hop)
    assert recovered is not None
    assert (recovered.suspended, recovered.suspended_until) == ("maintenance", until)
    if until is not None:
        failed = schedule.failed_hop(RETRY, hop, "451 x", T0, 0.5)
        assert failed is not None
        assert (failed.suspended, failed.suspended_until) == ("maintenance", until)


@given(PART, PART)
def test_greylisting_is_tried_again_when_its_time_is_over(random: float, jitter: float) -> None:
    """Never before, by chance: that would be refused again, and the wait after it is longer."""
    retry = Retry(jitter=jitter, greylisted=300)
    assert 300 <= retry.interval(1, random, "greylisted") <= 600
    assert retry.interval(2, random, "greylisted") == retry.interval(2, random)


@given(TRIES, PART)
def test_a_full_mailbox_is_tried_less_often_than_others(tries: int, random: float) -> None:
    retry = Retry(mailbox_full=7200)
    assert (
        retry.interval(tries, random, "mailbox full")
        >= max(7200 * 0.8, retry.interval(tries, random)) * 0.999
    )


@given(TRIES, PART, st.sampled_from([*KINDS, None]))
def test_nothing_waits_for_longer_than_the_longest_wait(tries: int, random: float, kind: Any) -> None:
    retry = Retry(greylisted=50000, mailbox_full=90000)
    assert retry.interval(tries, random, kind) <= schedule.longest(retry)
