"""What the runner may have in hand: bounded, and with a quarter kept for deferred mail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mether.runner.window import LARGE, Window


def test_a_flood_of_fresh_messages_leaves_a_quarter_for_deferred_ones() -> None:
    window = Window(messages=100, octets=100 * LARGE)
    admitted = sum(window.admit(1) for _ in range(200))
    assert admitted == 75
    assert window.room == 25


def test_octets_bound_it_too() -> None:
    window = Window(messages=100, octets=8 * LARGE)
    for _ in range(6):
        assert window.admit(LARGE)
    assert not window.admit(1)
    assert window.room == 2
    window.take(LARGE)
    window.take(1)
    assert window.room == 0
    for octets in (LARGE, LARGE, 1):
        window.give(octets)
    assert window.room == 3


def test_content_in_a_file_counts_for_what_is_read_of_it_at_a_time() -> None:
    """Messages of 50 MiB are sent side by side."""
    window = Window(messages=100, octets=8 * LARGE)
    window.take(50 * 1024 * LARGE)
    assert window.used_octets == LARGE
    window.give(50 * 1024 * LARGE)
    assert window.used_octets == 0


def test_a_message_counts_once_for_each_next_hop() -> None:
    window = Window(messages=100, octets=100 * LARGE)
    assert window.admit(1000, 70)
    assert (window.used, window.used_octets) == (70, 70_000)
    assert not window.admit(1000, 6)
    assert window.admit(1000, 5)


def test_a_small_window_still_takes_one() -> None:
    window = Window(messages=1, octets=100)
    assert window.room == 1
    window.take(LARGE)
    assert window.room == 0


@given(st.lists(st.integers(0, 2 * LARGE)))
def test_the_bounds_hold_for_any_messages(sizes: list[int]) -> None:
    window = Window(messages=20, octets=20 * LARGE)
    taken = [size for size in sizes if window.admit(size)]
    assert len(taken) == window.used <= 15
    assert sum(min(size, LARGE) for size in taken) == window.used_octets <= 15 * LARGE
    while window.room:
        for _ in range(window.room):
            taken.append(LARGE)
            window.take(LARGE)
    assert window.used <= 20
    assert window.used_octets <= 20 * LARGE
    for size in taken:
        window.give(size)
    assert (window.used, window.used_octets, window.room) == (0, 0, 20)
