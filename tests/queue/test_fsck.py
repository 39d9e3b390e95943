"""``mether fsck``: what it finds, what it saves, and that nothing is lost on the way.

The damage is done to the files themselves, as a failing disk does it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "store"))
from contract import HOP, OTHER, T0, commit, draft, new_ident, settlement
from hypothesis import given, settings
from hypothesis import strategies as st

from mether.outcome import Route
from mether.queue import fsck
from mether.queue.content import SMALL
from mether.queue.database import FILE, PAGE
from mether.queue.directory import DirectoryStore
from mether.queue.disk import Disk
from mether.queue.fsck_pages import INDEX, TABLE, Pages, Tree, free, holds_rows, leaves
from mether.queue.fsck_rows import described
from mether.queue.fsck_whole import verdict
from mether.queue.message import Draft
from mether.queue.sqlite import SqliteStore
from mether.queue.store import Absent, Damaged, Filter, Move, NoSpace, StoreError

LARGE = b"L" * (SMALL + 1)


def made(number: int, content: bytes = b"", **more: object) -> Draft:
    """A draft whose size is right, for two recipients at two next hops."""
    content = content or b"Subject: %d\r\n\r\n" % number + b"x" * (number * 37 % 3000) + b"\r\n"
    one = draft(
        f"a{number}@example.net",
        f"b{number}@example.org",
        routes=[HOP, OTHER],
        content=content,
        **more,  # type: ignore[arg-type]
    )
    one.message.size = len(one.message.trace) + len(content)
    return one


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def fill(spool: Path, count: int = 60, *, large: int = 0) -> dict[str, bytes]:
    """A SQLite queue of so many messages, its log copied, and their content; `large` of them in files."""
    store = SqliteStore(str(spool), now=T0)
    drafts = [made(number, LARGE if number < large else b"") for number in range(count)]
    for first in range(0, count, 10):
        commit(store, *drafts[first : first + 10])
    store.close()
    settle_log(spool)
    return {one.message.ident: one.content for one in drafts}  # type: ignore[misc]


def settle_log(spool: Path) -> None:
    """Copy the log into the database."""
    db = apsw.Connection(str(spool / FILE))
    db.execute("SELECT 1 FROM message").fetchall()
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()


def url(spool: Path) -> str:
    return f"sqlite:{spool}"


def change(path: Path, work: Callable[[bytearray], None]) -> None:
    """Damage a file in place."""
    data = bytearray(path.read_bytes())
    work(data)
    path.write_bytes(data)


def queued(spool: Path) -> dict[str, bytes]:
    """What is in the queue after a repair, with its content; the store must find nothing wrong."""
    store = SqliteStore(str(spool), now=T0, create=False)
    try:
        assert list(store.check()) == []
        entries = store.entries(Filter(), limit=100_000)
        return {entry.message.ident: store.content(entry.message.ident).read() for entry in entries}
    finally:
        store.close()


def repaired(spool: Path) -> fsck.Report:
    """Repair it; afterwards nothing is wrong."""
    report = fsck.repair(url(spool), now=T0)
    assert fsck.look(url(spool)).found == []
    return report


def accounted(report: fsck.Report, everything: dict[str, bytes], spool: Path) -> dict[str, bytes]:
    """Nothing is lost silently, and what is queued is what came."""
    left = queued(spool)
    assert report.saved == len(left)
    told = {one.ident for one in report.partial}
    assert everything.keys() <= left.keys() | told
    for ident, content in left.items():
        assert everything[ident] == content
    for one in report.partial:
        assert one.files
        assert all(Path(file).is_file() for file in one.files)
    return left


def root(spool: Path, table: str) -> int:
    db = apsw.Connection(str(spool / FILE))
    found = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    db.close()
    assert found is not None
    return int(found[0])  # type: ignore[arg-type]


def children(spool: Path, table: str) -> list[int]:
    """The pages of a table below its root."""
    data = (spool / FILE).read_bytes()
    pages = Pages(lambda number: data[(number - 1) * PAGE : number * PAGE], len(data) // PAGE, PAGE)
    tree = Tree(pages, root(spool, table), TABLE)
    for _ in tree.rows():
        pass
    if tree.trouble:
        tree = Tree(pages, root(spool, table), INDEX)
        for _ in tree.rows():
            pass
    return sorted(tree.visited - {tree.root})


def zero(page: int) -> Callable[[bytearray], None]:
    def work(data: bytearray) -> None:
        data[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)

    return work


# A queue that is well


def test_a_queue_that_is_well(spool: Path) -> None:
    everything = fill(spool, large=2)
    before = (spool / FILE).read_bytes()
    for report in (fsck.look(url(spool)), fsck.repair(url(spool), now=T0)):
        assert (report.found, report.notes, report.aside) == ([], [], None)
        assert report.lines() == []
    assert (spool / FILE).read_bytes() == before
    assert not (spool / "damaged").exists()
    assert queued(spool) == everything


def test_looking_disturbs_nobody(spool: Path) -> None:
    """It may run beside the service, which has mail in hand and content on the way."""
    store = SqliteStore(str(spool), now=T0)
    store.renew(T0 + 60, T0)
    commit(store, made(1, claim=True), made(2))
    staged = store.stage(new_ident())
    staged.write(b"half")
    assert fsck.look(url(spool)).lines() == []
    with pytest.raises(fsck.Busy, match="stop the service"):
        fsck.repair(url(spool), now=T0)
    staged.discard()
    (claim,) = store.claim(1, T0)
    assert store.settle([settlement(claim)], now=T0) == []
    store.close()


def test_what_a_crash_leaves_is_no_damage(spool: Path) -> None:
    fill(spool, 3)
    (spool / "content" / "XX").mkdir()
    left = spool / "content" / "XX" / new_ident()
    left = left.parent.parent / left.name[4:6] / left.name
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"c")
    (spool / "incoming" / "temp.00000000000b.X").write_bytes(b"half")
    (spool / "incoming" / "core").write_bytes(b"?")
    report = fsck.repair(url(spool), now=T0)
    assert (report.found, report.aside) == ([], None)
    assert len(report.notes) == 3
    assert left.exists()


@pytest.mark.parametrize("name", ["memory:", "sqlite:", "nfs:/x", "sqlite:\0"])
def test_what_names_no_queue(name: str) -> None:
    for work in (fsck.look, lambda name: fsck.repair(name, now=T0)):
        with pytest.raises(StoreError):
            work(name)


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_where_there_is_no_queue(tmp_path: Path, kind: str) -> None:
    for where in (tmp_path, tmp_path / "none"):
        with pytest.raises(Absent):
            fsck.look(f"{kind}:{where}")
        with pytest.raises(Absent):
            fsck.repair(f"{kind}:{where}", now=T0)
    assert os.listdir(tmp_path) == []


# A damaged database


def test_a_lost_page_of_content_costs_only_what_stood_there(spool: Path) -> None:
    everything = fill(spool)
    change(spool / FILE, zero(children(spool, "content")[3]))
    assert fsck.look(url(spool)).found
    report = repaired(spool)
    left = accounted(report, everything, spool)
    assert 0 < len(report.partial) < 20
    assert len(left) == 60 - len(report.partial)
    (one, *_) = report.partial
    assert one.lost == "its content is lost"
    facts = json.loads(Path(one.files[0]).read_text())
    assert facts["reverse_path"] == "sender@example.com"
    assert [path[0] for path in facts["forward_paths"]] == ["a", "b"]
    assert facts["recipients"][0]["hop"] == "smtp:mx.example.net"
    assert report.held == {}


def test_a_lost_page_of_messages_leaves_their_content_to_a_person(spool: Path) -> None:
    everything = fill(spool)
    change(spool / FILE, zero(children(spool, "message")[1]))
    report = repaired(spool)
    accounted(report, everything, spool)
    for one in report.partial:
        assert "reverse-path" in one.lost
        eml, facts = one.files
        assert Path(eml).name == f"{one.ident}.eml"
        assert Path(eml).read_bytes() == everything[one.ident]
        assert json.loads(Path(facts).read_text())["forward_paths"]


def test_recipients_known_from_an_index_alone_are_told_of(spool: Path) -> None:
    everything = fill(spool)
    change(spool / FILE, zero(children(spool, "recipient")[1]))
    report = repaired(spool)
    accounted(report, everything, spool)
    assert report.partial
    for one in report.partial:
        assert "recipient" in one.lost
        facts = json.loads(Path(one.files[-1]).read_text())
        assert len(facts["lost_recipients"]) + len(facts["forward_paths"]) == 2
        assert one.queued == bool(facts["forward_paths"])
        assert Path(one.files[0]).read_bytes().endswith(everything[one.ident])


def test_a_lost_interior_page_loses_no_rows(spool: Path) -> None:
    """The rows below are found though no way leads to them; as they may be of the past they are held."""
    everything = fill(spool)
    change(spool / FILE, zero(root(spool, "message")))
    report = repaired(spool)
    assert accounted(report, everything, spool) == everything
    assert report.held.keys() == everything.keys()
    store = SqliteStore(str(spool), now=T0)
    assert store.claim(9, T0) == []
    assert store.change(Filter(), "release", now=T0) == 60
    assert len(store.claim(200, T0)) == 120
    store.close()


def test_what_left_the_queue_does_not_come_back(spool: Path) -> None:
    """Pages that are not in use hold what was delivered long ago."""
    fill(spool)
    store = SqliteStore(str(spool), now=T0)
    claims = store.claim(1000, T0)
    assert store.settle([settlement(claim) for claim in claims], now=T0) == []
    keep = made(1000)
    commit(store, keep)
    store.close()
    settle_log(spool)
    change(spool / FILE, zero(root(spool, "key")))
    report = repaired(spool)
    assert report.found
    assert list(queued(spool)) == [keep.message.ident]
    assert (report.partial, report.held) == ([], {})


def test_without_its_first_page(spool: Path) -> None:
    everything = fill(spool, large=2)
    change(spool / FILE, zero(1))
    assert fsck.look(url(spool)).found == [f"{spool / FILE}: it is no SQLite database"]
    report = repaired(spool)
    assert accounted(report, everything, spool) == everything
    assert report.held.keys() == everything.keys()


def test_a_truncated_database(spool: Path) -> None:
    everything = fill(spool, 200)
    os.truncate(spool / FILE, (spool / FILE).stat().st_size // PAGE // 2 * PAGE)
    (line,) = fsck.look(url(spool)).found
    assert "pages where" in line
    report = repaired(spool)
    left = queued(spool)
    assert len(left) > 20
    assert all(everything[ident] == content for ident, content in left.items())
    assert len(report.partial) > 20


def test_an_emptied_database_leaves_the_contents_in_files(spool: Path) -> None:
    everything = fill(spool, 6, large=4)
    os.truncate(spool / FILE, 0)
    report = fsck.repair(url(spool), now=T0)
    assert report.saved == 0
    assert {one.ident for one in report.partial} == set(list(everything)[:4])
    for one in report.partial:
        assert Path(one.files[0]).read_bytes() == LARGE


def test_the_database_is_gone(spool: Path) -> None:
    fill(spool, 6, large=2)
    os.unlink(spool / FILE)
    assert fsck.look(url(spool)).found == [f"{spool / FILE}: it is not there"]
    assert len(repaired(spool).partial) == 2


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whatever_is_damaged_the_rest_is_saved(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Flipped bits and zeroed pages anywhere: every message is queued as it came, or told of."""
    spool = tmp_path_factory.mktemp("fsck") / "spool"
    everything = fill(spool, 30)
    size = (spool / FILE).stat().st_size
    flips = data.draw(st.lists(st.integers(100, size - 1), max_size=12))
    zeros = data.draw(st.lists(st.integers(2, size // PAGE), max_size=3))

    def damage(octets: bytearray) -> None:
        for place in flips:
            octets[place] ^= 0x10
        for page in zeros:
            zero(page)(octets)

    change(spool / FILE, damage)
    report = fsck.repair(url(spool), now=T0)
    assert fsck.look(url(spool)).found == []
    left = queued(spool)
    assert report.aside is None or report.saved == len(left)
    told = {one.ident for one in report.partial}
    # A flipped bit may make another number of an id; nothing that was whole is missing for that.
    missing = everything.keys() - left.keys() - told
    assert len(missing) <= len(flips) + 12 * len(zeros)
    if not zeros and not flips:
        assert left == everything


# Its rows


def run(spool: Path, statement: str) -> None:
    db = apsw.Connection(str(spool / FILE))
    db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE recipient SET next_attempt = 'soon' WHERE number = 1", "have no real in next_attempt"),
        ("UPDATE message SET more = '[' WHERE id = (SELECT min(id) FROM message)", "cannot be read"),
        ("DELETE FROM next_hop WHERE next_hop = 'mx.example.net'", "has no next hop"),
        ("UPDATE recipient SET state = 1, owner = 99, token = 1 WHERE number = 0", "is claimed by nobody"),
        ("DELETE FROM content WHERE id = (SELECT min(id) FROM content)", "has no content"),
        ("UPDATE content SET data = x'00'", "octets where"),
        ("DELETE FROM recipient", "has no recipient left"),
        ("DELETE FROM message WHERE id = (SELECT min(id) FROM message)", "which is not queued"),
    ],
)
def test_rows_that_make_no_sense(spool: Path, statement: str, said: str) -> None:
    everything = fill(spool, 5)
    run(spool, statement)
    assert any(said in line for line in fsck.look(url(spool)).found)
    report = repaired(spool)
    left = queued(spool)
    assert everything.keys() == left.keys() | {one.ident for one in report.partial}


def test_a_next_hop_is_found_again_by_its_index(spool: Path) -> None:
    fill(spool, 5)
    change(spool / FILE, zero(root(spool, "next_hop")))
    repaired(spool)
    store = SqliteStore(str(spool), now=T0)
    assert {claim.route for claim in store.claim(99, T0, None)} == {HOP, OTHER}
    store.close()


def test_a_recipient_whose_next_hop_is_lost_waits_for_its_domain(spool: Path) -> None:
    """When it comes due it is decided anew: no configuration of another time is kept for it."""
    fill(spool, 1)
    run(spool, "DELETE FROM next_hop WHERE next_hop = 'mx.example.net'; UPDATE recipient SET pinned = 1")
    report = repaired(spool)
    assert len(report.done) == 1
    store = SqliteStore(str(spool), now=T0)
    (entry,) = store.entries(Filter())
    assert [(row.route, row.pinned) for row in entry.rows] == [
        (Route("smtp", "example.net"), False),
        (OTHER, True),
    ]
    store.close()


def test_what_was_in_hand_is_a_suspect_and_marks_are_obeyed(spool: Path) -> None:
    everything = fill(spool, 3)
    first, second, third = everything
    store = SqliteStore(str(spool), now=T0)
    store.claim(99, T0)
    store.change(Filter(idents=frozenset([first])), "remove", now=T0)
    store.change(Filter(idents=frozenset([second])), "hold", now=T0, reason="wait")
    there = Route("smtp", "there.example", via="rule")
    store.change(Filter(idents=frozenset([third])), "move", now=T0, move=Move(there))
    store._out.clear()
    store._registered = False
    store.close()
    settle_log(spool)
    change(spool / FILE, zero(root(spool, "key")))
    report = repaired(spool)
    assert len(report.done) == 4
    store = SqliteStore(str(spool), now=T0)
    entries = {entry.message.ident: entry for entry in store.entries(Filter())}
    assert entries.keys() == {second, third}
    assert entries[second].message.hold == "wait"
    assert {(row.route, row.pinned) for row in entries[third].rows} == {(there, True)}
    assert all(row.suspect and row.mark is None for entry in entries.values() for row in entry.rows)
    (claim,) = store.claim(9, T0)
    assert (claim.message.ident, claim.suspect) == (third, True)
    store.close()


# Content in files


@pytest.mark.parametrize("damage", ["missing", "short", "long", "a directory"])
def test_content_that_is_not_what_came(spool: Path, damage: str) -> None:
    everything = fill(spool, 4, large=2)
    ident = next(iter(everything))
    path = spool / "content" / ident[4:6] / ident
    if damage == "missing":
        path.unlink()
    elif damage == "short":
        os.truncate(path, 1000)
    elif damage == "long":
        path.write_bytes(LARGE * 2)
    else:
        path.unlink()
        path.mkdir()
    (line,) = fsck.look(url(spool)).found
    assert ident in line
    report = repaired(spool)
    left = accounted(report, everything, spool)
    assert everything.keys() - left.keys() == {ident}
    (one,) = report.partial
    names = [Path(file).name for file in one.files]
    assert names == [f"{ident}.json"] if damage == "missing" else [f"{ident}.eml", f"{ident}.json"]
    if damage == "short":
        assert Path(one.files[0]).read_bytes() == b"Received: from client\r\n" + b"L" * 1000
    assert path.exists() == (damage == "a directory")


# The log


def logged(spool: Path, batches: int = 5) -> dict[str, bytes]:
    """A queue whose messages are in the log alone, as a killed service leaves it."""
    store = SqliteStore(str(spool), now=T0)
    everything = {}
    for batch in range(batches):
        drafts = [made(10 * batch + number) for number in range(4)]
        commit(store, *drafts)
        everything |= {one.message.ident: one.content for one in drafts}
    names = [f"{FILE}{suffix}" for suffix in ("", "-wal", "-shm")]
    kept = {name: (spool / name).read_bytes() for name in names}
    store.close()
    for name, data in kept.items():
        (spool / name).write_bytes(data)
    return everything  # type: ignore[return-value]


def test_a_log_of_a_killed_process_is_well(spool: Path) -> None:
    everything = logged(spool)
    assert fsck.look(url(spool)).lines() == []
    assert queued(spool) == everything


def test_a_torn_end_of_the_log_is_well(spool: Path) -> None:
    """A power cut leaves it there; nobody was told that it was written."""
    everything = logged(spool)
    log = spool / f"{FILE}-wal"
    (spool / f"{FILE}-shm").unlink()
    with log.open("ab") as file:
        file.write(log.read_bytes()[-4120:-20])
    assert fsck.look(url(spool)).lines() == []
    assert queued(spool) == everything


def test_a_damaged_frame_would_be_passed_over_with_all_behind_it(spool: Path) -> None:
    everything = logged(spool)
    log = spool / f"{FILE}-wal"

    def flip(data: bytearray) -> None:
        data[len(data) // 2] ^= 1

    change(log, flip)
    (line,) = fsck.look(url(spool)).found
    assert "is damaged, and SQLite passes over" in line
    report = repaired(spool)
    left = queued(spool)
    told = {one.ident for one in report.partial}
    assert len(everything.keys() - left.keys() - told) <= 4
    assert len(left) > 12
    (wal,) = (spool / "damaged").glob(f"*/{FILE}-wal")
    assert wal.stat().st_size > PAGE


def test_a_log_without_its_end(spool: Path) -> None:
    logged(spool)
    log = spool / f"{FILE}-wal"
    os.truncate(log, log.stat().st_size - 3 * (PAGE + 24))
    (line,) = fsck.look(url(spool)).found
    assert "frames where" in line
    assert len(queued_after(spool)) == 16


def queued_after(spool: Path) -> dict[str, bytes]:
    report = repaired(spool)
    assert report.aside is not None
    return queued(spool)


def test_a_log_without_its_header(spool: Path) -> None:
    logged(spool)

    def wipe(data: bytearray) -> None:
        data[:32] = bytes(32)

    change(spool / f"{FILE}-wal", wipe)
    (line,) = fsck.look(url(spool)).found
    assert "its header cannot be read" in line


# How it is done


def test_the_damaged_files_are_kept_and_a_report_beside_them(spool: Path) -> None:
    fill(spool)
    page = children(spool, "content")[0]
    change(spool / FILE, zero(page))
    damaged = (spool / FILE).read_bytes()
    report = repaired(spool)
    assert report.aside is not None
    aside = Path(report.aside)
    assert aside.parent == spool / "damaged"
    assert aside.name == "2027-01-15T080000Z"
    assert (aside / FILE).read_bytes() == damaged
    assert (aside / "report.txt").read_text().splitlines() == report.lines()
    assert not (aside / "new").exists()
    assert {path.stat().st_mode & 0o777 for path in aside.iterdir()} <= {0o600, 0o644}
    assert aside.stat().st_mode & 0o777 == 0o700
    change(spool / FILE, zero(root(spool, "key")))
    again = repaired(spool)
    assert again.aside == f"{report.aside}.2"
    assert (aside / FILE).read_bytes() == damaged


def test_a_repair_that_was_cut_short_is_done_over(spool: Path) -> None:
    """Between its last two steps the log lies in ``damaged`` alone."""
    everything = logged(spool)
    aside = spool / "damaged" / "2027-01-01T000000Z"
    aside.mkdir(parents=True)
    os.link(spool / FILE, aside / FILE)
    os.rename(spool / f"{FILE}-wal", aside / f"{FILE}-wal")
    (spool / f"{FILE}-shm").unlink()
    (line,) = fsck.look(url(spool)).found
    assert "a repair was cut short" in line
    report = repaired(spool)
    assert accounted(report, everything, spool) == everything
    assert (aside / f"{FILE}-wal").exists()


def test_a_full_disk_changes_nothing(spool: Path) -> None:
    fill(spool, 20)
    change(spool / FILE, zero(children(spool, "content")[0]))
    before = (spool / FILE).read_bytes()

    class Full(Disk):
        def write(self, fd: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(NoSpace):
        fsck.repair(url(spool), now=T0, disk=Full())
    assert (spool / FILE).read_bytes() == before
    assert len(repaired(spool).partial) > 0


def test_an_older_schema_is_brought_up_to_date(spool: Path, tmp_path: Path) -> None:
    schema = (Path(__file__).resolve().parent.parent / "store" / "schema_1.sql").read_text()
    fill(spool, 3)
    (spool / FILE).unlink()
    db = apsw.Connection(str(spool / FILE))
    db.execute("PRAGMA page_size=4096; PRAGMA journal_mode=WAL")
    db.execute(f"{schema};PRAGMA user_version=1")
    db.close()
    found = fsck.look(url(spool))
    assert found.found == []
    assert len(found.notes) == 1
    size = (spool / FILE).stat().st_size
    change(spool / FILE, lambda data: data.__setitem__(slice(size - PAGE, size), bytes(PAGE)))
    assert fsck.repair(url(spool), now=T0).aside is not None
    assert fsck.look(url(spool)).lines() == []


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file_in_place_of_content_is_left_there_and_told(spool: Path, kind: str) -> None:
    everything = fill(spool, 6, large=2)
    ident = min(everything)
    where = spool / "content" / ident[4:6] / ident
    where.unlink()
    where.mkdir() if kind == "directory" else os.mkfifo(where)
    (found,) = fsck.look(url(spool)).found
    assert "it is no regular file" in found
    report = repaired(spool)
    assert accounted(report, everything, spool).keys() == everything.keys() - {ident}
    assert f"{where}: it is left as it is: it is no regular file" in report.done
    assert report.lines()[-1].startswith("5 messages are queued, 1 could not be; see ")


def test_what_cannot_be_moved_is_told_and_the_rest_is_done(spool: Path) -> None:
    everything = fill(spool, 6, large=3)
    run(spool, "DELETE FROM message WHERE id IN (SELECT min(id) FROM message)")
    settle_log(spool)

    class Stuck(Disk):
        def unlink(self, path: str) -> None:
            if os.path.basename(path) in everything:
                raise PermissionError(1, "Operation not permitted", path)
            super().unlink(path)

    report = fsck.repair(url(spool), now=T0, disk=Stuck())
    assert any("it is left as it is: Operation not permitted" in line for line in report.done)
    assert report.lines()[-1].startswith("5 messages are queued, 1 could not be; see ")
    assert report.aside is not None
    assert "Operation not permitted" in (Path(report.aside) / "report.txt").read_text()


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file_in_place_of_the_database(spool: Path, suffix: str, kind: str) -> None:
    fill(spool, 3)
    where = spool / (FILE + suffix)
    where.unlink(missing_ok=True)
    where.mkdir() if kind == "directory" else os.mkfifo(where)
    (found,) = fsck.look(url(spool)).found
    assert "it is no regular file" in found
    with pytest.raises(StoreError, match=f"{FILE}{suffix}: it is no regular file; move it away first"):
        fsck.repair(url(spool), now=T0)
    assert not (spool / "damaged").exists()


def test_a_later_schema_is_left_alone(spool: Path) -> None:
    fill(spool, 3)
    run(spool, "PRAGMA user_version=99")
    (found,) = fsck.look(url(spool)).found
    assert "its schema is 99, and this mether knows" in found
    with pytest.raises(StoreError, match="its schema is 99"):
        fsck.repair(url(spool), now=T0)
    settle_log(spool)
    change(spool / FILE, zero(root(spool, "content")))
    with pytest.raises(StoreError, match="its schema is 99"):
        fsck.repair(url(spool), now=T0)


# The database is damaged while it is used


def test_a_store_whose_database_is_damaged_says_so_and_works_again_afterwards(spool: Path) -> None:
    """451 4.3.0, the same words each time, and no end of the process."""
    fill(spool, 60)
    store = SqliteStore(str(spool), now=T0)
    assert store.next_due(T0) == T0
    good = (spool / FILE).read_bytes()
    for page in {root(spool, table) for table in ("message", "recipient", "next_hop", "content")}:
        change(spool / FILE, zero(page))
    verbs: list[Callable[[], object]] = [
        lambda: store.commit([made(1)], now=T0),
        lambda: store.claim(9, T0),
        lambda: store.entries(Filter()),
        lambda: store.hops("*"),
        lambda: store.change(Filter(), "hold", now=T0),
    ]
    said = set()
    for verb in verbs * 3:
        with pytest.raises(Damaged) as caught:
            verb()
        assert str(caught.value.reply).startswith("451 4.3.0")
        said.add(str(caught.value))
    assert len(said) <= len(verbs), "the same each time, so that it is told once"
    (spool / FILE).write_bytes(good)
    assert len(store.entries(Filter())) == 60
    commit(store, made(2))
    assert len(store.claim(200, T0)) == 122
    store.close()


def test_a_store_goes_on_with_the_repaired_database(spool: Path) -> None:
    """Who had the damaged one open queues nothing there: it would be lost."""
    fill(spool, 20)
    store = SqliteStore(str(spool), now=T0)
    assert len(store.entries(Filter())) == 20
    change(spool / FILE, zero(root(spool, "key")))
    repaired(spool)
    one = made(99)
    commit(store, one)
    assert len(store.entries(Filter())) == 21
    store.close()
    assert one.message.ident in queued(spool)


def test_who_had_the_old_database_open_leaves_the_new_log_alone(spool: Path) -> None:
    fill(spool, 20)
    old = SqliteStore(str(spool), now=T0)
    commit(old, made(1, b"x" * 60_000), *(made(number, b"y" * 60_000) for number in range(2, 14)))
    settle_log(spool)
    change(spool / FILE, zero(root(spool, "key")))
    repaired(spool)
    new = SqliteStore(str(spool), now=T0)
    one = made(99)
    commit(new, one)
    old.close()
    assert one.message.ident in queued(spool)
    new.close()


# The pieces


def test_a_page_that_is_none_is_no_page_of_rows() -> None:
    assert holds_rows(bytes(PAGE)) == 0
    assert holds_rows(b"\r" + b"\xff" * (PAGE - 1)) == 0
    assert holds_rows(b"\5" + bytes(PAGE - 1)) == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=512, max_size=512), st.sampled_from([2, 5, 10, 13]))
def test_any_octets_can_be_read_as_a_page(data: bytes, kind: int) -> None:
    data = bytes([kind]) + data[1:]
    pages = Pages(lambda _: data, 9, 512)
    tree = Tree(pages, 3, TABLE if kind in (5, 13) else INDEX)
    for _ in tree.rows():
        pass
    list(leaves(pages, 2, data, [], set()))
    free(pages)


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([None, "a", 2, b"b"], [7, "a", 2.0, b"b"]),
        ([None, "a", 2.5], [7, "a", 2.5]),
        ([None, None, 2.5, None], None),
        ([None, "a", "b", None], None),
        ([1, "a", 2.5, None], None),
        ([None, "a", float("inf"), None], None),
        ([None, "a", 1.0, None, 5], None),
        ([None, "a"], None),
    ],
)
def test_a_row_is_of_its_table_or_not(values: list[object], row: list[object] | None) -> None:
    found = [
        (0, "id", "INTEGER", 0, None, 1),
        (1, "name", "TEXT", 1, None, 0),
        (2, "at", "REAL", 1, None, 0),
        (3, "data", "BLOB", 0, None, 0),
    ]
    assert described("t", found, rowid=True).row(7, values) == row  # type: ignore[arg-type, comparison-overlap]


