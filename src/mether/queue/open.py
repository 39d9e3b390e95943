"""From a spool's URL to its store: ``sqlite:DIR``, ``directory:DIR`` or ``memory:``.

A relative DIR is relative to the current directory.  Only the store that is asked for is imported.
"""

from __future__ import annotations

import os

from mether.queue.disk import read_only
from mether.queue.store import Absent, NotAllowed, NoUrl, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.queue.store import Store

_INSIDE: Final = {"sqlite": "queue.sqlite3", "directory": "queue"}
"""What is in the spool of each kind."""


def open_store(url: str, *, now: float, create: bool = True) -> Store:
    """Open the queue at `url`; with `create`, make what is missing.

    Raises StoreError for a URL that is none (NoUrl), a queue that is not there (Absent) or may not be used
    (NotAllowed), and a SQLite that is too old.  Without `create` a queue on a read-only file system can be
    read.
    """
    if url == "memory:":
        from mether.queue.memory import MemoryStore

        return MemoryStore(now=now)
    scheme, path = parted(url)
    allowed(scheme, path, write=create)
    if scheme == "sqlite":
        from mether.queue.sqlite import SqliteStore

        return SqliteStore(path, now=now, create=create)
    from mether.queue.directory import DirectoryStore

    return DirectoryStore(path, now=now, create=create)


def parted(url: str) -> tuple[str, str]:
    """The scheme and path of the URL of a queue that lies on a disk.  Raises NoUrl."""
    scheme, _, path = url.partition(":")
    if scheme not in _INSIDE or not path:
        raise NoUrl(f"{url!r} names no queue: expected sqlite:DIR, directory:DIR or memory:")
    if "\0" in path:
        raise NoUrl(f"{url!r} names no queue: a path holds no NUL")
    return scheme, path


def there(url: str) -> None:
    """Raise Absent when there is no queue at `url`, NoUrl when it names none."""
    if url == "memory:":
        return
    scheme, path = parted(url)
    try:
        os.stat(os.path.join(path, _INSIDE[scheme]))
    except FileNotFoundError:
        raise Absent(f"there is no queue in {os.path.abspath(path)}") from None
    except OSError:
        pass  # whoever opens it says what is wrong


def allowed(scheme: str, path: str, *, write: bool) -> None:
    """Raise NotAllowed unless this user may use what is in the spool; what is not there is not forbidden.

    What lies on a read-only file system may be read: StoreError where it is to be written.
    """
    inside = os.path.join(path, _INSIDE[scheme])
    refused = f"the queue {path} cannot be {'written' if write else 'read'}"
    try:
        os.stat(inside)
    except PermissionError:
        raise NotAllowed(f"{refused}: Permission denied") from None
    except OSError:
        return  # whoever opens it says what is wrong
    effective = os.access in os.supports_effective_ids
    if os.access(inside, os.R_OK | os.W_OK, effective_ids=effective):
        return
    if not os.access(inside, os.R_OK, effective_ids=effective) or not read_only(inside):
        raise NotAllowed(f"{refused}: Permission denied")
    if write:
        raise StoreError(f"{refused}: Read-only file system")
