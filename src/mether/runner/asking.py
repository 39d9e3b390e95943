"""Asking the store from the event loop.

`asker` gives a function that runs work on the store in the writer thread, in turn with everything else that
the queue is asked for, and waits for its result without holding up the loop.
"""

from __future__ import annotations

from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    from mether.queue.commit import GroupCommit
    from mether.queue.store import Store

    T = TypeVar("T")

    class Ask(Protocol):
        """Runs work on the store."""

        async def __call__(self, work: Callable[[Store], T], /) -> T:
            """What the work gave.  Raises StoreError."""


def asker(loop: asyncio.AbstractEventLoop, queue: GroupCommit) -> Ask:
    """Who asks the store of `queue` from `loop`."""

    async def ask(work: Callable[[Store], T], /) -> T:
        future: asyncio.Future[T] = loop.create_future()

        def answered(result: T | StoreError) -> None:
            if future.done():
                return
            if isinstance(result, StoreError):
                future.set_exception(result)
            else:
                future.set_result(result)

        queue.call(work, answered)
        return await future

    return ask