def test_what_makes_a_message_whole() -> None:
    assert verdict(envelope=True, recipients=1, lost=0, content="") == ""
    assert verdict(envelope=True, recipients=1, lost=2, content="") == "2 recipients are lost"
    assert verdict(envelope=True, recipients=0, lost=1, content="") == "a recipient is lost"
    assert verdict(envelope=False, recipients=0, lost=0, content="is lost") == (
        "its reverse-path and times are lost, its recipients are lost, its content is lost"
    )
    assert "(odd)" in verdict(envelope=True, recipients=1, lost=0, content="", unreadable="odd")


# The directory spool


@pytest.fixture
def directory(spool: Path) -> tuple[Path, list[str]]:
    store = DirectoryStore(str(spool), now=T0)
    drafts = [made(1), made(2, LARGE), made(3)]
    commit(store, *drafts)
    store.close()
    return spool, [one.message.ident for one in drafts]


def directory_repaired(spool: Path) -> fsck.Report:
    report = fsck.repair(f"directory:{spool}", now=T0)
    assert fsck.look(f"directory:{spool}").lines() == []
    store = DirectoryStore(str(spool), now=T0)
    assert list(store.check()) == []
    assert len(store.entries(Filter())) == report.saved
    store.close()
    return report


def test_a_directory_that_is_well(directory: tuple[Path, list[str]]) -> None:
    spool, _ = directory
    for report in (fsck.look(f"directory:{spool}"), fsck.repair(f"directory:{spool}", now=T0)):
        assert (report.lines(), report.aside) == ([], None)
    store = DirectoryStore(str(spool), now=T0)
    assert store.claim(1, T0)
    with pytest.raises(fsck.Busy):
        fsck.repair(f"directory:{spool}", now=T0)
    store.close()


