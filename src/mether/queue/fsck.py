"""Looking over a queue, and repairing it: ``mether fsck``.

`look` changes nothing and may run beside the service.  `repair` is refused while a process works the queue.
Whatever was damaged is moved to ``damaged/DATE`` in the spool (`fsck_aside`), with a report; every message
that can still be read whole stays queued or is queued anew, and of the others a person finds there what could
be read: ``ID.eml`` its content, ``ID.json`` its envelope.  Nothing is deleted.

A message that may have left the queue before (all that was found of it lay on a page to which no way leads)
is put on hold, so that a person decides.

The kinds of spool are in `fsck_sqlite` and `fsck_directory`.  Both functions raise StoreError.
"""

from __future__ import annotations

import os

from mether.queue.disk import REAL
from mether.queue.open import allowed, parted
from mether.queue.store import Absent, NoUrl, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.queue.disk import Disk


class Busy(StoreError):
    """A process works the queue, which therefore cannot be repaired."""


class Partial:
    """A message of which not everything could be read: what is lost, and the files in which a person finds
    the rest.  `queued` tells that what could be read is queued all the same."""

    __slots__ = ("files", "ident", "lost", "queued")

    def __init__(self, ident: str, lost: str, files: list[str], *, queued: bool = False) -> None:
        self.ident = ident
        self.lost = lost
        self.files = files
        self.queued = queued


class Report:
    """What was found and done.

    `found` has a line for each thing that is wrong, `notes` for what is odd but does no harm.  After a repair
    `aside` is where the damaged files are (None: nothing was repaired), `saved` how many messages are queued,
    `held` says by id why some of them are on hold, `partial` are those that are not whole, and `done` has a
    line for each other thing that was set right.
    """

    __slots__ = ("aside", "done", "found", "held", "notes", "partial", "saved")

    def __init__(self) -> None:
        self.found: list[str] = []
        self.notes: list[str] = []
        self.aside: str | None = None
        self.saved = 0
        self.held: dict[str, str] = {}
        self.partial: list[Partial] = []
        self.done: list[str] = []

    def lines(self) -> list[str]:
        """All of it, for a person."""
        lines = [*self.found, *self.notes, *self.done]
        for one in self.partial:
            rest = "; the rest is queued" if one.queued else ""
            where = ", ".join(os.path.basename(file) for file in one.files)
            lines.append(f"{one.ident}: {one.lost}{rest}" + (f" (see {where})" if where else ""))
        lines += [f"{ident}: on hold: {reason}" for ident, reason in self.held.items()]
        if self.aside is not None:
            lost = sum(not one.queued for one in self.partial)
            lines.append(f"{self.saved} messages are queued, {lost} could not be; see {self.aside}")
        return lines


def look(url: str) -> Report:
    """What is wrong with the queue at `url`."""
    scheme, path = _spool(url, write=False)
    if scheme == "sqlite":
        from mether.queue import fsck_sqlite

        return fsck_sqlite.look(path)
    from mether.queue import fsck_directory

    return fsck_directory.look(path)


def repair(url: str, *, now: float, disk: Disk = REAL) -> Report:
    """Set right what is wrong with it, as far as that can be done.  Raises Busy."""
    scheme, path = _spool(url, write=True)
    if scheme == "sqlite":
        from mether.queue import fsck_repair

        return fsck_repair.repair(path, now, disk)
    from mether.queue import fsck_directory

    return fsck_directory.repair(path, now, disk)


def _spool(url: str, *, write: bool) -> tuple[str, str]:
    if url == "memory:":
        raise NoUrl("a queue in memory lies on no disk")
    scheme, path = parted(url)
    path = os.path.abspath(path)
    allowed(scheme, path, write=write)
    if not os.path.isdir(path):
        raise Absent(f"there is no queue in {path}")
    return scheme, path


def refuse_if_worked(owners: str) -> None:
    """Raise Busy when a process lives that works the queue.  Raises OSError."""
    from mether.queue import owner

    try:
        count = sum(1 for _ in owner.living(owners))
    except FileNotFoundError:
        return
    if count:
        processes = "a process works" if count == 1 else f"{count} processes work"
        raise Busy(f"{processes} this queue: stop the service (and runsmtpq) before it is repaired")
