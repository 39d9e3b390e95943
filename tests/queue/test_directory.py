"""The directory store's own promises: the 1986 files, one runner, and whom it trusts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue import directory_recover
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Decision, Settlement
from mether.queue.directory import DirectoryStore
from mether.queue.directory_files import Files
from mether.queue.directory_run import BUSY
from mether.queue.disk import REAL
from mether.queue.message import Arrival, Draft, Message
from mether.queue.store import Damaged, Filter, Select, StoreError
from mether.reply import Reply

T0 = 1_800_000_000.0
ID = ident_.new_id(T0, 5)
TWO = ident_.new_id(T0 + 1, 5)


def draft(ident: str = ID, **more: object) -> Draft:
    message = Message(
        ident,
        Envelope(parse("s@example.com"), [Recipient(parse("a@example.net"))]),
        Arrival(T0),
        trace=b"Received: here\r\n",
        size=23,
        expires=T0 + 432000,
    )
    content = more.pop("content", b"hello\r\n")
    return Draft(message, content, [Route("smtp", "mx.example")], due=T0, **more)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def store(path: Path):
    store = DirectoryStore(str(path), now=T0)
    yield store
    store.close()


def files(path: Path) -> list[str]:
    return sorted(name.name for name in (path / "queue").iterdir() if not name.name.startswith("."))


def test_the_files_of_1986(path: Path, store: DirectoryStore) -> None:
    (answer,) = store.commit([draft(claim=True)], now=T0)
    assert files(path) == [f"{ID}.msg", f"{ID}.sh"]
    assert (path / "queue" / f"{ID}.msg").read_bytes() == b"hello\r\n"
    assert (path / "queue" / f"{ID}.sh").stat().st_mode & 0o777 == 0o600
    (claim,) = answer.claims
    outcome = Outcome(0, "delayed", Reply(451, "4.3.0", "odd\x1b"), at=T0)
    attempt = Attempt(claim.route, [outcome], started=T0)
    store.settle([Settlement(claim, [Decision(0, outcome, T0 + 60)], attempt=attempt)], now=T0)
    errs = (path / "queue" / f"{ID}.errs").read_text()
    assert errs.startswith("2027-01-15T08:00:00Z smtp:mx.example delayed: 451 4.3.0 odd  (1 of 1)\t[")
    with (path / "queue" / f"{ID}.errs").open("a") as file:
        file.write("smtp: connection refused\n\t[]\n")
    assert [each.started for each in store.attempts(ID)] == [T0]
    (claim,) = store.claim(1, T0 + 60)
    store.settle([Settlement(claim, [Decision(0, outcome, None)])], now=T0)
    assert files(path) == []


def test_one_process_runs_the_queue_and_others_add_to_it(path: Path, store: DirectoryStore) -> None:
    assert store.claim(1, T0) == []
    other = DirectoryStore(str(path), now=T0)
    with pytest.raises(StoreError, match=f"run by another process \\({os.getpid()}\\)"):
        other.claim(1, T0)
    (answer,) = other.commit([draft(claim=True)], now=T0)
    assert (answer.error, answer.claims) == (None, [])
    assert [claim.message.ident for claim in store.claim(1, T0)] == [ID]
    (entry,) = other.entries(Filter())
    assert entry.rows[0].owner == store.owner
    store.close()
    assert [claim.message.ident for claim in other.claim(1, T0)] == [ID]
    other.close()


def test_a_hand_run_script_and_the_runner_keep_out_of_each_others_way(
    path: Path, store: DirectoryStore
) -> None:
    store.commit([draft()], now=T0)
    with subprocess.Popen(
        ["flock", str(path / "queue" / f"{ID}.msg"), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as script:
        assert script.stdin is not None and script.stdout is not None
        script.stdin.write(b"x")
        script.stdin.flush()
        assert script.stdout.read(1) == b"x"
        assert store.claim(1, T0) == []
        assert store.next_due(T0) == T0 + BUSY
        assert store.change(Filter(), "remove", now=T0) == 0
        script.stdin.close()
    assert len(store.claim(1, T0 + BUSY)) == 1
    done = subprocess.run(["sh", str(path / "queue" / f"{ID}.sh")], capture_output=True, check=False)
    assert done.returncode == 75 and b"another process" in done.stderr


def test_what_a_script_removed_is_gone(path: Path, store: DirectoryStore) -> None:
    store.commit([draft()], now=T0)
    assert store.next_due(T0) == T0
    for kind in ("sh", "msg"):
        (path / "queue" / f"{ID}.{kind}").unlink()
    assert store.claim(1, T0) == []
    assert store.next_due(T0) is None


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"rm -f ", b"rm -rf "))


def renamed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(ID.encode(), TWO.encode()))


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def linked(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (changed, "canonical"),
        (renamed, "envelope of"),
        (linked, "cannot be opened"),
        (directory, "no regular file"),
        (lambda path: path.chmod(0o602), "writable by everyone"),
        (lambda path: path.write_bytes(b"#!/bin/sh\nrm -rf /\n"), "not an envelope"),
    ],
    ids=["changed", "renamed", "linked", "directory", "writable", "foreign"],
)
def test_an_envelope_not_to_be_trusted_is_left_alone(path: Path, store: DirectoryStore, harm, words) -> None:
    store.commit([draft()], now=T0)
    harm(path / "queue" / f"{ID}.sh")
    assert store.claim(9, T0 + 1) == []
    assert store.entries(Filter()) == []
    assert store.change(Filter(), "remove", now=T0) == 0
    assert store.sweep(T0) == 0
    with pytest.raises(Damaged, match=words):
        store.content(ID)
    assert [words in line for line in store.check()] == [True]
    assert files(path) == [f"{ID}.msg", f"{ID}.sh"]
    (answer,) = store.commit([draft()], now=T0)
    assert answer.error is not None


def failure(claim: Claim, report: str) -> Settlement:
    """All of the claim failed; `report` is the id that its report asks for."""
    outcomes = [Outcome(one.number, "failed", Reply(550, "5.1.1", "no"), at=T0) for one in claim.pending]
    decisions = [Decision(outcome.recipient, outcome, None) for outcome in outcomes]
    return Settlement(claim, decisions, reports=[draft(report, content=b"report\r\n")])


@pytest.mark.parametrize("where", ["queue", "settling"])
def test_a_report_takes_no_other_messages_place(path: Path, store: DirectoryStore, where: str) -> None:
    """DSN: the id that a settlement gives its report may be another's."""
    (answer,) = store.commit([draft(claim=True)], now=T0)
    (claim,) = answer.claims
    report = ident_.report_id(ID, claim.settlement)
    store.commit([draft(report)], now=T0)
    if where == "settling":
        (path / "queue" / f"{report}.sh").rename(path / "settling" / f"{report}.sh")
    done = failure(claim, report)
    assert store.settle([done], now=T0) == []
    other = done.reports[0].message.ident
    assert other == ident_.report_id(report, 1)
    assert store.content(other).read() == b"report\r\n"
    assert (path / "queue" / f"{report}.msg").read_bytes() == b"hello\r\n"
    assert (path / where / f"{report}.sh").exists()


