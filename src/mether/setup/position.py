"""Where in a TOML text each key stands: `tomllib` gives values without positions.

`positions` maps key paths to line numbers, counted from 1.  A path is a tuple of keys and, inside
arrays, indices from 0: ``("route", 1, "maildir")``.  Every table, array element and value that `tomllib`
would give has a path; a table that several lines open is where the first of them is.

The text must be TOML that `tomllib` has taken: nothing is checked here, and what is not TOML gives
positions of no use, or ValueError, IndexError or KeyError.  The scan goes forward once over the text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Path = tuple[str | int, ...]

_BLANK: Final = frozenset(" \t")
_SPACE: Final = frozenset(" \t\n")
_KEY_END: Final = frozenset(" \t.=]")
_VALUE_END: Final = frozenset(" \t\n,]}#")
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def positions(text: str) -> dict[Path, int]:
    """The line of each key path in a TOML text."""
    return _Scan(text.replace("\r\n", "\n")).document()


class _Scan:
    """A place in the text, and what was found before it."""

    def __init__(self, text: str) -> None:
        self.text = text + "\n"
        self.at = 0
        self.line = 1
        self.counted = 0
        self.found: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}
        """Arrays of tables: the index of their last element."""

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self.skip(_SPACE, comments=True):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.found

    def header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``; the table that it opens."""
        line = self.here()
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        keys = self.keys()
        self.at += 2 if many else 1
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            self.found.setdefault(path, line)
            if many and number == len(keys):
                self.arrays[path] = self.arrays.get(path, -1) + 1
            if path in self.arrays:
                path = (*path, self.arrays[path])
                self.found.setdefault(path, line)
        return path

    def pair(self, table: Path) -> None:
        """``a.b = value`` within a table."""
        line = self.here()
        path = table
        for key in self.keys():
            path = (*path, key)
            self.found.setdefault(path, line)
        self.at += 1  # the equals sign
        self.skip(_BLANK)
        self.value(path)

    def keys(self) -> list[str]:
        """A dotted key, up to its ``=`` or ``]``."""
        keys = []
        while True:
            self.skip(_BLANK)
            if self.text[self.at] in "\"'":
                keys.append(self.string())
            else:
                start = self.at
                while self.text[self.at] not in _KEY_END:
                    self.at += 1
                keys.append(self.text[start : self.at])
            self.skip(_BLANK)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.string()
        elif first == "[":
            self.at += 1
            index = 0
            while self.more(_SPACE, "]"):
                self.found[*path, index] = self.here()
                self.value((*path, index))
                index += 1
        elif first == "{":
            self.at += 1
            while self.more(_SPACE, "}"):
                self.pair(path)
        else:
            # A date and a time may have a space between them; the next word is then passed by the
            # caller's skip only if it is a digit, which nothing else that follows a value can be.
            self.word()
            if self.text[self.at] == " " and self.text[self.at + 1].isdigit():
                self.at += 1
                self.word()

    def word(self) -> None:
        while self.text[self.at] not in _VALUE_END:
            self.at += 1

    def more(self, space: frozenset[str], end: str) -> bool:
        """Go to the next element; False, and past it, at the `end`."""
        self.skip(space, comments=True)
        if self.text[self.at] == ",":
            self.at += 1
            self.skip(space, comments=True)
        if self.text[self.at] == end:
            self.at += 1
            return False
        return True

    def string(self) -> str:
        """A string of any of the four kinds; the meaning of a one-line one."""
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            self.at += 3
            while not self.text.startswith(quote * 3, self.at):
                self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
            self.at += 3
            while self.text[self.at] == quote:  # up to two quotes may stand before the closing three
                self.at += 1
            return ""
        self.at += 1
        out = []
        while self.text[self.at] != quote:
            char = self.text[self.at]
            self.at += 1
            if char == "\\" and quote == '"':
                char = self.escape()
            out.append(char)
        self.at += 1
        return "".join(out)

    def escape(self) -> str:
        letter = self.text[self.at]
        self.at += 1
        if letter in "uU":
            digits = 4 if letter == "u" else 8
            self.at += digits
            return chr(int(self.text[self.at - digits : self.at], 16))
        return _ESCAPES[letter]

    def skip(self, space: frozenset[str], *, comments: bool = False) -> bool:
        """Go past white space; False at the end of the text."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in space:
                self.at += 1
            elif char == "#" and comments:
                self.at = self.text.index("\n", self.at)
            else:
                return True
        return False

    def here(self) -> int:
        """The number of the line."""
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line
