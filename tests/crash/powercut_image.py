"""What a disk may hold when the power fails: the images that a journal allows at each of its steps.

The rule is the strict one of POSIX.  A write is on the disk once its file was synced after it; a name
(created, renamed or removed) once its directory was; until then each may be there or not, in any
mixture, the last write cut short.  A rename is one thing, as every file system in use has it: both its
names change or neither, and it is there when either directory was synced.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence

from powercut_journal import DIRECTORY, Journal, Step

Names = dict[str, int | None]
Change = tuple[int, bytes] | int  # a write at an offset, or a truncation


class Image:
    """One possible state: `files` by path, `directories`; `how` says which mixture it is."""

    __slots__ = ("digest", "directories", "files", "how")

    def __init__(self, files: dict[str, bytes], directories: set[str], how: str) -> None:
        self.files = files
        self.directories = directories
        self.how = how
        digest = hashlib.sha256("\0".join(sorted(directories)).encode())
        for path in sorted(files):
            digest.update(f"{path}\0{len(files[path])}\0".encode())
            digest.update(files[path])
        self.digest = digest.digest()

    def write(self, directory: str) -> None:
        """Lay it out under an empty directory."""
        for name in self.directories:
            os.makedirs(os.path.join(directory, name), exist_ok=True)
        for path, data in self.files.items():
            with open(os.path.join(directory, path), "wb") as file:
                file.write(data)


class State:
    """The disk while a journal is played: what is durable, and what is still pending on top of it."""

    def __init__(self, journal: Journal) -> None:
        self.data = dict(journal.base)
        self.directories = journal.directories
        self.names: Names = dict(journal.base_names)
        self.pending_data: dict[int, list[Change]] = {}
        self.pending_names: list[Names] = []

    def play(self, step: Step) -> bool:
        """Take one step; returns whether it made anything durable or pending that was not so before."""
        match step.kind, step.args:
            case "write", (number, offset, data):
                self.pending_data.setdefault(number, []).append((offset, data))
            case "truncate", (number, size):
                self.pending_data.setdefault(number, []).append(size)
            case "names", (names,):
                self.pending_names.append(dict(names))
            case "sync", (number,):
                changes = self.pending_data.pop(number, [])
                self.data[number] = _changed(self.data.get(number, b""), changes)
                return bool(changes)
            case "syncdir", (directory,):
                return self._sync_names(directory)
            case _:
                return False
        return True

    def images(self, seed: int) -> Iterator[Image]:
        """What may be found now, from the poorest."""
        chance = random.Random(seed)
        yield self._image("nothing unsynced survives", _none, _none)
        yield self._image("everything survives", _all, _all)
        if not self.pending_names and not self.pending_data:
            return
        yield self._image("names survive without data", _all, _none)
        yield self._image("data survive without names", _none, _all)
        yield self._image("of the names only the newest survives", _newest, _all)
        yield self._image("the last write is torn", _all, _torn)
        yield self._image("the first half survives", _half, _half)
        for turn in range(2):
            yield self._image(f"chance {seed}.{turn}", chance_of(chance), chance_of(chance))

    def everything(self) -> dict[str, bytes]:
        """The files with nothing lost."""
        return self._image("", _all, _all).files

    def _sync_names(self, directory: str) -> bool:
        kept: list[Names] = []
        changed = False
        for i, names in enumerate(self.pending_names):
            if any((os.path.dirname(path) or ".") == directory for path in names):
                self.names.update(names)
                changed = True
                for earlier in kept:
                    for path in names:
                        earlier.pop(path, None)
            else:
                kept.append(self.pending_names[i])
        self.pending_names = [names for names in kept if names]
        return changed

    def _image(
        self,
        how: str,
        names: Callable[[list[Names]], list[Names]],
        data: Callable[[list[Change]], list[Change]],
    ) -> Image:
        found = dict(self.names)
        for change in names(self.pending_names):
            found.update(change)
        directories = set(self.directories)
        for path in sorted(path for path, number in found.items() if number == DIRECTORY):
            if (os.path.dirname(path) or ".") in directories:
                directories.add(path)
        files = {}
        for path, number in found.items():
            # What lies in a directory whose own name is lost is lost with it.
            if number is not None and number != DIRECTORY and (os.path.dirname(path) or ".") in directories:
                changes = data(self.pending_data.get(number, []))
                files[path] = _changed(self.data.get(number, b""), changes)
        return Image(files, directories, how)


def _changed(data: bytes, changes: Sequence[Change]) -> bytes:
    if not changes:
        return data
    content = bytearray(data)
    for change in changes:
        if isinstance(change, int):
            del content[change:]
            content.extend(bytes(max(0, change - len(content))))
        else:
            offset, piece = change
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(piece)] = piece
    return bytes(content)


def _all(changes: list) -> list:  # type: ignore[type-arg]
    return changes


def _none(changes: list) -> list:  # type: ignore[type-arg]
    return []


def _newest(changes: list) -> list:  # type: ignore[type-arg]
    return changes[-1:]


def _half(changes: list) -> list:  # type: ignore[type-arg]
    return changes[: (len(changes) + 1) // 2]


def _torn(changes: list[Change]) -> list[Change]:
    if not changes or isinstance(changes[-1], int):
        return changes[:-1]
    offset, data = changes[-1]
    return [*changes[:-1], (offset, data[: len(data) // 2])]


def chance_of(chance: random.Random) -> Callable[[list], list]:  # type: ignore[type-arg]
    """Each change survives or not, as it falls."""
    return lambda changes: [change for change in changes if chance.random() < 0.5]
