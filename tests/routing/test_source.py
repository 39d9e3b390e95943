"""Decisions that have to wait for what a table says."""

from __future__ import annotations

import asyncio

import pytest

from mether.routing.source import Needs, Several, TableError, awaited, settled


class Far:
    """A source that knows nothing until it has learned."""

    name = "far"

    def __init__(self, *, ever: bool = True) -> None:
        self.known: dict[str, str] = {}
        self.ever = ever

    def get(self, key: str) -> str | None:
        if key not in self.known:
            raise Needs(self, key)
        return self.known[key]

    async def learn(self, key: str) -> None:
        if self.ever:
            self.known[key] = key.upper()


def test_a_program_waits_for_the_answer() -> None:
    far = Far()
    assert settled(lambda: f"{far.get('a')}{far.get('b')}") == "AB"


def test_so_does_a_daemon_in_its_loop() -> None:
    far = Far()
    assert asyncio.run(awaited(lambda: far.get("a"))) == "A"


def test_a_table_that_never_knows_is_given_up() -> None:
    far = Far(ever=False)
    with pytest.raises(TableError, match="more than 100 answers"):
        asyncio.run(awaited(lambda: far.get("a")))
    with pytest.raises(TableError, match="more than 100 answers"):
        settled(lambda: far.get("a"))


def test_what_cannot_be_read_defers() -> None:
    """451 4.3.0, and no word about which table it was."""
    assert str(TableError.reply).startswith("451 4.3.0 ")
    assert "far" in str(Needs(Far(), "x"))


def test_several_answers_are_waited_for_together() -> None:
    far, near = Far(), Far()
    both = Several([Needs(far, "a"), Needs(near, "b")])
    with pytest.raises(Needs):
        both.get("x")
    asyncio.run(both.learn("x"))
    assert (far.get("a"), near.get("b")) == ("A", "B")
