"""The workers as their parent sees them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from mether.setup import channel, crew


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not listen."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_who_takes_a_word_is_told_it(sleeper: subprocess.Popen[bytes]) -> None:
    """And who does not is ended, so that its successor goes by what is right."""
    hears, deaf, dead = (crew.One(number) for number in range(3))
    ours, theirs = channel.pair()
    hears.pid, hears.channel = 1 << 30, ours
    deaf.pid = sleeper.pid
    assert crew.tell([hears, deaf, dead], "adopt") == {hears}
    assert theirs.receive() == ([("adopt",)], True)
    assert sleeper.wait() == -signal.SIGKILL
    assert [one.name for one in (hears, deaf, dead)] == ["worker 1", "worker 2", "worker 3"]
    theirs.close()
    assert not hears.tell(("stop",)), "it is gone"
    ours.close()
