"""The power fails while the directory store works (QUE-5): see powercut.py for what must hold."""

from __future__ import annotations

import pytest
from powercut import Recording, record, workload

from mether.queue.directory import DirectoryStore


@pytest.fixture(scope="module")
def recording() -> Recording:
    def opener(path, now, disk, vfs):
        assert vfs is None
        return DirectoryStore(path, now=now, disk=disk)

    # ID.errs is appended and never synced: nothing is decided by what it says (directory_errs).
    return record(opener, atomic=False, history=False, aside=["queue/.lock"], work=workload)


def test_what_was_answered_survives_a_power_cut_at_any_step(recording):
    """DAT-5, QUE-5: every image that the disk may hold is opened, and held against what was promised."""
    assert list(recording.failures())[:3] == []


def test_every_sync_is_needed(recording):
    """Leave out any one sync and some image breaks a promise; so each is needed, and this test sees."""
    assert recording.needless(()) == []
