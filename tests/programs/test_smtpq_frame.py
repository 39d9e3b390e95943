"""What `smtpq top` shows, as lines."""

import pytest

from mether.outcome import Route
from mether.programs.smtpq_frame import AGES, HEADING, Count, frame, next_hops, rates
from mether.queue.claim import Hop
from mether.queue.figures import Shape, Summary, Totals

NOW = 1_800_000_000.0


def shape(name, **ages):
    found = Shape(Route("smtp", name), [0] * (len(AGES) + 1))
    for age, count in ages.items():
        found.counts[int(age[1:])] = count
    return found


DOWN = Hop(Route("smtp", "down.test"), failures=7, not_before=NOW + 300, last="451 4.4.1 no\x1b answer")
OFF = Hop(Route("smtp", "off.test"), suspended="moving", suspended_until=NOW + 7200)
COUNT = Count(
    NOW - 1,
    Summary(fresh=1, deferred=20, active=3, held=4, oldest=NOW - 11400),
    [shape("many.test", _0=90, _1=5), shape("down.test", _8=10), shape("old.test", _14=1)],
    [DOWN, OFF],
)


def shown(count=COUNT, rate=None, width=80, height=24, now=NOW, **more):
    return frame(count, rate, now=now, width=width, height=height, **more)


def test_the_whole_of_it():
    lines = shown(rate=[1234.4, 12.34, 0, 0.06])
    assert lines[0].startswith("smtpq top   20") and lines[0].endswith("w a f sort") and len(lines[0]) == 80
    assert lines[1] == "messages    28   fresh 1   deferred 20   active 3   held 4   oldest 3h10m ago"
    assert lines[2] == "per second  queued 1234   done 12.3   deferred 0.0   failed 0.1"
    assert lines[3] == "next hops   waiting at 3   failing 1   suspended 1"
    assert lines[5] == HEADING
    assert lines[6].split() == ["95", ">1m", "smtp:many.test"]
    assert lines[7].split() == ["10", ">2h8m", "7", "5m", "smtp:down.test:", "451", "4.4.1", "no?", "answer"]
    assert lines[8].split() == ["1", ">5d16h", "smtp:old.test"]
    assert lines[9].split() == ["2h", "smtp:off.test", "(suspended:", "moving)"]
    assert len(lines) == 10


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("waiting", ["many.test", "down.test", "old.test", "off.test"]),
        ("age", ["old.test", "down.test", "many.test", "off.test"]),
        ("failures", ["down.test", "many.test", "old.test", "off.test"]),
    ],
)
def test_in_which_order(sort, first):
    assert [line.route.next_hop for line in next_hops(COUNT, sort)] == first
    assert f"by {sort}" in shown(sort=sort)[0]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (80, 8), (1, 1), (200, 7), (3, 200)])
def test_it_fits_any_terminal(width, height):
    lines = shown(width=width, height=height)
    assert len(lines) <= height and all(len(line) <= width for line in lines)


def test_what_does_not_fit_is_counted():
    lines = shown(height=8)
    assert lines[-2].split()[-1] == "smtp:many.test"
    assert lines[-1] == "      11 at 3 other next hops"


def test_before_and_without_figures():
    assert shown(None)[1] == "counting ..."
    assert "per second  being measured" in shown()
    assert "per second  not kept by this kind of queue" in shown(kept=False)
    empty = shown(Count(NOW, Summary(), [], []))
    assert empty[1] == "messages    0   fresh 0   deferred 0   active 0   held 0"
    assert empty[-1].strip() == "nothing waits, and no next hop is in trouble"


def test_old_figures_and_trouble_are_said_to_be_so():
    assert "counted 41s ago" in shown(now=NOW + 40)[3]
    assert "counted" not in shown()[3]
    assert shown(note="the queue is\ngone")[3] == "trouble     the queue is gone"
    assert "PAUSED" in shown(paused=True)[0]


def test_rates_are_differences():
    before, after = (10.0, Totals(5, 4, 3, 2)), (12.0, Totals(25, 4, 4, 12))
    assert rates(before, after) == [10.0, 0.0, 5.0, 0.5]
    assert rates(None, after) is None
    assert rates(after, after) is None
    assert rates((10.0, Totals(9)), (11.0, Totals(0))) == [0, 0, 0, 0]
