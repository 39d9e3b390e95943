"""LIMITS, as a client reads and keeps it (RFC 9422; checklist EXT-4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import address
from mether.envelope import Recipient
from mether.smtp import limits
from mether.smtp.limits import Budget, Limits


def _recipients(*addresses: str) -> list[Recipient]:
    return [Recipient(address.parse(one)) for one in addresses]


def test_example_of_section_5() -> None:
    """EXT-4: the line of RFC 9422 section 5."""
    assert limits.parse("RCPTMAX=20 MAILMAX=5") == Limits(mail_max=5, rcpt_max=20)


@pytest.mark.parametrize("text", [None, "", "FOO", "FOO=bar", "X_Y-9=a=b"])
def test_nothing_that_is_known(text: str | None) -> None:
    """EXT-4: unknown names are ignored."""
    assert limits.parse(text) == limits.NONE


@pytest.mark.parametrize("value", ["0", "01", "1000000", "-1", "+1", "x", "1.5", "\u0661"])
def test_bad_value_is_that_limit_only(value: str) -> None:
    """EXT-4: an error in one limit's value leaves the others (RFC 9422 section 3.7)."""
    if value.isascii():
        assert limits.parse(f"RCPTMAX={value} MAILMAX=7") == Limits(mail_max=7)
    else:
        assert limits.parse(f"RCPTMAX={value} MAILMAX=7") == limits.NONE


def test_limit_without_value() -> None:
    """EXT-4: a registered limit needs its value."""
    assert limits.parse("RCPTMAX MAILMAX=7") == Limits(mail_max=7)


@pytest.mark.parametrize(
    "text",
    ["RCPTMAX=5  MAILMAX=2", "RCPTMAX=5;MAILMAX=2", "RCPTMAX= MAILMAX=2", "=5", "R!=5", "A=b\tMAILMAX=2"],
)
def test_syntax_error_of_the_whole(text: str) -> None:
    """EXT-4: a syntax error counts as LIMITS not offered (RFC 9422 section 3.7)."""
    assert limits.parse(text) == limits.NONE


def test_smaller_of_two() -> None:
    """EXT-4: said twice, neither is overstepped."""
    assert limits.parse("rcptmax=9 RCPTMAX=4") == Limits(rcpt_max=4)


@given(st.text(max_size=60))
def test_never_fails(text: str) -> None:
    """EXT-4: whatever a server writes, there are limits or none."""
    found = limits.parse(text)
    for value in (found.mail_max, found.rcpt_max, found.rcpt_domain_max):
        assert value is None or 1 <= value <= 999_999


def test_hundred_at_a_time_without_limits() -> None:
    """CLI-6: a hundred recipients in a transaction."""
    recipients = _recipients(*(f"u{number}@example.org" for number in range(250)))
    budget = Budget()
    assert [budget.room(recipients, start) for start in (0, 100, 200)] == [100, 100, 50]


def test_rcptmax() -> None:
    """EXT-4: RCPTMAX bounds a transaction, each anew."""
    recipients = _recipients(*(f"u{number}@example.org" for number in range(5)))
    budget = Budget(Limits(rcpt_max=2))
    assert budget.room(recipients) == 2
    budget.spend(recipients[:2])
    assert budget.room(recipients, 2) == 2
    assert budget.room(recipients, 4) == 1


def test_mailmax() -> None:
    """EXT-4: MAILMAX bounds a session."""
    recipients = _recipients("a@example.org")
    budget = Budget(Limits(mail_max=2))
    for _ in range(2):
        assert budget.room(recipients) == 1
        budget.spend(recipients)
    assert budget.room(recipients) == 0


def test_rcptdomainmax() -> None:
    """EXT-4: RCPTDOMAINMAX counts the different domains of a session, without case."""
    recipients = _recipients("a@one.example", "b@ONE.example", "c@two.example", "d@three.example")
    budget = Budget(Limits(rcpt_domain_max=2))
    assert budget.room(recipients) == 3
    budget.spend(recipients[:3])
    assert budget.room(recipients, 3) == 0
    assert budget.room(_recipients("e@two.example")) == 1


def test_tiny_limits_slow_us_only_so_far() -> None:
    """EXT-4: RCPTMAX=1 cuts a message into a hundred transactions, not into thousands."""
    recipients = _recipients(*(f"u{number}@example.org" for number in range(1000)))
    assert Budget(Limits(rcpt_max=1)).room(recipients) == 10


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.lists(st.sampled_from("abcd"), min_size=1))
def test_a_fresh_session_has_room(mails: int, rcpts: int, domains: int, names: list[str]) -> None:
    """EXT-4: opening another session always gets on."""
    recipients = _recipients(*(f"u@{name}.example" for name in names))
    budget = Budget(Limits(mail_max=mails, rcpt_max=rcpts, rcpt_domain_max=domains))
    assert budget.room(recipients) >= 1
