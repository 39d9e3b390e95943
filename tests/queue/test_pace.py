"""How many reports an hour go to one reader, and which wait."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mether.queue.pace import AGAIN, FILE, HOUR, Pace, address, apart, hour

NOW = 1_772_529_164.0
ANN = "ann@example.org"


class Kept:
    """Paces on one spool, each as a process of its own."""

    def __init__(self, directory: str | None) -> None:
        self.directory = directory
        self.said: list[str] = []
        self.made: list[Pace] = []

    def __call__(self, hourly: int = 2) -> Pace:
        self.made.append(Pace(self.directory, hourly, self.said.append))
        return self.made[-1]


@pytest.fixture
def paces(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(str(tmp_path))
    yield kept
    for one in kept.made:
        one.close()


def test_so_many_go_at_once_and_the_others_in_the_next_hour(paces: Kept) -> None:
    pace = paces(2)
    then = hour(ANN, NOW)
    assert [pace.ask(ANN, f"R{number}", NOW) for number in range(4)] == [0.0, 0.0, then, then]
    assert NOW < then <= NOW + HOUR
    assert pace.waiting(ANN, NOW, 10) == []
    assert pace.waiting(ANN, then, 10) == ["R2", "R3"]
    assert pace.waiting(ANN, then, 1) == ["R2"]


def test_each_reader_has_an_hour_of_its_own(paces: Kept) -> None:
    pace = paces(1)
    assert pace.ask(ANN, "R1", NOW) == 0.0
    assert pace.ask("bob@example.org", "R2", NOW) == 0.0
    ends = {hour(f"user{number}@example.org", NOW) for number in range(100)}
    assert len(ends) > 50


def test_what_tells_of_no_failure_is_counted_apart(paces: Kept) -> None:
    """A failure does not wait behind warnings, whether they went or wait."""
    pace = paces(2)
    then = hour(ANN, NOW)
    assert [pace.ask(ANN, f"W{number}", NOW, fails=False) for number in range(3)] == [0.0, 0.0, then]
    assert [pace.ask(ANN, f"F{number}", NOW) for number in range(3)] == [0.0, 0.0, then]
    warned = apart(ANN)
    assert (pace.reader("W2"), pace.reader("F2"), address(warned)) == (warned, ANN, ANN)
    assert hour(warned, NOW) == then
    assert (pace.waiting(warned, then, 9), pace.waiting(ANN, then, 9)) == (["W2"], ["F2"])
    assert (pace.allow(warned, then), pace.allow(ANN, then)) == (0.0, 0.0)


def test_upper_case_is_no_other_reader(paces: Kept) -> None:
    pace = paces(1)
    assert pace.ask("Ann@Example.ORG", "R1", NOW) == 0.0
    assert pace.ask(ANN, "R2", NOW) > NOW
    assert pace.reader("R2") == ANN


def test_processes_count_together(paces: Kept) -> None:
    one, other = paces(2), paces(2)
    assert [one.ask(ANN, "R1", NOW), other.ask(ANN, "R2", NOW)] == [0.0, 0.0]
    assert one.ask(ANN, "R3", NOW) > NOW
    assert other.waiting(ANN, NOW + HOUR, 10) == ["R3"]


def test_a_new_hour_begins_anew(paces: Kept) -> None:
    pace = paces(1)
    assert pace.ask(ANN, "R1", NOW) == 0.0
    assert pace.ask(ANN, "R2", hour(ANN, NOW)) == 0.0


def test_who_comes_later_waits_with_those_that_wait(paces: Kept) -> None:
    """Else those would be overtaken for ever, and the reader would be told out of order."""
    pace = paces(1)
    then = hour(ANN, NOW)
    assert [pace.ask(ANN, "R1", NOW), pace.ask(ANN, "R2", NOW)] == [0.0, then]
    assert pace.ask(ANN, "R3", then + 1) == then + HOUR
    pace.forget(["R2", "R3"])
    assert pace.ask(ANN, "R4", then + 2) == 0.0


def test_what_waited_and_never_came_is_not_waited_for(paces: Kept) -> None:
    """A report that waits may be removed by a person, or its settlement refused."""
    pace = paces(1)
    then = hour(ANN, NOW)
    pace.ask(ANN, "R1", NOW)
    assert pace.ask(ANN, "R2", NOW) == then
    assert pace.ask(ANN, "R3", then + HOUR + 1) == 0.0


def test_those_that_go_as_one_count_as_one(paces: Kept) -> None:
    pace = paces(1)
    then = hour(ANN, NOW)
    assert pace.allow(ANN, NOW) == 0.0
    assert pace.allow(ANN, NOW) == then
    pace.wait(ANN, ["R1", "R2"], then)
    assert pace.waiting(ANN, then, 10) == ["R1", "R2"]
    assert pace.reader("R1") == ANN
    assert pace.reader("R9") is None


def test_the_file_is_for_the_spools_owner_alone(paces: Kept, tmp_path: Path) -> None:
    paces().ask(ANN, "R1", NOW)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_a_damaged_file_is_begun_anew(paces: Kept, tmp_path: Path) -> None:
    pace = paces(1)
    pace.ask(ANN, "R1", NOW)
    pace.close()
    (tmp_path / FILE).write_bytes(b"no database at all" * 1000)
    assert paces(1).ask(ANN, "R2", NOW) == 0.0
    assert paces(1).ask(ANN, "R3", NOW) > NOW
    [said] = paces.said
    assert FILE in said and "begun anew" in said


def test_one_that_cannot_be_written_leaves_a_process_its_own_count(tmp_path: Path) -> None:
    kept = Kept(str(tmp_path / "absent"))
    pace = kept(1)
    assert [pace.ask(ANN, "R1", NOW) > NOW, pace.ask(ANN, "R2", NOW) > NOW] == [False, True]
    [said] = kept.said
    assert "counts for itself" in said
    pace.close()


def test_who_holds_the_file_is_not_waited_for_and_it_is_used_again(paces: Kept, tmp_path: Path) -> None:
    """This is the event loop's time; and what was counted and waits meanwhile is not forgotten."""
    pace, other = paces(2), paces(2)
    then = hour(ANN, NOW)
    assert pace.ask(ANN, "R1", NOW) == 0.0
    holder = other._db()
    holder.execute("BEGIN EXCLUSIVE")
    assert [pace.ask(ANN, f"R{number}", NOW) for number in (2, 3, 4)] == [0.0, 0.0, then]
    assert pace.ask(ANN, "R5", NOW + AGAIN + 1) == then  # tried, and held still
    holder.execute("ROLLBACK")
    assert pace.ask(ANN, "R6", NOW + AGAIN + 2) == then
    assert other.reader("R4") is None
    assert pace.ask(ANN, "R7", NOW + 2 * AGAIN + 2) == then
    assert other.waiting(ANN, then, 10) == ["R4", "R5", "R6", "R7"]
    [said] = paces.said
    assert "locked" in said and "counts for itself" in said


