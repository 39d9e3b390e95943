"""The runner's side of the directory store: claims, the runner's lock, and the schedule it follows.

One process at a time holds ``queue/.lock``, from its first claim until it closes; what it finds then of
an earlier one's settlements and claims is completed and written down (`directory_recover`).  It sees what
other processes queued and changed by the directory's time, and at once when woken.  A claimed message is
locked by a flock on ``ID.msg``; one that something else has locked is tried again BUSY seconds later.

Verbs raise StoreError; the methods whose names begin with an underscore raise OSError.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock

from mether.queue import directory_claims, directory_recover
from mether.queue import owner as owner_
from mether.queue.claim import Claim, Pending
from mether.queue.content import SMALL
from mether.queue.directory_schedule import DirectorySchedule
from mether.queue.directory_slots import Pick
from mether.queue.disk import REAL, Disk, read_only
from mether.queue.figures import Live
from mether.queue.spool import trouble
from mether.queue.store import Busy, Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.queue.content import Content
    from mether.queue.directory_commit import Batch
    from mether.queue.directory_state import Record
    from mether.queue.store import Select
    from mether.queue.wake import Wake

BUSY: Final = 5.0
"""Seconds after which a message that something else had locked is looked at again."""

_RUNS: Final = "run\n"
_RECEIVES: Final = "receive\n"
"""What the lock file of an owner tells."""


class DirectoryRunner(DirectorySchedule):
    """All of `DirectoryStore` that has to do with taking claims."""

    single_runner = True

    def __init__(self, path: str, *, now: float, create: bool = True, disk: Disk = REAL) -> None:
        super().__init__(path, disk)
        self._journal = directory_claims.Journal(self._files)
        self._claims: dict[int, Claim] = {}
        self._held: dict[str, int] = {}
        self._token = 0
        self._settling: set[int] = set()
        self._reports: list[Record] = []
        self._told: str | None = None
        self._wake: Wake | None = None
        self._waking = allocate_lock()
        self._room = max(64, os.sysconf("SC_OPEN_MAX") // 2)
        try:
            self._files.make(create)
            unsettled = os.listdir(self._files.settling) and not read_only(path)
            if unsettled and self._become_runner():
                self._stop_running()
        except OSError as error:
            raise trouble(f"cannot open the queue {path}", error) from None

    # Claims

    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        claims: list[Claim] = []
        try:
            if not self._become_runner():
                raise Busy(f"{self._files.queue} is being run by another process{self._holder()}")
            with self._lock:
                self._recover()
                self._refresh()
                self._load_hops()
                try:
                    for pick in self._index.pick(limit, now, select):
                        if len(claims) >= limit:
                            break
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

    def _new_claim(self, record: Record, pick: Pick, now: float, content: Content | None = None) -> Claim:
        ident = pick.ident
        rows = [row for row in record.rows if row.number in pick.numbers]
        self._token += 1
        self._numbers[ident] = max(self._numbers.get(ident, 0), record.claims) + 1
        if content is None and record.octets <= SMALL:
            try:
                content = self._files.content(ident, record.octets)
            except Damaged:
                content = None  # `content` says so when it is asked
        claim = Claim(
            record.message,
            pick.route,
            [Pending.of(row) for row in rows],
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
        # Of what is not to be tried nothing is written down, should this process die.
        tried = pick.due and self.runs
        self._journal.take([directory_claims.Out(claim.token, ident, tried, now, pick.numbers)])
        return claim

    def _claim_fresh(self, batch: Batch, record: Record, content: Content | None, now: float) -> list[Claim]:
        """Claims on a message just queued, none when this process may not run the queue, or it must wait."""
        message = record.message
        ident = message.ident
        if self._runner < 0 or len(self._held) >= self._room:
            return []
        if message.hold is not None or message.release_at > now:
            return []
        self._load_hops()
        known = self._index.hops
        free = {
            route: rows
            for route, rows in record.hops().items()
            if route not in known or not (known[route].failures or known[route].blocked(now))
        }
        lock = batch.keep_lock(ident) if free else -1
        if lock < 0:
            return []
        self._held[ident] = lock
        return [
            self._new_claim(record, Pick(ident, route, [row.number for row in rows], True), now, content)
            for route, rows in free.items()
        ]

    def renew(self, until: float, now: float) -> bool:
        try:
            self._register()
        except OSError as error:
            raise trouble("cannot be among those who work the queue", error) from None
        return True  # the runner's lock is held as long as the process lives: nobody can take it for dead

    def _register(self) -> None:
        """Say in the lock file what this process does.  Raises OSError."""
        does = (_RUNS if self.runs else "") + (_RECEIVES if self.receives else "")
        if does != self._told:
            self._files.life.tell(does)
            self._told = does

    def live(self, now: float) -> Live:
        """One runner at most: that several would take claims does not make them share them."""
        runs, receives = [self.runs], [self.receives]
        try:
            for owner, does in owner_.living(self._files.owners):
                if owner != self.owner:
                    runs.append(_RUNS in does)
                    receives.append(_RECEIVES in does)
        except OSError as error:
            raise trouble("cannot tell who works the queue", error) from None
        return Live(int(any(runs)), sum(receives))

    def marked(self) -> dict[int, str]:
        if not self._claims:
            return {}
        try:
            self._refresh()
        except OSError as error:
            raise trouble("cannot read the queue", error) from None
        return self._index.marked()

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
                    row.obey()
            self._replace(record)
        self._end(claim)

    def _end(self, claim: Claim) -> None:
        """The claim is over: forget it, and unlock the message when it was the last."""
        if self._claims.pop(claim.token, None) is not None:
            self._journal.end([claim.token])
            self._index.end(claim.token)
            self._unlock(claim.message.ident)

    def _unlock(self, ident: str) -> None:
        if ident in self._held and not self._index.claimed(ident):
            os.close(self._held.pop(ident))

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
            try:
                self._register()
            except OSError:
                pass  # a full disk stops no claim: the next renewal says it
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
