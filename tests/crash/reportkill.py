"""Ending a program at every step that it does to the queue while it returns mail: reportkill.py STORE EVERY

What returns messages or warns their senders is run in a child process, once for each step (a write, a sync,
a rename, a removal) that it does to the spool, and at that step is killed, or told that the disk is full, or
that it has failed and goes on failing.  What it left on the disk is opened as after a crash, and for each
recipient exactly one must be found: it is still queued, or one report names it.  Of a warning: its message
says that its sender was warned, and one report names it, or neither.  Then the program is run again
undisturbed, and each recipient must have its one report.

EVERY is how many steps lie between two tries.  Prints how many there were, then a line for each broken
promise.
It runs as a program of its own since it forks, which a process with threads should not.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import apsw
from powercut_journal import Journal, RecordingDisk, RecordingVFS
from stepkill import directory, sqlite

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Route
from mether.programs import cleansmtpq, returnsmtpmail, runsmtpq
from mether.queue import ident as ident_
from mether.queue import open as open_
from mether.queue.claim import Hop
from mether.queue.disk import REAL
from mether.queue.message import Arrival, Draft, Message
from mether.queue.store import Filter, Store, StoreError

NOW = time.time()
DOWN = Route("smtp", "127.0.0.1:1")
OTHER = Route("smtp", "127.0.0.2:1")

CONFIG = """\
[service]
hostname = "mx.example.com"
postmaster = "postmaster@example.com"
undeliverable_reports = "postmaster"
[[route]]
domains = ["example.com"]
hold = "reports stay"
[[route]]
domains = ["example.com"]
smtp = "127.0.0.1:1"
{routes}
[[route]]
smtp = "127.0.0.1:1"
[retry]
jitter = 0
[log]
level = "error"
"""

REFUSED = """\
[[route]]
domains = ["refused.example"]
pipe = ["/bin/sh", "-c", "exit 67"]
[[route]]
domains = ["other.refused.example"]
pipe = ["/bin/sh", "-c", "echo 5.1.1 nobody; exit 67"]
"""
"""Where mail fails as soon as it is tried."""

ERRORS = {errno.ENOSPC: apsw.FullError, errno.EIO: apsw.IOError}


class Ending(Journal):
    """A journal that ends its process at step `last`, or fails it there, and with `after` ever after."""

    def __init__(self, root: str, last: int, error: int, after: bool) -> None:
        self._last = last
        self._error = error
        self._after = after
        super().__init__(root)

    def add(self, kind: str, *args: Any, site: str = "") -> None:
        """Count a step."""
        super().add(kind, *args, site=site)
        if not self._error and len(self.steps) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        if sys._getframe(1).f_code.co_name.startswith("x") and self.fails(len(self.steps)):
            # SQLite's own files: what was written before an error is nowhere promised.
            raise ERRORS[self._error]("as was wanted")

    def fails(self, number: int) -> bool:
        """Whether that step fails."""
        return bool(self._error) and (number == self._last or (self._after and number > self._last))


class EndingDisk(RecordingDisk):
    """Does nothing more when a step is to fail."""

    journal: Ending

    def _step(self) -> None:
        if self.journal.fails(len(self.journal.steps) + 1):
            self.journal.add("failed")
            raise OSError(self.journal._error, os.strerror(self.journal._error))

    def create(self, path: str, mode: int = 0o600) -> int:
        self._step()
        return super().create(path, mode)

    def write(self, fd: int, data: bytes) -> None:
        self._step()
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._step()
        super().sync(fd)

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._step()
        super().unlink(path)

    def sync_directory(self, path: str) -> None:
        self._step()
        super().sync_directory(path)


class Work:
    """What is done: `run` with these arguments, to a queue that `fill` prepared."""

    def __init__(
        self, name: str, run: Callable[[list[str]], int], *arguments: str, warns: bool = False
    ) -> None:
        self.name = name
        self.run = run
        self.arguments = arguments
        self.warns = warns


WORKS = (
    Work("returnsmtpmail", returnsmtpmail.main, "--recipient", "*refused.example"),
    Work("cleansmtpq", cleansmtpq.main),
    Work("runsmtpq", runsmtpq.main),
    Work("runsmtpq, warning", runsmtpq.main, warns=True),
)


def draft(store: Store, number: int, *paths: str, sender: str, size: int = 300, warns: bool = False) -> Draft:
    """A message of ten days ago; no two have a recipient in common."""
    ident = ident_.new_id(NOW - 864000 + number, number)
    content: Any = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * (size // 18)
    trace, written = b"Received: x\r\n", content
    if size > 65536:
        content = store.stage(ident)
        content.write(written)
        content.sync()
    message = Message(
        ident,
        Envelope(parse(sender) if sender else None, [Recipient(parse(path)) for path in paths]),
        Arrival(NOW - 864000),
        trace=trace,
        size=len(trace) + len(written),
        expires=NOW + 864000,
        warn_at=NOW - 3600 if warns else None,
    )
    routes = [OTHER if "other" in path else DOWN for path in paths]
    return Draft(message, content, routes, due=NOW + 3600 if warns else NOW - 3600)


def fill(store: Store, warns: bool) -> None:
    """Messages to one and to several at one and two next hops, a large one, and one without a sender."""
    drafts = [
        draft(store, 0, "a@refused.example", sender="ann@example.com", warns=warns),
        draft(store, 1, "b@refused.example", "c@refused.example", sender="ann@example.com", warns=warns),
        draft(
            store, 2, "d@refused.example", "e@other.refused.example", sender="bob@example.com", warns=warns
        ),
        draft(store, 3, "f@refused.example", sender="bob@example.com", size=100_000, warns=warns),
        draft(store, 4, "g@refused.example", sender=""),
    ]
    if warns:
        hops = [Hop(route, failures=3, not_before=NOW + 7200, last="451 down") for route in (DOWN, OTHER)]
        drafts.pop()
    else:
        hops = []
    store.apply(drafts, [], hops, now=NOW - 3600)


RECIPIENTS = "abcdefg"


def found(store: Store) -> tuple[Counter[str], Counter[str], set[str]]:
    """How often each recipient is queued, and is named by a report; and those of whom it is said that the
    sender was told."""
    queued: Counter[str] = Counter()
    named: Counter[str] = Counter()
    warned: set[str] = set()
    for entry in store.entries(Filter()):
        content = store.content(entry.message.ident).read()
        if b"Content-Type: message/delivery-status" in content:
            fields = content.partition(b"Content-Type: message/delivery-status")[2]
            named.update(
                one.decode() for one in re.findall(rb"^Final-Recipient: rfc822;\s*(\w)@", fields, re.M)
            )
            continue
        for row in entry.rows:
            name = row.recipient.forward_path.local_part
            queued[name] += 1
            # All are warned of: the next time is set, or there is none.
            if row.warned or entry.message.warn_at is None or entry.message.warn_at > NOW:
                warned.add(name)
    return queued, named, warned


def faults(store: Store, warns: bool, *, done: bool) -> Iterator[str]:
    """What of the promises is broken; `done`: each has to have its report."""
    queued, named, warned = found(store)
    for name in RECIPIENTS[:-1] if warns else RECIPIENTS:
        if warns and (queued[name] != 1 or named[name] != (name in warned)):
            yield f"{name} is queued {queued[name]} times, with {named[name]} warnings, {name in warned=}"
        elif not warns and queued[name] + named[name] != 1:
            yield f"{name} is queued {queued[name]} times, and {named[name]} reports name it"
        elif done and named[name] != 1:
            yield f"of {name} nobody was told in the end"
    yield from (f"check says: {line}" for line in store.check())


class Case:
    """One store's spool for one work, copied for each try."""

    def __init__(self, kind: str, work: Work) -> None:
        self.kind = kind
        self.work = work
        self.opener = {"sqlite": sqlite, "directory": directory}[kind]
        self.base = tempfile.mkdtemp(prefix="reportkill-", dir="/dev/shm")
        self.config = os.path.join(self.base, "mether.toml")
        Path(self.config).write_text(CONFIG.format(routes="" if work.warns else REFUSED))
        store = self.opener(os.path.join(self.base, "filled"), NOW - 7200, REAL, None)
        fill(store, work.warns)
        store.close()

    def go(self, place: str, journal: Ending | None) -> int:
        """Run the work in a child; how that ended, as a status or a signal's negative."""
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            quiet = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(quiet, number)
            if journal is not None:
                vfs = RecordingVFS(journal, "reportkill") if self.kind == "sqlite" else None

                def opened(url: str, *, now: float, create: bool = True) -> Store:
                    return self.opener(place, now, EndingDisk(journal), vfs.vfs_name if vfs else None)

                open_.open_store = opened
            self.work.run([*self.work.arguments, "-C", self.config, "--spool", f"{self.kind}:{place}"])
            os._exit(0 if journal is None or len(journal.steps) >= journal._last else 3)
        finally:
            os._exit(1)

    def tried(self, number: int, error: int, after: bool) -> tuple[bool, list[str]]:
        """Disturb it at that step: whether there was one, and what promises that broke."""
        place = tempfile.mkdtemp(prefix="spool-", dir=self.base)
        try:
            shutil.copytree(os.path.join(self.base, "filled"), place, dirs_exist_ok=True)
            status = self.go(place, Ending(place, number, error, after))
            if status == 3:
                return False, []
            if status not in (0, -signal.SIGKILL):
                return True, [f"the program ended with {status}"]
            broken = self._judged(place, done=False)
            if not broken:
                for _ in range(3):  # what may have been delivered is tried alone
                    self.go(place, None)
                    broken = [f"again: {one}" for one in self._judged(place, done=True)]
                    if not broken:
                        break
            return True, broken
        finally:
            shutil.rmtree(place)

    def _judged(self, place: str, *, done: bool) -> list[str]:
        try:
            store = self.opener(place, NOW + 1, REAL, None)
            try:
                self._take_over(store)
                store.sweep(NOW + 1)
                return list(faults(store, self.work.warns, done=done))
            finally:
                store.close()
        except Exception as error:
            return [f"it does not open: {error!r}"]

    def _take_over(self, store: Store) -> None:
        """What the dead left is this store's; a program that one had just forked may hold its locks yet."""
        end = time.monotonic() + 30
        while True:
            try:
                store.claim(0, NOW + 1)
                return
            except StoreError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        shutil.rmtree(self.base)


def main() -> int:
    """Disturb every work at every so many steps; 1 when a promise was broken."""
    kind, every = sys.argv[1], int(sys.argv[2])
    count, broken = 0, []
    for work in WORKS:
        case = Case(kind, work)
        try:
            for how, error, after in (
                ("killed", 0, False),
                ("disk full", errno.ENOSPC, False),
                ("disk failed", errno.EIO, True),
            ):
                if error and work.run is runsmtpq.main:
                    continue  # it waits until the disk is well
                number = 1
                while True:
                    there, faulty = case.tried(number, error, after)
                    if not there:
                        break
                    count += 1
                    broken += [f"{work.name}, {how} at step {number}: {one}" for one in faulty]
                    number += every
        finally:
            case.close()
    print(f"{count} tries", *broken, sep="\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