def test_a_damaged_envelope(directory: tuple[Path, list[str]]) -> None:
    spool, (ident, *_) = directory
    path = spool / "queue" / f"{ident}.sh"
    damaged = path.read_bytes()[:300]
    path.write_bytes(damaged)
    (line,) = fsck.look(f"directory:{spool}").found
    assert ident in line
    report = directory_repaired(spool)
    assert report.saved == 2
    (one,) = report.partial
    assert {Path(file).name for file in one.files} == {f"{ident}.eml", f"{ident}.sh"}
    aside = Path(report.aside or "")
    assert (aside / f"{ident}.sh").read_bytes() == damaged
    assert (aside / f"{ident}.eml").read_bytes().startswith(b"Subject: 1\r\n")


def test_an_envelope_that_was_changed_by_hand_is_written_anew_and_held(
    directory: tuple[Path, list[str]],
) -> None:
    spool, (ident, *_) = directory
    path = spool / "queue" / f"{ident}.sh"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"# Run by hand", b"# RUN by hand", 1).replace(b"exit 75", b"exit 76", 1))
    path.write_bytes(good.replace(b"status=0\n", b"status=0\n\n", 1))
    path.write_bytes(good.replace(b"exit 75", b"exit 76", 1))
    report = directory_repaired(spool)
    assert (report.saved, report.partial) == (3, [])
    assert report.held.keys() == {ident}
    store = DirectoryStore(str(spool), now=T0)
    (entry,) = store.entries(Filter(status="held"))
    assert entry.message.ident == ident
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["a1@example.net", "b1@example.org"]
    store.close()


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_content_of_a_directory_that_is_not_what_came(directory: tuple[Path, list[str]], damage: str) -> None:
    spool, (_, ident, _) = directory
    path = spool / "queue" / f"{ident}.msg"
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, 10)
    report = directory_repaired(spool)
    (one,) = report.partial
    assert (report.saved, one.ident) == (2, ident)
    aside = Path(report.aside or "")
    facts = json.loads((aside / f"{ident}.json").read_text())
    assert facts["forward_paths"] == ["a2@example.net", "b2@example.org"]
    assert facts["state"]["id"] == ident
    if damage == "short":
        assert (aside / f"{ident}.eml").read_bytes() == b"Received: from client\r\n" + b"L" * 10


