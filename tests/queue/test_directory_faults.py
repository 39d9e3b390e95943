"""The directory store when the disk fails, and when the process dies, at every single step.

A `Disk` counts its operations and fails or "dies" at a chosen one; the same work is done again and again
with the fault one step later, until it is done without one.  After each the queue is opened anew:
what was answered is there, what was refused is not half there, and no report is lost or doubled.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Decision, Hop, Settlement
from mether.queue.content import SMALL
from mether.queue.directory import DirectoryStore
from mether.queue.disk import Disk
from mether.queue.message import Arrival, Draft, Message
from mether.queue.store import Filter, NoSpace, StoreError
from mether.reply import Reply

T0 = 1_800_000_000.0
HOP, OTHER = Route("smtp", "mx.example.net"), Route("smtp", "other.example.org")
NO = Reply(550, "5.1.1", "no such user")
LATER = Reply(451, "4.3.0", "later")


LATE = errno.EREMOTEIO
"""What a file system elsewhere says of a change of names that it made."""


class Death(BaseException):
    """The process ends here."""


class FaultyDisk(Disk):
    """Fails at operation number `at` (with `after`, at every later one too): `error`, or Death when None.

    With the error LATE names are changed all the same.
    """

    def __init__(self, at: int = 0, error: int | None = None, *, after: bool = False) -> None:
        self.count = 0
        self.at = at
        self.error = error
        self.after = after
        self.armed = False

    def _step(self) -> None:
        if not self.armed:
            return
        self.count += 1
        if self.count == self.at or (self.after and self.count > self.at):
            if self.error is None:
                raise Death
            raise OSError(self.error, os.strerror(self.error))

    def create(self, path: str, mode: int = 0o600) -> int:
        self._step()
        return super().create(path, mode)

    def write(self, fd: int, data: bytes) -> None:
        try:
            self._step()
        except BaseException:
            super().write(fd, data[: len(data) // 2])
            raise
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._step()
        super().sync(fd)

    def rename(self, source: str, target: str) -> None:
        self._named(lambda: super(FaultyDisk, self).rename(source, target))

    def unlink(self, path: str) -> None:
        self._named(lambda: super(FaultyDisk, self).unlink(path))

    def _named(self, change: Callable[[], None]) -> None:
        try:
            self._step()
        except OSError as error:
            if error.errno == LATE:
                change()
            raise
        change()

    def sync_directory(self, path: str) -> None:
        self._step()
        super().sync_directory(path)


def draft(ident: str, *paths: str, routes: list[Route] | None = None, **more: object) -> Draft:
    recipients = [Recipient(parse(path)) for path in paths or ("a@example.net",)]
    message = Message(
        ident,
        Envelope(parse("sender@example.com"), recipients),
        Arrival(T0),
        trace=b"Received: here\r\n",
        size=24,
        expires=T0 + 432000,
    )
    content = more.pop("content", b"hello\r\n")
    return Draft(message, content, routes or [HOP] * len(recipients), due=T0, **more)  # type: ignore[arg-type]


def ident(number: int) -> str:
    return ident_.new_id(T0 + number, 1)


ONE, TWO, THREE, REPORT = (ident(number) for number in range(4))


class Spool:
    """A spool that is filled once, and copied for each fault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = FaultyDisk()
        self.store = self.open(self.disk)

    def open(self, disk: Disk) -> DirectoryStore:
        return DirectoryStore(str(self.path), now=T0, disk=disk)

    def kill(self) -> None:
        """As by ``kill -9``: the descriptors close, nothing else happens."""
        store = self.store
        for fd in [*store._held.values(), store._runner, store._journal._fd]:
            if fd >= 0:
                os.close(fd)
        store._held.clear()
        store._claims.clear()
        store._runner = store._journal._fd = -1
        store._lock.close()
        store._files.life.drop(remove=False)

    def listed(self) -> dict[str, list[int]]:
        """What a process that opens the queue now finds, cleaned of what belongs to nobody, and sound."""
        store = DirectoryStore(str(self.path), now=T0)
        store.claim(0, T0)
        store.sweep(T0)
        assert list(store.check()) == []
        found = {entry.message.ident: [row.number for row in entry.rows] for entry in store.entries(Filter())}
        for name in found:
            store.content(name).read()
        store.close()
        assert list((self.path / "settling").iterdir()) == []
        assert list((self.path / "incoming").iterdir()) == []
        return found


Prepare = Callable[[DirectoryStore], object]


