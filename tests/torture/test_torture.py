"""A short torture of each way to run the service: see run.py, and `make torture` for the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import faults
import pytest
import verdict

RUN = Path(__file__).with_name("run.py")
CUT = Path(__file__).with_name("powercut_load.py")


@pytest.fixture
def compiler() -> None:
    """Faults and the recorder are compiled: where that cannot be, as with a peer that is missing."""
    if faults.compiler() is None:
        if os.environ.get("METHER_PEERS") == "required":
            pytest.fail("there is no C compiler")
        pytest.skip("there is no C compiler")


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("topology", "store"), [("single", "sqlite"), ("all", "sqlite"), ("single", "directory")]
)
def test_nothing_is_lost_through_random_faults(topology: str, store: str, tmp_path: Path) -> None:
    """QUE-5, DAT-5: what was answered 250 is delivered, returned or queued whatever fails, with one process
    as with workers, their parent and a runner beside them."""
    messages = 1500 if store == "sqlite" else 400
    ended = subprocess.run(
        [
            *(sys.executable, RUN, "--messages", str(messages), "--seconds", "200", "--seed", "1"),
            *("--pause", "1"),
            *("--topology", topology, "--store", store, "--place", tmp_path),
        ],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert f"{messages} messages accepted" in ended.stdout


def cut(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, CUT, "--seed", "1", "--cuts", "6", "--messages", "250", *options],
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("compiler")
def test_what_was_answered_survives_a_power_cut_under_the_load_of_several_processes() -> None:
    """DAT-5, QUE-5: two processes work one queue, and the power is cut at any step of theirs."""
    ended = cut("--topology", "split")
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert "54 images" in ended.stdout


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("compiler")
def test_without_its_syncs_the_power_cut_is_seen_to_lose_mail() -> None:
    """Else the test above would prove nothing."""
    ended = cut("--topology", "single", "--without-sync")
    assert ended.returncode == 1, ended.stdout[-4000:] + ended.stderr[-4000:]
    assert "that were answered 250 are lost" in ended.stdout


def judged(tmp_path: Path, ledger: str, log: str = "") -> list[str]:
    (tmp_path / "ledger").write_text(ledger)
    (tmp_path / "log").write_text(log)
    return verdict.violations(verdict.Ledger([tmp_path / "ledger"]), [tmp_path / "log"])[0]


@pytest.mark.parametrize(
    ("ledger", "broken"),
    [
        ("A 4\nD 4\n", None),
        ("A 4\nB 4 one\n", None),
        ("A 4\n", "lost"),
        ("A 4\nD 4\nX 4\n", "spoilt"),
        ("A 4\nB 4 one\nB 4 two\n", "returned twice"),
        ("A 4\nB 4 one\nB 4 one\n", None),  # the same report, delivered twice
        ("A 4\nD 4\nD 4\n", None),  # not told of twice: in flight at a kill
    ],
)
def test_a_broken_promise_is_seen(tmp_path: Path, ledger: str, broken: str | None) -> None:
    found = judged(tmp_path, ledger)
    assert [line.partition(":")[0] for line in found] == ([broken] if broken else [])


def test_two_deliveries_that_were_both_told_of_need_a_reason(tmp_path: Path) -> None:
    told = '{"event": "relayed", "queue_id": "0ABC", "recipient": "r4@good.test"}\n'
    assert judged(tmp_path, "A 4\nD 4\nD 4\n", told * 2) == ["delivered twice: 1 of 1: 4"]
    reclaimed = '{"event": "reclaimed", "queue_id": "0ABC"}\n'
    assert judged(tmp_path, "A 4\nD 4\nD 4\n", told * 2 + reclaimed) == []


def test_a_traceback_is_a_broken_promise(tmp_path: Path) -> None:
    assert judged(tmp_path, "", "Traceback (most recent call last):\n")
