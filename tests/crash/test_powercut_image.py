"""The harness itself: what it lets survive a power cut, and what it does not."""

from __future__ import annotations

import apsw
import pytest
from powercut_image import State
from powercut_journal import Journal, RecordingDisk, RecordingVFS


class Played:
    """A directory, a disk above it that records, and the images that may be found now."""

    def __init__(self, path):
        (path / "old").write_bytes(b"old")
        (path / "incoming").mkdir()
        self.path = path
        self.journal = Journal(str(path))
        self.disk = RecordingDisk(self.journal)

    def write(self, name, data, sync=False):
        fd = self.disk.create(str(self.path / name))
        self.disk.write(fd, data)
        if sync:
            self.disk.sync(fd)
        self.disk.close(fd)

    def state(self):
        state = State(self.journal)
        for step in self.journal.steps:
            state.play(step)
        return state

    def images(self):
        return {image.how: image.files for image in self.state().images(1)}


@pytest.fixture
def played(tmp_path):
    return Played(tmp_path)


def test_what_was_there_before_is_durable(played):
    assert played.images() == {
        "nothing unsynced survives": {"old": b"old"},
        "everything survives": {"old": b"old"},
    }


def test_neither_name_nor_data_survive_unsynced_unless_by_chance(played):
    played.write("new", b"0123456789")
    images = played.images()
    assert images["nothing unsynced survives"] == {"old": b"old"}
    assert images["everything survives"] == {"old": b"old", "new": b"0123456789"}
    assert images["names survive without data"]["new"] == b""
    assert "new" not in images["data survive without names"]
    assert images["the last write is torn"]["new"] == b"01234"


def test_a_synced_file_is_lost_with_its_name(played):
    played.write("new", b"data", sync=True)
    assert "new" not in played.images()["nothing unsynced survives"]
    played.disk.sync_directory(str(played.path))
    assert all(files["new"] == b"data" for files in played.images().values())


def test_a_rename_is_whole_and_durable_with_either_directory(played):
    played.write("incoming/temp", b"data", sync=True)
    played.disk.rename(str(played.path / "incoming/temp"), str(played.path / "old"))
    assert played.images()["nothing unsynced survives"] == {"old": b"old"}
    for files in played.images().values():
        assert files in ({"old": b"old"}, {"old": b"data"}, {"old": b"old", "incoming/temp": b"data"})
    played.disk.sync_directory(str(played.path))
    assert all(files == {"old": b"data"} for files in played.images().values())


def test_a_removed_file_may_come_back(played):
    played.disk.unlink(str(played.path / "old"))
    assert played.images()["nothing unsynced survives"] == {"old": b"old"}
    played.disk.sync_directory(str(played.path))
    assert played.images()["nothing unsynced survives"] == {}


def test_a_directory_made_meanwhile_is_lost_with_all_in_it(played):
    (played.path / "XX").mkdir()
    played.write("XX/new", b"data", sync=True)
    played.disk.sync_directory(str(played.path / "XX"))
    assert played.images()["nothing unsynced survives"] == {"old": b"old"}
    played.disk.sync_directory(str(played.path))
    assert played.images()["nothing unsynced survives"]["XX/new"] == b"data"


def test_what_is_done_behind_the_journal_is_seen(played):
    played.write("new", b"data")
    assert played.journal.unseen(played.state().everything()) == []
    (played.path / "new").write_bytes(b"other")
    assert len(played.journal.unseen(played.state().everything())) == 1


def test_sqlite_is_recorded_to_the_last_octet(tmp_path):
    """With its log, a checkpoint, and the removal of the log."""
    journal = Journal(str(tmp_path))
    vfs = RecordingVFS(journal, "recorded")
    try:
        connection = apsw.Connection(str(tmp_path / "db"), vfs="recorded")
        list(connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (x)"))
        for i in range(20):
            connection.execute("INSERT INTO t VALUES (randomblob(?))", (i * 500,))
        state = State(journal)
        for step in journal.steps:
            state.play(step)
        assert journal.unseen(state.everything()) == []
        assert "db-wal" in state.everything()
        connection.close()
    finally:
        vfs.unregister()
    state = State(journal)
    for step in journal.steps:
        state.play(step)
    assert journal.unseen(state.everything()) == []
    assert set(state.everything()) == {"db"}