def faults(
    tmp_path: Path, prepare: Prepare, error: int | None, *, after: bool = False
) -> Iterator[tuple[Spool, object]]:
    """A prepared spool for each step, with the fault set at it; ends after the run that met no fault."""
    for at in range(1, 200):
        spool = Spool(tmp_path / str(at))
        prepared = prepare(spool.store)
        spool.disk.at, spool.disk.error, spool.disk.after = at, error, after
        spool.disk.armed = True
        yield spool, prepared
        met = spool.disk.count >= at
        spool.disk.armed = False
        spool.kill()
        shutil.rmtree(spool.path)
        if not met:
            return
    raise AssertionError("there is no end to the steps")


ERRORS = pytest.mark.parametrize(
    ("error", "after"),
    [
        (errno.ENOSPC, False),
        (errno.EIO, False),
        (errno.EIO, True),
        (LATE, False),
        (LATE, True),
        (None, False),
    ],
    ids=["ENOSPC", "EIO", "EIO-from-then-on", "done-all-the-same", "so-from-then-on", "death"],
)


@ERRORS
def test_commit(tmp_path: Path, error: int | None, after: bool) -> None:
    """QUE-5: answered means queued, whole; refused means not queued, or at worst whole."""

    def prepare(store: DirectoryStore) -> Draft:
        staged = draft(TWO, content=store.stage(TWO))
        staged.content.write(b"x" * (SMALL + 1))  # type: ignore[union-attr]
        staged.content.sync()  # type: ignore[union-attr]
        return staged

    steps = 0
    for spool, staged in faults(tmp_path, prepare, error, after=after):
        assert isinstance(staged, Draft)
        steps += 1
        try:
            answers = spool.store.commit([draft(ONE), staged], now=T0)
        except Death:
            spool.kill()
            # It may be there or not, as nothing was said; what is there is whole.
            assert set(spool.listed()) <= {ONE, TWO}
        except StoreError as trouble:
            assert isinstance(trouble, NoSpace) == (error == errno.ENOSPC)  # noqa: PT017
            spool.kill()
            assert after or spool.listed() == {}
            assert set(spool.listed()) <= {ONE, TWO}
        else:
            assert [answer.error for answer in answers] == [None, None]
            spool.kill()
            assert spool.listed() == {ONE: [0], TWO: [0]}
    assert steps > 8


@ERRORS
def test_commit_with_a_key(tmp_path: Path, error: int | None, after: bool) -> None:
    """A key names a message if and only if that was queued."""
    for spool, _ in faults(tmp_path, lambda store: None, error, after=after):
        try:
            spool.store.commit([draft(ONE, key="k", key_until=T0 + 9)], now=T0)
            answered = True
        except (Death, StoreError):
            answered = False
        spool.kill()
        before = spool.listed()
        again = spool.open(Disk())
        (answer,) = again.commit([draft(TWO, key="k", key_until=T0 + 9)], now=T0)
        again.close()
        assert answer.known == (ONE in before)
        assert answer.known or not answered
        assert list(spool.listed()) == [ONE if answer.known else TWO]


def bounce(claim: Claim) -> Settlement:
    """Recipient 0 has failed and its report goes out; recipient 1 is tried later."""
    outcomes = [Outcome(0, "failed", NO, at=T0), Outcome(1, "delayed", LATER, at=T0)]
    return Settlement(
        claim,
        [Decision(0, outcomes[0], None), Decision(1, outcomes[1], T0 + 60)],
        attempt=Attempt(claim.route, outcomes, started=T0),
        reports=[draft(ident_.report_id(claim.message.ident, claim.settlement), "sender@example.com")],
    )


@pytest.mark.parametrize("last", [False, True], ids=["one-stays", "last"])
@ERRORS
def test_settle_with_a_report(tmp_path: Path, error: int | None, after: bool, last: bool) -> None:
    """DSN: there is one report if and only if its recipient is gone, whatever happens in between."""

    def prepare(store: DirectoryStore) -> Claim:
        (answer,) = store.commit([draft(ONE, "a@example.net", "b@example.net", claim=True)], now=T0)
        return answer.claims[0]

    steps = 0
    for spool, claim in faults(tmp_path, prepare, error, after=after):
        assert isinstance(claim, Claim)
        steps += 1
        report = ident_.report_id(ONE, claim.settlement)
        done = bounce(claim)
        if last:
            done.decisions[1].retry_at = None
        before = {ONE: [0, 1]}
        settled = {report: [0]} if last else {ONE: [1], report: [0]}
        try:
            assert spool.store.settle([done], now=T0) == []
            answered = True
        except (Death, StoreError):
            answered = False
        if not answered and error is not None and not after:
            # The runner tries again, as it must: done once, or found done before.
            spool.disk.armed = False
            assert spool.store.settle([done], now=T0) in ([], [done])
            answered = True
        spool.kill()
        found = spool.listed()
        assert found == settled or (not answered and found == before)
    assert steps > 10


