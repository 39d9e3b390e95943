"""The SQLite store: the contract, and what only it promises."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from contract import (
    DAY,
    HOP,
    OTHER,
    T0,
    Killer,
    Maker,
    StoreContract,
    claimed,
    commit,
    draft,
    failed,
    idents,
    model,
    new_ident,
    settlement,
)
from hypothesis import settings

from mether.outcome import Route
from mether.queue import database, sql, sqlite_change
from mether.queue import ident as ident_
from mether.queue.claim import Hop
from mether.queue.content import SMALL
from mether.queue.database import refuse_version
from mether.queue.disk import Disk
from mether.queue.owner import Lock
from mether.queue.spool import make as make_spool
from mether.queue.sqlite import SqliteStore
from mether.queue.sqlite_hops import SQL, refresh
from mether.queue.sqlite_list import matching
from mether.queue.store import Damaged, Filter, NoSpace, Store, StoreError


def die(store: Store) -> None:
    """End an owner as kill -9 does: the kernel closes what it had open."""
    assert isinstance(store, SqliteStore)
    store._db.close()
    store._spool.life.drop(remove=False)
    if store._wake is not None and store._wake._sock is not None:
        store._wake._sock.close()
        store._wake._sock = None
    store._registered = False


class TestSqlite(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[Maker]:
        made: list[SqliteStore] = []

        def make() -> Store:
            made.append(SqliteStore(str(tmp_path / "spool"), now=T0))
            return made[-1]

        yield make
        for store in made:
            store.close()

    @pytest.fixture
    def kill(self) -> Killer:
        return die


def _make() -> tuple[Maker, object]:
    directory = tempfile.mkdtemp()
    return lambda: SqliteStore(directory, now=T0), lambda: shutil.rmtree(directory)


TestModel = model(_make).TestCase  # type: ignore[arg-type]
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


# What only this store promises.


class Fault:
    """A fault that is not there until it is made: the file operations that fail, and with what."""

    def __init__(self) -> None:
        self.operation = ""
        self.error: Exception = apsw.IOError("disk I/O error")

    def hit(self, operation: str) -> None:
        if operation == self.operation:
            raise self.error


class FaultyVFS(apsw.VFS):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__("faulty", "")

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        return FaultyFile(self.fault, name, flags)


class FaultyFile(apsw.VFSFile):
    def __init__(self, fault: Fault, name: object, flags: list[int]) -> None:
        self.fault = fault
        super().__init__("", name, flags)  # type: ignore[arg-type]

    def xSync(self, flags: int) -> None:
        self.fault.hit("sync")
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.fault.hit("write")
        super().xWrite(data, offset)


class FaultyDisk(Disk):
    """A disk on which one operation fails."""

    operation = ""

    def sync(self, fd: int) -> None:
        if self.operation == "sync":
            raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)

    def write(self, fd: int, data: bytes) -> None:
        if self.operation == "write":
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(fd, data)

    def sync_directory(self, path: str) -> None:
        if self.operation == "sync_directory":
            raise OSError(errno.EIO, "Input/output error", path)
        super().sync_directory(path)


@pytest.fixture
def spool(tmp_path: Path) -> str:
    return str(tmp_path / "spool")


@pytest.mark.parametrize(
    ("operation", "error", "kind"),
    [
        ("sync", apsw.IOError("disk I/O error"), StoreError),
        ("write", apsw.FullError("database or disk is full"), NoSpace),
        ("write", apsw.ReadOnlyError("attempt to write a readonly database"), StoreError),
    ],
)
def test_a_commit_that_fails_did_nothing_and_the_next_one_works(
    spool: str, operation: str, error: Exception, kind: type[StoreError]
) -> None:
    """QUE-5: what could not be made durable was not promised: on a disk that fails, is full, or has become
    read-only."""
    fault = Fault()
    vfs = FaultyVFS(fault)
    store = SqliteStore(spool, now=T0, vfs="faulty")
    first, second, third = (draft(claim=True) for _ in range(3))
    (answer,) = commit(store, first)
    fault.operation, fault.error = operation, error
    for _ in range(3):
        with pytest.raises(kind) as caught:
            store.commit([second], now=T0)
        assert type(caught.value) is kind, "else the client is told of another trouble"
        with pytest.raises(kind):
            store.settle([settlement(answer.claims[0])], now=T0)
    fault.operation = ""
    assert idents(store) == [first.message.ident]
    commit(store, third)
    assert store.settle([settlement(answer.claims[0])], now=T0) == []
    commit(store, second)
    assert idents(store) == sorted([second.message.ident, third.message.ident])
    store.close()
    store = SqliteStore(spool, now=T0, vfs="faulty")
    assert idents(store) == sorted([second.message.ident, third.message.ident])
    assert list(store.check()) == []
    store.close()
    vfs.unregister()


def test_content_that_could_not_be_written_or_synced(spool: str) -> None:
    disk = FaultyDisk()
    store = SqliteStore(spool, now=T0, disk=disk)
    good, bad = draft(), draft()
    bad.content = b"b" * (SMALL + 1)
    disk.operation = "write"
    answers = store.commit([good, bad], now=T0)
    assert [type(answer.error) for answer in answers] == [type(None), NoSpace]
    disk.operation = ""
    writer = store.stage(bad.message.ident)
    writer.write(b"b")
    disk.operation = "sync"
    with pytest.raises(StoreError):
        writer.sync()
    disk.operation = ""
    with pytest.raises(StoreError):
        writer.sync()
    writer.discard()
    assert idents(store) == [good.message.ident]
    assert store.sweep(T0) == 0
    store.close()


def test_content_whose_place_is_not_durable_is_not_queued(spool: str) -> None:
    disk = FaultyDisk()
    store = SqliteStore(spool, now=T0, disk=disk)
    one, two = draft(content=b"b" * (SMALL + 1)), draft()
    two.content = store.stage(two.message.ident)
    two.content.write(b"c" * 100_000)
    two.content.sync()
    disk.operation = "sync_directory"
    with pytest.raises(StoreError):
        store.commit([one, two], now=T0)
    disk.operation = ""
    assert idents(store) == []
    commit(store, one)
    assert store.content(one.message.ident).size == SMALL + 1
    (answer,) = store.commit([two], now=T0)
    assert answer.error is not None
    two.content.discard()
    assert os.listdir(os.path.join(spool, "incoming")) == []
    store.close()


def test_a_missing_content_file_is_damage(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    (answer,) = commit(store, draft(content=b"b" * (SMALL + 1)))
    (path,) = Path(spool, "content").rglob(answer.ident)
    path.unlink()
    with pytest.raises(Damaged):
        store.content(answer.ident)
    assert [answer.ident in line for line in store.check()] == [True]
    store.close()


def test_a_file_that_is_no_database_is_damage(spool: str) -> None:
    os.mkdir(spool)
    Path(spool, "queue.sqlite3").write_bytes(b"not a database\n" * 1000)
    with pytest.raises(Damaged, match=r"queue\.sqlite3|cannot open the queue"):
        SqliteStore(spool, now=T0)


def test_a_queue_of_a_later_version_is_refused(spool: str) -> None:
    SqliteStore(spool, now=T0).close()
    db = apsw.Connection(os.path.join(spool, "queue.sqlite3"))
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="later mether"):
        SqliteStore(spool, now=T0)


def test_a_creation_cut_short_is_completed(spool: str) -> None:
    make_spool(spool, Disk())
    Path(spool, "queue.sqlite3").touch(0o600)
    store = SqliteStore(spool, now=T0)
    commit(store, draft())
    store.close()


@pytest.mark.parametrize("version", ["3.40.1", "3.44.5", "3.50.6", "3.51.2", "3.49.9"])
def test_a_sqlite_that_loses_rows_is_refused(version: str) -> None:
    with pytest.raises(StoreError, match="WAL-reset"):
        refuse_version(version)


@pytest.mark.parametrize("version", ["3.44.6", "3.50.7", "3.51.3", "3.54.1", "4.0.0"])
def test_a_sqlite_that_keeps_them_is_taken(version: str) -> None:
    refuse_version(version)


def test_nobody_else_can_read_the_spool(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    commit(store, draft(content=b"b" * (SMALL + 1), claim=True))
    store.fileno()
    for path in (Path(spool), *Path(spool).rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    store.close()


def test_a_message_that_goes_straight_through_is_in_no_index(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    commit(store, draft(claim=True))
    for index in ("recipient_due", "recipient_deadline", "recipient_suspect", "next_hop_ready"):
        table = "next_hop" if index == "next_hop_ready" else "recipient"
        where = {"recipient_suspect": "suspect = 1", "next_hop_ready": "ready IS NOT NULL"}.get(
            index, "state = 0"
        )
        assert store._db.value(f"SELECT count(*) FROM {table} INDEXED BY {index} WHERE {where}") == 0, index
    store.close()


def test_waiting_takes_no_sign_of_life(spool: str) -> None:
    """The event loop waits while the writer's thread takes it."""
    store = SqliteStore(spool, now=T0)
    store.fileno()
    assert not store.wait(0)
    assert os.listdir(os.path.join(spool, "owners")) == []
    store.close()