def test_two_reports_of_a_batch_have_two_ids(store: DirectoryStore) -> None:
    one, two = (
        answer.claims[0] for answer in store.commit([draft(claim=True), draft(TWO, claim=True)], now=T0)
    )
    first, second = failure(one, ID), failure(two, ID)
    first.reports = [*first.reports, draft(ident_.report_id(TWO, two.settlement))]
    assert store.settle([first, second], now=T0) == []
    names = [report.message.ident for report in (*first.reports, *second.reports)]
    assert len(set(names)) == 3
    assert sorted(names) == [entry.message.ident for entry in store.entries(Filter())]


def test_an_envelope_spoilt_while_it_is_tried_spoils_no_other_settlement(
    path: Path, store: DirectoryStore
) -> None:
    answers = store.commit([draft(claim=True), draft(TWO, claim=True)], now=T0)
    envelope = path / "queue" / f"{ID}.sh"
    envelope.chmod(0o602)
    spoilt, whole = (failure(answer.claims[0], TWO) for answer in answers)
    assert store.settle([spoilt, whole], now=T0) == [spoilt]
    assert ["writable by everyone" in line for line in store.check()] == [True]
    assert [entry.message.ident for entry in store.entries(Filter())] == [whole.reports[0].message.ident]
    envelope.chmod(0o600)
    store.close()
    again = DirectoryStore(str(path), now=T0)
    (claim,) = again.claim(9, T0, Select(idents=frozenset([ID])))
    assert again.settle([failure(claim, ID)], now=T0) == []
    again.close()


