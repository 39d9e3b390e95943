"""What attempts tell of addresses is written down, together, and never at the cost of mail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from clock import T0
from mail import address, heard

from mether.queue.store import StoreError
from mether.queue.suppressed import Suppressions
from mether.queue.suppressed_row import Suppressed
from mether.runner import remembering
from mether.runner.remembering import Recorder, Thread

BOB = address("bob@example.net")


class Later:
    """Runs what it is given when told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def __call__(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.given.append((work, done))

    def go(self) -> None:
        while self.given:
            work, done = self.given.pop(0)
            try:
                result = work()
            except Exception as error:
                result = error
            done(result)


class Place:
    """A recorder on a list in memory."""

    def __init__(self, after: int = 1) -> None:
        self.list = Suppressions(None)
        self.later = Later()
        self.changed = 0
        self.recorder = Recorder(self.list, self.later, self._changed, keep=100.0, after=after)

    def _changed(self) -> None:
        self.changed += 1


def failure(text: str = "bob@example.net", at: float = T0) -> Suppressed:
    return Suppressed(address(text), source="delivery", since=at, kind="no such user", reason="550 who?")


def test_what_gathers_is_written_together() -> None:
    place = Place()
    place.recorder.failed(failure())
    assert len(place.later.given) == 1
    for number in range(5):
        place.recorder.failed(failure(f"u{number}@example.net"))
    assert len(place.later.given) == 1
    place.later.go()
    assert place.list.count() == 6
    assert place.changed == 2


def test_an_address_that_is_on_the_list_from_now_on_is_told() -> None:
    place = Place(after=2)
    with heard() as events:
        for at in (T0, T0 + 1.0, T0 + 2.0):
            place.recorder.failed(failure(at=at))
            place.later.go()
    assert [(name, fields["what"]) for name, fields in events] == [
        ("noted", "no more mail is sent to <bob@example.net>: 550 who?")
    ]


def test_a_delivery_takes_back_what_was_learned() -> None:
    place = Place()
    place.recorder.failed(failure())
    place.later.go()
    place.recorder.delivered(BOB)
    place.later.go()
    assert place.list.find(BOB) is None


def test_what_is_over_is_forgotten() -> None:
    place = Place()
    place.recorder.failed(failure())
    place.later.go()
    place.recorder.expire(T0 + 99.0)
    place.later.go()
    assert place.list.count() == 1
    place.recorder.expire(T0 + 100.0)
    place.later.go()
    assert place.list.count() == 0


def test_a_list_that_cannot_be_written_costs_a_line_and_what_was_to_be_remembered() -> None:
    place = Place()

    def full(*_: object, **__: object) -> Any:
        raise StoreError("the suppression list x cannot be written: disk full")

    record, place.list.record = place.list.record, full  # type: ignore[method-assign]
    with heard() as events:
        place.recorder.failed(failure())
        place.later.go()
    assert [(name, fields["what"]) for name, fields in events] == [
        ("error", "not remembered: the suppression list x cannot be written: disk full")
    ]
    place.list.record = record  # type: ignore[method-assign]
    place.recorder.failed(failure("ann@example.net"))
    place.later.go()
    assert place.list.count() == 1


def test_no_more_waits_than_there_is_room_for() -> None:
    place = Place()
    with heard() as events:
        for number in range(remembering.MAX_WAITING + 10):
            place.recorder.failed(failure(f"u{number}@example.net"))
    assert [name for name, _ in events] == ["error"]
    # The first is on its way; what then waits is bounded.
    place.later.go()
    assert place.list.count() == remembering.MAX_WAITING + 1


def test_what_waits_is_written_at_the_end() -> None:
    place = Place()
    place.recorder.failed(failure())
    place.recorder.failed(failure("ann@example.net"))
    place.recorder.close()
    assert place.list.find(address("ann@example.net")) is not None


def test_it_is_done_in_a_thread_of_its_own() -> None:
    names: list[str] = []

    async def work() -> list[Suppressed] | Exception:
        loop = asyncio.get_running_loop()
        thread = Thread(loop)
        done: asyncio.Future[list[Suppressed] | Exception] = loop.create_future()

        def record() -> list[Suppressed]:
            names.append(threading.current_thread().name)
            return [failure()]

        thread(record, done.set_result)
        result = await done
        thread.close()
        return result

    result = asyncio.run(work())
    assert isinstance(result, list) and str(result[0].address) == "bob@example.net"
    assert names[0].startswith("suppression")


def test_a_fault_in_the_thread_is_told() -> None:
    async def work() -> list[Suppressed] | Exception:
        loop = asyncio.get_running_loop()
        thread = Thread(loop)
        done: asyncio.Future[list[Suppressed] | Exception] = loop.create_future()

        def record() -> list[Suppressed]:
            raise StoreError("no")

        thread(record, done.set_result)
        result = await done
        thread.close()
        return result

    assert isinstance(asyncio.run(work()), StoreError)
