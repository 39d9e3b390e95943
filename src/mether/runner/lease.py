"""Staying the owner of what this process has in hand, and knowing who shares the work.

While a process works the queue, or receives for it, its lease is renewed well before the other processes may
take it for dead and its claims for their own.  With each renewal it learns how many processes there are
(`queue.figures.Live`), by which limits that hold over all of them are divided: that costs no message a row.

A process that was stopped for long, or whose clock was set forward, may have been taken for dead meanwhile.
The next renewal says so, and `lost` is told, once for each time.  A renewal that fails is told and tried
again at the next one's time.
"""

from __future__ import annotations

import asyncio

from mether.event import mail as event
from mether.queue import owner
from mether.queue.figures import Live
from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.queue.store import Store
    from mether.runner.asking import Ask

RENEWAL: Final = 15.0
"""Seconds between two renewals: a third of queue.owner.LEASE."""


class Lease:
    """The lease of one process; `call` runs work in the writer thread and `clock` gives Unix seconds.

    `shared` is told who shares the work, at first and when that changes; `live` is what it was told last.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Ask,
        clock: Callable[[], float],
        shared: Callable[[Live], None] = lambda live: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.live = Live()
        self._loop = loop
        self._call = call
        self._clock = clock
        self._shared = shared
        self._lost = lost
        self._told: tuple[int, int] | None = None
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
                kept, live = await self._call(self._renewal)
                if not kept:
                    event.warning("this process was taken for dead; its claims were given to others")
                    self._lost()
                self._tell(live)
            except StoreError as error:
                event.error(f"cannot renew: {error}")
            except Exception as error:  # whatever it is, a process that renews no more loses its claims
                event.error(f"internal error in the lease: {error!r}")
            await asyncio.sleep(RENEWAL)

    def _tell(self, live: Live) -> None:
        told = (live.runners, live.receivers)
        if told != self._told:
            self._told, self.live = told, live
            self._shared(live)

    def _renewal(self, store: Store) -> tuple[bool, Live]:
        now = self._clock()
        return store.renew(now + owner.LEASE, now), store.live(now)
