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


def test_who_takes_a_word_is_told_it() -> None:
    hears, gone, dead = (crew.One(number) for number in range(3))
    ours, theirs = channel.pair()
    hears.pid, hears.channel = 1 << 30, ours
    gone.pid = 1 << 30
    assert crew.tell([hears, gone, dead], "adopt") == {hears}
    assert theirs.receive() == ([("adopt",)], True)
    assert [one.name for one in (hears, gone, dead)] == ["worker 1", "worker 2", "worker 3"]
    ours.close()
    theirs.close()


def test_who_takes_only_half_a_word_is_given_up(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked to end, has a time to do so, and is told nothing more, which it could not understand."""
    monkeypatch.setattr(channel, "SECONDS", 0.05)
    stuck = crew.One(0)
    ours, theirs = channel.pair()
    stuck.pid, stuck.channel, stuck.ready = sleeper.pid, ours, True
    assert not stuck.tell(("prepare", b"x" * 2_000_000))
    assert sleeper.wait() == -signal.SIGTERM
    assert stuck.until is not None and not stuck.ready
    assert theirs.receive()[0] == []
    assert crew.tell([stuck], "drop") == set()
    assert theirs.receive()[0] == []
    ours.close()
    theirs.close()
