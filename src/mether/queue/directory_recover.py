"""What is done after a crash, and what is looked over and cleaned: recovery, take-over, check, sweep.

`recover` completes settlements and keys that a dead runner left in the middle; `take_over` writes down
the claims that outlived it.  Both are called with the runner's lock and the write lock held, so what they
find belongs to nobody.  `docs/internals-directory.md` has the table of what may be found.
Functions raise OSError unless they say otherwise.
"""

from __future__ import annotations

import os

from mether.outcome import Attempt, Outcome, Route
from mether.queue import directory_claims, directory_errs, directory_hops, directory_keys
from mether.queue import owner as owner_
from mether.queue.directory_commit import Batch
from mether.queue.directory_files import is_ident
from mether.queue.store import Damaged
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Final

    from mether.queue.directory_files import Files
    from mether.queue.directory_state import Record

MAX_STRIKES: Final = 3
UNKNOWN: Final = Reply(451, "4.3.0", "the delivery was broken off; the message may have been delivered")


def settled(record: Record, number: int, reports: int, gone: set[int]) -> None:
    """Take the recipients out of an original, and write down that its settlement has enqueued reports."""
    record.remove(gone)
    record.claims = max(record.claims, number)
    if reports:
        record.reported.append(number)


def pending(files: Files) -> list[str]:
    """The reports whose settlement is not done."""
    return sorted(name[:-3] for name in os.listdir(files.settling) if is_ident(name[:-3]))


