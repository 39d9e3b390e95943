"""Submission keys of the directory store: one small file for each key, named by its hash.

``keys/HASH.new`` is an intent: it is durable before its message is queued, and counts only while that
message's envelope is there.  ``keys/HASH`` counts until its time has passed.  The first becomes the
second by a rename, after the message was queued; recovery does it where a crash came between, or
removes the intent of a message that was never queued; and a message's last recipient is not
removed before it was done.  All of it happens under the spool's write lock, so nobody sees the middle.

A file that cannot be understood counts as no key.  Functions raise OSError.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.queue.directory_files import Files


def hashed(key: str) -> str:
    """The name of a key's file: any text becomes 64 hexadecimal digits."""
    import hashlib

    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def text(ident: str, until: float) -> bytes:
    """What the file holds."""
    return f"{ident} {until!r}\n".encode("ascii")


def read(path: str) -> tuple[str, float] | None:
    """The id and the time until which the key is known, or None."""
    try:
        with open(path, encoding="ascii") as file:
            ident, until = file.read(200).split()
        return ident, float(until)
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return None


def find(files: Files, key: str, now: float) -> str | None:
    """The message that a hashed key names, or None."""
    path = os.path.join(files.keys, key)
    known = read(path)
    if known is not None and now < known[1]:
        return known[0]
    known = read(path + ".new")
    if known is not None and now < known[1] and os.path.lexists(files.name(known[0], "sh")):
        return known[0]
    return None


def confirm(files: Files, key: str) -> None:
    """Let the key count without its message."""
    path = os.path.join(files.keys, key)
    try:
        files.rename(path + ".new", path)
    except FileNotFoundError:
        pass


def recover(files: Files) -> None:
    """Confirm or remove the intents that a crash left."""
    for name in os.listdir(files.keys):
        if name.endswith(".new"):
            known = read(os.path.join(files.keys, name))
            if known is not None and os.path.lexists(files.name(known[0], "sh")):
                confirm(files, name[:-4])
            else:
                files.forget(os.path.join(files.keys, name))  # one that stays names nothing


def prune(files: Files, now: float) -> int:
    """Remove the keys whose time has passed; returns how many."""
    removed = 0
    for name in os.listdir(files.keys):
        path = os.path.join(files.keys, name)
        known = read(path)
        if not name.endswith(".new") and known is not None and known[1] <= now:
            removed += files.forget(path)
    return removed
