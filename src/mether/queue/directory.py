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

import fcntl
import os
import time

from mether.queue import directory_claims, directory_errs, directory_hops, directory_keys, directory_recover
from mether.queue import ident as ident_
from mether.queue import owner as owner_
from mether.queue.content import SMALL
from mether.queue.directory_commit import Batch
from mether.queue.directory_files import Files, WriteLock, is_ident
from mether.queue.directory_index import Index, Pick
from mether.queue.directory_match import changed_record, matches
from mether.queue.directory_state import Record, ReportOf
from mether.queue.disk import REAL, Disk
from mether.queue.spool import Staged, trouble
from mether.queue.store import (
    Applied,
    Claim,
    Committed,
    Damaged,
    Draft,
    Entry,
    Hop,
    Pending,
    Row,
    Settlement,
    Store,
    StoreError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, Literal

    from mether.outcome import Attempt, Route
    from mether.queue.content import Content
    from mether.queue.store import Filter, Select
    from mether.queue.wake import Wake

BUSY: Final = 5.0
"""Seconds after which a message that something else had locked is looked at again."""

CHANGES: Final = 200
"""Messages changed under one write lock, with one sync."""

RECENT: Final = 100_000_000
"""Nanoseconds within which two changes of a directory may show the same time."""


class DirectoryStore(Store):
    """The queue in the directory `path`.

    `now` is Unix seconds; with `create` the directory is made when missing.  Raises StoreError.
    """

    single_runner = True

    def __init__(self, path: str, *, now: float, create: bool = True, disk: Disk = REAL) -> None:
        self.owner = owner_.new_id()
        self._files = Files(os.path.abspath(path), self.owner, disk)
        self._lock = WriteLock(self._files.path)
        self._index = Index()
        self._journal = directory_claims.Journal(self._files)
        self._claims: dict[int, Claim] = {}
        self._numbers: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._runner = -1
        self._token = 0
        self._seen: dict[str, tuple[int, int] | None] = {}
        self._scanned: tuple[int, float, float] | None = None
        self._hops_seen: tuple[int, int] | None = None
        self._settling: set[int] = set()
        self._reports: list[Record] = []
        self._stuck = False
        self._wake: Wake | None = None
        self._room = max(64, os.sysconf("SC_OPEN_MAX") // 2)
        try:
            self._files.make(create)
            if os.listdir(self._files.settling) and self._become_runner():
                self._stop_running()
        except OSError as error:
            raise trouble(f"cannot open the queue {path}", error) from None

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

    # The transaction

    def apply(
        self,
        drafts: Sequence[Draft] = (),
        settlements: Sequence[Settlement] = (),
        hops: Sequence[Hop] = (),
        *,
        now: float,
    ) -> Applied:
        batch = Batch(self._files)
        self._settling.clear()
        self._reports.clear()
        try:
            if self._runner < 0 and any(draft.claim for draft in drafts):
                self._become_runner()
            if settlements or hops or any(draft.key is not None for draft in drafts):
                with self._lock:
                    self._recover()
                    return self._apply(batch, drafts, settlements, hops, now)
            return self._apply(batch, drafts, settlements, hops, now)
        except OSError as error:
            raise trouble("cannot write to the queue", error) from None
        finally:
            self._stuck = self._stuck or batch.stuck
            batch.close()

    def _apply(
        self,
        batch: Batch,
        drafts: Sequence[Draft],
        settlements: Sequence[Settlement],
        hops: Sequence[Hop],
        now: float,
    ) -> Applied:
        answers, records = self._drafts(batch, drafts, now)
        originals: dict[str, Record] = {}
        refused: list[Settlement] = []
        done: list[Settlement] = []
        for settlement in settlements:
            (done if self._settle(batch, settlement, originals) else refused).append(settlement)
        for original in originals.values():
            batch.put(original)
        if hops:
            self._load_hops()
            known = self._index.hops | {hop.route: hop for hop in hops}
            self._put_hops(batch, known)
        try:
            batch.run()
        finally:
            for settlement in done:
                if settlement.claim.message.ident in batch.switched:
                    self._end(settlement.claim)
                    if settlement.attempt is not None and originals[settlement.claim.message.ident].rows:
                        directory_errs.append(self._files, settlement.claim.message.ident, settlement.attempt)
            for ident in batch.switched:
                self._put(ident, originals[ident])
        for report in self._reports:
            self._put(report.message.ident, report)
        for answer, record in zip(answers, records, strict=True):
            if record is not None:
                self._put(answer.ident, record)
        for answer, record, draft in zip(answers, records, drafts, strict=True):
            if record is not None and draft.claim:
                answer.claims = self._claim_fresh(batch, record, now)
        return Applied(answers, refused)

    def _drafts(
        self, batch: Batch, drafts: Sequence[Draft], now: float
    ) -> tuple[list[Committed], list[Record | None]]:
        answers: list[Committed] = []
        records: list[Record | None] = []
        keys: dict[str, str] = {}
        idents: set[str] = set()
        for draft in drafts:
            ident = draft.message.ident
            record = None
            try:
                key = None if draft.key is None else directory_keys.hashed(draft.key)
                known = None if key is None else keys.get(key) or directory_keys.find(self._files, key, now)
                if known is not None:
                    answers.append(Committed(known, known=True))
                    records.append(None)
                    continue
                if ident in idents or not is_ident(ident) or self._files.exists(ident):
                    raise StoreError(f"the queue id {ident[:80]!r} is taken, or is none")
                record = self._record(draft)
                record.key = key
                self._add(batch, record, draft)
            except StoreError as error:
                answers.append(Committed(ident, error=error))
                records.append(None)
                continue
            idents.add(ident)
            if key is not None:
                keys[key] = ident
                name = os.path.join(self._files.keys, key + ".new")
                batch.intent(f"{ident}.key", name, directory_keys.text(ident, draft.key_until))
            answers.append(Committed(ident))
            records.append(record)
        return answers, records

    def _record(self, draft: Draft, report: ReportOf | None = None) -> Record:
        envelope = draft.message.envelope
        if not envelope.recipients or len(envelope.recipients) != len(draft.routes):
            raise StoreError(
                f"{draft.message.ident}: {len(envelope.recipients)} recipients and {len(draft.routes)} routes"
            )
        rows = [
            Row(number, recipient, route, next_attempt=draft.due, pinned=draft.pinned)
            for number, (recipient, route) in enumerate(zip(envelope.recipients, draft.routes, strict=True))
        ]
        content = draft.content
        size = len(content) if isinstance(content, bytes) else content.size
        return Record(draft.message, rows, octets=size, report=report)

    def _add(self, batch: Batch, record: Record, draft: Draft, report_of: str | None = None) -> None:
        content = draft.content
        if not isinstance(content, bytes | Staged):
            raise StoreError(f"{draft.message.ident}: its content was staged in another store")
        if isinstance(content, Staged) and not content.synced:
            raise StoreError(f"{draft.message.ident}: its content was not synced")
        try:
            batch.add(record, content, report_of)
        except ValueError as error:
            raise StoreError(f"{draft.message.ident}: {error}") from None

    def _settle(self, batch: Batch, settlement: Settlement, originals: dict[str, Record]) -> bool:
        """Put the settlement into the batch; False when its claim is not out."""
        claim = settlement.claim
        ident = claim.message.ident
        out = self._claims.get(claim.token)
        if claim.owner != self.owner or out is None or out.message.ident != ident:
            return False
        if claim.token in self._settling:
            return False
        record = originals.get(ident) or self._files.read(ident)
        numbers = {pending.number for pending in out.pending}
        rows = {row.number: row for row in record.rows if row.number in numbers} if record else {}
        if record is None or not rows:
            self._end(out)
            return False
        gone = set()
        held = settlement.hold
        for decision in settlement.decisions:
            row = rows.get(decision.number)
            if row is None:
                continue
            if decision.retry_at is None or row.mark == "remove":
                gone.add(row.number)
                continue
            row.next_attempt = decision.retry_at
            row.suspect = False
            if decision.outcome is not None:
                row.attempts += 1
                row.last = decision.outcome
        for row in rows.values():
            row.mark = None
        if held is not None:
            record.message.hold = held
        if settlement.warned:
            record.message.warn_at = settlement.warn_at
        if not any(row.suspect for row in record.rows if row.number not in gone):
            record.strikes = 0
        reports = list(settlement.reports)
        for place, draft in enumerate(reports):
            self._report(batch, settlement, draft, place, sorted(gone))
        directory_recover.settled(record, claim.settlement, len(reports), gone)
        originals[ident] = record
        self._settling.add(claim.token)
        return True

    def _report(
        self, batch: Batch, settlement: Settlement, draft: Draft, place: int, gone: list[int]
    ) -> None:
        claim = settlement.claim
        if place == 0:
            # Done over after a crash, the settlement names the same report.
            draft.message.ident = ident_.report_id(claim.message.ident, claim.settlement)
        report = ReportOf(
            claim.message.ident,
            claim.settlement,
            len(settlement.reports),
            gone,
            warned=settlement.warned,
            warn_at=settlement.warn_at,
        )
        record = self._record(draft, report)
        self._add(batch, record, draft, claim.message.ident)
        self._reports.append(record)

    # Claims

    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        claims: list[Claim] = []
        try:
            if not self._become_runner():
                raise StoreError(f"{self._files.queue} is being run by another process{self._holder()}")
            with self._lock:
                self._recover()
                self._refresh()
                self._load_hops()
                try:
                    for pick in self._index.pick(limit, now, select):
                        if len(self._held) >= self._room and pick.ident not in self._held:
                            break
                        claim = self._try_claim(pick, now)
                        if claim is not None:
                            claims.append(claim)
                except OSError:
                    if not claims:
                        raise
        except OSError as error:
            raise trouble("cannot take claims from the queue", error) from None
        return claims

    def _try_claim(self, pick: Pick, now: float) -> Claim | None:
        """The claim of a pick; None when the message is no longer as the schedule had it, or is locked."""
        ident = pick.ident
        stamp = self._stamp(self._files.name(ident, "sh"))
        try:
            record = self._files.read(ident)
        except Damaged:
            record = None
        if record is None or stamp != self._seen.get(ident):
            self._index.put(ident, record)
            self._seen[ident] = stamp
            return None
        if ident not in self._held:
            lock = self._files.lock_content(self._files.name(ident, "msg"))
            if lock is None:
                self._index.busy(ident, now + BUSY)
                return None
            self._held[ident] = lock
        if any(row.mark == "remove" and row.number in pick.numbers for row in record.rows):
            # Left by a runner whose claims were lost with the machine.
            record.remove({row.number for row in record.rows if row.mark == "remove"})
            self._replace(record)
            self._unlock(ident)
            return None
        return self._new_claim(record, pick, now)

    def _new_claim(self, record: Record, pick: Pick, now: float) -> Claim:
        ident = pick.ident
        rows = [row for row in record.rows if row.number in pick.numbers]
        self._token += 1
        self._numbers[ident] = max(self._numbers.get(ident, 0), record.claims) + 1
        content: Content | None = None
        if record.octets <= SMALL:
            try:
                content = self._files.content(ident, record.octets)
            except Damaged:
                content = None  # `content` says so when it is asked
        claim = Claim(
            record.message,
            pick.route,
            [Pending(row.number, row.recipient, row.attempts, row.last, row.next_attempt) for row in rows],
            owner=self.owner,
            token=self._token,
            settlement=self._numbers[ident],
            content=content,
            hop=self._index.hops.get(pick.route),
            suspect=any(row.suspect for row in rows),
            due=pick.due,
        )
        self._claims[claim.token] = claim
        self._index.take(pick, claim.token)
        self._journal.take([directory_claims.Out(claim.token, ident, pick.due, now, pick.numbers)])
        return claim

    def _claim_fresh(self, batch: Batch, record: Record, now: float) -> list[Claim]:
        """Claims on a message just queued, none when this process may not run the queue."""
        ident = record.message.ident
        if self._runner < 0 or len(self._held) >= self._room:
            return []
        lock = batch.keep_lock(ident)
        if lock < 0:
            return []
        self._held[ident] = lock
        return [
            self._new_claim(record, Pick(ident, route, [row.number for row in rows], True), now)
            for route, rows in record.hops().items()
        ]

    def renew(self, until: float, now: float) -> bool:
        return True  # the runner's lock is held as long as the process lives: nobody can take it for dead

    def release(self, claims: Sequence[Claim]) -> None:
        try:
            with self._lock:
                for claim in claims:
                    out = self._claims.get(claim.token)
                    if out is not None and claim.owner == self.owner:
                        self._release(out)
        except OSError as error:
            raise trouble("cannot give a claim back", error) from None

    def _release(self, claim: Claim) -> None:
        numbers = {pending.number for pending in claim.pending}
        try:
            record = self._files.read(claim.message.ident)
        except Damaged:
            record = None
        if record is not None and any(row.mark for row in record.rows if row.number in numbers):
            record.remove(
                {row.number for row in record.rows if row.number in numbers and row.mark == "remove"}
            )
            for row in record.rows:
                if row.number in numbers:
                    row.mark = None
            self._replace(record)
        self._end(claim)

    def _end(self, claim: Claim) -> None:
        """The claim is over: forget it, and unlock the message when it was the last."""
        if self._claims.pop(claim.token, None) is not None:
            self._journal.end([claim.token])
            self._index.end(claim.token)
            self._unlock(claim.message.ident)

    def _unlock(self, ident: str) -> None:
        if ident in self._held and not any(each.message.ident == ident for each in self._claims.values()):
            os.close(self._held.pop(ident))

    def _replace(self, record: Record) -> None:
        """Rewrite or remove one message.  Raises OSError."""
        batch = Batch(self._files)
        batch.put(record)
        batch.run()
        self._put(record.message.ident, record)

    # The runner

    def _become_runner(self) -> bool:
        if self._runner >= 0:
            return True
        fd = os.open(
            os.path.join(self._files.queue, ".lock"),
            os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode("ascii"))
            with self._lock:
                directory_recover.recover(self._files)
                directory_recover.take_over(self._files)
            self._journal.begin()
            self._runner, fd = fd, -1
        except BlockingIOError:
            return False
        finally:
            if fd >= 0:
                os.close(fd)
        return True

    def _stop_running(self) -> None:
        self._journal.close()
        fd, self._runner = self._runner, -1
        if fd >= 0:
            os.close(fd)

    def _holder(self) -> str:
        try:
            with open(os.path.join(self._files.queue, ".lock"), encoding="ascii") as file:
                return f" ({int(file.read(20))})"
        except (OSError, ValueError):
            return ""

    def _recover(self) -> None:
        """Finish what an error left half done.  Raises OSError."""
        if self._stuck and self._runner >= 0:
            directory_recover.recover(self._files)
            self._stuck = False

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
        stamp = self._stamp(self._files.name(ident, "sh"))
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

    def hops(self) -> list[Hop]:
        try:
            self._load_hops()
        except OSError as error:
            raise trouble("cannot read the queue", error) from None
        return list(self._index.hops.values())

    def _load_hops(self) -> None:
        stamp = self._stamp(self._files.hops)
        if stamp != self._hops_seen:
            self._hops_seen = stamp
            self._index.hops = directory_hops.read(self._files.hops)

    def _put_hops(self, batch: Batch, hops: dict[Route, Hop]) -> None:
        batch.loose("hops", self._files.hops, directory_hops.write(hops.values()))

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
        action: Literal["hold", "release", "retry", "remove"],
        *,
        now: float,
        reason: str = "",
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
                    records = self._change(batch, entries, filter, action, now, reason, locks)
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
            if record is None or not matches(filter, self._entry(record, owner, claimed)):
                continue
            if ident not in claimed and ident not in self._held:
                lock = self._files.lock_content(self._files.name(ident, "msg"))
                if lock is None and os.path.lexists(self._files.name(ident, "msg")):
                    continue
                if lock is not None:
                    locks.append(lock)
            if action == "retry":
                routes.update(row.route for row in record.rows)
            changed_record(record, action, now, reason)
            batch.put(record)
            records.append(record)
        self._load_hops()
        if routes & self._index.hops.keys():
            for route in routes & self._index.hops.keys():
                hop = self._index.hops[route]
                hop.not_before, hop.suspended, hop.suspended_until = min(hop.not_before, now), None, None
            self._put_hops(batch, self._index.hops)
        return records

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
            self._scanned = None
            self._index.wake()
        return woken

    def fileno(self) -> int:
        try:
            return self._waker().fileno()
        except OSError as error:
            raise trouble("cannot wait for a wake", error) from None

    def _waker(self) -> Wake:
        if self._wake is None:
            from mether.queue.wake import Wake

            self._wake = Wake(os.path.join(self._files.path, "wake"), owner_.name(self.owner))
        return self._wake

    def check(self) -> Iterator[str]:
        try:
            yield from directory_recover.check(self._files)
        except OSError as error:
            raise trouble("cannot look over the queue", error) from None

    def sweep(self, now: float) -> int:
        try:
            with self._lock:
                return directory_recover.sweep(self._files, now)
        except OSError as error:
            raise trouble("cannot clean the queue", error) from None

    def close(self) -> None:
        for claim in list(self._claims.values()):
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
