"""Durations, sizes and rates, as written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.setup.units import duration, duration_text, rate, size, size_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("5d", 432000),
        ("1w", 604800),
        ("500ms", 0.5),
        ("1.5h", 5400),
    ],
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 minutes", "1m1h", "1h1h", "-5m", "0s", "1..5s", "1e3s", "99w9d9", "9999w"]
)
def test_what_is_no_duration_is_told(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("50MiB", 50 * 2**20),
        ("10MB", 10**7),
        ("1kB", 1000),
        ("64 KiB", 65536),
        (4096, 4096),
        ("4096", 4096),
        ("1.5GiB", 3 * 2**29),
    ],
)
def test_sizes(text, octets):
    assert size(text) == octets


@pytest.mark.parametrize(
    "text", ["", "50 megs", "-1", -1, 0, "0", True, "1.5", "1" * 400, "9999999TiB", "1.", "."]
)
def test_what_is_no_size_is_told(text):
    with pytest.raises(ValueError, match="expected a size such as"):
        size(text)


@given(st.integers(1, 10 * 365 * 86400 * 1000))
def test_a_duration_is_read_back(milliseconds):
    seconds = milliseconds / 1000
    assert duration(duration_text(seconds)) == pytest.approx(seconds, abs=1e-4)


@given(st.integers(1, 2**53))
def test_a_size_is_read_back(octets):
    assert size(size_text(octets)) == octets


@pytest.mark.parametrize(
    ("text", "each_second"),
    [("10/s", 10), ("90/m", 1.5), ("1800 / H", 0.5), ("86400/d", 1), ("1/d", 1 / 86400)],
)
def test_rates(text, each_second):
    assert rate(text) == each_second


@pytest.mark.parametrize(
    "text", ["", "10", "/m", "10/", "10/w", "0/s", "-1/s", "1.5/s", "10/5m", "9999999999/s"]
)
def test_what_is_no_rate_is_told(text):
    with pytest.raises(ValueError, match="expected a rate such as"):
        rate(text)
