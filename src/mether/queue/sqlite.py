"""The queue in SQLite: the default store.

``sqlite:DIR`` is a directory with the database ``queue.sqlite3`` and the files of `spool`.  Any number of
processes may work it at once.  A batch is one transaction, durable when `apply` returns; what a kill
or a power cut may leave is a file in ``incoming`` or ``content`` that no row names, which `sweep` removes.

A claim's recipients are kept out of every index, so a message that goes straight through (inserted
already claimed, deleted when settled) touches three tables and nothing else.

Errors are StoreError, NoSpace and Damaged, as `store` says; after trouble has gone the same object works
again.

What `smtpqer` does not need is imported where it is used: it pays for every module at every message.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from mether.queue import ident as ident_
from mether.queue import owner as owner_
from mether.queue import sqlite_apply, sqlite_hops
from mether.queue.content import in_memory
from mether.queue.database import FILE, Database, translate, verb
from mether.queue.disk import REAL
from mether.queue.spool import Spool, make, trouble
from mether.queue.sqlite_apply import Inserting
from mether.queue.sqlite_hops import SQL
from mether.queue.sqlite_people import SqlitePeople
from mether.queue.sqlite_rows import UNREADABLE
from mether.queue.store import Absent, Applied, Damaged, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Final

    from mether.queue.claim import Claim, Hop, Settlement
    from mether.queue.content import Content
    from mether.queue.disk import Disk
    from mether.queue.figures import Live
    from mether.queue.message import Draft
    from mether.queue.spool import Staged
    from mether.queue.store import Select
    from mether.queue.wake import Wake


MUCH: Final = 10_000
"""Recipients in the queue from which on a pass over them is not made while the others wait."""


class SqliteStore(SqlitePeople):
    """The queue in directory `path`, for one owner.

    With `create`, what is missing is made.  `disk` does the file operations and `vfs` names the SQLite VFS,
    both for tests.  Raises StoreError when it cannot be opened.
    """

    def __init__(
        self, path: str, *, now: float, create: bool = True, disk: Disk = REAL, vfs: str | None = None
    ) -> None:
        self.path = os.path.abspath(path)
        self.owner = owner_.new_id()
        self._token = 0
        self._now = now
        self._registered = False
        self._lost = False
        self._out: dict[int, Claim] = {}
        if not os.path.exists(os.path.join(self.path, FILE)):
            if not create:
                raise Absent(f"there is no queue in {self.path}")
            try:
                make(self.path, disk)
            except OSError as error:
                raise trouble(f"cannot create the queue {self.path}", error) from None
        self._spool = Spool(self.path, self.owner, disk)
        self._wake: Wake | None = None
        self._waking = allocate_lock()
        import apsw

        try:
            self._db = Database(self.path, disk, vfs)
        except (apsw.Error, OSError) as error:
            raise translate(error, f"cannot open the queue {self.path}") from error

    @verb
    def stage(self, ident: str) -> Staged:
        try:
            ident_.decode(ident)
        except ValueError as error:
            raise StoreError(str(error)) from None
        return self._spool.stage(ident.upper())

    def turn(self) -> None:
        self._db.turn()

    @verb
    def apply(
        self,
        drafts: Sequence[Draft] = (),
        settlements: Sequence[Settlement] = (),
        hops: Sequence[Hop] = (),
        *,
        now: float,
    ) -> Applied:
        if not (drafts or settlements or hops):
            return Applied([], [])
        try:
            return self._apply(drafts, settlements, hops, now, careful=False)
        except sqlite_apply.BAD:
            pass
        finally:
            self._db.pass_on()
        try:
            return self._apply(drafts, settlements, hops, now, careful=True)
        except sqlite_apply.BAD as error:
            raise StoreError(f"queue {self.path}: a settlement cannot be stored: {error}") from error

    def _apply(
        self,
        drafts: Sequence[Draft],
        settlements: Sequence[Settlement],
        hops: Sequence[Hop],
        now: float,
        *,
        careful: bool,
    ) -> Applied:
        claiming = any(draft.claim for draft in drafts)
        if claiming:
            self._spool.life.take()
        answers: list[object] = []
        inserting = Inserting(self._db, self._spool, self.owner, self._token, now, careful=careful)
        settling = None
        if settlements:
            from mether.queue.sqlite_settle import Settling

            settling = Settling(self._db, inserting)
        with self._db.write():
            if claiming:
                self._register(now)
            if settling is not None:
                settling.settle(settlements)
            if drafts:
                inserting.insert(drafts, answers)  # type: ignore[arg-type]
            if hops:
                sqlite_hops.learn(self._db, hops, inserting.touched)
            inserting.end()
        self._token = inserting.token
        applied = Applied(answers, [], [])  # type: ignore[arg-type]
        if settling is not None:
            applied.refused, applied.gone = settling.refused, settling.gone
            self._remove(settling.files)
        return self._finish(applied, settlements)

    def _finish(self, applied: Applied, settlements: Sequence[Settlement]) -> Applied:
        for answer in applied.answers:
            for claim in answer.claims:
                self._out[claim.token] = claim
        for one in settlements:
            if one.also:
                # Refused for one claim that is lost, it leaves the others out.
                for part in () if one in applied.refused else one.parts:
                    self._out.pop(part.claim.token, None)
            elif one.claim.owner == self.owner:
                self._out.pop(one.claim.token, None)
        return applied

    @verb
    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        try:
            return self._claim(limit, now, select)
        except UNREADABLE:
            from mether.queue import sqlite_damage

            with self._db.write():
                sqlite_damage.mend(self._db, self.owner)
        try:
            return self._claim(limit, now, select)
        except UNREADABLE as error:
            raise Damaged(f"queue {self.path}: a row is damaged (see mether fsck): {error}") from error

    def _claim(self, limit: int, now: float, select: Select | None) -> list[Claim]:
        from mether.queue import sqlite_claim, sqlite_owner, sqlite_pick
        from mether.queue.sqlite_settle import Settling

        plain = select is None or select.plain
        db = self._db
        dead = sqlite_owner.dead_owners(db, self.owner, self._spool.owners, now)
        if limit < 1:
            return []
        if plain and not dead:
            due = sqlite_pick.next_due(db, now)
            if due is None or due > now:
                return []
        self._spool.life.take()
        settling = Settling(db, Inserting(db, self._spool, self.owner, self._token, now))
        with db.write():
            self._register(now)
            if dead:
                for other in sqlite_owner.dead_owners(db, self.owner, self._spool.owners, now):
                    sqlite_owner.take_over(db, settling, other, now)
            hops = sqlite_pick.Hops(db, select, limit)
            if select is None or plain:
                picks = sqlite_pick.pick(db, hops, limit, now)
            else:
                picks = sqlite_pick.pick_selected(db, hops, limit, now, select)
            first = self._token + 1
            held = select is not None and select.held
            claims = sqlite_claim.take(db, hops, picks, self.owner, first, now, held) if picks else []
            if plain and not picks and (empty := hops.ready(now)):
                from mether.queue import sqlite_damage

                # Something should be due there: its row, or one of an index, is damaged.
                sqlite_damage.mend(db, self.owner)
                sqlite_hops.refresh(db, empty)
        self._token += len(picks)
        self._out.update((claim.token, claim) for claim in claims)
        self._remove(settling.files)
        return claims

    def _register(self, now: float) -> None:
        """Be among the owners, with enough time left; within a transaction, the lock held."""
        if self._registered and self._db.lease - now >= owner_.LEASE / 2:
            return
        until = self._db.value(SQL["owner-until"], (self.owner,))
        if until is not None and not isinstance(until, int | float):
            until = now  # damaged
        if until is None and self._registered:
            self._lost = True
        if until is None or until - now < owner_.LEASE / 2:
            until = now + owner_.LEASE
            self._renew(until)
        self._db.lease = until
        self._registered = True

    def _renew(self, until: float) -> None:
        self._db.execute(SQL["owner-renew"], (self.owner, until, self.runs, self.receives))

    @verb
    def renew(self, until: float, now: float) -> bool:
        self._spool.life.take()
        with self._db.write():
            known = self._db.value(SQL["owner-until"], (self.owner,)) is not None
            self._renew(until)
        kept = not self._lost and (known or not self._registered)
        self._registered, self._lost = True, False
        return kept

    @verb
    def live(self, now: float) -> Live:
        from mether.queue import sqlite_owner

        found = sqlite_owner.live(self._db, self.owner, self._spool.owners, now)
        found.runners += self.runs
        found.receivers += self.receives
        return found

    @verb
    def marked(self) -> dict[int, str]:
        rows = self._db.execute(SQL["owner-marks"], (self.owner,)).fetchall()
        return {token: mark.partition(" ")[0] for token, mark in rows}

    @verb
    def release(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        from mether.queue.sqlite_settle import Settling

        inserting = Inserting(self._db, self._spool, self.owner, self._token, 0.0)
        settling = Settling(self._db, inserting)
        with self._db.write():
            for claim in claims:
                settling.give_back(claim)
            inserting.end()
        for claim in claims:
            if claim.owner == self.owner:
                self._out.pop(claim.token, None)
        self._remove(settling.files)

    @verb
    def content(self, ident: str) -> Content:
        try:
            row = self._db.execute(SQL["content"], (ident_.decode(ident),)).fetchone()
        except ValueError as error:
            raise StoreError(str(error)) from None
        if row is None:
            raise StoreError(f"there is no message {ident} in the queue")
        if row[0]:
            return self._spool.content(ident.upper())
        if row[1] is None:
            raise Damaged(f"the content of {ident} is missing in {self._db.path}")
        return in_memory(row[1])

    @verb
    def next_due(self, now: float) -> float | None:
        from mether.queue import sqlite_pick

        return sqlite_pick.next_due(self._db, now)

    @verb
    def wake(self) -> int:
        return self._waker().wake()

    @verb
    def wait(self, timeout: float) -> bool:
        return self._waker().wait(timeout)

    @verb
    def fileno(self) -> int:
        return self._waker().fileno()

    @verb
    def sweep(self, now: float) -> int:
        """Remove files that no row names, and forget next hops and keys that nothing needs."""
        removed = self._spool.sweep_incoming(lambda other: owner_.alive(self._spool.owners, other))
        removed += owner_.sweep(self._spool.owners)
        with self._db.read():
            idle = {row[0] for row in self._db.execute(SQL["hops-idle"])}
            if idle:
                idle.difference_update(row[0] for row in self._db.execute(SQL["hops-in-use"]))
            version = self._db.value(SQL["data-version"])
        candidates = self._unnamed(self._spool.placed())
        with self._db.write():
            # Files get their place under the write lock, so what has no row now belongs to no one alive.
            removed += sum(self._spool.remove(ident) for ident in self._unnamed(candidates))
            self._db.execute(SQL["key-forget"], (now,))
            self._db.execute(SQL["hops-suspension-over"], (now,))
            self._forget_hops(idle, version)
        return removed

    def _forget_hops(self, idle: Iterable[int], version: int) -> None:
        """Forget the next hops that nothing named when the database was as `version`.

        Mail may have come for them since.  To look for it costs a pass over all that is queued while nobody
        can write: where much is queued this waits for a sweep during which no other process wrote.
        """
        db, which = self._db, sqlite_hops.numbers(idle)
        if idle and db.value(SQL["data-version"]) != version:
            if db.value(SQL["recipients-up-to"], (MUCH,)) >= MUCH:
                return
            which = sqlite_hops.numbers(row[0] for row in db.execute(SQL["hops-still-idle"], (which,)))
        if idle:
            db.execute(SQL["hops-forget"], (which,))
            db.forget_hops()

    def _waker(self) -> Wake:
        if self._wake is None:
            from mether.queue.wake import Wake

            with self._waking:
                if self._wake is None:
                    self._wake = Wake(os.path.join(self.path, "wake"), owner_.name(self.owner))
        return self._wake

    def _unnamed(self, idents: Iterable[str]) -> list[str]:
        unnamed = []
        for ident in idents:
            try:
                number = ident_.decode(ident)
            except ValueError:
                continue
            if self._db.value(SQL["queued-among"], (f"[{number}]",)) is None:
                unnamed.append(ident)
        return unnamed

    def close(self, *, leave: Collection[int] = ()) -> None:
        try:
            self.release([claim for token, claim in self._out.items() if token not in leave])
            if self._registered and not self._out:
                with self._db.write():
                    self._db.execute(SQL["owner-remove"], (self.owner,))
        except Exception:
            # Whoever comes next takes them over: the lock below says that this owner is gone.
            pass
        self._registered = False
        self._out.clear()
        if self._wake is not None:
            self._wake.close()
        self._db.close()
        self._spool.life.drop()
