"""Times as people give them."""

import time

import pytest

from mether.programs.moment import moment
from mether.programs.options import UsageError

NOON = time.mktime((2026, 6, 15, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("+6h", NOON + 6 * 3600),
        ("14:30", NOON + 2.5 * 3600),
        ("14:30:15", NOON + 2.5 * 3600 + 15),
        ("2026-06-15T13:00", NOON + 3600),
        ("2026-06-15 13:00", NOON + 3600),
        ("2026-06-15T13:00+00:00", 1781528400.0),
        ("1781528400", 1781528400.0),
        ("1.5", 1.5),
    ],
)
def test_what_is_meant(text, at):
    assert moment(text, NOON, "--at") == at


@pytest.mark.parametrize(("text", "day"), [("11:59", 16), ("12:00", 16), ("12:01", 15)])
def test_a_clock_is_the_next_time_it_shows_that(text, day):
    at = time.localtime(moment(text, NOON, "--at"))
    assert (at.tm_mday, time.strftime("%H:%M", at)) == (day, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "+",
        "+6",
        "25:00",
        "12:60",
        "14:30+02:00",
        "-1",
        "9" * 30,
        "2026-13-01",
        "nan",
        "١٢",
        "+9999999d",
    ],
)
def test_what_is_no_time(text):
    with pytest.raises(UsageError) as error:
        moment(text, NOON, "--at")
    assert str(error.value).startswith("--at: ") and "\n" not in str(error.value)
