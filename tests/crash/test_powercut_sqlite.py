"""The power fails while the SQLite store works (QUE-5): see powercut.py for what must hold."""

from __future__ import annotations

import pytest
from powercut import Recording, record, workload

from mether.queue import database
from mether.queue.sqlite import SqliteStore

EXCUSED = (
    # SQLite's own caution: that no older log can be seen behind a header which is not there yet.
    *(f"{verb}>execute: wal header" for verb in ("commit", "apply", "change")),
    # Nothing is promised by a claim: when it is lost, so is the process that held it.
    "claim>",
    "renew>",
    "release>",
    "close>execute",
)


@pytest.fixture(scope="module")
def recording() -> Recording:
    def opener(path, now, disk, vfs):
        return SqliteStore(path, now=now, disk=disk, vfs=vfs)

    with pytest.MonkeyPatch.context() as patch:
        # A checkpoint every few transactions, and the log begun anew and cut as often as may be.
        patch.setattr(database, "CHECKPOINT", 24)
        patch.setattr(database, "TRUNCATE", 72)
        return record(opener, atomic=True, sqlite=True, work=workload)


def test_the_workload_reaches_every_kind_of_sync(recording):
    """Else the tests below would say less than they seem to."""
    kinds = {site.partition(": ")[2].partition(" ")[0] for site in recording.syncs().values()}
    assert kinds == {"wal", "wal's", "database", "file", "directory"}


def test_what_was_answered_survives_a_power_cut_at_any_step(recording):
    """DAT-5, QUE-5: every image that the disk may hold is opened, and held against what was promised."""
    assert list(recording.failures())[:3] == []


def test_every_sync_is_needed(recording):
    """Leave out any one sync and some image breaks a promise; so each is needed, and this test sees."""
    assert recording.needless(EXCUSED) == []
