"""Recording what a store does to its files: every write, name and sync, in one order.

A `Journal` watches one directory.  `RecordingDisk` stands in for mether.queue.disk.Disk and
`RecordingVFS` for SQLite's own way to its files; both really do what they are asked, and write it down.
A step says what changed, never how the store meant it; marks that the driver adds say how far the
promises had gone.  `Journal.unseen` tells whether anything changed behind the journal's back, without
which the rest would prove nothing.

Files are told apart by numbers of our own, since a name is only a name: it may come to stand for another
file, and may reach the disk before or after what is in it.  Syncs are only written down, since the machine
does not really lose its power.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from itertools import count
from typing import Any

import apsw

from mether.queue.disk import Disk

DIRECTORY = -1
"""The number that stands for a directory in "names"."""


class Step:
    """One thing that happened.

    `kind` is "write" (file, offset, data), "truncate" (file, size), "names" (a dict of path -> file or
    None: a creation, rename or removal, done in one), "sync" (file), "syncdir" (directory) or "mark"
    (anything).  `site` says for a sync which code asked for it.
    """

    __slots__ = ("args", "kind", "site")

    def __init__(self, kind: str, *args: Any, site: str = "") -> None:
        self.kind = kind
        self.args = args
        self.site = site

    def __repr__(self) -> str:
        shown = [f"<{len(arg)} octets>" if isinstance(arg, bytes) else repr(arg) for arg in self.args]
        return f"{self.kind}({', '.join(shown)}){' at ' + self.site if self.site else ''}"


class Journal:
    """What was done under `root` since this was made; what was there before is `base`, all durable."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.steps: list[Step] = []
        self.base: dict[int, bytes] = {}
        self.base_names: dict[str, int] = {}
        self.directories = {"."}
        self._numbers: dict[int, int] = {}
        self._next = count(1)
        self._made: set[str] = set()
        for path in _walk(self.root):
            if os.path.isdir(os.path.join(self.root, path)):
                self.directories.add(path)
                continue
            with open(os.path.join(self.root, path), "rb") as file:
                number = self._number(os.fstat(file.fileno()).st_ino)
                self.base[number] = file.read()
            self.base_names[path] = number

    def add(self, kind: str, *args: Any, site: str = "") -> None:
        """Write down a step."""
        if kind == "names":
            for path in args[0]:
                self._notice(os.path.dirname(path) or ".")
        elif kind == "syncdir":
            for entry in os.scandir(os.path.join(self.root, args[0])):
                if entry.is_dir(follow_symlinks=False):
                    self._notice(os.path.normpath(os.path.join(args[0], entry.name)))
        self.steps.append(Step(kind, *args, site=site))

    def name(self, path: str) -> str:
        """The path within `root`; one outside it is an error of the store's."""
        inside = os.path.relpath(os.path.realpath(os.path.dirname(path)), self.root)
        name = os.path.normpath(os.path.join(inside, os.path.basename(path)))
        assert not name.startswith(".."), f"{path} is outside {self.root}"
        return name

    def file(self, where: int | str) -> int:
        """The number of an open file, or of the one at a path."""
        return self._number(os.stat(where).st_ino)

    def new_file(self, where: int | str) -> int:
        """The number of a file just created: the system may give it a removed one's inode again."""
        self._numbers.pop(os.stat(where).st_ino, None)
        return self.file(where)

    def forget(self, where: str) -> None:
        """The name is about to be taken from its file, whose inode the system may give to another."""
        if os.path.exists(where) and os.stat(where).st_nlink == 1:
            self._numbers.pop(os.stat(where).st_ino, None)

    def opened(self, fd: int) -> int:
        """The number of an open file, whose creation nobody told of: its name is written down now."""
        if os.fstat(fd).st_ino not in self._numbers:
            self.add("names", {self.name(os.readlink(f"/proc/self/fd/{fd}")): self.file(fd)})
        return self.file(fd)

    def unseen(self, state: dict[str, bytes], aside: Collection[str] = ()) -> list[str]:
        """What differs between `state`, rebuilt with nothing lost, and what is really there.

        Files of no octets do not count, nor what stands in a lock: locks and sockets mean nothing after a
        restart.  Nor do those named in `aside`.
        """
        real = {}
        for path in _walk(self.root):
            full = os.path.join(self.root, path)
            if os.path.isfile(full):
                with open(full, "rb") as file:
                    real[path] = file.read()
        return [
            f"{path}: {_told(real.get(path))} on disk, {_told(state.get(path))} in the journal"
            for path in sorted(real.keys() | state.keys())
            if (real.get(path) or b"") != (state.get(path) or b"")
            and not path.endswith(("-shm", ".lock"))
            and path not in aside
        ]

    def _notice(self, directory: str) -> None:
        """Write down a directory that was made since: Disk has no verb for it, and its name may be lost."""
        if directory not in self.directories and directory not in self._made:
            self._notice(os.path.dirname(directory) or ".")
            self._made.add(directory)
            self.steps.append(Step("names", {directory: DIRECTORY}))

    def _number(self, inode: int) -> int:
        if inode not in self._numbers:
            self._numbers[inode] = next(self._next)
        return self._numbers[inode]


