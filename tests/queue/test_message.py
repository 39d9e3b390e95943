"""What a queued message says of itself: when it is due in any case, and how it stands."""

from __future__ import annotations

import pytest
from clock import T0
from mail import HOP, message

from mether.queue.message import Entry, Row

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
