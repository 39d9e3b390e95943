"""The suppression list as the service asks about it, for each recipient.

There mostly is none, or nothing in it: then asking costs a comparison of times, and the file is looked for
every LOOK seconds and when another process wakes this one.  So an address that is put on an empty list stops
mail within that time, and on any other at once.  Looking up an address is a read of some microseconds from
pages in memory, which waits for nobody who writes.

A list that cannot be read stops no mail: an error says so, and it is tried again.  At start it is an error of
the service (`check`), since what a person has asked for would silently not be done.
"""

from __future__ import annotations

import os

from mether.event import mail as event
from mether.queue.store import StoreError
from mether.queue.suppressed import Suppressions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.address import Address
    from mether.queue.suppressed_row import Suppressed

LOOK: Final = 5.0
"""Seconds between two looks whether there is a list."""

BUSY: Final = 100
"""Milliseconds that a look-up waits for another process: only where that recovers the file."""


class Watch:
    """The list in `directory`, None for one in memory; used by one thread.  `clock` gives Unix seconds."""

    __slots__ = ("_clock", "_live", "_next", "list")

    def __init__(self, directory: str | None, clock: Callable[[], float]) -> None:
        self.list = Suppressions(directory, busy=BUSY)
        self._clock = clock
        self._live = False
        self._next = 0.0

    @property
    def live(self) -> bool:
        """Whether there may be an address on the list."""
        now = self._clock()
        if not self._next - LOOK <= now < self._next:  # also where the clock was set back
            self._next = now + LOOK
            self._live = self._look()
        return self._live

    def find(self, address: Address) -> Suppressed | None:
        """What stops mail to an address now, None where nothing does."""
        if not self.live:
            return None
        try:
            return self.list.stopping(address, self._clock())
        except StoreError as error:
            event.error(str(error))
            self._live = False
            return None

    def known(self, address: Address) -> bool:
        """Whether anything is remembered of an address, be it not enough to stop mail."""
        if not self.live:
            return False
        try:
            return self.list.find(address) is not None
        except StoreError:
            return False  # told when it is looked for again

    def changed(self) -> None:
        """Something was written, by this process or by one that has told so."""
        self._next = 0.0

    def check(self) -> None:
        """Raise StoreError when there is a list that cannot be read."""
        if self.list.path == ":memory:" or os.path.lexists(self.list.path):
            self.list.look()

    def close(self) -> None:
        """Let go of the file."""
        self.list.close()

    def _look(self) -> bool:
        if self.list.moved:
            self.list.close()
        try:
            return self.list.look()
        except StoreError as error:
            event.error(str(error))
            return False
