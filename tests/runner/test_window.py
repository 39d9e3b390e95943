"""What the runner may have in hand: bounded, and with a quarter kept for deferred mail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mether.runner.window import Window


def test_a_flood_of_fresh_messages_leaves_a_quarter_for_deferred_ones() -> None:
    window = Window(messages=100, octets=10_000)
    admitted = sum(window.admit(1) for _ in range(200))
    assert admitted == 75
    assert window.room == 25


def test_octets_bound_it_too() -> None:
    window = Window(messages=100, octets=1000)
    assert window.admit(700)
    assert not window.admit(100)
    assert window.admit(50)
    window.take(400)
    assert window.room == 0
    window.give(400)
    assert window.room == 98


@given(st.lists(st.integers(0, 300)))
def test_the_bounds_hold_for_any_messages(sizes: list[int]) -> None:
    window = Window(messages=20, octets=1000)
    taken = [size for size in sizes if window.admit(size)]
    assert len(taken) == window.used <= 15
    assert sum(taken) == window.used_octets <= 750
    for size in taken:
        window.give(size)
    assert (window.used, window.used_octets, window.room) == (0, 0, 20)
