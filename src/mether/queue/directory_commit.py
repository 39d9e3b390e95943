"""One transaction of the directory store: in which order files are written, synced and renamed.

A `Batch` gathers new messages, reports, changed or removed originals and loose files, and `run` does
them in this order, each step after the one before is durable:

1. every file is written in ``incoming`` and then each is synced;
2. contents are renamed to ``queue/ID.msg``; ``queue`` is synced;
3. reports' envelopes are renamed to ``settling/ID.sh`` and intents of keys written; both are synced;
4. envelopes are renamed to ``queue/ID.sh`` or removed; ``queue`` is synced.  This is the instant;
5. reports are released by a rename to ``queue/ID.sh``; contents of what was removed are unlinked.

An error up to step 3 undoes all and is raised.  One in step 4 undoes the new messages, and reports
whose original was not reached; an original that was switched stays switched and its reports are
released: its outcome has happened.  `switched` then says which.  A report that could not be taken back
stays in ``settling`` and its settlement is completed by the next recovery (`directory_recover`).
"""

from __future__ import annotations

import os

from mether.queue import directory_keys, script
from mether.queue.spool import Staged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.queue.directory_files import Files
    from mether.queue.directory_state import Record


class _New:
    """A message to be queued."""

    __slots__ = ("content", "lock", "msg_temp", "placed", "queued", "record", "report_of", "sh_temp")

    def __init__(self, record: Record, content: bytes | Staged, report_of: str | None) -> None:
        self.record = record
        self.content = content
        self.report_of = report_of
        self.msg_temp = ""
        self.sh_temp = ""
        self.placed = False
        self.queued = False
        self.lock = -1


