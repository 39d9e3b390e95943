"""What the runner would do with a message at some time, in a verb and words."""

import pytest
from clock import T0
from hypothesis import given
from hypothesis import strategies as st
from mail import DAY, HOP, OTHER, draft, message

from mether.envelope import By
from mether.queue.claim import Hop
from mether.queue.memory import MemoryStore
from mether.queue.message import Entry, Row
from mether.queue.store import Filter, Select
from mether.runner import plan, settle


def entry(*, next_attempt=T0, owner=None, hold=None, expires=T0 + 5 * DAY, route=HOP):
    made = message(expires=expires)
    made.hold = hold
    rows = [Row(0, made.envelope.recipients[0], route, next_attempt=next_attempt, owner=owner)]
    return Entry(made, rows)


def step(made, hops=(), at=T0, **more):
    (one,) = plan.steps(made, {hop.route: hop for hop in hops}, at, **more)
    return one


def test_what_is_due_is_tried():
    one = step(entry())
    assert (one.verb, one.why) == ("try", "it is due")
    assert one.row.number == 0


def test_what_is_not_due_waits_until_then():
    one = step(entry(next_attempt=T0 + 60))
    assert (one.verb, one.when) == ("wait", T0 + 60)
    assert step(entry(next_attempt=T0 + 60), at=T0 + 60).verb == "try"


def test_it_never_waits_longer_than_it_may_be_queued():
    assert step(entry(next_attempt=T0 + 60, expires=T0 + 30)).when == T0 + 30


@pytest.mark.parametrize(("hold", "why"), [("", "held"), ("on suspicion", "held: on suspicion")])
def test_what_is_held_stays_whatever_is_asked(hold, why):
    for regardless in (False, True):
        one = step(entry(hold=hold), regardless=regardless)
        assert (one.verb, one.why, one.when) == ("hold", why, None)


def test_what_another_process_tries_is_left_to_it():
    assert step(entry(owner=7), regardless=True).verb == "leave"


def test_a_next_hop_that_does_not_answer_is_not_asked():
    hop = Hop(HOP, failures=3, not_before=T0 + 600, last="451 4.4.1 no answer")
    one = step(entry(), [hop])
    assert (one.verb, one.when) == ("wait", T0 + 600)
    assert one.why == "its next hop does not answer (451 4.4.1 no answer)"
    assert step(entry(), [hop], at=T0 + 600).verb == "try"
    assert step(entry(), [hop], regardless=True).verb == "try"
    assert step(entry(route=OTHER), [hop]).verb == "try"


@pytest.mark.parametrize("until", [None, T0 + 600])
def test_a_suspended_next_hop_waits(until):
    one = step(entry(), [Hop(HOP, suspended="moving house", suspended_until=until)])
    assert (one.verb, one.why, one.when) == ("wait", "its next hop is suspended: moving house", until)


def test_what_has_expired_is_returned_when_it_cannot_be_tried():
    one = step(entry(next_attempt=T0 + 60, expires=T0 - 1))
    assert (one.verb, one.when) == ("return", T0 - 1)


def test_a_step_for_each_recipient():
    made = message("a@b.test", "c@d.test")
    people = made.envelope.recipients
    rows = [Row(0, people[0], HOP, next_attempt=T0), Row(1, people[1], OTHER, next_attempt=T0 + 9)]
    assert [one.verb for one in plan.steps(Entry(made, rows), {}, T0)] == ["try", "wait"]


def test_what_is_to_be_released_later_waits_whatever_is_asked():
    """EXT-2"""
    made = entry()
    made.message.release_at = T0 + 60
    for regardless in (False, True):
        one = step(made, regardless=regardless)
        assert (one.verb, one.when, one.why) == ("wait", T0 + 60, "its sender asked for a later delivery")
    assert step(made, at=T0 + 60).verb == "try"


def test_what_came_too_late_is_returned_untried():
    """EXT-1: RFC 2852 section 4.1.3, mode R."""
    made = entry()
    made.message.envelope.by = By(60, "R")
    assert step(made, at=T0 + 59).verb == "try"
    one = step(made, at=T0 + 60, regardless=True)
    assert (one.verb, one.when) == ("return", T0 + 60)


def ahead(made, hop=None, now=T0):
    return [(at - T0, step.verb) for at, step in plan.outlook(made, made.rows[0], hop, now)]


