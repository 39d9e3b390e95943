"""Which address is tried when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mether.client.eyeballs import DELAY, Race, interleave


def test_families_take_turns() -> None:
    """MX-9: RFC 8305 section 4."""
    assert interleave(["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3", "192.0.2.2"]) == [
        "2001:db8::1",
        "192.0.2.1",
        "2001:db8::2",
        "192.0.2.2",
        "2001:db8::3",
    ]
    assert interleave(["192.0.2.1", "192.0.2.1", "2001:db8::1"]) == ["192.0.2.1", "2001:db8::1"]
    assert interleave([]) == []


@given(st.lists(st.sampled_from([*"abcd", "a:", "b:", "c:"])))
def test_none_is_lost_and_each_family_keeps_its_order(addresses: list[str]) -> None:
    """MX-5, MX-9."""
    found = interleave(addresses)
    for family in (True, False):
        assert [one for one in found if (":" in one) == family] == list(
            dict.fromkeys(one for one in addresses if (":" in one) == family)
        )


def test_the_next_attempt_begins_beside_one_that_takes_its_time() -> None:
    """MX-9: RFC 8305 section 5."""
    race = Race(["a", "b"], 100.0)
    assert (race.begin(100.0), race.begin(100.0), race.wait(100.0)) == ("a", None, DELAY)
    assert race.begin(100.0 + DELAY) == "b"
    assert (race.begin(200.0), race.wait(200.0), race.over) == (None, None, False)
    race.failed(201.0)
    assert not race.over
    race.failed(202.0)
    assert race.over


def test_after_a_failure_the_next_does_not_wait() -> None:
    """MX-9."""
    race = Race(["a", "b"], 0.0)
    assert race.begin(0.0) == "a"
    race.failed(0.01)
    assert race.wait(0.01) == 0.0
    assert race.begin(0.01) == "b"


def test_a_race_can_be_stopped() -> None:
    race = Race(["a", "b", "c"], 0.0)
    race.begin(0.0)
    race.stop()
    assert (race.begin(9.0), race.wait(9.0), race.over) == (None, None, False)
    race.failed(9.0)
    assert race.over