def test_files_that_belong_to_nothing_are_moved_with_the_rest(directory: tuple[Path, list[str]]) -> None:
    spool, (first, second, _) = directory
    queue = spool / "queue"
    (queue / f"{first}.sh").unlink()
    (queue / f"{first}.errs").write_text("tried\n")
    (queue / "notes.txt").write_text("mine")
    (spool / "keys" / "odd").write_text("?")
    (queue / ".hops").write_text("[[")
    (spool / "settling" / "x.sh").write_text("?")
    report = directory_repaired(spool)
    assert report.saved == 2
    aside = Path(report.aside or "")
    assert {path.name for path in aside.iterdir()} == {
        *(f"{first}.eml", f"{first}.errs", "notes.txt", "odd", "hops", "x.sh", "report.txt"),
    }
    assert (aside / "notes.txt").read_text() == "mine"
    assert [one.ident for one in report.partial] == [first]
    assert second not in {one.ident for one in report.partial}


def test_a_damaged_report_that_waits_for_its_settlement(directory: tuple[Path, list[str]]) -> None:
    spool, _ = directory
    ident = new_ident()
    (spool / "settling" / f"{ident}.sh").write_text("#!/bin/sh\n")
    (spool / "queue" / f"{ident}.msg").write_bytes(b"a report\r\n")
    report = directory_repaired(spool)
    assert [one.ident for one in report.partial] == [ident]
    assert (Path(report.aside or "") / f"{ident}.eml").read_bytes() == b"a report\r\n"
