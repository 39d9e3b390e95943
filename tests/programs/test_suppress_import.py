"""``mether suppress import``: what is told, what stays when it is cut short, and that it can be run again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mether.programs import suppress_import
from mether.programs.mether import main
from mether.queue.suppressed import Suppressions


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METHER_SPOOL", f"directory:{tmp_path / 'spool'}")
    monkeypatch.setenv("METHER_CONFIG", "")
    monkeypatch.delenv("NOSYSEXITS", raising=False)
    return tmp_path / "spool"


def test_bad_lines_are_told_and_the_others_taken(
    tmp_path: Path, spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "list.csv"
    file.write_text("email,reason\na@x.example,gone\nnone,gone\nb@x.example,\n")
    other = tmp_path / "list.txt"
    other.write_text("c@x.example\nnone\n")
    assert main(["suppress", "import", "--reason", "cleaned", str(file), str(other)]) == 65
    said = capsys.readouterr()
    assert said.out == "3 addresses imported\n"
    assert said.err == (
        f"mether: {file}:3: 'none' is not an address: no @ and domain\n"
        f"mether: {other}:2: 'none' is not an address: no @ and domain\n"
    )
    known = Suppressions(str(spool))
    assert {str(one.address): one.reason for one in known.page(("", ""))} == {
        "a@x.example": "gone",
        "b@x.example": "cleaned",
        "c@x.example": "cleaned",
    }


def test_a_dry_run_writes_nothing(tmp_path: Path, spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list"
    file.write_text("a@x.example\n")
    assert main(["suppress", "import", "--dry-run", str(file)]) == 0
    assert capsys.readouterr().out == "1 address would be imported\n"
    assert not spool.exists()


def test_of_very_many_bad_lines_not_each_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list"
    file.write_text("none\n" * (suppress_import.TOLD + 50))
    assert main(["suppress", "import", "-n", str(file)]) == 65
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == suppress_import.TOLD + 1
    assert lines[-1] == "mether: 50 more could not be taken"


@pytest.mark.parametrize(("name", "status"), [("absent", 66), (".", 66)])
def test_a_file_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, status: int
) -> None:
    assert main(["suppress", "import", str(tmp_path / name)]) == status
    assert capsys.readouterr().err.count("\n") == 1


KILLED = """
import os, signal
from mether.programs import suppress_import
from mether.programs.mether import main
from mether.queue.suppressed import Suppressions

suppress_import.BATCH = 10
put, times = Suppressions.put, 0

def killed(self, some, **named):
    global times
    times += 1
    if times == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, some, **named)

Suppressions.put = killed
main(["suppress", "import", "list"])
"""


def test_what_was_said_is_there_after_a_kill_and_it_can_be_run_again(tmp_path: Path, spool: Path) -> None:
    (tmp_path / "list").write_text("".join(f"u{n}@x.example\n" for n in range(55)))
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.splitlines() == ["10 addresses imported", "20 addresses imported"]
    assert Suppressions(str(spool)).count() == 20
    assert main(["suppress", "import", str(tmp_path / "list")]) == 0
    assert Suppressions(str(spool)).count() == 55


def test_no_more_is_kept_in_memory_than_a_transaction(
    tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppress_import, "BATCH", 7)
    sizes: list[int] = []
    put = Suppressions.put

    def counted(self: Suppressions, some: list, **named: bool) -> None:  # type: ignore[type-arg]
        sizes.append(len(some))
        put(self, some, **named)

    monkeypatch.setattr(Suppressions, "put", counted)
    (tmp_path / "list").write_text("".join(f"u{n}@x.example\n" for n in range(30)))
    assert main(["suppress", "import", str(tmp_path / "list")]) == 0
    assert sizes == [7, 7, 7, 7, 2]
