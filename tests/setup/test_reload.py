"""A newer configuration on its way to the workers: all of them go by it, or none does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mether.event import mail as event
from mether.setup import config as config_
from mether.setup import places
from mether.setup.config import Config
from mether.setup.crew import One
from mether.setup.reload import SECONDS, Reload, failed, kept

OTHER = '[[listen]]\naddress = "127.0.0.1:0"\n'


class Fake(One):
    """A worker that takes every word, or none."""

    def __init__(self, number: int, *, deaf: bool = False) -> None:
        super().__init__(number)
        self.pid = 1 << 30
        self.deaf = deaf
        self.killed = False
        self.told: list[str] = []
        self.sockets = 0

    def tell(self, message: tuple[Any, ...], sockets: list[Any] | None = None) -> bool:
        if not self.deaf:
            self.told.append(message[0])
            self.sockets += len(sockets or ())
        return not self.deaf

    def kill(self) -> None:
        self.killed = bool(self.pid)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log tells."""
    lines: list[str] = []

    def sink(name: str, fields: Any) -> None:
        lines.append(fields["what"])

    event.sinks.append(sink)
    yield lines
    event.sinks.remove(sink)


def config(text: str = "") -> Config:
    return config_.loads(text, environ={"HOME": "/h"})


def reload(*workers: Fake, text: str = OTHER) -> Reload:
    newer = config(text)
    made = Reload(7, newer, places.opened(newer.listen, {}, len(workers)), workers, 100.0)
    made.begin(100.0)
    return made


def end(made: Reload) -> None:
    for place in made.opened.values():
        place.end()


def test_when_all_have_prepared_all_adopt() -> None:
    """Each is given its own sockets."""
    one, two = Fake(0), Fake(1)
    made = reload(one, two)
    assert (one.sockets, two.sockets) == (1, 1)
    made.hear(one, ("prepared", 7, ""), 101.0)
    assert one.told == ["prepare"] and not made.settled
    made.hear(two, ("prepared", 7, ""), 102.0)
    assert made.settled and not made.over
    assert one.told == two.told == ["prepare", "adopt"]
    assert made.until == 102.0 + SECONDS
    for each in (one, two):
        assert not made.over
        made.hear(each, ("adopted", 7, ""), 103.0)
    assert made.over and not made.trouble
    end(made)


def test_where_one_cannot_all_stay() -> None:
    """What was opened for it is closed."""
    one, two = Fake(0), Fake(1)
    made = reload(one, two)
    made.hear(one, ("prepared", 7, ""), 101.0)
    made.hear(two, ("prepared", 7, "none.pem: no such file"), 101.0)
    assert made.over and not made.settled
    assert made.trouble == "none.pem: no such file"
    assert one.told == two.told == ["prepare", "drop"]
    assert all(not place.sockets for place in made.opened.values())


def test_a_late_answer_to_an_earlier_one_counts_for_nothing() -> None:
    one = Fake(0)
    made = reload(one)
    for name, number in (("prepared", 6), ("adopted", 7)):
        made.hear(one, (name, number, ""), 101.0)
    assert not made.settled
    made.give_up("the service ends")
    made.hear(one, ("prepared", 7, ""), 102.0)
    assert not made.settled and made.trouble == "the service ends"


def test_who_does_not_answer_in_time_is_named_and_all_stays() -> None:
    one, two = Fake(0), Fake(1)
    made = reload(one, two)
    made.hear(one, ("prepared", 7, ""), 101.0)
    made.late()
    assert made.over and not made.settled
    assert made.trouble == "the configuration stays as it was: no answer from worker 2"


def test_who_does_not_adopt_in_time_is_ended_and_the_rest_go_on() -> None:
    """There is no way back once one may go by it: its successor does too."""
    one, two = Fake(0), Fake(1)
    made = reload(one, two)
    for each in (one, two):
        made.hear(each, ("prepared", 7, ""), 101.0)
    made.hear(one, ("adopted", 7, ""), 102.0)
    made.late()
    assert made.over and made.settled and not made.trouble
    assert (one.killed, two.killed) == (False, True)
    end(made)


def test_a_worker_that_dies_meanwhile_is_not_waited_for() -> None:
    one, two = Fake(0), Fake(1)
    made = reload(one, two)
    made.hear(one, ("prepared", 7, ""), 101.0)
    two.pid = 0
    made.lost(two, 102.0)
    assert made.settled and one.told == ["prepare", "adopt"] and two.told == ["prepare"]
    made.hear(one, ("adopted", 7, ""), 103.0)
    assert made.over and not made.trouble
    end(made)


def test_who_takes_no_word_is_no_hindrance() -> None:
    """It would keep the others waiting for nothing."""
    one, two = Fake(0), Fake(1)
    made = reload(one, two)
    two.deaf = True
    for each in (one, two):
        made.hear(each, ("prepared", 7, ""), 101.0)
    assert made.settled
    made.hear(one, ("adopted", 7, ""), 102.0)
    assert made.over
    end(made)


def test_the_others_go_on_without_one_that_cannot_be_told() -> None:
    """It ends, and its successor goes by what is in force then."""
    one, two = Fake(0), Fake(1, deaf=True)
    made = reload(one, two)
    made.hear(one, ("prepared", 7, ""), 101.0)
    assert made.settled and one.told == ["prepare", "adopt"]
    made.hear(one, ("adopted", 7, ""), 102.0)
    assert made.over and not made.trouble
    end(made)


def test_when_none_can_be_told_all_stays() -> None:
    """Nobody has said whether it will do."""
    made = reload(Fake(0, deaf=True), Fake(1, deaf=True))
    assert made.over and not made.settled
    assert made.trouble == "the configuration stays as it was: no worker takes a word"
    assert all(not place.sockets for place in made.opened.values())


def test_with_no_worker_alive_it_is_in_force_at_once() -> None:
    dead = Fake(0)
    dead.pid = 0
    made = reload(dead)
    assert made.settled and made.over and not made.trouble
    end(made)


def test_what_cannot_change_in_a_running_service_is_told(said: list[str]) -> None:
    """Where there are no workers anyway, nothing is said of them."""
    before = config('[queue]\nspool = "sqlite:/one"\n')
    after = config('[service]\nworkers = 3\n[queue]\nspool = "sqlite:/two"\nwindow = 7\n')
    now = kept(after, before)
    assert (now.queue.spool, now.queue.window, now.service.workers) == ("sqlite:/one", 7, 1)
    assert said == [
        "queue.spool stays sqlite:/one: it can only change by a new start",
        "service.workers stays 1: it can only change by a new start",
    ]
    said.clear()
    assert kept(after, before, workers=False).service.workers == 3
    assert len(said) == 1


def test_why_it_is_not_adopted_is_one_line() -> None:
    class Wrong(Exception):
        sysexit = 78

    assert failed(Wrong("c.toml:2: no")) == "the configuration stays as it was: c.toml:2: no"
    assert failed(KeyError("x")).endswith("internal error: KeyError('x')")
