"""The power fails while the SQLite store works (QUE-5): see powercut.py for what must hold."""

from __future__ import annotations

import pytest
from mether.queue.sqlite import SqliteStore
from powercut import Recording, record, workload

EXCUSED = (
    # Nothing is promised by a claim: when it is lost, so is the process that held it.
    "claim>",
    "renew>",
    "release>",
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    def opener(path, now, disk, vfs):
        return SqliteStore(path, now=now, disk=disk, vfs=vfs)

    return record(opener, atomic=True, sqlite=True, work=workload)


def test_what_was_answered_survives_a_power_cut_at_any_step(recording):
    """QUE-5: every image that the disk may hold is opened, checked, and held against what was promised."""
    assert list(recording.failures())[:3] == []


def test_every_sync_is_needed(recording):
    """Leave out any one sync and some image breaks a promise; so each is needed, and this test sees."""
    assert recording.needless(EXCUSED) == []
