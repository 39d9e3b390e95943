"""The directory store: the 1986 spool, made safe.  ``directory:/var/spool/smtpq``.

A queued message is ``queue/ID.sh`` (the envelope, a script: see `script`), ``queue/ID.msg`` (the content) and
``queue/ID.errs`` (what was tried).  It is queued at one instant: when the rename of ``ID.sh`` into
``queue`` is durable.  `directory_commit` has the order in which files are written and
``docs/internals-directory.md`` the table of what a crash may leave.

One process at a time takes claims, as runsmtpq locked the queue in 1986: the first that claims holds
``queue/.lock`` until it closes, and another's `claim` raises StoreError that names it.  Any number of
processes may queue, list and change at the same time; the runner sees what they did by the
directory's time, and at once when woken.  A claimed message is locked by a flock on ``ID.msg``, which a
script run by hand takes too; a message that something else has locked is tried again BUSY seconds later.

Use it where files that a person can read are worth more than speed: every message costs several
syncs, and a runner that starts reads every envelope.
"""

from __future__ import annotations

import os

from mether.queue import directory_claims, directory_errs, directory_recover
from mether.queue import owner as owner_
from mether.queue.directory_apply import DirectoryWriter
from mether.queue.directory_commit import Batch
from mether.queue.directory_files import is_ident
from mether.queue.directory_match import changed_record, matches, moved_record
from mether.queue.message import Entry
from mether.queue.selection import changes
from mether.queue.spool import Staged, trouble
from mether.queue.store import Damaged, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Final

    from mether.outcome import Attempt, Route
    from mether.queue.content import Content
    from mether.queue.directory_state import Record
    from mether.queue.selection import Action, Move
    from mether.queue.store import Filter
    from mether.queue.wake import Wake

CHANGES: Final = 200
"""Messages changed under one write lock, with one sync."""


