"""Waiting for what decides."""

from __future__ import annotations

import asyncio

from clock import virtual
from names import Names

from mether.receive.learning import Learning, in_place, look_up
from mether.reply import Reply
from mether.routing.source import QUESTIONS, Needs, TableError

OK = Reply(250, None, "ok")
NO = Reply(451, None, "no")


def ask(slow: Names, replies: list[Reply], *, wanted: bool = True, forgets: bool = False) -> None:
    def decide() -> Reply:
        if forgets:
            slow.learned.clear()
        slow.get("ann")
        return OK

    look_up(in_place, decide, lambda error: NO, replies.append, lambda: wanted, Needs(slow, "ann"))


def test_a_decision_is_made_when_what_it_needs_is_known() -> None:
    replies: list[Reply] = []
    ask(Names({}, slow=True), replies)
    assert replies == [OK]


def test_a_table_that_cannot_be_read_after_all() -> None:
    replies: list[Reply] = []
    ask(Names({}, slow=True, broken=True), replies)
    assert replies == [NO]


def test_nobody_asks_for_ever() -> None:
    replies: list[Reply] = []
    slow = Names({}, slow=True)
    ask(slow, replies, forgets=True)
    assert replies == [NO] and QUESTIONS < 1000


def test_who_is_gone_hears_nothing() -> None:
    replies: list[Reply] = []
    ask(Names({}, slow=True), replies, wanted=False)
    assert replies == []


@virtual
async def test_on_a_loop_others_go_on_meanwhile() -> None:
    done = asyncio.Event()
    slow = Names({}, slow=True)
    Learning(asyncio.get_running_loop())(Needs(slow, "ann"), done.set)
    assert not done.is_set()
    await done.wait()
    assert slow.learned == {"ann"}


def test_trouble_is_a_table_error() -> None:
    assert TableError.reply.code == 451


@virtual
async def test_a_fault_of_ours_leaves_nobody_without_an_answer() -> None:
    class Faulty(Names):
        async def learn(self, key: str) -> None:
            raise ZeroDivisionError

    slow = Faulty({}, slow=True)
    answered = asyncio.get_running_loop().create_future()
    learning = Learning(asyncio.get_running_loop())
    look_up(
        learning,
        lambda: OK if slow.get("ann") is not None else NO,
        lambda error: NO,
        answered.set_result,
        lambda: True,
        Needs(slow, "ann"),
    )
    assert await answered == NO
