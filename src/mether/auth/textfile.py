"""Reading a file of logins as text: so many octets of UTF-8 at most.

What is wrong with it is said in one line, with the file's name and the line's number where there is one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, Final

MAX_FILE: Final = 16 << 20
"""Octets of a file."""


def read(file: BinaryIO, path: str, trouble: Callable[[str], Exception]) -> str:
    """The text of an open file, whose name is `path`.

    Raises OSError, and what `trouble` makes of a line where the file is too large or not UTF-8.
    """
    data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise trouble(f"{path}: larger than {MAX_FILE >> 20} MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise trouble(f"{path}:{line}: not UTF-8") from None
