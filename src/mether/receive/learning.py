"""Having something found out that a decision needs, and deciding again (`routing.source.Needs`).

A session must not wait in an event loop: `Learning` has the table asked in a task, and calls back.  A program
of one session has nothing else to do, and waits in place (`in_place`).
"""

from __future__ import annotations

from mether.event import mail as event
from mether.receive.turns import Turns
from mether.routing.source import QUESTIONS, Needs, TableError, learned

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from mether.reply import Reply

    Learn = Callable[[Needs, Callable[[], None]], None]


def in_place(need: Needs, done: Callable[[], None]) -> None:
    """Wait for what is needed, and go on."""
    import asyncio

    asyncio.run(learned(need))
    done()


class Learning:
    """The questions that sessions wait for on an event loop, and their `turns` at large lists."""

    __slots__ = ("_asked", "_loop", "turns")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: set[asyncio.Task[None]] = set()
        self.turns = Turns(loop)

    def __call__(self, need: Needs, done: Callable[[], None]) -> None:
        """Have it found out, and go on then."""
        task = self._loop.create_task(_ask(need, done))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)


async def _ask(need: Needs, done: Callable[[], None]) -> None:
    try:
        await need.source.learn(need.key)
    except Exception as error:  # a fault of ours: who decides again gives up in the end, and has an answer
        event.error(f"internal error in asking {need.source.name}: {error!r}")
    done()


def look_up(
    learn: Learn,
    decide: Callable[[], Reply],
    trouble: Callable[[TableError], Reply],
    decided: Callable[[Reply], None],
    wanted: Callable[[], bool],
    need: Needs,
    left: int = QUESTIONS,
) -> None:
    """Have what is needed found out and decide then, `left` times at most; `decided` gets the reply.

    `trouble` answers where a table cannot be read.  Nothing is decided any more when it is not `wanted`.
    """

    def again() -> None:
        if not wanted():
            return
        try:
            reply = decide()
        except Needs as other:
            if left > 1:
                look_up(learn, decide, trouble, decided, wanted, other, left - 1)
                return
            reply = trouble(TableError(f"a decision needed more than {QUESTIONS} answers"))
        except TableError as error:
            reply = trouble(error)
        decided(reply)

    learn(need, again)
