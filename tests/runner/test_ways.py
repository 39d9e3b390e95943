"""What is known of next hops: shares of the window, room, and what the store or an attempt said."""

from __future__ import annotations

import pytest
from clock import T0
from mail import HOP, OTHER, claim

from mether.outcome import Route
from mether.queue.claim import Hop
from mether.queue.store import Select
from mether.runner import ways as ways_
from mether.runner.ways import Ways
from mether.runner.window import Window

ROUTES = [Route("smtp", f"{number}.example.net") for number in range(100)]


class Transport:
    room = 40


class Transports:
    """All have the same room; `known` are in use."""

    def __init__(self, **known: int) -> None:
        self.known = {Route("smtp", name.replace("_", ".")): room for name, room in known.items()}

    def transport(self, route: Route) -> Transport:
        return Transport()

    def rooms(self) -> dict[Route, int]:
        return dict(self.known)


def down(route: Route = HOP) -> Hop:
    return Hop(route, failures=2, not_before=T0 + 600, last="451 4.4.1 no answer")


def test_no_next_hop_has_more_than_its_share_of_half_the_window() -> None:
    """QUE-6: however many are slow, the other half is left."""
    ways = Ways(Window(100))
    for route in ROUTES[:10]:
        way = ways.to[route]
        while not ways.full(way) and way.in_hand < 1000:
            ways.take(way)
    assert ways.to[ROUTES[0]].in_hand == 50
    assert ways.to[ROUTES[9]].in_hand == 5
    room, each = ways.rooms(Transports(), 40)
    assert all(room[route] == 0 for route in ROUTES[:10])
    assert each == 4


def test_a_window_that_is_changed_changes_the_shares() -> None:
    """A newer configuration may say another size while the service runs."""
    window = Window(100)
    ways = Ways(window)
    way = ways.to[ROUTES[0]]
    for _ in range(20):
        ways.take(way)
    assert not ways.full(way) and ways.room(way, 1000) == 30
    window.messages = 40
    assert ways.full(way) and ways.room(way, 1000) == 0


def test_everyone_may_have_one() -> None:
    ways = Ways(Window(10))
    for route in ROUTES:
        way = ways.to[route]
        assert not ways.full(way)
        ways.take(way)
    assert all(ways.full(way) for way in ways.to.values())


def test_what_is_on_its_way_to_a_transport_takes_room_there() -> None:
    ways = Ways(Window(1000))
    way = ways.to[HOP]
    for _ in range(30):
        ways.take(way)
        way.coming += 1
    room, each = ways.rooms(Transports(mx_example_net=40, other_example_org=7), 10)
    assert room[HOP] == 10
    assert room[OTHER] == 7
    assert each == 10


def test_idle_next_hops_are_forgotten_and_those_that_mail_waits_for_are_not() -> None:
    ways = Ways(Window(1000))
    for route in ROUTES:
        way = ways.to[route]
        ways.take(way)
        ways.give(way)
    ways.to[ROUTES[3]].starved = True
    ways.learn(down(ROUTES[5]))
    known = Transports()
    known.known[ROUTES[3]] = 0
    ways.rooms(known, 10)
    assert set(ways.to) == {ROUTES[3], ROUTES[5]}
    assert ways.crowded


def test_where_all_room_was_used_up_more_may_wait() -> None:
    ways = Ways(Window(1000))
    select = Select(each=2, room={OTHER: 3})
    ways.used_up([claim(), claim(), claim(route=OTHER), claim(route=OTHER)], select)
    assert ways.to[HOP].starved
    assert not ways.to[OTHER].starved


def test_an_answer_older_than_an_attempt_does_not_undo_it() -> None:
    ways = Ways(Window(1000))
    ways.asked()
    ways.learn(down())
    ways.told(Hop(HOP))
    ways.know([])
    assert list(ways.troubled) == [HOP]
    ways.asked()
    ways.know([])
    assert not ways.troubled
    assert ways.to[HOP].open(T0)


def test_what_is_known_is_what_the_store_lists() -> None:
    ways = Ways(Window(1000))
    ways.know([down(), Hop(OTHER, suspended="moving", suspended_until=T0 + 60)])
    assert not ways.to[HOP].open(T0 + 1000), "it has failures: the store gives a probe"
    assert not ways.to[OTHER].open(T0)
    assert ways.to[OTHER].open(T0 + 60)
    ways.know([down()])
    assert ways.to[OTHER].open(T0)
    ways.told(Hop(HOP))
    assert ways.to[HOP].open(T0)


def test_only_so_many_in_trouble_are_remembered_the_suspended_ones_before_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways_, "MAX_HOPS", 3)
    ways = Ways(Window(1000))
    for route in ROUTES[:5]:
        ways.learn(down(route))
    assert list(ways.troubled) == ROUTES[2:5]
    ways.asked()
    suspended = [Hop(route, suspended="no") for route in ROUTES[10:12]]
    ways.know([*map(down, ROUTES[:5]), *suspended])
    assert {hop.route for hop in suspended} < set(ways.troubled)
    assert len(ways.troubled) == 3
    ways.know([Hop(route, suspended="no") for route in ROUTES[:5]])
    assert len(ways.troubled) == 3


def test_when_a_next_hop_may_be_tried() -> None:
    way = ways_.Way()
    assert way.ready(T0) == T0
    way.hop = down()
    assert way.ready(T0) == T0 + 600
    assert way.ready(T0 + 900) == T0 + 900
    way.hop = Hop(HOP, not_before=T0 + 600, suspended="moving", suspended_until=T0 + 700)
    assert way.ready(T0) == T0 + 700
    way.hop = Hop(HOP, suspended="moving")
    assert way.ready(T0) is None