def _told(data: bytes | None) -> str:
    return "nothing" if data is None else f"{len(data)} octets"


def _walk(root: str) -> Iterator[str]:
    for top, directories, files in os.walk(root):
        for name in sorted(directories) + sorted(files):
            yield os.path.relpath(os.path.join(top, name), root)


def call_site() -> str:
    """Who asked: ``verb>function`` of the outermost and innermost function of the queue on the stack."""
    frame = sys._getframe(1)
    names = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        name = frame.f_code.co_name
        # "guarded" is the wrapper around every verb.
        if module.startswith("mether.queue.") and module != "mether.queue.disk" and name != "guarded":
            names.append(name)
        frame = frame.f_back  # type: ignore[assignment]
    return ">".join(dict.fromkeys((names[-1], names[0]))) if names else "?"


class RecordingDisk(Disk):
    """A Disk that does what it is asked and writes it down."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def create(self, path: str, mode: int = 0o600) -> int:
        fd = super().create(path, mode)
        self.journal.add("names", {self.journal.name(path): self.journal.new_file(fd)})
        return fd

    def write(self, fd: int, data: bytes) -> None:
        number = self.journal.opened(fd)
        super().write(fd, data)
        # Behind what was written, wherever an appending file puts it.
        offset = os.lseek(fd, 0, os.SEEK_CUR) - len(data)
        self.journal.add("write", number, offset, bytes(data))

    def sync(self, fd: int) -> None:
        self.journal.add("sync", self.journal.file(fd), site=f"{call_site()}: file")

    def rename(self, source: str, target: str) -> None:
        number = self.journal.file(source)
        self.journal.forget(target)
        super().rename(source, target)
        self.journal.add("names", {self.journal.name(source): None, self.journal.name(target): number})

    def unlink(self, path: str) -> None:
        self.journal.forget(path)
        super().unlink(path)
        self.journal.add("names", {self.journal.name(path): None})

    def sync_directory(self, path: str) -> None:
        name = self.journal.name(os.path.join(path, "."))
        self.journal.add("syncdir", name, site=f"{call_site()}: directory {name}")


class RecordingVFS(apsw.VFS):
    """SQLite's own VFS, written down.  Give its `vfs_name` to the store; unregister it at the end."""

    def __init__(self, journal: Journal, name: str) -> None:
        self.journal = journal
        self.vfs_name = name
        super().__init__(name, base="")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:  # a temporary file, which no restart looks for
            return apsw.VFSFile("", name, flags)
        existed = os.path.exists(path)
        return RecordingFile(self.journal, name, path, flags, existed)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, False)
        name = self.journal.name(filename)
        self.journal.add("names", {name: None})
        if syncdir:
            self.journal.add("syncdir", os.path.dirname(name) or ".", site=f"{call_site()}: after delete")


class RecordingFile(apsw.VFSFile):
    """One file of RecordingVFS."""

    def __init__(self, journal: Journal, name: Any, path: str, flags: list[int], existed: bool) -> None:
        self.journal = journal
        wanted = flags[0]
        super().__init__("", name, flags)
        self.number = journal.file(path) if existed else journal.new_file(path)
        self.role = "wal" if wanted & apsw.SQLITE_OPEN_WAL else "database"
        if wanted & apsw.SQLITE_OPEN_MAIN_JOURNAL:
            self.role = "journal"
        self.header = False
        # As SQLite's own VFS has it: a journal's or log's name is made durable at its first sync.
        self.unnamed = not existed and self.role != "database"
        self.directory = os.path.dirname(journal.name(path)) or "."
        if not existed:
            journal.add("names", {journal.name(path): self.number})

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self.header = self.role == "wal" and offset == 0
        self.journal.add("write", self.number, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self.journal.add("truncate", self.number, newsize)

    def xSync(self, flags: int) -> None:
        site = call_site()
        role = f"{self.role} header" if self.header else self.role
        self.journal.add("sync", self.number, site=f"{site}: {role}")
        if self.unnamed:
            self.unnamed = False
            self.journal.add("syncdir", self.directory, site=f"{site}: {self.role}'s name")
