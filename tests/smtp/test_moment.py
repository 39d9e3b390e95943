"""HOLDUNTIL's moments, held against the standard library's datetime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.smtp.moment import parse_moment, release_at

moments = st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30))


@given(moments)
def test_any_moment_in_utc(moment: datetime) -> None:
    """EXT-2: RFC 4865 section 3, RFC 3339; days, months and leap years are the calendar's."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    text = moment.strftime(f"{moment.year:04}-%m-%dT%H:%M:%SZ")
    assert parse_moment(text) == moment.timestamp()
    assert parse_moment(text.lower()) == moment.timestamp()


@given(moments, st.integers(-23 * 60 - 59, 23 * 60 + 59), st.integers(0, 999_999))
def test_any_moment_elsewhere(moment: datetime, ahead: int, micro: int) -> None:
    """RFC 3339: an offset and a fraction."""
    local = moment.replace(microsecond=micro, tzinfo=timezone(timedelta(minutes=ahead)))
    text = local.isoformat(timespec="microseconds")
    found = parse_moment(text)
    assert found is not None
    assert abs(found - local.timestamp()) < 1e-4


@pytest.mark.parametrize("day", ["2024-02-29", "2000-02-29", "2026-12-31", "1970-01-01", "9999-12-31"])
def test_days_that_are(day: str) -> None:
    expected = datetime.fromisoformat(f"{day}T23:59:59+00:00").timestamp()
    assert parse_moment(f"{day}T23:59:59Z") == expected
    assert parse_moment(f"{day}T23:59:60Z") == expected + 1  # a leap second


@pytest.mark.parametrize(
    "text",
    [
        "", "Z", "T", "TZ", "2026-12-24", "18:00:00Z", "2026-12-24T18:00:00", "2026-12-24 18:00:00Z",
        "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "1969-12-31T23:59:59Z",
        "2026-1-1T00:00:00Z", "26-01-01T00:00:00Z", "02026-01-01T00:00:00Z", "2026-01-01T0:00:00Z",
        "2026-01-01T00:00Z", "2026-01-01T00:00:00ZZ", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00.xZ",
        "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+00:60",
        "2026-01-01T00:00:00+", "2026-01-01T00:00:00-", "2026-01-01T00:00:00+01:00Z",
        "2026-01-01T00:00:00+01:00:00", "2026-01-01T-1:00:00Z", "+026-01-01T00:00:00Z",
        "\u0662026-01-01T00:00:00Z", "2026-01-01T00:00:00.\u0661Z", "2026/01/01T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    """EXT-2: None, which becomes 501 5.5.4."""
    assert parse_moment(text) is None


@given(st.text(st.characters(codec="ascii"), max_size=30) | st.text(max_size=30))
def test_nothing_is_raised(text: str) -> None:
    found = parse_moment(text)
    assert found is None or found > -90_000


def test_until_when_a_hold_lasts() -> None:
    """EXT-2: HOLDFOR from the moment of arrival, HOLDUNTIL as it says."""
    assert release_at(None, 1000.0) == 0.0
    assert release_at("for;60", 1000.5) == 1060.5
    assert release_at("until;1970-01-01T00:01:00Z", 1000.0) == 60.0