def test_the_sweeper_goes_round_what_is_none_of_ours(path: Path, store: DirectoryStore) -> None:
    store.commit([draft()], now=T0)
    for name in (f"queue/{TWO}.msg", "queue/lost+found", "incoming/temp.00000000000b.x", "keys/x.new"):
        (path / name).mkdir()
    (path / "owners" / "00000000000b.lock").mkdir()
    (path / "incoming" / "temp.x").touch()
    assert store.sweep(T0) == 0
    assert [claim.message.ident for claim in store.claim(9, T0)] == [ID]


def test_content_that_is_short_or_missing(path: Path, store: DirectoryStore) -> None:
    store.commit([draft(), draft(TWO)], now=T0)
    (path / "queue" / f"{ID}.msg").write_bytes(b"hel")
    (path / "queue" / f"{TWO}.msg").unlink()
    for ident, words in ((ID, "3 octets where 7"), (TWO, "missing")):
        with pytest.raises(Damaged, match=words):
            store.content(ident)
    assert len(list(store.check())) == 2


@pytest.mark.parametrize(
    ("harm", "words"),
    [(directory, "no regular file"), (linked, "cannot be opened"), (fifo, "no regular file")],
)
def test_content_that_is_no_file_holds_up_no_other_message(
    path: Path, store: DirectoryStore, harm, words
) -> None:
    store.commit([draft()], now=T0)
    harm(path / "queue" / f"{ID}.msg")
    with pytest.raises(Damaged, match=words):
        store.content(ID)
    store.claim(1, T0 + 1)  # the damaged one is alone in this batch
    store.commit([draft(TWO)], now=T0 + 1)
    assert TWO in [claim.message.ident for claim in store.claim(9, T0 + 1)]


def test_strangers_are_named_and_kept(path: Path, store: DirectoryStore) -> None:
    (path / "queue" / "README").write_text("x")
    (path / "queue" / f"{ID}.msg").write_text("x")
    assert len(list(store.check())) == 2
    assert store.sweep(T0) == 1
    assert files(path) == ["README"]


def test_a_queue_that_everyone_may_write_is_refused(path: Path, store: DirectoryStore) -> None:
    (path / "queue").chmod(0o777)
    with pytest.raises(StoreError, match="writable by everyone"):
        DirectoryStore(str(path), now=T0)


