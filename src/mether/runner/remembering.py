"""Writing down what attempts tell of addresses, in a thread of its own.

What is remembered must never hold up mail: a list that another process writes to, or a disk that is slow,
keeps this thread waiting and nobody else.  What gathers meanwhile is written together.  What cannot be
written is told in one line and lost; it costs one more attempt.

Limits: MAX_WAITING addresses wait to be written; what comes beyond them is not remembered.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.queue.store import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from typing import Final

    from mether.address import Address
    from mether.queue.suppressed import Suppressions
    from mether.queue.suppressed_row import Suppressed

    Run = Callable[[Callable[[], list[Suppressed]], Callable[[list[Suppressed] | Exception], None]], None]

MAX_WAITING: Final = 10_000


class Thread:
    """Runs one piece of work after the other in a thread, and tells the event loop of each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._executor: ThreadPoolExecutor | None = None

    def __call__(
        self, work: Callable[[], list[Suppressed]], done: Callable[[list[Suppressed] | Exception], None]
    ) -> None:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self._executor = ThreadPoolExecutor(1, thread_name_prefix="suppression")

        def run() -> None:
            result: list[Suppressed] | Exception
            try:
                result = work()
            except Exception as error:
                result = error
            try:
                self._loop.call_soon_threadsafe(done, result)
            except RuntimeError:
                pass  # the loop is closed: nobody is left to be told

        self._executor.submit(run)

    def close(self) -> None:
        """Finish what was begun."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None


class Recorder:
    """Writes to `known`, by `run`; `changed` is told when something was written.

    `keep` and `after` are those of `Suppressions.record`.  Used by one thread, the event loop's.
    """

    def __init__(
        self,
        known: Suppressions,
        run: Run,
        changed: Callable[[], None],
        *,
        keep: float | None,
        after: int,
    ) -> None:
        self.keep = keep
        self.after = after
        self._known = known
        self._run = run
        self._changed = changed
        self._failed: list[Suppressed] = []
        self._delivered: list[Address] = []
        self._expire: float | None = None
        self._running = False
        self._full = False

    def failed(self, one: Suppressed) -> None:
        """Remember a failure."""
        if self._room():
            self._failed.append(one)
            self._begin()

    def delivered(self, address: Address) -> None:
        """Forget what was learned of an address: mail for it was delivered."""
        if self._room():
            self._delivered.append(address)
            self._begin()

    def expire(self, now: float) -> None:
        """Forget what is over."""
        self._expire = now
        self._begin()

    def close(self) -> None:
        """Write what still waits, and let go of the list."""
        work = self._work()
        if work is not None:
            try:
                work()
            except Exception as error:
                _told(error)
        self._known.close()

    def _room(self) -> bool:
        if len(self._failed) + len(self._delivered) < MAX_WAITING:
            self._full = False
            return True
        if not self._full:
            self._full = True
            event.error("the suppression list is written slower than mail fails: some is not remembered")
        return False

    def _begin(self) -> None:
        if self._running:
            return
        work = self._work()
        if work is not None:
            self._running = True
            self._run(work, self._done)

    def _work(self) -> Callable[[], list[Suppressed]] | None:
        """What is to be done now, None for nothing; it is nobody's any more then."""
        failed, delivered, expire = self._failed, self._delivered, self._expire
        if not failed and not delivered and expire is None:
            return None
        self._failed, self._delivered, self._expire = [], [], None
        keep, after = self.keep, self.after

        def work() -> list[Suppressed]:
            if delivered:
                self._known.forget(delivered)
            new = self._known.record(failed, keep=keep, after=after) if failed else []
            if expire is not None:
                self._known.expire(expire)
            return new

        return work

    def _done(self, result: list[Suppressed] | Exception) -> None:
        self._running = False
        if isinstance(result, Exception):
            _told(result)
        else:
            self._changed()
            for one in result:
                event.noted(f"no more mail is sent to <{one.address}>: {one.reason}")
        self._begin()


def _told(error: Exception) -> None:
    what = str(error) if isinstance(error, StoreError) else f"internal error: {error!r}"
    event.error(f"not remembered: {what}")
