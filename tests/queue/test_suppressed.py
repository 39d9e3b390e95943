"""The suppression list: what is remembered, for how long, and that it is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest
from mail import address

from mether.address import Address
from mether.queue import fsck
from mether.queue.open import open_store
from mether.queue.store import StoreError
from mether.queue.suppressed import CHUNK, FILE, Suppressions
from mether.queue.suppressed_row import Chosen, Suppressed

BOB = address("bob@example.net")


def failure(text: str = "bob@example.net", at: float = 100.0, **named: object) -> Suppressed:
    usual = {"source": "delivery", "since": at, "kind": "no such user", "status": "5.1.1"}
    return Suppressed(address(text), **{**usual, **named})  # type: ignore[arg-type]


@pytest.fixture(params=["file", "memory"])
def suppressions(request: pytest.FixtureRequest, tmp_path: Path) -> Suppressions:
    return Suppressions(str(tmp_path) if request.param == "file" else None, create=True)


def test_a_failure_is_remembered_with_its_reason(suppressions: Suppressions) -> None:
    new = suppressions.record(
        [failure("Bob@EXAMPLE.net", reason="550 5.1.1 who?", remote="mx.example.net[192.0.2.1]:25")],
        keep=1000.0,
        after=1,
    )
    assert [str(one.address) for one in new] == ["Bob@example.net"]
    found = suppressions.find(BOB)
    assert found is not None
    assert (found.kind, found.status, found.reason) == ("no such user", "5.1.1", "550 5.1.1 who?")
    assert (found.since, found.last, found.times, found.until) == (100.0, 100.0, 1, 1100.0)
    assert found.remote == "mx.example.net[192.0.2.1]:25"
    assert found.stops(1099.0) and not found.stops(1100.0)
    assert suppressions.find(address("ann@example.net")) is None


def test_only_so_many_failures_put_it_there(suppressions: Suppressions) -> None:
    for at in (100.0, 200.0):
        assert not suppressions.record([failure(at=at)], keep=1000.0, after=3)
        found = suppressions.find(BOB)
        assert found is not None and not found.stops(at)
    assert suppressions.record([failure(at=300.0)], keep=1000.0, after=3)
    found = suppressions.find(BOB)
    assert found is not None and found.stops(300.0)
    assert (found.since, found.last, found.times) == (100.0, 300.0, 3)
    assert not suppressions.record([failure(at=301.0)], keep=1000.0, after=3)  # it is there already


def test_failures_too_far_apart_do_not_count_together(suppressions: Suppressions) -> None:
    suppressions.record([failure(at=100.0)], keep=50.0, after=2)
    assert not suppressions.record([failure(at=150.0)], keep=50.0, after=2)
    found = suppressions.find(BOB)
    assert found is not None and (found.times, found.since) == (1, 150.0)


def test_what_was_over_begins_anew(suppressions: Suppressions) -> None:
    suppressions.record([failure(at=100.0)], keep=50.0, after=1)
    assert suppressions.record([failure(at=200.0)], keep=50.0, after=1)
    found = suppressions.find(BOB)
    assert found is not None and (found.since, found.until) == (200.0, 250.0)


def test_a_success_refutes_what_was_learned_and_nothing_else(suppressions: Suppressions) -> None:
    suppressions.record([failure()], keep=None, after=2)
    suppressions.put([failure("ann@example.net", source="person")])
    suppressions.forget([BOB, address("ann@example.net")])
    assert suppressions.find(BOB) is None
    assert suppressions.find(address("ann@example.net")) is not None


def test_a_failure_leaves_what_a_person_said(suppressions: Suppressions) -> None:
    suppressions.put([failure(source="person", kind="policy", note="asked to be left alone")])
    suppressions.record([failure(at=200.0, reason="550 no")], keep=10.0, after=1)
    found = suppressions.find(BOB)
    assert found is not None
    assert (found.source, found.kind, found.note) == ("person", "policy", "asked to be left alone")
    assert (found.until, found.times, found.last) == (None, 2, 200.0)


def test_a_person_decides_what_was_learned(suppressions: Suppressions) -> None:
    suppressions.record([failure(at=100.0)], keep=10.0, after=5)
    suppressions.put([failure(at=105.0, source="person", kind="policy")])
    found = suppressions.find(BOB)
    assert found is not None and found.stops(1e12)
    assert (found.source, found.since) == ("person", 100.0)


def test_a_file_makes_nothing_shorter_and_overrules_no_person(suppressions: Suppressions) -> None:
    suppressions.put([failure(source="person", reason="mine", until=None)])
    suppressions.put([failure(source="import", reason="theirs", until=300.0)], file=True)
    found = suppressions.find(BOB)
    assert found is not None and (found.reason, found.until, found.source) == ("mine", None, "person")
    suppressions.put([failure("ann@example.net", source="import", until=500.0)], file=True)
    suppressions.put([failure("ann@example.net", source="import", until=300.0)], file=True)
    found = suppressions.find(address("ann@example.net"))
    assert found is not None and found.until == 500.0


def test_the_same_file_twice_is_the_same(suppressions: Suppressions) -> None:
    for _ in range(2):
        suppressions.put([failure(source="import", times=4)], file=True)
    found = suppressions.find(BOB)
    assert found is not None and found.times == 4
    assert suppressions.count() == 1


def test_removed(suppressions: Suppressions) -> None:
    suppressions.put([failure()])
    assert suppressions.remove([address("BOB@example.net"), address("ann@example.net")]) == [True, False]
    assert not suppressions.look()


def test_a_list_of_several_pages(suppressions: Suppressions) -> None:
    many = CHUNK * 2 + 7
    suppressions.put([failure(f"u{number}@d{number % 10}.example") for number in range(many)])
    found = [str(one.address) for one in suppressions.choose(Chosen(), 0.0)]
    assert len(set(found)) == len(found) == many == suppressions.count()
    domains = [one.rpartition("@")[2] for one in found]
    assert domains == sorted(domains)
    some = [str(one.address) for one in suppressions.choose(Chosen(match="*@d3.example"), 0.0)]
    assert some and some == [one for one in found if one.endswith("@d3.example")]


def test_a_look_up_uses_the_index_however_long_the_list_is(tmp_path: Path) -> None:
    Suppressions(str(tmp_path), create=True).put([failure()])
    db = apsw.Connection(str(tmp_path / FILE))
    plan = db.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM address WHERE domain = 'example.net' AND name = 'bob'"
    ).fetchall()
    assert "USING PRIMARY KEY" in plan[0][3]
    plan = db.execute("EXPLAIN QUERY PLAN SELECT domain FROM address WHERE until <= 1 LIMIT 1").fetchall()
    assert "USING INDEX address_ends" in plan[0][3] or "address_ends" in plan[0][3]


def test_what_is_over_is_forgotten(suppressions: Suppressions) -> None:
    suppressions.record([failure(f"u{n}@example.net", at=float(n)) for n in range(10)], keep=10.0, after=1)
    suppressions.put([failure(source="person")])
    assert suppressions.expire(14.5) == 5
    assert suppressions.count() == 6


def test_what_is_learned_has_a_limit_and_what_people_say_none(suppressions: Suppressions) -> None:
    suppressions.record([failure(f"u{n}@example.net", at=float(n)) for n in range(10)], keep=None, after=1)
    suppressions.put([failure(f"p{n}@example.net", source="import") for n in range(10)])
    assert suppressions.expire(0.0, limit=3) == 7
    left = {str(one.address) for one in suppressions.choose(Chosen(source="delivery"), 0.0)}
    assert left == {"u7@example.net", "u8@example.net", "u9@example.net"}
    assert suppressions.count() == 13


def test_without_a_file_nothing_is_made_by_asking(tmp_path: Path) -> None:
    asked = Suppressions(str(tmp_path), create=True)
    assert asked.find(BOB) is None and not asked.look() and asked.count() == 0
    assert asked.remove([BOB]) == [False]
    asked.forget([BOB])
    assert asked.expire(0.0) == 0
    assert list(asked.choose(Chosen(), 0.0)) == []
    assert list(tmp_path.iterdir()) == []


def test_only_who_may_create_it_does(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"there is no suppression list {tmp_path}"):
        Suppressions(str(tmp_path)).put([failure()])


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    Suppressions(str(tmp_path), create=True).put([failure()])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_one_that_was_begun_is_finished(tmp_path: Path) -> None:
    """A process that was killed between making the file and its schema leaves an empty one."""
    (tmp_path / FILE).touch(0o600)
    assert Suppressions(str(tmp_path)).find(BOB) is None
    Suppressions(str(tmp_path), create=True).put([failure()])
    assert Suppressions(str(tmp_path)).find(BOB) is not None


@pytest.mark.parametrize(
    "octets", [b"this is no database, and never was one\n" * 200, b"SQLite format 3\0" * 300]
)
def test_a_damaged_file_is_told_and_kept(tmp_path: Path, octets: bytes) -> None:
    file = tmp_path / FILE
    file.write_bytes(octets)
    with pytest.raises(StoreError, match=rf"the suppression list {file} is damaged \(.*\): move it aside"):
        Suppressions(str(tmp_path), create=True).look()
    assert file.read_bytes() == octets


def test_a_file_of_a_later_mether_is_refused(tmp_path: Path) -> None:
    Suppressions(str(tmp_path), create=True).put([failure()])
    db = apsw.Connection(str(tmp_path / FILE))
    db.pragma("user_version", 9)
    db.close()
    with pytest.raises(StoreError, match="its schema is 9, and this one knows 1"):
        Suppressions(str(tmp_path)).look()


def test_one_that_is_locked_is_an_error_and_works_again(tmp_path: Path) -> None:
    mine = Suppressions(str(tmp_path), create=True, busy=0)
    mine.put([failure()])
    other = apsw.Connection(str(tmp_path / FILE))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"cannot be used: .*database is locked"):
        mine.put([failure("ann@example.net")])
    assert mine.find(BOB) is not None  # readers do not wait for writers
    other.execute("ROLLBACK")
    mine.put([failure("ann@example.net")])
    assert mine.count() == 2


def test_others_go_on_while_one_waits_for_another_process(tmp_path: Path) -> None:
    """What is learned is written in a thread, and who holds the list must not hold up the mail."""
    known = Suppressions(str(tmp_path), create=True, busy=2000)
    known.put([failure()])
    holder = apsw.Connection(str(tmp_path / FILE))
    holder.execute("BEGIN IMMEDIATE")
    begun = threading.Event()
    new: list[Suppressed] = []

    def record() -> None:
        begun.set()
        new.extend(known.record([failure("ann@example.net")], keep=None, after=1))

    thread = threading.Thread(target=record)
    thread.start()
    begun.wait()
    holder.execute("ROLLBACK")  # too late, if the other one's wait was everybody's
    thread.join()
    assert [str(one.address) for one in new] == ["ann@example.net"]


def test_what_is_learned_goes_to_the_list_that_is_there(tmp_path: Path) -> None:
    """One that was moved aside, as a damaged one is to be, gets nothing more."""
    known = Suppressions(str(tmp_path), create=True, learning=True)
    known.record([failure()], keep=None, after=1)
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (tmp_path / name).rename(tmp_path / f"old-{name}")
    known.record([failure("ann@example.net")], keep=None, after=1)
    assert Suppressions(str(tmp_path)).find(address("ann@example.net")) is not None
    Suppressions(str(tmp_path)).put([failure()])
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    Suppressions(str(tmp_path), create=True).record([failure()], keep=None, after=1)
    known.forget([BOB])
    assert Suppressions(str(tmp_path)).find(BOB) is None


def test_a_list_that_was_moved_away_is_seen(tmp_path: Path) -> None:
    mine = Suppressions(str(tmp_path), create=True)
    mine.put([failure()])
    assert not mine.moved
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"old.{path.name}")
    assert mine.moved


KILLED = """
import os, signal, sys
from mether.address import parse
from mether.queue.suppressed import Suppressions
from mether.queue.suppressed_row import Suppressed
mine = Suppressions(sys.argv[1], create=True)
for number in range(5):
    mine.put([Suppressed(parse(f"u{number}@example.net"), source="person", since=1.0)])
    print(number, flush=True)
