"""One run over what is selected: in which order it claims, and when it is over."""

from __future__ import annotations

from clock import T0
from mail import claim

from mether.queue.store import Select
from mether.runner.once import Once


def test_what_is_due_is_claimed_until_nothing_is() -> None:
    select = Select()
    once = Once(select, T0)
    assert once.select is select
    assert once.more([claim()], 1)
    assert not once.more([], 0)


def test_what_is_taken_regardless_is_passed_in_order_until_a_round_finds_nothing_new() -> None:
    once = Once(Select(regardless=True), T0)
    first, second = claim(), claim()
    assert once.select.after == ""
    assert once.more([first, second], 2)
    assert once.select.after == max(first.message.ident, second.message.ident)
    assert once.more([], 0), "another round: something may have come behind the order"
    assert once.select.after == ""
    assert not once.more([], 0)


def test_each_message_is_tried_once() -> None:
    once = Once(Select(regardless=True), T0)
    one = claim()
    assert once.part([one]) == ([one], [])
    once.tried(one)
    once.tried(one)
    assert once.part([one]) == ([], [one])
    assert once.count == 1