@pytest.mark.parametrize("last", [False, True], ids=["one-stays", "last"])
@ERRORS
def test_settle_two_claims_with_one_report(
    tmp_path: Path, error: int | None, after: bool, last: bool
) -> None:
    """BNC-2, BNC-3: those at both next hops are gone and one report is there, or neither; it is never sent
    twice, though the settlement be done over after an error that left it half done."""

    def prepare(store: DirectoryStore) -> list[Claim]:
        paths = ("a@example.net", "b@example.net", "c@example.org")
        (answer,) = store.commit([draft(ONE, *paths, routes=[HOP, HOP, OTHER], claim=True)], now=T0)
        return answer.claims

    steps = 0
    for spool, claims in faults(tmp_path, prepare, error, after=after):
        assert isinstance(claims, list)
        steps += 1
        report = ident_.report_id(ONE, claims[0].settlement)
        done = bounce(claims[0])
        gone = Outcome(2, "failed", NO, at=T0)
        attempt = Attempt(OTHER, [gone], started=T0)
        done.also = [Settlement(claims[1], [Decision(2, gone, None)], attempt=attempt)]
        if last:
            done.decisions[1].retry_at = None
        before = {ONE: [0, 1, 2]}
        settled = {report: [0]} if last else {ONE: [1], report: [0]}
        try:
            assert spool.store.settle([done], now=T0) == []
            answered = True
        except (Death, StoreError):
            answered = False
        if not answered and error is not None:
            # The runner tries again, and what is refused one by one.
            spool.disk.armed = False
            if spool.store.settle([done], now=T0):
                parts, done.also = done.parts, ()
                for part in parts:
                    part.reports = done.reports
                    assert spool.store.settle([part], now=T0) == [part]
            answered = True
        spool.kill()
        found = spool.listed()
        assert found == settled or (not answered and found == before)
    assert steps > 10


@ERRORS
def test_two_settlements_drafts_and_hops_at_once(tmp_path: Path, error: int | None, after: bool) -> None:
    def prepare(store: DirectoryStore) -> list[Claim]:
        drafts = [
            draft(ONE, "a@example.net", "b@example.net", claim=True),
            draft(TWO, "c@example.net", "d@example.net", claim=True),
        ]
        return [answer.claims[0] for answer in store.commit(drafts, now=T0)]

    for spool, claims in faults(tmp_path, prepare, error, after=after):
        assert isinstance(claims, list)
        reports = {each.message.ident: ident_.report_id(each.message.ident, 1) for each in claims}
        try:
            spool.store.apply(
                [draft(THREE)], [bounce(each) for each in claims], [Hop(HOP, failures=1)], now=T0
            )
            answered = True
        except (Death, StoreError):
            answered = False
        spool.kill()
        found = spool.listed()
        for name, report in reports.items():
            assert (found.get(name) == [1]) == (report in found)
            assert name in found
            assert not answered or report in found
        assert not answered or THREE in found
        assert set(found) <= {ONE, TWO, THREE, *reports.values()}


@pytest.mark.parametrize("action", ["hold", "retry", "remove"])
@ERRORS
def test_change(tmp_path: Path, error: int | None, after: bool, action: str) -> None:
    def prepare(store: DirectoryStore) -> None:
        store.commit([draft(ONE), draft(TWO)], now=T0)

    for spool, _ in faults(tmp_path, prepare, error, after=after):
        try:
            assert spool.store.change(Filter(), action, now=T0, reason="r") == 2  # type: ignore[arg-type]
            answered = True
        except (Death, StoreError):
            answered = False
        spool.kill()
        found = spool.listed()
        if action == "remove":
            assert set(found) <= {ONE, TWO} and not (answered and found)
        else:
            assert found == {ONE: [0], TWO: [0]}
            held = [entry.message.hold for entry in spool.open(Disk()).entries(Filter())]
            assert not answered or action != "hold" or held == ["r", "r"]


def test_a_death_while_taking_over(tmp_path: Path) -> None:
    """Claims that outlived their owner stay written down until every one is in its envelope."""

    def prepare(store: DirectoryStore) -> None:
        store.commit([draft(ONE, claim=True), draft(TWO, claim=True)], now=T0)

    for spool, _ in faults(tmp_path, prepare, None):
        spool.disk.armed = False
        spool.kill()
        spool.store = spool.open(spool.disk)
        spool.disk.armed = True
        try:
            claims = spool.store.claim(9, T0)
        except Death:
            spool.disk.armed = False
            spool.kill()
            spool.store = spool.open(Disk())
            claims = spool.store.claim(9, T0)
        assert [claim.suspect for claim in claims] == [True]
        assert all(row.suspect for entry in spool.store.entries(Filter()) for row in entry.rows)