@pytest.mark.parametrize(
    ("made", "hop", "verbs"),
    [
        (entry(), None, [(0, "try")]),
        (entry(hold="x"), None, [(0, "hold")]),
        (entry(owner=7), None, [(0, "leave")]),
        (entry(next_attempt=T0 + 60), None, [(0, "wait"), (60, "try")]),
        (
            entry(next_attempt=T0 + 60),
            Hop(HOP, failures=1, not_before=T0 + 90),
            [(0, "wait"), (60, "wait"), (90, "try")],
        ),
        (
            entry(),
            Hop(HOP, failures=1, not_before=T0 + 90, suspended="x", suspended_until=T0 + 60),
            [(0, "wait"), (60, "wait"), (90, "try")],
        ),
        (entry(), Hop(HOP, suspended="x"), [(0, "wait"), (5 * DAY, "return")]),
        (entry(next_attempt=T0 + 60, expires=T0 + 30), None, [(0, "wait"), (30, "return")]),
        (entry(expires=T0 - 1), Hop(HOP, suspended="x"), [(0, "return")]),
    ],
)
def test_what_it_waits_for_one_thing_after_the_other(made, hop, verbs):
    """QUE-2: each wait and what ends it, by the same function at each of these times."""
    assert ahead(made, hop) == verbs


def test_what_its_sender_wants_later_waits_for_that_and_then_for_its_next_hop():
    made = entry(next_attempt=T0 + 60)
    made.message.release_at = T0 + 60
    hop = Hop(HOP, failures=1, not_before=T0 + 90)
    assert ahead(made, hop) == [(0, "wait"), (60, "wait"), (90, "try")]


def test_a_delivery_time_that_ends_first_ends_the_waiting():
    """EXT-1"""
    made = entry(next_attempt=T0 + 60)
    made.message.envelope.by = By(30, "R")
    assert ahead(made)[0][1] == "wait"
    assert ahead(made)[-1] == (made.message.arrival.at - T0 + 30, "return")


def warned(*, at=T0 + 60, notify=None, told=False, **more):
    made = entry(**more)
    made.message.warn_at = at
    made.rows[0].recipient.notify = notify
    made.rows[0].warned = told
    return made


def test_who_waits_too_long_is_told_of():
    """DSN-6"""
    one = step(warned(next_attempt=T0 + 90), at=T0 + 60)
    assert (one.verb, one.when, one.why) == ("warn", T0 + 60, "its sender is told of the delay")
    assert step(warned(), at=T0 + 60).verb == "try", "what is due is tried first"
    assert step(warned(hold="x"), at=T0 + 60).verb == "hold"
    for made in (warned(next_attempt=T0 + 90, notify="NEVER"), warned(next_attempt=T0 + 90, told=True)):
        assert step(made, at=T0 + 60).verb == "wait"
    nobody = warned(next_attempt=T0 + 90)
    nobody.message.envelope.reverse_path = None
    assert step(nobody, at=T0 + 60).verb == "wait"


@pytest.mark.parametrize(
    ("made", "hop", "verbs"),
    [
        (warned(next_attempt=T0 + 90), None, [(0, "wait"), (60, "warn"), (60, "wait"), (90, "try")]),
        (warned(next_attempt=T0 + 60), None, [(0, "wait"), (60, "try")]),
        (warned(at=T0 - 9, next_attempt=T0 + 90), None, [(0, "warn"), (0, "wait"), (90, "try")]),
        (warned(), Hop(HOP, suspended="x"), [(0, "wait"), (60, "warn"), (60, "wait"), (5 * DAY, "return")]),
        (warned(next_attempt=T0 + 90, notify="FAILURE"), None, [(0, "wait"), (90, "try")]),
    ],
)
def test_a_warning_is_among_what_comes(made, hop, verbs):
    """DSN-6, QUE-2: where it is next, and the waiting goes on."""
    assert ahead(made, hop) == verbs


@given(
    st.sampled_from([T0 - 60, T0, T0 + 60]),
    st.sampled_from([T0 - 30, T0, T0 + 30]),
    st.sampled_from([None, 10, 90]),
    st.sampled_from(
        [
            None,
            Hop(HOP, failures=1, not_before=T0 + 60),
            Hop(HOP, failures=1, not_before=T0 - 60),
            Hop(HOP, suspended="x"),
            Hop(HOP, suspended="x", suspended_until=T0 - 1),
        ]
    ),
    st.booleans(),
)
def test_it_says_what_the_runner_does(due, expires, by, hop, regardless):
    """QUE-5: the store's claim and the course that the runner gives it come to the same."""
    one = draft(at=T0 - 60, expires=expires)
    one.due = due
    if by is not None:
        one.message.envelope.by = By(by, "R")
        one.message.expires = min(expires, T0 - 60 + by)
    store = MemoryStore(now=T0 - 60)
    store.commit([one], now=T0 - 60)
    if hop is not None:
        store.apply(hops=[hop], now=T0)
        if hop.suspended is not None:
            store.suspend([HOP], reason="x", until=hop.suspended_until)
    (made,) = store.entries(Filter())
    hops = {each.route: each for each in store.hops()}
    (told,) = plan.steps(made, hops, T0, regardless=regardless)
    claims = store.claim(1, T0, Select(regardless=regardless))
    does = [settle.course(each.message, T0, due=each.due) for each in claims] or ["wait"]
    assert [told.verb] == does