def test_a_suspended_next_hop_waits(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    commit(store, draft())
    for until, due in ((None, T0 + 5 * DAY), (T0 + 60, T0 + 60)):
        with store._db.write():
            store._db.execute("UPDATE next_hop SET suspended = 'at rest', suspended_until = ?", (until,))
            refresh(store._db, [1])
        assert store.next_due(T0) == due
        assert store.claim(9, T0) == []
        assert [hop.suspended for hop in store.hops()] == ["at rest"]
    assert len(store.claim(9, T0 + 60)) == 1
    store.close()


def test_the_wal_is_kept_short(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    for _ in range(60):
        commit(store, *(draft(content=b"w" * 30_000) for _ in range(8)))
    assert os.path.getsize(os.path.join(spool, "queue.sqlite3-wal")) < 8 << 20
    assert len(store.entries(Filter())) == 480
    store.close()


def test_the_wal_is_long_only_while_somebody_reads(spool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever process comes to it makes it short again; a listing read slowly is nobody who reads."""
    monkeypatch.setattr(database, "CHECKPOINT", 16)
    monkeypatch.setattr(database, "TRUNCATE", 64)
    stores = [SqliteStore(spool, now=T0) for _ in range(3)]
    reader = stores.pop()

    def write() -> int:
        for store in stores * 20:
            commit(store, draft())
        return os.path.getsize(f"{spool}/queue.sqlite3-wal") // database.PAGE

    with reader._db.read():
        reader._db.value("SELECT count(*) FROM message")
        assert write() > 128
        assert reader._db.value("SELECT count(*) FROM message") == 0
    assert len(reader.entries(Filter(), limit=7)) == 7
    assert write() < 96
    for store in (*stores, reader):
        assert store.count(100) == 80
        store.close()


def test_the_sweeper_keeps_what_is_queued_and_forgets_idle_next_hops(spool: str) -> None:
    store, other = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    kept = draft(content=b"b" * (SMALL + 1))
    (answer,) = commit(store, draft(routes=OTHER, claim=True))
    commit(store, kept)
    store.settle([settlement(answer.claims[0])], now=T0)
    assert other.sweep(T0) == 0
    assert other._db.value("SELECT count(*) FROM next_hop") == 1
    # The first store remembers the next hop that the other one forgot.
    commit(store, draft(routes=OTHER))
    assert list(store.check()) == []
    assert len(other.claim(9, T0)) == 2
    store.close()
    other.close()


def test_the_sweeper_goes_round_what_is_none_of_ours(spool: str) -> None:
    store, dead = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    dead.stage(new_ident()).write(b"x")
    die(dead)
    commit(store, draft(content=b"b" * (SMALL + 1)))
    root = Path(spool)
    (root / "content" / "README").touch()
    (root / "content" / "XX" / new_ident()).mkdir(parents=True)
    (root / "content" / "XX" / "notes").touch()
    (root / "incoming" / "temp.00000000000b.X").mkdir()
    (root / "incoming" / "temp.x").touch()
    (root / "owners" / "00000000000b.lock").mkdir()
    assert store.sweep(T0) == 2
    assert store.sweep(T0) == 0
    assert list(store.check()) == []
    store.close()


@pytest.mark.parametrize(("much", "left"), [(10, {HOP.next_hop}), (1, {HOP.next_hop, OTHER.next_hop})])
def test_the_sweeper_keeps_a_next_hop_for_which_mail_comes_meanwhile(
    spool: str, much: int, left: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where much is queued it does not look through all of it while nobody can write."""
    store, other = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    answers = commit(store, draft(routes=OTHER, claim=True), draft(claim=True))
    store.settle([settlement(answer.claims[0]) for answer in answers], now=T0)

    def placed() -> list[str]:
        commit(other, draft(claim=True))
        return []

    monkeypatch.setattr(store._spool, "placed", placed)
    monkeypatch.setattr("mether.queue.sqlite.MUCH", much)
    store.sweep(T0)
    monkeypatch.undo()
    assert {row[0] for row in store._db.execute("SELECT next_hop FROM next_hop")} == left
    assert list(store.check()) == []
    store.sweep(T0)
    assert {row[0] for row in store._db.execute("SELECT next_hop FROM next_hop")} == {HOP.next_hop}
    store.close()
    other.close()


def test_a_draft_that_cannot_be_stored_does_not_stop_a_settlement(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    (answer,) = commit(store, draft(claim=True))
    bad, good = draft(), draft(claim=True)
    bad.message.envelope.envid = "\ud800"
    applied = store.apply([bad, good], [settlement(answer.claims[0])], now=T0)
    assert [one.error is None for one in applied.answers] == [False, True]
    assert applied.refused == []
    assert idents(store) == [good.message.ident]
    assert store.settle([settlement(applied.answers[1].claims[0])], now=T0) == []
    store.close()


def test_a_report_that_cannot_be_written_beside_a_bad_draft_keeps_its_settlement(spool: str) -> None:
    """BNC-1: only what lost its claim is refused; trouble with the disk is not."""
    disk = FaultyDisk()
    store = SqliteStore(spool, now=T0, disk=disk)
    (answer,) = commit(store, draft(claim=True))
    bad = draft()
    bad.message.envelope.envid = "\ud800"
    report = draft("sender@example.com", sender="", content=b"r" * (SMALL + 1))
    disk.operation = "write"
    with pytest.raises(NoSpace):
        store.apply([bad], [failed(answer.claims[0], report)], now=T0)
    disk.operation = ""
    applied = store.apply([bad], [failed(answer.claims[0], report)], now=T0)
    assert (applied.refused, applied.gone) == ([], [answer.ident])
    assert idents(store) == [report.message.ident]
    assert list(store.check()) == []
    store.close()


def test_a_settlement_that_cannot_be_written_is_not_refused(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    (answer,) = commit(store, draft(claim=True))
    with pytest.raises(StoreError):
        store.settle([settlement(answer.claims[0], float("nan"))], now=T0)
    assert store.settle([settlement(answer.claims[0])], now=T0) == []
    store.close()


def test_a_killed_process_leaves_its_claims_to_the_next(spool: str) -> None:
    """A real process, really killed."""
    program = (
        "import sys, os, signal; sys.path[:0] = [sys.argv[1]]\n"
        "from contract import *\nfrom mether.queue.sqlite import SqliteStore\n"
        "store = SqliteStore(sys.argv[2], now=T0)\n"
        "commit(store, draft(claim=True))\nstore.stage(new_ident()).write(b'x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", program, here, spool], check=False, timeout=60)
    assert done.returncode == -9
    store = SqliteStore(spool, now=T0)
    (claim,) = store.claim(9, T0)
    assert claim.suspect
    assert store.sweep(T0) == 2
    assert list(store.check()) == []
    store.close()


def test_processes_that_write_at_once_lose_nothing(spool: str) -> None:
    SqliteStore(spool, now=T0).close()
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from contract import *\nfrom mether.queue.sqlite import SqliteStore\n"
        "store = SqliteStore(sys.argv[2], now=T0)\n"
        "for _ in range(20):\n"
        "    commit(store, *(draft(at=T0 + float(sys.argv[3]), due=T0) for _ in range(5)))\n"
        "    store.settle([settlement(c) for c in store.claim(2, T0)], now=T0)\n"
        "store.close()\n"
    )
    here = str(Path(__file__).parent)
    running = [
        subprocess.Popen([sys.executable, "-c", program, here, spool, str(number * 1000)])
        for number in range(3)
    ]
    assert [process.wait(100) for process in running] == [0, 0, 0]
    store = SqliteStore(spool, now=T0)
    assert len(store.entries(Filter())) == 3 * 20 * (5 - 2)
    assert list(store.check()) == []
    store.close()


def test_a_turn_keeps_others_from_writing_until_it_is_used(
    spool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(spool, now=T0)

    def held() -> bool:
        with open(f"{spool}/lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    store.turn()
    assert held()
    assert store.apply([draft()], now=T0).answers[0].error is None
    assert not held()

    def fail(lock: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Lock, "take", fail)  # before the transaction begins
    store.turn()
    with pytest.raises(StoreError):
        store.apply([draft(claim=True)], now=T0)
    assert not held()
    store.close()


def test_importing_it_is_cheap() -> None:
    """smtpqer pays for it at each start."""
    program = "import sys; import mether.queue.sqlite; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program_with_path(program)], capture_output=True)
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.decode().split())
    assert not modules & {
        "re",
        "typing",
        "enum",
        "socket",
        "asyncio",
        "ssl",
        "dataclasses",
        "logging",
        "json",
    }


def program_with_path(program: str) -> str:
    """The program, finding what this process finds: -S keeps site and its imports away."""
    return f"import sys; sys.path[:] = {sys.path!r}; {program}"


# Priority without scanning


def plan(store: SqliteStore, statement: str, values: tuple[object, ...]) -> list[str]:
    """How SQLite carries out a statement: a line for each step."""
    return [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {SQL[statement]}", values).fetchall()]


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("due-at-hop", (1, 0, T0)),
        ("priority-below", (1, 10)),
        ("first-at-hop", (1, 0)),
        ("hop-waiting", (1, T0, 9)),
    ],
)
def test_what_is_due_is_found_by_seeks(spool: str, statement: str, values: tuple[object, ...]) -> None:
    """EXT-3: no pass over what waits, and no sorting of it."""
    store = SqliteStore(spool, now=T0)
    steps = plan(store, statement, values)
    store.close()
    recipient = [step for step in steps if "recipient" in step or " r " in f"{step} "]
    assert recipient
    assert all("USING COVERING INDEX recipient_due (hop=?" in step for step in recipient), steps
    assert not any("TEMP B-TREE FOR ORDER BY" in step for step in steps)


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        ("next-ready", (), "next_hop_ready"),
        ("next-deadline", (), "recipient_deadline"),
        ("due-by-deadline", (T0, T0 - 9, 3, 1, 9), "recipient_deadline ((deadline,message,number)>"),
        ("hops-ready", (T0,), "next_hop_ready"),
        ("hops-in-trouble", (), "next_hop_trouble"),
        ("suspects", (), "COVERING INDEX recipient_suspect (state=?"),
        ("suspect-out", (), "COVERING INDEX recipient_suspect (state=?"),
        ("suspects-at-hops", (), "COVERING INDEX recipient_suspect (state=?"),
        ("owner-marks", (7,), "recipient_marked"),
        ("hop-find", ("smtp", "mx", "", ""), "sqlite_autoindex_next_hop_1"),
        ("key-known", ("k", T0), "PRIMARY KEY"),
        ("claim-due", (1, 1, 1, 1, T0), "PRIMARY KEY"),
        ("claimed-of", (1, 1, 1), "PRIMARY KEY"),
        ("claim-delete", (1, 1, 1), "PRIMARY KEY"),
        ("claimed-delete", ("[]", 1, "[]"), "PRIMARY KEY"),
        ("claimed-recipients", ("[]", 1, 1), "PRIMARY KEY"),
        ("messages-finished", ("[]",), "PRIMARY KEY"),
        ("contents-delete", ("[]",), "PRIMARY KEY"),
        ("attempts-delete", ("[]",), "PRIMARY KEY"),
        ("transcripts-delete", ("[]",), "PRIMARY KEY"),
        ("attempts", (1,), "PRIMARY KEY"),
        ("queued-among", ("[]",), "PRIMARY KEY"),
    ],
)
def test_the_work_of_a_busy_queue_is_done_by_seeks(
    spool: str, statement: str, values: tuple[object, ...], index: str
) -> None:
    """Nothing that a daemon asks again and again is a pass over what is queued."""
    store = SqliteStore(spool, now=T0)
    steps = plan(store, statement, values)
    store.close()
    assert any(index in step for step in steps), steps
    for step in steps:
        if step.startswith("SCAN"):
            # A list that was given, what a statement inside it found, or an index of few rows.
            assert "json_each" in step or "subquery" in step or "USING" in step, steps
            assert "recipient_due" not in step, steps


@pytest.mark.parametrize(
    "filter",
    [
        Filter(),
        Filter(status="active"),
        Filter(status="deferred"),
        Filter(status="fresh"),
        Filter(status="held"),
        Filter(sender="a*"),
        Filter(recipient="*@b.example", status="deferred"),
        Filter(next_hop="mx.example.net", before=T0),
    ],
)
def test_a_page_of_the_list_is_not_sorted(spool: str, filter: Filter) -> None:
    """It ends with the last entry that is asked for, whatever waits behind."""
    store = SqliteStore(spool, now=T0)
    statement, values = matching(store._db, filter, 7, 1000)
    steps = [row[3] for row in store._db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]
    store.close()
    assert "USING" in steps[0], steps
    assert steps[0].startswith("SEARCH"), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_nothing_due_costs_the_same_however_many_next_hops_wait(spool: str) -> None:
    steps = []
    for count in (10, 2_000):
        store = SqliteStore(os.path.join(spool, str(count)), now=T0)
        routes = [Route("smtp", f"mx{number}.example") for number in range(count)]
        commit(store, *(draft(routes=route, due=T0 + DAY) for route in routes))
        store._db.connection.set_progress_handler(lambda: bool(steps.append(count)), 10)  # type: ignore[func-returns-value] # noqa: B023
        assert store.claim(100, T0) == []
        assert store.next_due(T0) == T0 + DAY
        assert store.marked() == {}
        store._db.connection.set_progress_handler(None)
        store.close()
    assert steps.count(2_000) <= steps.count(10) + 5


def test_many_that_wait_at_other_priorities_are_not_looked_at(spool: str) -> None:
    """EXT-3: the work of a claim does not grow with them."""
    steps = []
    for count in (100, 10_000):
        store = SqliteStore(os.path.join(spool, str(count)), now=T0)
        commit(
            store, *(draft(priority=number % 2 * -9, due=T0 + number % 7 * DAY) for number in range(count))
        )
        one = draft(priority=4, due=T0 + 1)
        commit(store, one)
        connection = store._db.connection
        connection.set_progress_handler(lambda: bool(steps.append(count)), 10)  # noqa: B023
        assert claimed(store.claim(1, T0 + 1)) == [one.message.ident]
        connection.set_progress_handler(None)
        store.close()
    assert steps.count(10_000) < steps.count(100) * 1.5 + 100


def test_start_begins_with_the_highest_priority(spool: str) -> None:
    """EXT-3: where more waits than is made due at once."""
    store = SqliteStore(spool, now=T0)
    commit(store, *(draft(priority=number, due=T0 + 900) for number in (-2, 5, 0)))
    assert store.start("mx.example.net", now=T0, limit=2) == 2
    assert [claim.message.priority for claim in store.claim(9, T0)] == [5, 0]
    store.close()


# What goes straight through, and what does not


def test_a_draft_for_a_suspended_next_hop_is_not_claimed(spool: str) -> None:
    """The process that asked may not know of it yet."""
    store, person = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    (before,) = commit(store, draft(claim=True))
    assert len(before.claims) == 1
    person.suspend([HOP], reason="at rest", until=T0 + 60)
    both = draft("a@example.net", "b@example.org", routes=[HOP, OTHER], claim=True)
    (answer,) = commit(store, both)
    assert [claim.route for claim in answer.claims] == [OTHER]
    assert store.claim(9, T0) == []
    (answer,) = commit(store, draft(claim=True), now=T0 + 60)
    assert len(answer.claims) == 1, "the suspension is over"
    person.suspend([HOP], reason="at rest", until=None)
    person.resume([HOP], now=T0 + 60)
    (answer,) = commit(store, draft(claim=True), now=T0 + 60)
    assert len(answer.claims) == 1
    assert list(store.check()) == []
    store.close()
    person.close()


def test_a_draft_for_a_next_hop_in_trouble_waits_for_its_probe(spool: str) -> None:
    """QUE-2"""
    store, other = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    commit(store, draft(claim=True))
    other.apply(hops=[Hop(HOP, failures=1, not_before=T0 - 1)], now=T0)
    drafts = [draft(claim=True) for _ in range(3)]
    assert [answer.claims for answer in commit(store, *drafts)] == [[], [], []]
    (probe,) = store.claim(9, T0)
    assert probe.message.ident == drafts[0].message.ident
    store.apply((), [settlement(probe)], [Hop(HOP)], now=T0)
    (answer,) = commit(store, draft(claim=True))
    assert len(answer.claims) == 1
    store.close()
    other.close()


def test_a_suspension_that_is_over_is_forgotten(spool: str) -> None:
    store = SqliteStore(spool, now=T0)
    commit(store, draft())
    store.suspend([HOP, OTHER], reason="at rest", until=T0 + 60)
    assert len(store.claim(9, T0 + 60)) == 1
    assert [hop.route for hop in store.hops()] == [OTHER]
    store.sweep(T0 + 59)
    assert len(store.hops()) == 1
    store.sweep(T0 + 60)
    assert store.hops() == []
    store.sweep(T0 + 61)
    assert [hop.route for hop in store.hops("*")] == [HOP], "nothing is known of the other any more"
    store.close()


# Poison


def test_a_message_that_kills_is_held_and_no_other_in_the_same_window(spool: str) -> None:
    """It is found out one suspect at a time, and the queue goes on."""
    store = SqliteStore(spool, now=T0)
    drafts = [draft(routes=HOP if number % 2 else OTHER) for number in range(12)]
    commit(store, *drafts)
    poison, deaths, done = drafts[7].message.ident, 0, set()
    for step in range(60):
        claims = store.claim(9, T0 + step)
        if poison in claimed(claims):
            die(store)
            deaths += 1
            store = SqliteStore(spool, now=T0)
        else:
            done.update(claimed(claims))
            assert store.settle([settlement(claim) for claim in claims], now=T0 + step) == []
    assert deaths == 4, "one in a full window, and three strikes"
    assert len(done) == 11
    (entry,) = store.entries(Filter())
    assert (entry.message.ident, entry.status) == (poison, "held")
    assert list(store.check()) == []
    store.close()


# Changes of very many


@pytest.mark.parametrize("many", [1, 10_000])
def test_a_change_of_many_is_that_of_few(spool: str, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the indexes made anew, and without."""
    monkeypatch.setattr(sqlite_change, "MANY", many)
    store, other = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    before = indexes(store)
    answers = commit(store, *(draft(claim=number % 5 == 0, due=T0 + 60) for number in range(40)))
    commit(store, *(draft(routes=OTHER, due=T0 + number) for number in range(10)))
    only = Filter(next_hop="mx.example.net")
    assert other.change(only, "hold", now=T0, reason="wait") == 40
    assert len(store.marked()) == 8
    assert len(store.claim(99, T0 + 600)) == 10
    store.release([answer.claims[0] for answer in answers[:5] if answer.claims])
    assert other.change(Filter(status="held"), "release", now=T0) == 40
    assert store.marked() == {}
    assert other.change(only, "retry", now=T0 + 5) == 40
    assert store.next_due(T0) == T0 + 5
    assert len(store.claim(20, T0 + 5)) == 20
    assert other.change(only, "remove", now=T0) == 40
    assert len(store.marked()) == 27
    assert len(idents(store)) == 27 + 10
    assert list(store.check()) == []
    assert indexes(store) == before
    assert other._db.value("SELECT count(*) FROM picked") == 0
    store.close()
    other.close()


def test_what_no_longer_matches_is_left_alone(spool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between picking and the transaction others go on."""
    store, other = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    one, two, three = (draft(claim=True) for _ in range(3))
    answers = commit(store, one, two, three)
    whole = sqlite_change.pick

    def pick(*args: Any) -> None:
        whole(*args)
        store.settle([settlement(answers[0].claims[0])], now=T0)
        store.settle([settlement(answers[1].claims[0], T0 + 60)], now=T0)

    monkeypatch.setattr(sqlite_change, "pick", pick)
    assert other.change(Filter(status="active"), "remove", now=T0) == 1
    assert idents(store) == [two.message.ident, three.message.ident]
    assert store.marked() == {answers[2].claims[0].token: "remove"}
    store.close()
    other.close()


# A queue of an earlier schema


def old_spool(spool: str, version: int) -> None:
    """A queue as an earlier schema had it, with a message of priority 3 and one of 0, tried before."""
    make_spool(spool, Disk())
    old = apsw.Connection(os.path.join(spool, "queue.sqlite3"))
    old.execute("PRAGMA journal_mode=WAL")
    old.execute((Path(__file__).parent / f"schema_{version}.sql").read_text())
    for number, priority in ((ident_.decode(new_ident()), 0), (ident_.decode(new_ident()), 3)):
        old.execute(
            "INSERT INTO message (id, sender, body, smtputf8, requiretls, arrived, protocol, address, host,"
            " helo, login, trace, size, expires, priority, large, claims) VALUES"
            " (?, 'a@b.example', '7BIT', 0, 0, ?, 'ESMTP', '', '', '', '', x'', 2, ?, ?, 0, 1)",
            (number, T0, T0 + DAY, priority),
        )
        old.execute("INSERT INTO content VALUES (?, x'6869')", (number,))
        old.execute(
            "INSERT INTO recipient (message, number, path, hop, pinned, state, next_attempt, deadline)"
            " VALUES (?, 0, 'c@d.example', 1, 0, 0, ?, ?)",
            (number, T0, T0 + DAY),
        )
        old.execute(
            "INSERT INTO attempt VALUES (?, 1, 0, 'smtp', 'd.example', '', ?, 1, 'mx', 0, 'delayed', 'host',"
            " '451 4.3.0 later', 'mx', ?, 0)",
            (number, T0, T0),
        )
        if version > 1:
            old.execute("UPDATE recipient SET priority = ? WHERE message = ?", (priority, number))
    old.execute(
        "INSERT INTO next_hop (transport, next_hop, helo, ready) VALUES ('smtp', 'd.example', '', ?)", (T0,)
    )
    old.execute("INSERT INTO owner (id, until) VALUES (7, ?)", (T0,))
    old.execute(f"PRAGMA user_version={version}")
    old.close()


def columns(store: SqliteStore) -> dict[str, set[str]]:
    names = [row[0] for row in store._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: {row[1] for row in store._db.execute(f"PRAGMA table_info({name})")} for name in names}


def indexes(store: SqliteStore) -> set[str]:
    return {
        row[0]
        for row in store._db.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql <> ''")
    }


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_queue_of_an_earlier_schema_is_brought_up_to_date(spool: str, version: int) -> None:
    old_spool(spool, version)
    store = SqliteStore(spool, now=T0, create=False)
    new = SqliteStore(os.path.join(spool, "new"), now=T0)
    assert columns(store) == columns(new)
    assert indexes(store) == indexes(new)
    assert store._db.value("PRAGMA user_version") == 4
    assert list(store.check()) == []
    later = draft(priority=1, release_at=T0 + 60)
    later.message.envelope.auth = "<>"
    commit(store, later)
    claims = store.claim(9, T0 + 60)
    assert [claim.message.priority for claim in claims] == [3, 0, 1], "next hops by their earliest due"
    assert [claim.message.envelope.auth for claim in claims] == [None, None, "<>"]
    assert [len(store.attempts(claim.message.ident)) for claim in claims] == [1, 1, 0]
    store.settle([settlement(claim) for claim in claims], now=T0 + 60)
    assert idents(store) == []
    assert (store.totals().queued, store.totals().done) == (1, 3)
    store.close()
    new.close()


@pytest.mark.parametrize("version", [2, 3])
def test_a_process_of_the_version_before_goes_on(spool: str, version: int) -> None:
    """Of an upgrade under a daemon that still runs: what it writes is what it wrote before."""
    old_spool(spool, version)
    old = apsw.Connection(os.path.join(spool, "queue.sqlite3"))
    store = SqliteStore(spool, now=T0)
    number = old.execute("SELECT min(id) FROM message").fetchone()[0]
    old.execute(
        "INSERT INTO attempt VALUES (?, 2, 0, 'smtp', 'd.example', '', ?, 1, 'mx', 0, 'delayed', 'host',"
        " '451 4.3.0 later', 'mx', ?, 0)",
        (number, T0, T0),
    )
    assert [each.route.via for each in store.attempts(ident_.encode(number))] == ["", ""]
    old.execute("INSERT INTO next_hop (transport, next_hop, helo) VALUES ('smtp', 'new.example', '')")
    old.execute("INSERT INTO owner (id, until) VALUES (9, ?)", (T0 + 60,))
    old.execute("UPDATE recipient SET state = 1, owner = 9, token = 1")
    store.change(Filter(), "remove", now=T0)
    assert old.execute("SELECT DISTINCT mark FROM recipient").fetchall() == [("remove",)]
    old.execute("DELETE FROM recipient; DELETE FROM message; DELETE FROM content; DELETE FROM attempt")
    old.close()
    assert list(store.check()) == []
    store.close()


def test_next_hops_keep_their_numbers_when_they_get_another_name(spool: str) -> None:
    """What is known of them stays, and the number of one that is gone is not used again."""
    old_spool(spool, 3)
    old = apsw.Connection(os.path.join(spool, "queue.sqlite3"))
    old.execute(
        "INSERT INTO next_hop (id, transport, next_hop, helo, failures, last, suspended) VALUES"
        " (7, 'lmtp', 'x', 'me', 3, '421 no', 'by hand'), (9, 'smtp', 'gone', '', 0, '', NULL);"
        "DELETE FROM next_hop WHERE id = 9"
    )
    old.close()
    store = SqliteStore(spool, now=T0)
    (hop,) = store.hops()
    assert (hop.route, hop.failures, hop.last, hop.suspended) == (
        Route("lmtp", "x", "me"),
        3,
        "421 no",
        "by hand",
    )
    commit(store, draft(routes=Route("smtp", "d.example", "", "rule")))
    known = store._db.execute("SELECT id, next_hop, via FROM next_hop ORDER BY id").fetchall()
    assert known == [(1, "d.example", ""), (7, "x", ""), (10, "d.example", "rule")]
    store.close()


def test_bringing_it_up_to_date_is_one_transaction(spool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in it leaves the queue as it was, and the next opening does it."""
    old_spool(spool, 1)
    whole = sql.text

    def broken(file: str) -> str:
        return whole(file) + (";SELECT 1 FROM nowhere" if file.startswith("migrate") else "")

    monkeypatch.setattr(sql, "text", broken)
    with pytest.raises(StoreError, match="nowhere"):
        SqliteStore(spool, now=T0)
    old = apsw.Connection(os.path.join(spool, "queue.sqlite3"))
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    assert "more" not in {row[1] for row in old.execute("PRAGMA table_info(message)")}
    old.close()
    monkeypatch.undo()
    first, second = SqliteStore(spool, now=T0), SqliteStore(spool, now=T0)
    assert len(idents(second)) == 2
    first.close()
    second.close()