def test_what_waits_for_a_far_time_is_not_waited_for_when_the_clock_is_set_back(paces: Kept) -> None:
    pace = paces(1)
    month = 30 * 24 * HOUR
    assert pace.ask(ANN, "R1", NOW + month) == 0.0
    assert pace.ask(ANN, "R2", NOW + month) > NOW + month
    assert [pace.ask(ANN, "R3", NOW), pace.ask(ANN, "R4", NOW)] == [0.0, hour(ANN, NOW)]
    pace.forget(["R4"])
    assert pace.ask(ANN, "R5", NOW + HOUR) == 0.0


def test_what_is_no_character_raises_nothing(paces: Kept) -> None:
    pace = paces(1)
    assert [pace.ask("\udcff@example.org", name, NOW) > NOW for name in ("R1", "R2")] == [False, True]


def test_a_queue_in_memory_counts_in_memory() -> None:
    kept = Kept(None)
    pace = kept(1)
    assert [pace.ask(ANN, "R1", NOW) > NOW, pace.ask(ANN, "R2", NOW) > NOW] == [False, True]
    assert not kept.said
    pace.close()


def test_what_is_long_over_is_forgotten(paces: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that reports to as many forged senders keeps none of them for long."""
    monkeypatch.setattr("mether.queue.pace.SWEEP", 2)
    pace = paces(1)
    for number in range(10):
        pace.ask(f"user{number}@example.org", f"R{number}", NOW)
    for number in range(3):
        pace.ask(ANN, f"S{number}", NOW + 3 * HOUR)
    db = pace._db()
    assert db.execute("SELECT count(*) FROM told").get == 1
    assert os.path.getsize(str(pace.path)) < 1 << 20