class DirectoryStore(DirectoryWriter):
    """The queue in the directory `path`.

    ``DirectoryStore(path, *, now, create=True, disk=REAL)``: `now` is Unix seconds; with `create` the
    directory is made when missing.  Raises StoreError.
    """

    # Content

    def stage(self, ident: str) -> Staged:
        try:
            return Staged(self._files.temp(ident), ident, self._files.disk)
        except OSError as error:
            raise trouble("cannot receive content", error) from None

    def content(self, ident: str) -> Content:
        try:
            record = self._files.read(ident) if is_ident(ident) else None
            if record is None:
                raise StoreError(f"no message {ident[:80]!r} is in the queue")
            return self._files.content(ident, record.octets)
        except OSError as error:
            raise trouble(f"cannot read the content of {ident}", error) from None

    # People

    def entries(self, filter: Filter, after: str = "", limit: int = 1000) -> list[Entry]:
        found: list[Entry] = []
        try:
            owner, claimed = self._claimed()
            for ident in self._files.idents():
                if ident <= after or (filter.idents is not None and ident not in filter.idents):
                    continue
                if len(found) >= limit:
                    break
                try:
                    record = self._files.read(ident)
                except Damaged:
                    continue  # `check` tells
                if record is not None:
                    entry = self._entry(record, owner, claimed)
                    if matches(filter, entry):
                        found.append(entry)
        except OSError as error:
            raise trouble("cannot read the queue", error) from None
        return found

    def count(self, most: int) -> int:
        try:
            return min(most, len(self._files.idents()))
        except OSError as error:
            raise trouble("cannot read the queue", error) from None

    def _claimed(self) -> tuple[int | None, dict[str, set[int]]]:
        """Who runs the queue, and the recipients it has claimed, by message."""
        owner, outs = (self.owner, list(self._journal.out.values()))
        if self._runner < 0:
            owner, outs = directory_claims.read(self._files)  # type: ignore[assignment]
        claimed: dict[str, set[int]] = {}
        for out in outs:
            claimed.setdefault(out.ident, set()).update(out.numbers)
        return owner, claimed

    def _entry(self, record: Record, owner: int | None, claimed: dict[str, set[int]]) -> Entry:
        numbers = claimed.get(record.message.ident, set())
        for row in record.rows:
            row.owner = owner if row.number in numbers else None
        return Entry(record.message, record.rows)

    def attempts(self, ident: str) -> list[Attempt]:
        try:
            return directory_errs.read(self._files, ident) if is_ident(ident) else []
        except OSError as error:
            raise trouble(f"cannot read what was tried for {ident}", error) from None

    def change(
        self,
        filter: Filter,
        action: Action,
        *,
        now: float,
        reason: str = "",
        move: Move | None = None,
    ) -> int:
        """As the contract says; a message that a script run by hand is sending is left alone."""
        changed, after = 0, ""
        while entries := self.entries(filter, after, CHANGES):
            after = entries[-1].message.ident
            batch = Batch(self._files)
            locks: list[int] = []
            try:
                with self._lock:
                    self._recover()
                    records = self._change(batch, entries, filter, action, now, reason, move, locks)
                    batch.run()
                    for record in records:
                        self._put(record.message.ident, record)
            except OSError as error:
                raise trouble("cannot change the queue", error) from None
            finally:
                for lock in locks:
                    os.close(lock)
            changed += len(records)
        return changed

    def _change(
        self,
        batch: Batch,
        entries: list[Entry],
        filter: Filter,
        action: str,
        now: float,
        reason: str,
        move: Move | None,
        locks: list[int],
    ) -> list[Record]:
        owner, claimed = self._claimed()
        records = []
        routes: set[Route] = set()
        for entry in entries:
            ident = entry.message.ident
            try:
                record = self._files.read(ident)
            except Damaged:
                continue
            # It is read again, and looked at again, now that nobody else can change it.
            if record is None or not matches(filter, found := self._entry(record, owner, claimed)):
                continue
            if not (changes(action, found) if move is None else moved_record(record, filter, move, now)):
                continue
            if ident not in claimed and not self._lock_message(ident, locks):
                continue
            if action == "retry":
                routes.update(row.route for row in record.rows)
            if move is None:
                changed_record(record, action, now, reason)
            batch.put(record)
            records.append(record)
        self._load_hops()
        if routes & self._index.hops.keys():
            for route in routes & self._index.hops.keys():
                hop = self._index.hops[route]
                hop.not_before = min(hop.not_before, now)
            self._put_hops(batch, self._index.hops)
        return records

    def _lock_message(self, ident: str, locks: list[int]) -> bool:
        """Take the lock of a message that is not in hand; whether nobody else has it.  Raises OSError."""
        if ident in self._held:
            return True
        lock = self._files.lock_content(self._files.name(ident, "msg"))
        if lock is not None:
            locks.append(lock)
        return lock is not None or not os.path.lexists(self._files.name(ident, "msg"))

    def advance(self, times: Mapping[str, tuple[float, float]]) -> int:
        """As the contract says; a message that a script run by hand is sending is left alone."""
        batch = Batch(self._files)
        records: list[Record] = []
        locks: list[int] = []
        try:
            with self._lock:
                self._recover()
                owner, claimed = self._claimed()
                for ident, (beyond, at) in times.items():
                    try:
                        record = self._files.read(ident)
                    except Damaged:
                        continue
                    if record is None:
                        continue
                    rows = self._entry(record, owner, claimed).rows
                    late = [row for row in rows if row.owner is None and row.next_attempt > beyond]
                    if late and (ident in claimed or self._lock_message(ident, locks)):
                        for row in late:
                            row.next_attempt = at
                        batch.put(record)
                        records.append(record)
                batch.run()
                for record in records:
                    self._put(record.message.ident, record)
        except OSError as error:
            raise trouble("cannot change the queue", error) from None
        finally:
            for lock in locks:
                os.close(lock)
        return len(records)

    # Waking and the end

    def wake(self) -> int:
        try:
            return self._waker().wake()
        except OSError as error:
            raise trouble("cannot wake the others", error) from None

    def wait(self, timeout: float) -> bool:
        try:
            woken = self._waker().wait(timeout)
        except OSError as error:
            raise trouble("cannot wait for a wake", error) from None
        if woken:
            self._woken = True  # for the next look at the queue: this may be another thread
        return woken

    def fileno(self) -> int:
        try:
            return self._waker().fileno()
        except OSError as error:
            raise trouble("cannot wait for a wake", error) from None

    def _waker(self) -> Wake:
        if self._wake is None:
            from mether.queue.wake import Wake

            with self._waking:
                if self._wake is None:
                    self._wake = Wake(os.path.join(self._files.path, "wake"), owner_.name(self.owner))
        return self._wake

    def check(self) -> Iterator[str]:
        try:
            yield from directory_recover.check(self._files, self._lock)
        except OSError as error:
            raise trouble("cannot look over the queue", error) from None

    def sweep(self, now: float) -> int:
        try:
            with self._lock:
                return directory_recover.sweep(self._files, now)
        except OSError as error:
            raise trouble("cannot clean the queue", error) from None

    def close(self, *, leave: Collection[int] = ()) -> None:
        for claim in list(self._claims.values()):
            if claim.token in leave:
                continue  # it stays in the journal, too
            try:
                self.release([claim])
            except StoreError:
                pass  # it stays in the journal: the next runner takes it for one that was broken off
        for ident in list(self._held):
            os.close(self._held.pop(ident))
        self._claims.clear()
        self._stop_running()
        if self._wake is not None:
            self._wake.close()
        self._lock.close()
        self._files.life.drop()
