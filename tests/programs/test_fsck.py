"""``mether fsck``: its lines, its statuses, its JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "store"))
from contract import T0, commit, draft

from mether.programs.mether import main
from mether.queue.directory import DirectoryStore
from mether.queue.sqlite import SqliteStore


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("METHER_CONFIG", "METHER_SPOOL", "NOSYSEXITS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mether.setup.locate.SYSTEM", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    store = SqliteStore(str(path), now=T0)
    one = draft(content=b"L" * 100_000)
    one.message.size = len(one.message.trace) + 100_000
    commit(store, one)
    store.close()
    return path


def content(spool: Path) -> Path:
    (path,) = (spool / "content").glob("*/*")
    return path


def test_all_is_well(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:{spool}"
    for more in ([], ["--repair"]):
        assert main(["fsck", "--spool", url, *more]) == 0
        assert capsys.readouterr() == ("", "")
    assert main(["fsck", "--json", "--spool", url]) == 0
    assert json.loads(capsys.readouterr().out) == {"spool": url, "found": [], "notes": []}


def test_what_is_wrong_and_what_was_saved(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:{spool}"
    path = content(spool)
    os.truncate(path, 50_000)
    said = f"the content of {path.name} has 50000 octets where 100000 were queued: {path}\n"
    assert main(["fsck", "--spool", url]) == 65
    hint = "mether: mether fsck --repair saves what can be saved, while no process works the queue\n"
    assert capsys.readouterr() == (said, hint)
    assert main(["fsck", "--repair", "--json", "--spool", url]) == 65
    facts = json.loads(capsys.readouterr().out)
    assert (facts["saved"], [one["id"] for one in facts["partial"]]) == (0, [path.name])
    assert all(Path(file).is_file() for file in facts["partial"][0]["files"])
    assert main(["fsck", "--spool", url]) == 0


def test_check_sees_what_fsck_sees_of_content(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mether.programs import smtpq

    path = content(spool)
    os.truncate(path, 50_000)
    assert smtpq.main(["check", "--spool", f"sqlite:{spool}"]) == 75
    said = f"the content of {path.name} has 50000 octets where 100000 were queued: {path}\n"
    assert capsys.readouterr().out == said


def test_files_that_belong_to_nothing_are_named(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = content(spool).parent
    strays = [spool / "content" / "odd", where / "junk", where / "0SAAAAAAAAAAA"]
    for path in strays:
        path.write_text("?")
    assert main(["fsck", "--spool", f"sqlite:{spool}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"{path}: no file of the queue" for path in strays)


def test_all_that_was_damaged_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = tmp_path / "spool"
    DirectoryStore(str(spool), now=T0).close()
    (spool / "queue" / "odd").write_text("?")
    url = f"directory:{spool}"
    assert main(["fsck", "--spool", url]) == 65
    capsys.readouterr()
    assert main(["fsck", "--repair", "--spool", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{spool}/queue/odd: no file of the queue"
    assert lines[-1].startswith(f"0 messages are queued, 0 could not be; see {spool}/damaged/")


def test_a_queue_at_work_is_not_repaired(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(str(spool), now=T0)
    store.renew(T0 + 60, T0)
    assert main(["fsck", "--repair", "--spool", f"sqlite:{spool}"]) == 75
    assert capsys.readouterr().err == (
        "mether: a process works this queue: stop the service (and runsmtpq) before it is repaired\n"
    )
    store.close()


def test_there_is_no_queue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fsck", "--spool", f"sqlite:{tmp_path}/none"]) == 66
    assert capsys.readouterr().err == f"mether: there is no queue in {tmp_path}/none\n"
    assert main(["fsck", "--spool", "memory:"]) == 64
    assert main(["fsck", "--spool", "sqlit:x"]) == 64
    assert main(["fsck", "now"]) == 64


def test_every_failure_may_be_1(spool: Path) -> None:
    content(spool).unlink()
    assert main(["fsck", "--no-sysexits", "--spool", f"sqlite:{spool}"]) == 1
