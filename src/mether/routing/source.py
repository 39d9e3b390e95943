"""Look-ups that decide where mail goes: what a list, a file or a database says about a key.

A `Source` answers `get` at once, from memory or from what it may read without waiting.  One that has to wait
for its answer (another server, a database far away) raises `Needs`; whoever asked has the answer fetched with
`learn`, and decides again.  So a decision stays a function of values, and the same for a daemon, which must
not wait, and a program, which may: see `settled`.

A source that cannot be read raises `TableError`.  Mail waits for it (451 4.3.0): what a table would say is
never guessed.
"""

from __future__ import annotations

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, Protocol, TypeVar

    T = TypeVar("T")

    class Source(Protocol):
        """A table.  Keys are in lower case; see `routing.request.address_key`."""

        @property
        def name(self) -> str:
            """What a person calls it: as the configuration has it."""

        def get(self, key: str) -> str | None:
            """What it has for the key ("" where it says no more than that it is there), or None.

            Raises TableError, or Needs when that is not known yet.
            """

        async def learn(self, key: str) -> None:
            """Find out what `get` then knows, be it that it cannot be found out.  Raises nothing.

            One that keeps a connection for this has a coroutine `close` too, and connects anew after it.
            """


UNREADABLE: Final = Reply(451, "4.3.0", "a table that decides about this address cannot be read now")
"""What a client is told; which table it was and why is for the log."""

QUESTIONS: Final = 100
"""Answers that one decision may have to wait for: no configuration that makes sense comes near."""

AT_ONCE: Final = 20
"""Answers that are waited for together."""


class TableError(Exception):
    """A source cannot be read now; str() names it and says why, for the log and not for clients.

    `plain` is that without the `place` of its configuration, which goes before; `part` is the key there that
    is at fault, where that is known.
    """

    reply = UNREADABLE

    def __init__(self, plain: str, *, place: str = "", part: str = "") -> None:
        super().__init__(f"{place}{plain}")
        self.plain = plain
        self.part = part


class Condition:
    """How a source fares: what it is called in its errors (`place`, as "table:NAME at FILE:LINE: "), and the
    line in the log, once, when a trouble is over."""

    __slots__ = ("_troubled", "place")

    def __init__(self) -> None:
        self.place = ""
        self._troubled = False

    def bad(self, what: str, part: str = "") -> TableError:
        """The error for a source that cannot be read."""
        self._troubled = True
        return TableError(what, place=self.place, part=part)

    def good(self, what: str) -> None:
        """It can be read; `what` it is, without its place."""
        if self._troubled:
            self._troubled = False
            from mether.event import mail as event

            event.noted(f"{self.place}{what}: can be read again")


class Needs(Exception):
    """The decision has to wait until `source` has learned of `key`."""

    def __init__(self, source: Source, key: str) -> None:
        super().__init__(f"{source.name} has to be asked about {key}")
        self.source = source
        self.key = key


class Several:
    """What some look-ups need, asked for together: the source of one `Needs` that stands for all of them."""

    name = "several tables"

    def __init__(self, needs: Sequence[Needs]) -> None:
        self._needs = needs

    def get(self, key: str) -> str | None:
        """Raises Needs."""
        raise Needs(self, key)

    async def learn(self, key: str) -> None:
        """Have all of them learned, AT_ONCE at a time."""
        import asyncio

        for start in range(0, len(self._needs), AT_ONCE):
            some = self._needs[start : start + AT_ONCE]
            await asyncio.gather(*(need.source.learn(need.key) for need in some))


def settled(decide: Callable[[], T]) -> T:
    """What `decide` gives, waiting for what it needs: for programs without an event loop.

    Raises TableError.
    """
    for _ in range(QUESTIONS):
        try:
            return decide()
        except Needs as need:
            import asyncio

            asyncio.run(learned(need))
    raise TableError(f"a decision needed more than {QUESTIONS} answers")


async def learned(need: Needs) -> None:
    """Find out in an event loop that ends with this: no connection is kept, which would outlive it."""
    try:
        await need.source.learn(need.key)
    finally:
        close = getattr(need.source, "close", None)
        if close is not None:
            await close()


async def awaited(decide: Callable[[], T]) -> T:
    """The same in an event loop.  Raises TableError."""
    for _ in range(QUESTIONS):
        try:
            return decide()
        except Needs as need:
            await need.source.learn(need.key)
    raise TableError(f"a decision needed more than {QUESTIONS} answers")
