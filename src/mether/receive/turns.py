"""Turns at large lists: an alias of very many must not keep everybody else waiting.

What an address comes to is found out while all other sessions wait: some 30 microseconds for each member, a
third of a second for 10,000.  A client may name such a list in every command of a pipelined group, and many
clients may at once.  So whoever comes to more than `routing.expand.LARGE` members waits for a `Turn` first.
There is one at a time in a process (`Turns`), and after each the line rests for as long as it took: half of
the time is always the others'.

A turn is a `routing.source.Source`: it raises Needs until it has come, and what is decided then is decided
anew.  It holds until `over`.  With `WAITING` others in the line already it raises TableError: 451, and the
client comes again.
"""

from __future__ import annotations

from mether.routing.source import Needs, TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Final, TypeVar

    from mether.receive.client import Client

    T = TypeVar("T")

WAITING: Final = 100
"""Sessions in the line."""


class Turns:
    """The line of one event loop."""

    __slots__ = ("_began", "_lock", "_loop", "_rest", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock: asyncio.Lock | None = None
        self._waiting = 0
        self._began = self._rest = 0.0

    async def come(self) -> bool:
        """Wait until it is the caller's turn, who does what he has to do at once; False: the line is full."""
        if self._waiting >= WAITING:
            return False
        import asyncio

        if self._lock is None:
            self._lock = asyncio.Lock()
        self._waiting += 1
        try:
            async with self._lock:
                await asyncio.sleep(max(0.0, self._rest - self._loop.time()))
                self._began = self._loop.time()
                self._loop.call_soon(self._ended)
        finally:
            self._waiting -= 1
        return True

    def _ended(self) -> None:
        now = self._loop.time()
        self._rest = now + (now - self._began)


class Turn:
    """The turns of one session."""

    __slots__ = ("_come", "_full", "_turns", "name")

    def __init__(self, turns: Turns) -> None:
        self.name = "large lists"
        self._turns = turns
        self._come = self._full = False

    def get(self, key: str) -> str | None:
        """Whether its turn has come.  Raises Needs, or TableError."""
        if self._full:
            raise TableError(f"{key}: {WAITING} sessions wait for large lists already")
        if not self._come:
            raise Needs(self, key)
        return ""

    async def learn(self, key: str) -> None:
        """Wait for it."""
        self._come = await self._turns.come()
        self._full = not self._come

    def over(self) -> None:
        """It was used."""
        self._come = self._full = False


def take(client: Client, turns: Turns | None, decide: Callable[[Turn | None], T]) -> T:
    """What is decided with a turn of the client, which is over then; without `turns` nobody else waits.

    Raises what `decide` does; a turn lasts until nothing else is needed.
    """
    if turns is None:
        return decide(None)
    turn = client.turn = client.turn or Turn(turns)
    try:
        decided = decide(turn)
    except TableError:
        turn.over()
        raise
    turn.over()
    return decided
