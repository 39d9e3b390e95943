"""The suppression list as the service asks: what costs nothing, what is seen when, what an error does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mail import address

from mether.address import Address
from mether.event import mail as event
from mether.queue.store import StoreError
from mether.queue.suppressed import FILE, Suppressions
from mether.queue.suppressed_row import Suppressed
from mether.queue.suppressed_watch import LOOK, Watch

BOB = address("bob@example.net")
T0 = 1_000_000.0


class Clock:
    now = T0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    event.sinks.append(lambda name, fields: lines.append(f"{name}: {fields.get('what')}"))
    yield lines
    event.sinks.pop()


def put(directory: Path, until: float | None = None) -> None:
    Suppressions(str(directory), create=True).put([Suppressed(BOB, source="person", since=T0, until=until)])


def test_no_list_stops_nothing_and_is_not_looked_for_each_time(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch(str(tmp_path), clock)
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return False

    monkeypatch.setattr(watch.list, "look", look)
    for _ in range(100):
        assert watch.find(BOB) is None
    assert looks == 1


def test_a_list_that_comes_is_seen(tmp_path: Path, clock: Clock) -> None:
    watch = Watch(str(tmp_path), clock)
    assert watch.find(BOB) is None
    put(tmp_path)
    assert watch.find(BOB) is None
    clock.now += LOOK
    found = watch.find(BOB)
    assert found is not None and found.source == "person"


def test_what_this_process_wrote_is_seen_at_once(tmp_path: Path, clock: Clock) -> None:
    watch = Watch(str(tmp_path), clock)
    assert not watch.live
    put(tmp_path)
    watch.changed()
    assert watch.find(BOB) is not None


def test_a_clock_that_is_set_back_stops_no_looking(tmp_path: Path, clock: Clock) -> None:
    watch = Watch(str(tmp_path), clock)
    assert not watch.live
    put(tmp_path)
    clock.now -= 86400.0
    assert watch.live


def test_an_address_stops_mail_until_its_time(tmp_path: Path, clock: Clock) -> None:
    put(tmp_path, until=T0 + 10.0)
    watch = Watch(str(tmp_path), clock)
    assert watch.find(BOB) is not None
    clock.now += 10.0
    assert watch.find(BOB) is None
    assert watch.known(BOB)


def test_a_list_that_was_put_aside_is_over(tmp_path: Path, clock: Clock) -> None:
    put(tmp_path)
    watch = Watch(str(tmp_path), clock)
    assert watch.find(BOB) is not None
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"old.{path.name}")
    clock.now += LOOK
    assert watch.find(BOB) is None


def test_a_list_that_is_damaged_stops_no_mail_and_says_so(
    tmp_path: Path, clock: Clock, said: list[str]
) -> None:
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    watch = Watch(str(tmp_path), clock)
    assert watch.find(BOB) is None
    assert watch.find(BOB) is None
    assert len(said) == 1
    assert said[0].startswith(f"error: the suppression list {tmp_path / FILE} is damaged")


def test_at_start_it_is_an_error(tmp_path: Path, clock: Clock) -> None:
    Watch(str(tmp_path), clock).check()
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        Watch(str(tmp_path), clock).check()


def test_a_list_in_memory(clock: Clock) -> None:
    watch = Watch(None, clock)
    watch.check()
    assert watch.find(BOB) is None
    watch.list.put([Suppressed(BOB, source="person", since=T0)])
    watch.changed()
    assert watch.find(BOB) is not None


def test_a_whole_domain_stops_mail_for_its_time(tmp_path: Path, clock: Clock) -> None:
    everybody = Suppressed(Address("", "example.net"), source="person", since=T0, until=T0 + 60.0)
    Suppressions(str(tmp_path), create=True).put([everybody])
    watch = Watch(str(tmp_path), clock)
    assert watch.find(BOB) is not None
    assert watch.find(address("bob@sub.example.net")) is None
    assert not watch.known(BOB), "what a delivery would take back is of the address alone"
    clock.now = T0 + 60.0
    assert watch.find(BOB) is None
    watch.close()
