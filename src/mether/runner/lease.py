"""Staying the owner of what this process has in hand.

While a runner works, its lease is renewed well before the other processes may take it for dead and its claims
for their own.  A renewal that fails is told and tried again at the next one's time.
"""

from __future__ import annotations

import asyncio

from mether.event import mail as event
from mether.queue import owner
from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Final

    from mether.queue.store import Store

RENEWAL: Final = 15.0
"""Seconds between two renewals: a quarter of queue.owner.LEASE."""


class Lease:
    """The lease of one process; `call` runs work in the writer thread and `clock` gives Unix seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Callable[[Callable[[Store], bool]], Awaitable[bool]],
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._call = call
        self._clock = clock
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Renew it from now on."""
        if self._renewing is None:
            self._renewing = self._loop.create_task(self._renew())

    def stop(self) -> None:
        """Renew it no more."""
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    async def _renew(self) -> None:
        while True:
            try:
                if not await self._call(self._renewal):
                    event.warning("this process was taken for dead; its claims were given to others")
            except StoreError as error:
                event.error(f"cannot renew: {error}")
            await asyncio.sleep(RENEWAL)

    def _renewal(self, store: Store) -> bool:
        now = self._clock()
        return store.renew(now + owner.LEASE, now)
