"""What a queued message says of itself: when it is due in any case, and how it stands."""

from __future__ import annotations

import pytest
from clock import T0
from hypothesis import given
from hypothesis import strategies as st
from mail import HOP, address, message

from mether.envelope import By, Envelope, Recipient
from mether.outcome import Outcome
from mether.queue.message import Entry, Row, next_warning
from mether.reply import Reply

DAY = 86400.0


def entry(*, attempts: int = 0, owner: int | None = None, hold: str | None = None) -> Entry:
    """An entry of two recipients, of whom the second is as given."""
    made = message("ann@example.net", "bob@example.net")
    made.hold = hold
    ann, bob = made.envelope.recipients
    return Entry(made, [Row(0, ann, HOP), Row(1, bob, HOP, attempts=attempts, owner=owner)])


def test_it_is_due_when_its_sender_is_to_be_warned_and_else_when_its_time_is_over() -> None:
    made = message()
    assert made.deadline == made.expires
    made.warn_at = T0 + DAY
    assert made.deadline == T0 + DAY
    assert made.deadline_of(warned=True) == made.expires
    made.warn_at = made.expires + DAY
    assert made.deadline == made.expires


def test_nothing_is_due_before_its_release() -> None:
    """RFC 4865 section 4: neither a warning nor a return comes before the release."""
    made = message()
    made.warn_at, made.release_at = T0 + DAY, T0 + 2 * DAY
    assert made.deadline == T0 + 2 * DAY
    made.release_at = made.expires + DAY
    assert made.deadline_of(warned=True) == made.release_at


AGES = st.lists(st.floats(1, 9 * DAY), unique=True, max_size=5).map(sorted)


def envelope(by: By | None = None, sender: str | None = "sender@example.com") -> Envelope:
    return Envelope(sender and address(sender), [Recipient(address("a@b.example"))], by=by)


@given(AGES, st.floats(0, 2 * DAY), st.floats(0, 9 * DAY))
def test_a_warning_comes_at_each_age_until_it_is_returned(
    ages: list[float], release: float, life: float
) -> None:
    """DSN-6: each age once, in order, counted from the release; none when or after it expires."""
    begins, now, told = T0 + release, T0, []
    while (at := next_warning(envelope(), T0, begins, begins + life, ages, now)) is not None:
        assert at > now
        told.append(at)
        now = at
    assert told == [begins + age for age in ages if T0 < begins + age < begins + life]


@given(AGES, st.floats(0, 9 * DAY))
def test_what_passed_meanwhile_is_not_made_up_for_one_by_one(ages: list[float], late: float) -> None:
    at = next_warning(envelope(), T0, T0, T0 + 10 * DAY, ages, T0 + late)
    assert at == min((T0 + age for age in ages if T0 + age > T0 + late), default=None)


@pytest.mark.parametrize(
    ("by", "times"),
    [
        (By(3600, "N"), [3600, 4 * 3600, DAY]),
        (By(5 * 3600, "N"), [4 * 3600, 5 * 3600, DAY]),
        (By(4 * 3600, "N"), [4 * 3600, DAY]),
        (By(-60, "N"), [4 * 3600, DAY]),
        (By(3 * 86400, "N"), [4 * 3600, DAY]),
        (By(3600, "R"), [4 * 3600, DAY]),
    ],
)
def test_the_time_of_delivery_is_one_more_beside_the_ages(by: By, times: list[float]) -> None:
    """EXT-1, DSN-6: RFC 2852 section 4.1.3, mode N; one that passed before it came was another's to tell."""
    now, told = T0, []
    while (at := next_warning(envelope(by), T0, T0, T0 + 2 * DAY, [4 * 3600, DAY], now)) is not None:
        told.append(at - T0)
        now = at
    assert told == times


def test_nobody_is_to_be_warned_behind_a_null_reverse_path() -> None:
    """BNC: a report is not reported on."""
    one = envelope(By(60, "N"), sender=None)
    assert next_warning(one, T0, T0, T0 + DAY, [3600], T0) is None


def report(**facts: float) -> Entry:
    """A report to one reader, which waits for its hour."""
    made = message("ann@example.net")
    made.envelope.reverse_path = None
    made.release_at = facts.pop("release_at", T0 + 10)
    return Entry(made, [Row(0, made.envelope.recipients[0], HOP, next_attempt=facts.pop("due", T0 + 10))])


def test_a_report_waits_for_its_hour_and_for_the_next_one_where_that_is_full_too() -> None:
    assert report().paced(T0)
    assert report(due=T0 + 3610).paced(T0 + 20)
    assert not report().paced(T0 + 20)


def test_one_that_was_tried_or_is_being_tried_waits_for_its_host() -> None:
    one = report(due=T0 + 3610)
    one.rows[0].last = Outcome(0, "delayed", Reply(451, "4.2.0", "busy"))
    assert not one.paced(T0 + 20)
    one = report(due=T0 + 3610)
    one.rows[0].owner = 7
    assert not one.paced(T0 + 20)


def test_what_was_to_go_later_and_what_was_not_to_wait_are_no_such_reports() -> None:
    """RFC 4865: whoever asks for a later release may have the null reverse-path, too."""
    one = report()
    one.message.envelope.hold = "for;100"
    assert not one.paced(T0)
    assert not report(release_at=0.0).paced(T0)
    one = report()
    one.message.envelope.reverse_path = address("ann@example.org")
    assert not one.paced(T0)


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (entry(), "fresh"),
        (entry(attempts=1), "deferred"),
        (entry(attempts=1, owner=7), "active"),
        (entry(attempts=1, owner=7, hold="asked"), "held"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_status_is_the_first_that_holds(one: Entry, status: str) -> None:
    assert one.status == status
