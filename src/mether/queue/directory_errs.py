"""``ID.errs``: what was tried for a message, a line for each attempt, for people and for `Store.attempts`.

A line says when, where, what came of it and for how many recipients; behind a tab stands the whole
attempt as JSON.  A script run by hand adds what smtp printed; such lines are passed over.  The file is
appended and never synced: nothing is decided by it, and a settlement is done whether or not its line could
be written.  Of the transcripts at one next hop the last counts; from COMPACT octets on the file is written
anew without the others.  Above MAX octets nothing more is added.
"""

from __future__ import annotations

import os

from mether.queue.directory_state import attempt_of, attempt_value, dump, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.outcome import Attempt, Route
    from mether.queue.directory_files import Files

MAX: Final = 4 * 1024 * 1024
COMPACT: Final = 256 * 1024


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
        size = os.fstat(fd).st_size
        if size < MAX:
            files.disk.write(fd, line(attempt).encode("utf-8", "replace"))
    except (OSError, ValueError):
        return
    finally:
        os.close(fd)
    if attempt.transcript and COMPACT <= size < 2 * MAX:
        _compact(files, ident)


def _compact(files: Files, ident: str) -> None:
    """Take the transcripts out that `read` passes over: all but the last at each next hop.  Never raises."""
    try:
        text = _text(files, ident)
        short = "\n".join(_compacted(text.split("\n")))
        if len(short) < len(text):
            path, fd = files.write(f"{ident}.errs", short.encode("utf-8", "replace"))
            files.disk.close(fd)
            files.rename(path, files.name(ident, "errs"))
    except (OSError, ValueError):
        pass


def _compacted(rows: list[str]) -> list[str]:
    last: set[Route] = set()
    for place in range(len(rows) - 1, -1, -1):
        attempt = _attempt(rows[place])
        if attempt is not None and attempt.transcript:
            if attempt.route in last:
                attempt.transcript = ""
                rows[place] = line(attempt)[:-1]
            last.add(attempt.route)
    return rows


def read(files: Files, ident: str) -> list[Attempt]:
    """The attempts, oldest first.  Raises OSError."""
    try:
        rows = _text(files, ident).split("\n")
    except FileNotFoundError:
        return []
    attempts = [attempt for attempt in map(_attempt, rows) if attempt is not None]
    last: set[Route] = set()
    for attempt in reversed(attempts):
        if attempt.transcript:
            if attempt.route in last:
                attempt.transcript = ""
            last.add(attempt.route)
    return attempts


def _text(files: Files, ident: str) -> str:
    fd = os.open(files.name(ident, "errs"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(fd, encoding="utf-8", errors="replace", newline="\n") as file:
        return file.read(2 * MAX)


def _attempt(row: str) -> Attempt | None:
    """The attempt of a line, None for what something else wrote."""
    _, tab, value = row.partition("\t[")
    if not tab:
        return None
    try:
        return attempt_of(load("[" + value))
    except (ValueError, TypeError):
        return None
