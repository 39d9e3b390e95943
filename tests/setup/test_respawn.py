"""A process that dies again and again is started after longer and longer pauses."""

import signal

import pytest

from mether.setup import respawn


def test_pauses_grow_up_to_a_minute():
    count, pauses = 0, []
    for _ in range(10):
        count = respawn.deaths(count, lived=0.1)
        pauses.append(respawn.pause(count))
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert respawn.pause(10**9) == 60


def test_one_that_has_worked_for_a_while_is_started_at_once():
    assert respawn.deaths(50, lived=59) == 51
    assert respawn.pause(respawn.deaths(50, lived=61)) == 0


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (0, "ended with status 0"),
        (75 << 8, "ended with status 75"),
        (int(signal.SIGKILL), "was killed by SIGKILL"),
        (63, "was killed by signal 63"),
    ],
)
def test_how_it_ended(status, told):
    assert respawn.how(status) == told
