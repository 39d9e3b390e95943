"""Who may connect: connections counted."""

from __future__ import annotations

import pytest

from mether.receive.access import Counter, part


def test_connections_are_counted_in_all_and_by_client() -> None:
    counter = Counter(3, 2)
    assert counter.enter("a")
    assert counter.enter("a")
    assert not counter.enter("a"), "one client has its limit"
    assert counter.enter("b")
    assert not counter.enter("c"), "all are taken"
    counter.leave("a")
    assert counter.enter("c")
    for client in ("a", "b", "c"):
        counter.leave(client)
    assert counter.total == 0
    assert not counter._by_address, "nothing is kept of who has gone"


def test_no_limit_for_a_client() -> None:
    counter = Counter(50, 0)
    assert all(counter.enter("a") for _ in range(50))
    assert not counter.enter("a")


@pytest.mark.parametrize(
    ("limit", "processes", "each"), [(0, 4, 0), (1, 4, 1), (3, 4, 1), (250, 2, 125), (10, 1, 10), (10, 0, 10)]
)
def test_the_part_of_a_limit_that_one_process_has(limit, processes, each):
    assert part(limit, processes) == each
