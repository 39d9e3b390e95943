"""Hosts that could not be used go behind the others, for a while."""

from __future__ import annotations

from mether.relay import health
from mether.relay.health import FIRST, LONGEST, STALE, Health

A, B, C = ("a.test", 25), ("b.test", 25), ("c.test", 25)


def order(known: Health, now: float, *hosts: tuple[str, int]) -> list[str]:
    return [name for name, _ in known.order(hosts or (A, B, C), lambda key: key, now)]


def test_hosts_keep_their_order_while_all_is_well() -> None:
    assert order(Health(), 0.0) == ["a.test", "b.test", "c.test"]


def test_one_that_failed_goes_to_the_end_for_a_while() -> None:
    known = Health()
    known.failed(A, 100.0)
    assert order(known, 100.0) == ["b.test", "c.test", "a.test"]
    assert order(known, 100.0 + FIRST - 1) == ["b.test", "c.test", "a.test"]
    assert order(known, 100.0 + FIRST) == ["a.test", "b.test", "c.test"]


def test_the_while_grows_with_each_failure_up_to_a_limit() -> None:
    known, now = Health(), 0.0
    spans = []
    for _ in range(12):
        known.failed(A, now)
        seconds = 1.0
        while known.down(A, now + seconds):
            seconds += 1.0
        spans.append(seconds)
        now += seconds
    assert spans[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert spans[-1] == LONGEST


def test_failures_together_are_one() -> None:
    known = Health()
    for _ in range(20):
        known.failed(A, 0.0)
    assert not known.down(A, FIRST)


def test_a_success_clears_it() -> None:
    known = Health()
    known.failed(A, 0.0)
    known.failed(A, FIRST)
    known.worked(A)
    assert not known and not known.down(A, FIRST)
    known.failed(A, FIRST)
    assert not known.down(A, 2 * FIRST), "it begins anew"


def test_a_trouble_long_ago_counts_no_more() -> None:
    known = Health()
    known.failed(A, 0.0)
    known.failed(A, FIRST + STALE)
    assert not known.down(A, 2 * FIRST + STALE)


def test_where_all_are_down_all_are_tried() -> None:
    known = Health()
    for key in (C, A, B):
        known.failed(key, 0.0)
    assert order(known, 1.0) == ["a.test", "b.test", "c.test"]


def test_no_order_of_preference_is_broken() -> None:
    """MX-5: a worse MX host never goes before a better one, however that did."""
    known = Health()
    known.failed(A, 0.0)
    rank = {A: 10, B: 10, C: 20}
    found = known.order((A, B, C), lambda key: key, 1.0, rank.__getitem__)
    assert found == [B, A, C]
    known.failed(B, 0.0)
    assert known.order((A, B, C), lambda key: key, 1.0, rank.__getitem__) == [A, B, C]


def test_the_port_is_part_of_the_host() -> None:
    known = Health()
    known.failed(A, 0.0)
    assert not known.down(("a.test", 587), 1.0)


def test_so_many_are_remembered_and_no_more(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(health, "REMEMBERED", 3)
    known = Health()
    for number in range(5):
        known.failed((f"h{number}", 25), float(number))
    assert len(known) == 3
    assert [known.down((f"h{number}", 25), 5.0) for number in range(5)] == [False, False, True, True, True]
    known.failed(("h2", 25), 5.0)
    known.failed(("h9", 25), 6.0)
    assert known.down(("h2", 25), 6.0), "whoever failed last is forgotten last"
