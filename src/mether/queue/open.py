"""From a spool's URL to its store: ``sqlite:DIR``, ``directory:DIR`` or ``memory:``.

A relative DIR is relative to the current directory.  Only the store that is asked for is imported.
"""

from __future__ import annotations

import os

from mether.queue.store import NotAllowed, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.queue.store import Store

_INSIDE: Final = {"sqlite": "queue.sqlite3", "directory": "queue"}
"""What is in the spool of each kind."""


def open_store(url: str, *, now: float, create: bool = True) -> Store:
    """Open the queue at `url`; with `create`, make what is missing.

    Raises StoreError for a URL that is none, a queue that is not there or may not be used (NotAllowed), and a
    SQLite that is too old.
    """
    scheme, colon, path = url.partition(":")
    if scheme == "memory" and colon and not path:
        from mether.queue.memory import MemoryStore

        return MemoryStore(now=now)
    if scheme not in ("sqlite", "directory") or not path:
        raise StoreError(f"{url!r} names no queue: expected sqlite:DIR, directory:DIR or memory:")
    if "\0" in path:
        raise StoreError(f"{url!r} names no queue: a path holds no NUL")
    if not _permitted(os.path.join(path, _INSIDE[scheme])):
        done = "written" if create else "read"
        raise NotAllowed(f"the queue {path} cannot be {done}: Permission denied")
    if scheme == "sqlite":
        from mether.queue.sqlite import SqliteStore

        return SqliteStore(path, now=now, create=create)
    from mether.queue.directory import DirectoryStore

    return DirectoryStore(path, now=now, create=create)


def _permitted(inside: str) -> bool:
    """Whether this user may use what is in the spool; what is not there is not forbidden."""
    try:
        os.stat(inside)
    except PermissionError:
        return False
    except OSError:
        return True  # whoever opens it says what is wrong
    return os.access(inside, os.R_OK | os.W_OK, effective_ids=os.access in os.supports_effective_ids)
