"""Who gets the connections that there may be."""

from __future__ import annotations

from collections.abc import Callable

from mether.relay.slots import GROW, TURN, Slots


class Hop:
    """A next hop that wants so many connections, and uses each that it is granted."""

    def __init__(self, slots: Slots, wants: int = 1) -> None:
        self.slots = slots
        self.wants = wants
        self.held = 0
        self.resting = 0
        self.spared = 0

    def ask(self) -> None:
        while self.held < self.wants and self.slots.take(self):
            self.held += 1

    def granted(self) -> bool:
        if self.held >= self.wants:
            return False
        self.held += 1
        self.ask()
        return True

    def rest(self) -> None:
        self.resting += 1
        self.slots.rests(self)

    def spare(self) -> None:
        if self.resting:
            self.resting -= 1
            self.spared += 1
            self.wants -= 1
            if not self.resting:
                self.slots.wakes(self)
            self.end()

    def end(self) -> None:
        self.held -= 1
        self.slots.give(last=not self.held)


def test_never_more_than_the_total() -> None:
    slots = Slots(10)
    hops = [Hop(slots, 4) for _ in range(7)]
    for hop in hops:
        hop.ask()
    assert [hop.held for hop in hops] == [4, 4, 1, 1, 0, 0, 0]
    assert slots.used == 10


def test_one_alone_has_three_quarters() -> None:
    slots = Slots(20)
    hop = Hop(slots, 20)
    hop.ask()
    assert hop.held == 15, "and leaves some for whoever comes"


def test_ten_that_take_all_they_can_leave_some_for_others() -> None:
    """QUE-6: dead and slow next hops do not let go, and others work all the same."""
    slots = Slots(100)
    stuck = [Hop(slots, 100) for _ in range(10)]
    for hop in stuck:
        hop.ask()
    other = Hop(slots, 1)
    other.ask()
    assert other.held == 1


def test_those_who_wait_take_turns() -> None:
    slots = Slots(1)
    first, *others = hops = [Hop(slots) for _ in range(4)]
    for hop in hops:
        hop.ask()
    assert first.held == 1
    for number, hop in enumerate(others):
        hops[number].end()
        assert hop.held == 1
        hops[number].ask()
    others[-1].end()
    assert first.held == 1, "who had one goes to the end of the line"


def test_idle_connections_are_given_up_for_those_who_wait() -> None:
    slots = Slots(4)
    longest, later = Hop(slots, 2), Hop(slots, 2)
    for hop in (longest, later):
        hop.ask()
        hop.rest()
    hop = Hop(slots)
    hop.ask()
    assert (longest.spared, later.spared, hop.held) == (1, 0, 1)
    waiting = Hop(slots)
    waiting.ask()
    assert (later.spared, waiting.held) == (1, 1)


def test_one_that_comes_to_rest_while_others_wait_is_given_up() -> None:
    slots = Slots(1)
    busy, waiting = Hop(slots), Hop(slots)
    busy.ask()
    waiting.ask()
    assert not waiting.held
    busy.rest()
    assert waiting.held and busy.spared


def test_who_has_more_than_its_share_yields() -> None:
    slots = Slots(6)
    many, few = Hop(slots, 6), Hop(slots, 1)
    many.ask()
    few.ask()
    assert not slots.yields(many, 0.0), "nobody else waits"
    third, fourth = Hop(slots, 2), Hop(slots, 2)
    third.ask()
    fourth.ask()
    assert slots.waiting
    assert slots.yields(many, 0.0)
    assert not slots.yields(few, 0.0)
    assert slots.yields(few, TURN), "each has its turn"


def test_what_is_not_wanted_any_more_goes_to_the_next() -> None:
    slots = Slots(1)
    hop, gone, last = Hop(slots), Hop(slots), Hop(slots)
    for one in (hop, gone, last):
        one.ask()
    gone.wants = 0
    hop.end()
    assert last.held == 1
    slots.forget(hop)
    last.end()
    assert slots.used == 0


def test_what_the_process_cannot_have_is_done_without_for_a_while() -> None:
    slots = Slots(40)
    hops = [Hop(slots, 1) for _ in range(30)]
    later: list[tuple[float, Callable[[], None]]] = []
    for hop in hops[:12]:
        hop.ask()
    for hop in hops[10:12]:
        slots.lack(lambda seconds, call: later.append((seconds, call)))
        hop.end()
    assert (slots.total, slots.used, len(later)) == (10, 10, 1)
    hops[12].ask()
    assert not hops[12].held, "what works is ten"
    hops[0].end()
    assert hops[12].held
    for hop in hops[13:]:
        hop.ask()
    totals = []
    while later:
        seconds, call = later.pop()
        assert seconds == GROW
        call()
        totals.append(slots.total)
    assert totals == [12, 15, 18, 22, 27, 33, 40]
    assert all(hop.held for hop in hops[12:])


def test_where_nothing_works_nothing_is_tried_for_a_while() -> None:
    slots = Slots(10)
    hop = Hop(slots, 1)
    later: list[Callable[[], None]] = []
    hop.ask()
    slots.lack(lambda seconds, call: later.append(call))
    hop.end()
    hop.ask()
    assert not hop.held
    later.pop()()
    assert hop.held


def test_an_idle_connection_is_given_up_where_no_other_can_be_had() -> None:
    slots = Slots(10)
    idle, busy = Hop(slots, 1), Hop(slots, 1)
    idle.ask()
    idle.rest()
    busy.ask()
    slots.lack(lambda seconds, call: None)
    assert idle.spared == 1
