"""Large lists take turns, so that nobody else waits for them."""

from __future__ import annotations

import asyncio

import pytest
from places import Place

from mether.receive import turns
from mether.receive.client import Client
from mether.receive.learning import Learning
from mether.receive.turns import Turn, Turns
from mether.routing.expand import LARGE
from mether.routing.networks import Networks
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.routing.source import Needs, TableError


class Table:
    """A source out of a dictionary."""

    name = "table"

    def __init__(self, entries: dict[str, str]) -> None:
        self.get = entries.get

    async def learn(self, key: str) -> None:
        raise AssertionError


def lists(place: Place, members: int) -> None:
    table = Table({"all": ", ".join(f"u{number}" for number in range(members))})
    rule = Rule(["example.com"], "maildir", "{user}", aliases=[table], delimiter="+")
    place.router = Router([rule], "mx.example.com")


@pytest.mark.parametrize(("members", "at_once"), [(LARGE, 3), (LARGE + 1, 0)])
def test_a_group_of_large_lists_lets_the_others_have_their_turn(
    place: Place, members: int, at_once: int
) -> None:
    """RFC 2920: a pipelined group is answered in order, and no faster than others can be served."""
    lists(place, members)

    async def scene() -> None:
        learning = Learning(asyncio.get_running_loop())
        place.options = {"learn": learning, "turns": learning.turns}
        client = place.client()
        client.say("EHLO c.example", "MAIL FROM:<a@b.example>")
        group = "".join(f"RCPT TO:<all+{number}@example.com>\r\n" for number in range(3))
        assert client.send(group.encode()).count("250 2.1.5") == at_once
        async with asyncio.timeout(10):
            while client.said.count(b"250 2.1.5") < 3:
                await asyncio.sleep(0)

    asyncio.run(scene())


def test_the_line_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAITING", 0)

    async def scene() -> None:
        turn = Turn(Turns(asyncio.get_running_loop()))
        with pytest.raises(Needs):
            turn.get("all@example.com")
        await turn.learn("all@example.com")
        with pytest.raises(TableError, match="wait for large lists already"):
            turn.get("all@example.com")

    asyncio.run(scene())


def test_a_turn_is_over_when_all_is_decided() -> None:
    async def scene() -> None:
        client, line = Client("192.0.2.1", Networks([])), Turns(asyncio.get_running_loop())

        def decide(turn: Turn | None) -> str | None:
            assert turn is not None
            return turn.get("all@example.com")

        def unread(turn: Turn | None) -> None:
            decide(turn)
            raise TableError("x")

        for _ in range(2):
            with pytest.raises(Needs):
                turns.take(client, line, decide)
            assert client.turn is not None
            await client.turn.learn("")
            with pytest.raises(TableError):
                turns.take(client, line, unread)
            with pytest.raises(Needs):
                turns.take(client, line, decide)
            await client.turn.learn("")
            assert turns.take(client, line, decide) == ""

    asyncio.run(scene())


def test_a_program_of_one_session_waits_for_nobody(place: Place) -> None:
    lists(place, LARGE + 1)
    client = place.client()
    assert client.say("EHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<all@example.com>")[-1].startswith("250 ")


def test_half_of_the_time_is_the_others() -> None:
    """While the line rests, a turn that came later waits."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        now = [1000.0]
        line = Turns(loop)
        line._loop = Fake(loop, now)
        await line.come()
        now[0] += 3.0  # what was done in the turn
        await asyncio.sleep(0)
        assert line._rest == 1006.0

    asyncio.run(scene())


class Fake:
    """A loop with its own time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now: list[float]) -> None:
        self.call_soon = loop.call_soon
        self._now = now

    def time(self) -> float:
        return self._now[0]
