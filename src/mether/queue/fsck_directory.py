"""Looking over a directory spool, and repairing it.

An envelope that says what it should, but is not in canonical form, is written anew and its message put on
hold: it was damaged, or changed by hand.  Any other message that is not whole is moved to ``damaged/DATE``:
its envelope as it is, its content as ``ID.eml``, and what could be read of it as ``ID.json``.
"""

from __future__ import annotations

import fcntl
import os

from mether.queue import directory_hops, directory_keys, directory_recover, script
from mether.queue import owner as owner_
from mether.queue.directory_commit import Batch
from mether.queue.directory_files import Files, WriteLock, is_ident
from mether.queue.disk import REAL
from mether.queue.fsck import Busy, Partial, Report, refuse_if_worked
from mether.queue.fsck_aside import REPORT, Aside, octets
from mether.queue.fsck_files import file_trouble, left_over
from mether.queue.spool import trouble
from mether.queue.store import Absent, Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.queue.directory_state import Record
    from mether.queue.disk import Disk

CHANGED: Final = "its envelope was damaged or changed by hand, and is written anew"
_SWEPT: Final = "(sweep removes it)"


def look(path: str) -> Report:
    """What is wrong with the spool.  Raises StoreError."""
    report = Report()
    lock = WriteLock(path)
    try:
        _look(_files(path, REAL), lock, report)
    except OSError as error:
        raise trouble("cannot look over the queue", error) from None
    finally:
        lock.close()
    return report


def _files(path: str, disk: Disk) -> Files:
    files = Files(path, owner_.new_id(), disk)
    if not os.path.isdir(files.queue):
        raise Absent(f"there is no queue in {path}")
    files.make(create=False)
    return files


def _look(files: Files, lock: WriteLock, report: Report) -> None:
    for line in directory_recover.check(files, lock):
        (report.notes if line.endswith(_SWEPT) else report.found).append(line)
    for ident in files.idents():
        try:
            record = files.read(ident)
        except Damaged:
            continue  # told above
        if record is None:
            continue
        wrong = file_trouble(files.name(ident, "msg"), record.octets)
        if wrong.startswith("cannot be read") and os.path.lexists(files.name(ident, "sh")):
            report.found.append(f"the content of {ident} {wrong}")
    report.notes += left_over(files.path)


def repair(path: str, now: float, disk: Disk) -> Report:
    """Set right what is wrong with the spool.  Raises StoreError."""
    try:
        files = _files(path, disk)
        refuse_if_worked(files.owners)
        runner = os.open(os.path.join(files.queue, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        lock = WriteLock(path)
        try:
            try:
                fcntl.flock(runner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy("a process runs this queue: stop it before the queue is repaired") from None
            with lock:
                return _Repair(files, now).work(lock)
        finally:
            lock.close()
            os.close(runner)
            files.life.drop()
    except OSError as error:
        raise trouble("cannot repair the queue", error) from None


class _Repair:
    def __init__(self, files: Files, now: float) -> None:
        self._files = files
        self._aside = Aside(files.path, now, files.disk)
        self._report = Report()

    def work(self, lock: WriteLock) -> Report:
        files, report = self._files, self._report
        directory_recover.recover(files)
        _look(files, lock, report)
        if not report.found:
            return report
        report.notes.clear()
        for name in sorted(os.listdir(files.settling)):
            if is_ident(name[:-3]):
                self._one(name[:-3], pending=True)
            else:
                self._foreign(os.path.join(files.settling, name))
        for name in sorted(os.listdir(files.queue)):
            self._entry(name)
        for name in sorted(os.listdir(files.keys)):
            path = os.path.join(files.keys, name)
            if directory_keys.read(path) is None:
                self._foreign(path)
        if directory_hops.wrong(files.hops) is not None:
            self._foreign(files.hops, "hops")
        report.saved = len(files.idents())
        report.aside = self._aside.open()
        lines = "".join(f"{line}\n" for line in report.lines())
        self._aside.write(REPORT, [lines.encode("utf-8", "backslashreplace")])
        return report

    def _foreign(self, path: str, name: str = "") -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            self._report.done.append(f"{path}: no file of the queue; it is left there")
            return
        self._aside.take(path, name or os.path.basename(path))
        self._report.done.append(f"{path}: moved aside")

    def _entry(self, name: str) -> None:
        files = self._files
        ident, _, kind = name.partition(".")
        path = os.path.join(files.queue, name)
        if name in (".lock", ".hops"):
            return
        if not is_ident(ident) or kind not in ("sh", "msg", "errs"):
            self._foreign(path)
        elif kind == "sh":
            self._one(ident, pending=False)
        elif not os.path.lexists(files.name(ident, "sh")) and not os.path.lexists(files.pending(ident)):
            if kind == "msg":
                self._report.partial.append(
                    Partial(ident, "its envelope is lost", [self._aside.take(path, f"{ident}.eml")])
                )
            else:
                self._aside.take(path, name)

    def _one(self, ident: str, *, pending: bool) -> None:
        """A message that has an envelope."""
        files = self._files
        path = files.pending(ident) if pending else files.name(ident, "sh")
        record, wrong = None, ""
        try:
            record = files.read(ident, pending=pending)
            if record is None:
                return
        except Damaged as error:
            wrong = str(error).removeprefix(f"{path}: ")
        if record is None:
            record = self._lenient(ident, path)
        content = "" if record is None else file_trouble(files.name(ident, "msg"), record.octets)
        if record is not None and not content:
            if wrong and not pending:
                self._anew(ident, record, path)
            if not wrong or not pending:
                return
        what = f"its content {content}" if content else f"its envelope cannot be used: {wrong}"
        self._apart(ident, what, path, record)

    def _lenient(self, ident: str, path: str) -> Record | None:
        try:
            record = script.parse(self._files.trusted(path), canonical=False)
            script.render(record)
        except (ValueError, FileNotFoundError):
            return None
        return record if record.message.ident == ident else None

    def _anew(self, ident: str, record: Record, path: str) -> None:
        self._aside.keep(path, f"{ident}.sh")
        record.message.hold = record.message.hold or CHANGED
        batch = Batch(self._files)
        batch.put(record)
        batch.run()
        self._report.held[ident] = record.message.hold

    def _apart(self, ident: str, what: str, path: str, record: Record | None) -> None:
        """Move a message out of the queue, its content first, so that a power cut leaves its envelope."""
        files, aside = self._files, self._aside
        names = []
        content = files.name(ident, "msg")
        trace = record.message.trace if record is not None else b""
        if os.path.lexists(content):
            names.append(aside.write(f"{ident}.eml", _joined(trace, octets(content))))
        if record is not None:
            names.append(aside.write(f"{ident}.json", [_facts(record, what)]))
        names.append(aside.take(path, f"{ident}.sh"))
        for kind in ("msg", "errs"):
            aside.take(files.name(ident, kind), f"{ident}.{kind}")
        self._report.partial.append(Partial(ident, what, [name for name in names if name]))


def _joined(trace: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield trace
    yield from pieces


def _facts(record: Record, what: str) -> bytes:
    import json

    from mether.address import path_text
    from mether.queue.directory_state import write_state

    envelope = record.message.envelope
    value = {
        "id": record.message.ident,
        "lost": what,
        "reverse_path": path_text(envelope.reverse_path),
        "forward_paths": [str(row.recipient.forward_path) for row in record.rows],
        "next_hops": [str(row.route) for row in record.rows],
        "state": json.loads(write_state(record)),
    }
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