db = mine._db()
db.execute("BEGIN IMMEDIATE")
db.execute("DELETE FROM address")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_put_there_outlives_a_kill(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(done.stdout.split()) == Suppressions(str(tmp_path)).count() == 5


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_looking_over_the_queue_and_sweeping_it_leave_the_list_alone(tmp_path: Path, kind: str) -> None:
    url = f"{kind}:{tmp_path}"
    store = open_store(url, now=1e9)
    Suppressions(str(tmp_path), create=True).put([failure()])
    before = (tmp_path / FILE).read_bytes()
    store.sweep(1e9)
    store.close()
    report = fsck.look(url)
    assert (report.found, report.notes) == ([], [])
    fsck.repair(url, now=1e9)
    assert (tmp_path / FILE).read_bytes() == before
    assert Suppressions(str(tmp_path)).find(BOB) is not None


def test_two_processes_write_by_turns(tmp_path: Path) -> None:
    one, other = (Suppressions(str(tmp_path), create=True) for _ in range(2))
    one.put([failure()])
    other.put([failure("ann@example.net")])
    assert one.remove([address("ann@example.net")]) == [True]
    assert other.find(address("ann@example.net")) is None
    one.close()
    other.close()
    assert os.path.exists(tmp_path / FILE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_makes_is_the_spool_owners(tmp_path: Path) -> None:
    """Else the service, which runs as that owner, could not use what `sudo mether suppress add` made."""
    os.chown(tmp_path, 65534, 65534)
    known = Suppressions(str(tmp_path), create=True)
    known.put([failure()])
    owners = {path.name: path.stat().st_uid for path in tmp_path.iterdir()}
    assert owners == dict.fromkeys((FILE, f"{FILE}-wal", f"{FILE}-shm"), 65534)
    known.close()


def test_a_whole_domain_stops_mail_for_everybody_there(suppressions: Suppressions) -> None:
    """And for nobody else; an address of its own goes before it, if that stops mail."""
    everybody = Address("", "Example.net")
    suppressions.put([Suppressed(everybody, source="person", since=1.0, reason="all")])
    suppressions.record([failure()], keep=900.0, after=2)
    for one in (BOB, address("x@example.net"), address('" "@example.net')):
        found = suppressions.stopping(one, 5.0)
        assert found is not None and found.reason == "all"
    assert suppressions.stopping(address("x@sub.example.net"), 5.0) is None
    assert suppressions.find(address("x@example.net")) is None
    suppressions.put([failure(reason="his own")])
    found = suppressions.stopping(BOB, 5.0)
    assert found is not None and found.reason == "his own"
    assert [str(one.address) for one in suppressions.page(("", ""), "example.net", 1)] == ["@example.net"]
    assert [str(one.address) for one in suppressions.page(("example.net", ""), "example.net")] == [str(BOB)]
    assert suppressions.remove([everybody]) == [True]
    assert suppressions.stopping(address("x@example.net"), 5.0) is None


def test_a_copy_of_what_has_not_failed_often_enough(suppressions: Suppressions) -> None:
    """It counts there as here, and takes nothing off the list."""
    copied = failure(source="delivery", times=2, until=900.0, active=False)
    suppressions.put([copied], file=True)
    found = suppressions.find(BOB)
    assert found is not None and (found.active, found.times, found.until) == (False, 2, 900.0)
    suppressions.put([failure(source="import", reason="theirs", until=500.0)], file=True)
    suppressions.put([copied], file=True)
    found = suppressions.find(BOB)
    assert found is not None and (found.active, found.reason, found.until) == (True, "theirs", 500.0)
