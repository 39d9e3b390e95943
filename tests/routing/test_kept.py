"""Answers that are kept: until when, and how many."""

from __future__ import annotations

from mether.routing.kept import Kept


def test_an_answer_holds_for_its_time_and_nothing_found_is_one_too() -> None:
    now = 0.0
    kept = Kept(5.0, lambda: now)
    assert kept.get("a") is None
    assert kept.put("a", None) is None and kept.put("b", "x", 1.0) == "x"
    now = 1.0
    answer = kept.get("a")
    assert answer is not None and answer.value is None and not answer.trouble
    assert kept.get("b") is None
    now = 5.0
    assert kept.get("a") is None and len(kept) == 0


def test_trouble_is_kept_as_such() -> None:
    kept = Kept(5.0, lambda: 0.0)
    kept.fail("a", "it is gone", 2.0)
    answer = kept.get("a")
    assert answer is not None and answer.trouble == "it is gone"
    kept.clear()
    assert kept.get("a") is None


def test_the_oldest_go_when_there_are_too_many() -> None:
    kept = Kept(5.0, lambda: 0.0, most=2)
    for key in ("a", "b", "a", "c"):
        kept.put(key, key)
    assert [kept.get(key) is not None for key in "abc"] == [True, False, True]


def test_no_time_keeps_nothing() -> None:
    kept = Kept(0.0, lambda: 0.0)
    kept.put("a", "x")
    assert kept.get("a") is None
