"""The claims that are out, on disk: what a dead runner leaves behind, and what others may see.

``spool/claims`` belongs to the process that holds the runner's lock.  Its first line is that owner; each
line after it takes a claim (``+ TOKEN ID DUE TIME N,N...``) or ends one (``- TOKEN``).  The lines are
appended and never synced: they survive the death of a process, and losing them with the machine costs
a mark, not a message.  For the same reason a full disk does not stop a claim.  A torn last line is ignored.
"""

from __future__ import annotations

import os

from mether.queue import owner as owner_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mether.queue.directory_files import Files

COMPACT: Final = 1000
"""Lines after which the file is written anew, when most of them are history."""


class Out:
    """A claim that is out: recipients `numbers` of `ident`, since `at`; `tried` tells whether they may be
    tried under it, and so may have been delivered when its owner dies."""

    __slots__ = ("at", "ident", "numbers", "token", "tried")

    def __init__(self, token: int, ident: str, tried: bool, at: float, numbers: list[int]) -> None:
        self.token = token
        self.ident = ident
        self.tried = tried
        self.at = at
        self.numbers = numbers

    def line(self) -> str:
        """The line that takes it."""
        return (
            f"+ {self.token} {self.ident} {int(self.tried)} {self.at!r} {','.join(map(str, self.numbers))}\n"
        )


def read(files: Files) -> tuple[int | None, list[Out]]:
    """Whose claims they are, and those that are out.  Raises OSError."""
    try:
        with open(files.claims, "rb") as file:
            lines = file.read().decode("ascii", "replace").split("\n")[:-1]
    except FileNotFoundError:
        return None, []
    out: dict[int, Out] = {}
    for line in lines[1:]:
        try:
            sign, token, *rest = line.split(" ")
            if sign == "-":
                out.pop(int(token), None)
            elif sign == "+":
                ident, tried, at, numbers = rest
                out[int(token)] = Out(
                    int(token), ident, tried == "1", float(at), [int(number) for number in numbers.split(",")]
                )
        except ValueError:
            continue
    return owner_.from_name(lines[0]) if lines else None, list(out.values())


class Journal:
    """The file, as its owner writes it.  Nothing here raises."""

    __slots__ = ("_fd", "_files", "_lines", "out")

    def __init__(self, files: Files) -> None:
        self._files = files
        self._fd = -1
        self._lines = 0
        self.out: dict[int, Out] = {}

    def begin(self) -> None:
        """Start a file of our own in place of what is there."""
        self._close()
        text = owner_.name(self._files.owner) + "\n" + "".join(each.line() for each in self.out.values())
        try:
            path, self._fd = self._files.write("claims", text.encode("ascii"))
            self._files.rename(path, self._files.claims)
        except OSError:
            self._close()
        self._lines = len(self.out)

    def take(self, claims: Iterable[Out]) -> None:
        """Write down that claims were taken."""
        taken = list(claims)
        for each in taken:
            self.out[each.token] = each
        self._append("".join(each.line() for each in taken), len(taken))

    def end(self, tokens: Iterable[int]) -> None:
        """Write down that claims ended."""
        ended = [token for token in tokens if self.out.pop(token, None) is not None]
        self._append("".join(f"- {token}\n" for token in ended), len(ended))

    def close(self) -> None:
        """Let go of the file; when nothing is out it is removed."""
        if self._fd >= 0:
            self._close()
            if not self.out:
                self._files.forget(self._files.claims)

    def _append(self, text: str, lines: int) -> None:
        if not text:
            return
        self._lines += lines
        if self._fd < 0 or (self._lines > COMPACT and self._lines > 4 * len(self.out)):
            self.begin()
            return
        try:
            self._files.disk.write(self._fd, text.encode("ascii"))
        except OSError:
            # Perhaps a part of it was written: only a whole new file is sure to be right.
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
