"""The other processes on the same queue: they are told that there is work, or what is made due for them.

Nothing here waits for them: they look for it in the store once they are woken.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.queue.commit import GroupCommit
    from mether.queue.store import Store, StoreError

STARTED: Final = 10_000
"""Messages that one `start` makes due at most."""


class Others:
    """Tells them; `clock` gives Unix seconds, and `changed` says that there may be something to claim."""

    def __init__(self, queue: GroupCommit, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._queue = queue
        self._clock = clock
        self._changed = changed
        self._telling = False

    def tell(self) -> None:
        """Wake them, once for all that is committed until the writer comes to it."""

        def told(result: object) -> None:
            self._telling = False

        if not self._telling:
            self._telling = True
            self._queue.call(lambda store: store.wake(), told)

    def start(self, domain: str, done: Callable[[int | StoreError], None]) -> None:
        """Make due what waits for a next hop, as `Store.start` does, here and for whoever runs the queue;
        `done` is told how many messages, or what was wrong with the store."""

        def work(store: Store) -> int:
            count = store.start(domain, now=self._clock(), limit=STARTED)
            if count:
                store.wake()
            return count

        def started(result: int | StoreError) -> None:
            self._changed()
            done(result)

        self._queue.call(work, started)