def test_a_spool_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no queue in"):
        DirectoryStore(str(tmp_path), now=T0, create=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot open the queue"):
        DirectoryStore(str(tmp_path / "file"), now=T0)


def test_keys_are_pruned(path: Path, store: DirectoryStore) -> None:
    store.commit([draft(key="k", key_until=T0 + 10)], now=T0)
    assert len(list((path / "keys").iterdir())) == 1
    assert store.sweep(T0 + 9) == 0
    assert store.sweep(T0 + 10) == 1


def test_it_is_cheap_to_import() -> None:
    """smtpqer starts for every message: what costs it milliseconds is imported where it is used."""
    dear = "{'asyncio','ssl','socket','re','enum','typing','dataclasses','json','random','apsw','email'}"
    code = f"import sys, mether.queue.directory; print(sorted({dear} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("kind", ["msg", "errs"])
def test_a_message_on_its_way_out_leaves_nothing_over(path: Path, store: DirectoryStore, kind: str) -> None:
    """Its envelope goes first; who removes it has the write lock until the rest is gone."""
    left = path / "queue" / f"{ID}.{kind}"
    left.write_text("x")

    class Removing:
        """The write lock, once the one who removes the message has let go of it."""

        def __enter__(self) -> None:
            left.unlink(missing_ok=True)

        def __exit__(self, *_: object) -> None:
            pass

    files = Files(str(path), store.owner, REAL)
    assert list(directory_recover.check(files, Removing())) == []
    left.write_text("x")
    assert len(list(store.check())) == 1
    assert store.sweep(T0) == 1
    assert list(store.check()) == []


def _tried(store: DirectoryStore, claim: Claim, at: float, transcript: str) -> None:
    outcome = Outcome(0, "delayed", Reply(451, "4.3.0", "later"), at=at)
    attempt = Attempt(claim.route, [outcome], started=at, transcript=transcript)
    done = Settlement(claim, [Decision(0, outcome, at + 1)], attempt=attempt)
    assert store.settle([done], now=at) == []


def test_old_transcripts_do_not_fill_the_file_of_attempts(path: Path, store: DirectoryStore) -> None:
    """Tried for days, a message has all its attempts and one transcript."""
    store.commit([draft()], now=T0)
    errs = path / "queue" / f"{ID}.errs"
    sizes = []
    for number in range(60):
        (claim,) = store.claim(1, T0 + number)
        _tried(store, claim, T0 + number, f"S: 451 {number} " + "x" * 15_000 + "\n")
        if number == 30:
            with errs.open("a") as file:
                file.write("smtp: connection refused\n")
        sizes.append(errs.stat().st_size)
    assert max(sizes) < 320 * 1024
    assert sizes[-1] < sum(15_000 for _ in range(60)) / 2
    attempts = store.attempts(ID)
    assert [attempt.started for attempt in attempts] == [T0 + number for number in range(60)]
    assert [bool(attempt.transcript) for attempt in attempts] == [False] * 59 + [True]
    assert attempts[-1].transcript.startswith("S: 451 59 ")
    assert "smtp: connection refused\n" in errs.read_text()
    assert list(store.check()) == []


def test_what_is_written_down_for_an_attempt_says_no_transcript_to_people(
    path: Path, store: DirectoryStore
) -> None:
    store.commit([draft()], now=T0)
    (claim,) = store.claim(1, T0)
    _tried(store, claim, T0, "C: EHLO here\r\nS: 451 no\r\n")
    (line,) = (path / "queue" / f"{ID}.errs").read_text().splitlines()
    assert line.partition("\t")[0].endswith("delayed: 451 4.3.0 later (1 of 1)")


def test_a_suspension_that_cannot_be_read_is_told(path: Path, store: DirectoryStore) -> None:
    store.suspend([Route("smtp", "mx.example")], reason="r", until=None)
    assert list(store.check()) == []
    hops = path / "queue" / ".hops"
    for data in (
        b"[[1]]",
        b"\xff",
        b"[",
        b"{}x",
        b'[["smtp","mx",""]]',
        b'[["smtp","a","","x",0,"",null,null]]',
    ):
        hops.write_bytes(data)
        (line,) = store.check()
        assert line.startswith(f"{hops}: ")
        assert line.endswith("what was suspended is not suspended any more")
        assert store.hops() == []


def test_a_suspension_that_cannot_be_written_is_refused(store: DirectoryStore) -> None:
    with pytest.raises(StoreError, match="next hops"):
        store.suspend([Route("smtp", "mx.example")], reason="\udc80", until=None)
    assert store.hops() == []