def recover(files: Files) -> None:
    """Complete what a crash left half done.  A file that is not to be trusted is left for `check`."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for ident in pending(files):
        try:
            record = files.read(ident, pending=True)
        except Damaged:
            continue
        if record is not None and record.report is not None:
            groups.setdefault((record.report.ident, record.report.settlement), []).append(record)
    for (ident, number), reports in groups.items():
        _complete(files, ident, number, reports)
    directory_keys.recover(files)


def _complete(files: Files, ident: str, number: int, reports: list[Record]) -> None:
    report = reports[0].report
    assert report is not None
    try:
        original = files.read(ident)
    except Damaged:
        return
    if original is not None and number not in original.reported:
        released = [each for each in reports if os.path.lexists(files.name(each.message.ident, "sh"))]
        if len(reports) < report.count and not released:
            # Not all its reports were written, so the settlement never began: the original still stands.
            for each in reports:
                files.unlink(files.pending(each.message.ident))
                files.forget(files.name(each.message.ident, "msg"))
            return
        settled(original, number, report.count, set(report.gone))
        if report.warned is not None:
            original.warn(report.warned, report.warn_at)
        batch = Batch(files)
        batch.put(original)
        batch.run()
    else:
        # The original may have been switched by a rename that is not yet durable.
        files.disk.sync_directory(files.queue)
    for each in reports:
        files.rename(files.pending(each.message.ident), files.name(each.message.ident, "sh"))


def taken(files: Files, ident: str, original: str, settlement: int) -> bool:
    """Whether an id is another's than the report's of this settlement, which is not released yet.

    The caller holds the write lock, so that what nobody has locked is nobody's.
    """
    if os.path.lexists(files.name(ident, "sh")):
        return True
    if os.path.lexists(files.pending(ident)):
        try:
            record = files.read(ident, pending=True)
        except Damaged:
            return True
        report = None if record is None else record.report
        return report is None or (report.ident, report.settlement) != (original, settlement)
    content = files.name(ident, "msg")
    if not os.path.lexists(content):
        return False
    # Content without an envelope is on its way in, and locked, or was left by a crash.
    lock = files.lock_content(content)
    if lock is None:
        return True
    coming = os.path.lexists(files.name(ident, "sh"))
    os.close(lock)
    return coming


def take_over(files: Files) -> None:
    """Write down the claims that outlived their runner: attempts of which nothing is known."""
    _, left = directory_claims.read(files)
    batch = Batch(files)
    attempts: list[tuple[str, Attempt]] = []
    records: dict[str, Record] = {}
    suspects = set()
    for out in left:
        if out.ident not in records:
            try:
                record = files.read(out.ident)
            except Damaged:
                continue
            if record is None:
                continue
            records[out.ident] = record
        record = records[out.ident]
        numbers = set(out.numbers)
        record.remove({row.number for row in record.rows if row.number in numbers and row.mark == "remove"})
        rows = [row for row in record.rows if row.number in numbers]
        outcomes = []
        for row in rows:
            if out.tried:
                outcome = Outcome(row.number, "delayed", UNKNOWN, at=out.at, uncertain=True)
                row.attempts += 1
                row.last = outcome
                outcomes.append(outcome)
                if row.suspect:
                    suspects.add(out.ident)
                row.suspect = True
        if outcomes:
            route: Route = rows[0].route
            attempts.append((out.ident, Attempt(route, outcomes, started=out.at, uncertain=True)))
        for row in rows:
            row.obey()
    for ident, record in records.items():
        if suspects == {ident}:
            record.strikes += 1
            if record.strikes >= MAX_STRIKES and record.message.hold is None:
                record.message.hold = f"{record.strikes} times a process died while it alone was being tried"
        batch.put(record)
    if records:
        batch.run()
    for ident, attempt in attempts:
        directory_errs.append(files, ident, attempt)


def check(files: Files, lock: AbstractContextManager[None]) -> Iterator[str]:
    """A line for each thing that is wrong.

    `lock` is the write lock, taken for another look at what seems to be left over: a process that has it
    may be about to remove that.
    """
    names = sorted(os.listdir(files.queue))
    settling = set(os.listdir(files.settling))
    known = set(names)
    for name in names:
        ident, _, kind = name.partition(".")
        path = os.path.join(files.queue, name)
        if name in (".lock", ".hops"):
            continue
        if not is_ident(ident) or kind not in ("sh", "msg", "errs"):
            yield f"{path}: no file of the queue"
        elif kind == "sh":
            yield from _check_one(files, ident, pending=False)
        elif f"{ident}.sh" not in known and f"{ident}.sh" not in settling:
            with lock:
                left = _left_over(files, ident, path)
            if left:
                yield f"{path}: belongs to no message (sweep removes it)"
    for name in sorted(settling):
        if not is_ident(name[:-3]):
            yield f"{os.path.join(files.settling, name)}: no file of the queue"
        else:
            yield from _check_one(files, name[:-3], pending=True)
    if (found := directory_hops.wrong(files.hops)) is not None:
        yield found
    for name in sorted(os.listdir(files.keys)):
        if directory_keys.read(os.path.join(files.keys, name)) is None:
            yield f"{os.path.join(files.keys, name)}: no submission key"


def _left_over(files: Files, ident: str, path: str) -> bool:
    """Whether a file of a message is on its way neither in nor out: nobody holds it, or its message."""
    lock = files.lock_content(path)
    if lock is None:
        return False
    gone = not os.path.lexists(files.name(ident, "sh")) and not os.path.lexists(files.pending(ident))
    os.close(lock)
    return gone


def _check_one(files: Files, ident: str, *, pending: bool) -> Iterator[str]:
    try:
        record = files.read(ident, pending=pending)
        if record is not None:
            files.content(ident, record.octets)
    except Damaged as error:
        # What was removed since the directory was read is not damaged.
        if os.path.lexists(files.pending(ident) if pending else files.name(ident, "sh")):
            yield str(error)


def sweep(files: Files, now: float) -> int:
    """Remove what belongs to no message and no living process; returns how many files.

    The caller holds the write lock.
    """
    removed = 0
    for name in os.listdir(files.incoming):
        parts = name.split(".")
        owner = owner_.from_name(parts[1]) if parts[0] == "temp" and len(parts) > 2 else None
        if owner is not None and owner != files.owner and not owner_.alive(files.owners, owner):
            removed += files.forget(os.path.join(files.incoming, name))
    for name in os.listdir(files.queue):
        ident, _, kind = name.partition(".")
        if kind not in ("msg", "errs") or not is_ident(ident):
            continue
        if os.path.lexists(files.pending(ident)) or os.path.lexists(files.name(ident, "sh")):
            continue
        path = os.path.join(files.queue, name)
        lock = files.lock_content(path)
        if lock is None:
            continue
        # Its envelope may have come between the first look and the lock.
        if not os.path.lexists(files.pending(ident)) and not os.path.lexists(files.name(ident, "sh")):
            removed += files.forget(path)
        os.close(lock)
    owner_.sweep(files.owners)
    return removed + directory_keys.prune(files, now)
