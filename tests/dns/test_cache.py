"""Answers kept for their time."""

from __future__ import annotations

from clock import Clock

from mether.dns.cache import LONGEST, NEGATIVE, SHORTEST, Cache, lifetime
from mether.dns.reading import Reading

ONE, TWO, THREE = (("a", "MX"), ("b", "MX"), ("c", "MX"))


def test_an_answer_is_kept_for_its_time() -> None:
    clock = Clock()
    cache = Cache(10, clock)
    reading = Reading("found")
    cache.put(ONE, reading, 60)
    clock.now += 59
    assert cache.get(ONE) is reading
    assert cache.get(("a", "A")) is None
    clock.now += 1
    assert cache.get(ONE) is None
    assert len(cache) == 0


def test_there_are_never_too_many() -> None:
    """What was not asked for longest goes."""
    cache = Cache(2, Clock())
    cache.put(ONE, Reading("found"), 60)
    cache.put(TWO, Reading("found"), 60)
    cache.get(ONE)
    cache.put(THREE, Reading("found"), 60)
    assert len(cache) == 2
    assert cache.get(TWO) is None
    assert cache.get(ONE) is not None
    cache.put(ONE, Reading("empty"), 60)
    assert len(cache) == 2


def test_times_are_clamped() -> None:
    assert lifetime(0) == SHORTEST
    assert lifetime(300) == 300
    assert lifetime(2**31) == LONGEST
    assert lifetime(2**31, negative=True) == NEGATIVE
