"""kill -9 between every two steps of a store's work: stepkill.py STORE EVERY

The workload of powercut_work is done once to see what each verb leaves, then again and again in a child
process that kills itself right behind its step N: a write, a sync, a rename, a removal, the beginning or
the end of a verb. What the child left on the disk is opened like any spool after a crash, and held against
the same promises as an image of a power cut (powercut.py). EVERY is how many steps lie between two kills; 1
is all of them. Prints how many kills there were, then a line for each broken promise.

It runs as a program of its own since it forks, which a process with threads should not.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from powercut import Recording, record, workload
from powercut_journal import Journal, RecordingVFS
from powercut_shown import T0
from powercut_work import Worker

from mether.queue import database
from mether.queue.directory import DirectoryStore
from mether.queue.disk import REAL, Disk
from mether.queue.sqlite import SqliteStore
from mether.queue.store import Store


class Killing(Journal):
    """A journal that kills its process behind step `last`, and tells each mark to `told`."""

    def __init__(self, root: str, last: int, told: int) -> None:
        self._last = last
        self._told = told
        super().__init__(root)

    def add(self, kind: str, *args: Any, site: str = "") -> None:
        """Count a step."""
        super().add(kind, *args, site=site)
        if kind == "mark":
            os.write(self._told, args[0][:1].encode())
        if len(self.steps) > self._last:
            os.kill(os.getpid(), signal.SIGKILL)


class Left:
    """What a killed process left in a directory, as powercut judges an image."""

    def __init__(self, directory: str, number: int) -> None:
        self._directory = directory
        self.digest = number.to_bytes(8, "big")
        self.how = "killed"

    def write(self, directory: str) -> None:
        """Copy it, sockets apart."""
        shutil.copytree(self._directory, directory, dirs_exist_ok=True, ignore=_sockets)


def _sockets(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(directory, name).is_socket()]


def sqlite(path: str, now: float, disk: Disk, vfs: str | None) -> Store:
    """Open a SQLite store."""
    return SqliteStore(path, now=now, disk=disk, vfs=vfs)


def directory(path: str, now: float, disk: Disk, vfs: str | None) -> Store:
    """Open a directory store."""
    return DirectoryStore(path, now=now, disk=disk)


def killed(recording: Recording, kind: str, number: int) -> list[str]:
    """Kill a child behind step `number` of the workload; what promises that broke."""
    place = tempfile.mkdtemp(prefix="stepkill-", dir="/dev/shm")
    try:
        recording.open(place, T0, REAL, None).close()
        reading, telling = os.pipe()
        child = os.fork()
        if not child:
            _work(recording, kind, place, number, telling)
        os.close(telling)
        with open(reading, "rb") as marks:
            told = marks.read()
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) not in (-signal.SIGKILL, 0):
            return [f"step {number}: the child ended with {os.waitstatus_to_exitcode(status)}"]
        judged = recording._judge(Left(place, number), told.count(b"b"), told.count(b"e"))  # type: ignore[arg-type]
        return [f"killed behind step {number}: {fault}" for fault in judged]
    finally:
        shutil.rmtree(place)


def _work(recording: Recording, kind: str, place: str, number: int, telling: int) -> None:
    """In the child: work until killed."""
    try:
        journal = Killing(place, number, telling)
        vfs = RecordingVFS(journal, "stepkill") if kind == "sqlite" else None
        workload(Worker(recording.open, place, journal, vfs.vfs_name if vfs else None, recording.history))
        os._exit(0)  # the last steps are those of closing, which is not part of it
    finally:
        os._exit(1)


def main() -> int:
    """Kill at every so many steps; 1 when a promise was broken."""
    kind, every = sys.argv[1], int(sys.argv[2])
    # A checkpoint every few transactions, and the log begun anew and cut as often as may be.
    database.CHECKPOINT, database.TRUNCATE = 24, 72  # type: ignore[misc]
    if kind == "sqlite":
        recording = record(sqlite, atomic=True, sqlite=True, work=workload)
    else:
        recording = record(directory, atomic=False, history=False, aside=["queue/.lock"], work=workload)
    numbers = range(0, len(recording.journal.steps) - 1, every)
    broken = [fault for number in numbers for fault in killed(recording, kind, number)]
    print(f"{len(numbers)} kills", *broken, sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
