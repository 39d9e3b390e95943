"""``ID.errs``: what was tried for a message, a line for each attempt, for people and for `Store.attempts`.

A line says when, where, what came of it and for how many recipients; behind a tab stands the whole
attempt as JSON.  A script run by hand adds what smtp printed; such lines are passed over.  The file is
appended and never synced: nothing is decided by it, and a settlement is done whether or not its line could
be written.  Above MAX octets nothing more is added.
"""

from __future__ import annotations

import os

from mether.queue.directory_state import attempt_of, attempt_value, dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.outcome import Attempt
    from mether.queue.directory_files import Files

MAX: Final = 4 * 1024 * 1024


def line(attempt: Attempt) -> str:
    """The line of an attempt."""
    import time

    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(attempt.started))
    said: dict[str, int] = {}
    for outcome in attempt.outcomes:
        text = f"{outcome.action}: {outcome.reply}"
        said[text] = said.get(text, 0) + 1
    words = "; ".join(f"{text} ({count} of {len(attempt.outcomes)})" for text, count in said.items())
    words = "".join(char if char.isprintable() else " " for char in f"{at} {attempt.route} {words}")
    return f"{words}\t{dump(attempt_value(attempt))}\n"


def append(files: Files, ident: str, attempt: Attempt) -> None:
    """Add the line of an attempt.  Never raises."""
    try:
        fd = os.open(
            files.name(ident, "errs"),
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
    except OSError:
        return
    try:
        if os.fstat(fd).st_size < MAX:
            files.disk.write(fd, line(attempt).encode("utf-8", "replace"))
    except (OSError, ValueError):
        pass
    finally:
        os.close(fd)


def read(files: Files, ident: str) -> list[Attempt]:
    """The attempts, oldest first.  Raises OSError."""
    try:
        fd = os.open(files.name(ident, "errs"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return []
    with open(fd, encoding="utf-8", errors="replace", newline="\n") as file:
        text = file.read(2 * MAX)
    attempts = []
    for row in text.split("\n"):
        _, tab, value = row.partition("\t[")
        if tab:
            try:
                attempts.append(attempt_of(load("[" + value)))
            except (ValueError, TypeError):
                continue
    return attempts
