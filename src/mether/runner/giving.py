"""Giving claims back in the store, untried.

What is given back is due as before, for this process or another.  Trouble with the store is told, and it is
tried again: a claim that nobody works and nobody gives back would be nobody's to try.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Final

    from mether.queue.claim import Claim
    from mether.queue.commit import GroupCommit
    from mether.runner.asking import Ask

RETRY: Final = 5.0
"""Seconds until what failed on our own side (the store, a fault) is tried again."""


class Giving:
    """Gives claims back; `changed` says that there may be something to claim.  Once `stopping` is set each is
    given back once: the store releases the others as it is closed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, queue: GroupCommit, ask: Ask, changed: Callable[[], None]
    ) -> None:
        self.stopping = False
        self._loop = loop
        self._queue = queue
        self._ask = ask
        self._changed = changed

    def give(self, claims: list[Claim]) -> None:
        """Give claims back, as often as it takes."""

        def released(result: object) -> None:
            if isinstance(result, StoreError):
                event.error(f"cannot give claims back: {result}")
                if not self.stopping:
                    self._loop.call_later(RETRY, self.give, claims)
            self._changed()

        self._queue.call(lambda store: store.release(claims), released)

    async def put_back(self, claims: list[Claim]) -> None:
        """Give back what was not taken on.  Nothing has changed by that: nobody is to look again for it."""
        try:
            await self._ask(lambda store: store.release(claims))
        except StoreError:
            self.give(claims)
