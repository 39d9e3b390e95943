"""The directory store's view of its files: the schedule, kept up to date, and what is known of next hops.

What others queued and changed is seen by the directory's time, and at once when woken.  What is learned of
next hops, and what a person decides about them, is one file (`directory_hops`), switched by a rename under
the write lock.

Verbs raise StoreError; the methods whose names begin with an underscore raise OSError.
"""

from __future__ import annotations

import os
import time

from mether.queue import directory_hops, directory_recover
from mether.queue import owner as owner_
from mether.queue.claim import Hop
from mether.queue.directory_commit import Batch
from mether.queue.directory_files import Files, WriteLock, is_ident
from mether.queue.directory_index import Index
from mether.queue.glob import next_hop_like
from mether.queue.selection import MAX_REASON
from mether.queue.spool import trouble
from mether.queue.store import Damaged, Store, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.outcome import Route
    from mether.queue.directory_state import Record
    from mether.queue.disk import Disk

RECENT: Final = 100_000_000
"""Nanoseconds within which two changes of a directory may show the same time."""


class DirectorySchedule(Store):
    """All of `DirectoryStore` that has to do with what is due and with next hops."""

    def __init__(self, path: str, disk: Disk) -> None:
        self.owner = owner_.new_id()
        self._files = Files(os.path.abspath(path), self.owner, disk)
        self._lock = WriteLock(self._files.path)
        self._index = Index()
        self._numbers: dict[str, int] = {}
        self._runner = -1
        self._seen: dict[str, tuple[int, int] | None] = {}
        self._scanned: tuple[int, float, float] | None = None
        self._hops_seen: tuple[int, int] | None = None
        self._stuck = False
        self._woken = False

    def _recover(self) -> None:
        """Finish what an error left half done.  Raises OSError."""
        if self._stuck and self._runner >= 0:
            directory_recover.recover(self._files)
            self._stuck = False

    def _replace(self, record: Record) -> None:
        """Rewrite or remove one message.  Raises OSError."""
        batch = Batch(self._files)
        batch.put(record)
        batch.run()
        self._put(record.message.ident, record)

    # The schedule

    def _stamp(self, path: str) -> tuple[int, int] | None:
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_ctime_ns

    def _put(self, ident: str, record: Record) -> None:
        """The schedule learns what we wrote ourselves."""
        self._index.put(ident, record)
        try:
            stamp = self._stamp(self._files.name(ident, "sh"))
        except OSError:
            stamp = None  # what was written is written: `_refresh` finds out
        if stamp is None:
            self._seen.pop(ident, None)
            self._numbers.pop(ident, None)
        else:
            self._seen[ident] = stamp

    def _refresh(self) -> None:
        """The schedule learns what others wrote, when the directory's time says that there may be something.

        A directory changed a moment ago may change again without its time changing: it is read again.
        Reading a large one is not repeated at once, unless we were woken.
        """
        if self._woken:
            self._woken, self._scanned = False, None
            self._index.wake()
        modified = os.stat(self._files.queue).st_mtime_ns
        if self._scanned is not None:
            seen, ended, cost = self._scanned
            if seen == modified or (cost > 0.005 and time.monotonic() < ended + 20 * cost):
                return
        started = time.monotonic()
        recent = time.time_ns() - modified < RECENT
        gone = set(self._seen)
        with os.scandir(self._files.queue) as found:
            for entry in found:
                ident = entry.name[:-3]
                if not (entry.name.endswith(".sh") and is_ident(ident)):
                    continue
                gone.discard(ident)
                stamp = self._stamp(entry.path)
                if stamp is not None and self._seen.get(ident) != stamp:
                    try:
                        record = self._files.read(ident)
                    except Damaged:
                        record = None
                    self._index.put(ident, record)
                    self._seen[ident] = stamp
        for ident in gone:
            self._index.put(ident, None)
            self._seen.pop(ident)
        ended = time.monotonic()
        self._scanned = (-1 if recent else modified, ended, ended - started)

    def next_due(self, now: float) -> float | None:
        try:
            self._refresh()
            self._load_hops()
        except OSError as error:
            raise trouble("cannot read the queue", error) from None
        return self._index.next_due(now)

    # Next hops

    def hops(self, like: str | None = None) -> list[Hop]:
        try:
            self._load_hops()
            if like is not None:
                self._refresh()
        except OSError as error:
            raise trouble("cannot read the queue", error) from None
        known = self._index.hops
        if like is None:
            return list(known.values())
        routes = self._index.routes() | known.keys()
        return [known.get(route) or Hop(route) for route in routes if next_hop_like(like, route)]

    def suspend(self, routes: Sequence[Route], *, reason: str, until: float | None) -> None:
        self._decide(routes, reason[:MAX_REASON], until)

    def resume(self, routes: Sequence[Route], *, now: float) -> int:
        before = self._decide(routes, None, None)
        return sum(hop.suspended_at(now) for hop in before)

    def totals(self) -> None:
        """It keeps none."""

    def _decide(self, routes: Sequence[Route], reason: str | None, until: float | None) -> list[Hop]:
        """Suspend next hops, or resume them (reason None), durably; what was known of them before."""
        try:
            with self._lock:
                self._recover()
                self._load_hops()
                known = self._index.hops
                before = [known.get(route) or Hop(route) for route in dict.fromkeys(routes)]
                changed = [hop for hop in before if (hop.suspended, hop.suspended_until) != (reason, until)]
                if changed:
                    batch = Batch(self._files)
                    self._put_hops(
                        batch, known | {hop.route: _decided(hop, reason, until) for hop in changed}
                    )
                    batch.run()
        except (OSError, ValueError) as error:
            what = "cannot write what is decided of next hops"
            raise (
                trouble(what, error) if isinstance(error, OSError) else StoreError(f"{what}: {error}")
            ) from None
        return before

    def _load_hops(self) -> None:
        stamp = self._stamp(self._files.hops)
        if stamp != self._hops_seen:
            self._hops_seen = stamp
            self._index.hops = directory_hops.read(self._files.hops)

    def _put_hops(self, batch: Batch, hops: dict[Route, Hop]) -> None:
        batch.loose("hops", self._files.hops, directory_hops.write(hops.values()))


def _decided(hop: Hop, reason: str | None, until: float | None) -> Hop:
    """What is known of a next hop, and what a person has decided about it."""
    return Hop(
        hop.route,
        failures=hop.failures,
        not_before=hop.not_before,
        last=hop.last,
        suspended=reason,
        suspended_until=until,
    )