class Batch:
    """Gathers work, then `run` does it.  `stuck` is set when something could not be undone."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._new: list[_New] = []
        self._originals: dict[str, Record] = {}
        self._loose: list[tuple[str, str, bytes]] = []
        self._temps: dict[str, int] = {}
        self._intents: list[str] = []
        self.switched: set[str] = set()
        self.stuck = False

    def add(self, record: Record, content: bytes | Staged, report_of: str | None = None) -> None:
        """A new message; with `report_of` it waits until that original is switched.  Raises ValueError."""
        script.render(record)
        self._new.append(_New(record, content, report_of))

    def adds(self, ident: str) -> bool:
        """Whether a new message of this batch has that id."""
        return any(new.record.message.ident == ident for new in self._new)

    def put(self, record: Record) -> None:
        """An original as it is to stand; one without rows is removed."""
        self._originals[record.message.ident] = record

    def loose(self, name: str, target: str, data: bytes) -> None:
        """Another file of ``queue``, switched in step 4."""
        self._loose.append((name, target, data))

    def intent(self, name: str, target: str, data: bytes) -> None:
        """The intent of a submission key, durable before step 4."""
        self._loose.append((name, target, data))
        self._intents.append(target)

    def run(self) -> None:
        """Do it all.  Raises OSError."""
        try:
            self._write()
            self._place()
            self._prepare()
        except OSError:
            self._undo()
            raise
        try:
            self._switch()
        except OSError:
            self._undo()
            self._finish()
            raise
        self._finish()

    def keep_lock(self, ident: str) -> int:
        """The held lock of a new message, which the caller now owns; -1 when there is none."""
        for new in self._new:
            if new.record.message.ident == ident and new.lock >= 0:
                lock, new.lock = new.lock, -1
                return lock
        return -1

    def close(self) -> None:
        """Let go of the new messages' locks: from now on others may claim them."""
        for new in self._new:
            if new.lock >= 0:
                os.close(new.lock)
                new.lock = -1

    # The steps

    def _temp(self, name: str, data: bytes) -> str:
        path, fd = self._files.write(name, data)
        self._temps[path] = fd
        return path

    def _write(self) -> None:
        try:
            for new in self._new:
                ident = new.record.message.ident
                if isinstance(new.content, Staged):
                    new.msg_temp = new.content.path
                else:
                    new.msg_temp = self._temp(f"{ident}.msg", new.content)
                new.sh_temp = self._temp(f"{ident}.sh", script.render(new.record))
            for ident, record in self._originals.items():
                if record.rows:
                    self._temp(f"{ident}.sh", script.render(record))
            for name, _, data in self._loose:
                self._temp(name, data)
            # The first sync makes the file system write what the others need too.
            for path in list(self._temps):
                fd, self._temps[path] = self._temps[path], -1
                self._files.sync(fd)
        finally:
            for path, fd in self._temps.items():
                if fd >= 0:
                    self._temps[path] = -1
                    os.close(fd)

    def _rename(self, temp: str, target: str) -> None:
        self._files.rename(temp, target)
        self._temps.pop(temp, None)

    def _place(self) -> None:
        files = self._files
        for new in self._new:
            # From here on the sweeper, a runner and the script keep their hands off it.
            lock = files.lock_content(new.msg_temp)
            new.lock = -1 if lock is None else lock
            self._rename(new.msg_temp, files.name(new.record.message.ident, "msg"))
            new.placed = True
            if isinstance(new.content, Staged):
                new.content.placed = True
        if self._new:
            files.disk.sync_directory(files.queue)

    def _prepare(self) -> None:
        files = self._files
        reports = [new for new in self._new if new.report_of is not None]
        for new in reports:
            self._rename(new.sh_temp, files.pending(new.record.message.ident))
            new.queued = True
        if reports:
            files.disk.sync_directory(files.settling)
        for name, target, _ in self._loose:
            if target in self._intents:
                self._rename(files.temp(name), target)
        # A key outlives its message: before that goes, its key must stand on its own.
        keys = [record.key for record in self._originals.values() if record.key and not record.rows]
        for key in keys:
            directory_keys.confirm(files, key)
        if self._intents or keys:
            files.disk.sync_directory(files.keys)

    def _switch(self) -> None:
        files = self._files
        for ident, record in self._originals.items():
            if record.rows:
                self._rename(files.temp(f"{ident}.sh"), files.name(ident, "sh"))
            else:
                try:
                    files.unlink(files.name(ident, "sh"))
                except FileNotFoundError:
                    pass
            self.switched.add(ident)
        for new in self._new:
            if new.report_of is None:
                self._rename(new.sh_temp, files.name(new.record.message.ident, "sh"))
                new.queued = True
        for name, target, _ in self._loose:
            if target not in self._intents:
                self._rename(files.temp(name), target)
        files.disk.sync_directory(files.queue)

    def _finish(self) -> None:
        """Step 5.  What fails here is done by the next recovery or sweep."""
        files = self._files
        for new in self._new:
            if new.report_of in self.switched and new.queued:
                ident = new.record.message.ident
                try:
                    files.rename(files.pending(ident), files.name(ident, "sh"))
                except OSError:
                    self.stuck = True
        for new in self._new:
            if new.queued and new.record.key:
                try:
                    directory_keys.confirm(files, new.record.key)
                except OSError:
                    self.stuck = True
        for ident in self.switched:
            if not self._originals[ident].rows:
                files.forget(files.name(ident, "msg"))
                files.forget(files.name(ident, "errs"))

    def _undo(self) -> None:
        files = self._files
        for new in self._new:
            ident = new.record.message.ident
            if new.report_of in self.switched:
                continue
            if new.queued:
                path = files.name(ident, "sh") if new.report_of is None else files.pending(ident)
                if not files.forget(path):
                    # It stays whole; a report's settlement will be completed.
                    self.stuck = True
                    continue
                new.queued = False
            if new.placed:
                self._unplace(new, files.name(ident, "msg"))
        for target in self._intents:
            files.forget(target)
        for path in self._temps:
            files.forget(path)

    def _unplace(self, new: _New, path: str) -> None:
        if isinstance(new.content, Staged):
            try:
                self._files.rename(path, new.content.path)
            except OSError:
                return
            new.content.placed = False
        else:
            self._files.forget(path)
