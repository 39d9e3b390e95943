"""Opening a queue by its URL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
from denied import forbidden
from queues import put

from mether.queue import fsck
from mether.queue.open import open_store, there
from mether.queue.store import Absent, Filter, NotAllowed, NoUrl, StoreError

T0 = 1_800_000_000.0


def test_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/a/b"
    store = open_store(url, now=T0)
    assert store.entries(Filter()) == []
    store.close()
    open_store(url, now=T0, create=False).close()


def test_a_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:here", now=T0)
    monkeypatch.chdir("/")
    assert store.entries(Filter()) == []
    store.close()
    assert os.path.exists(tmp_path / "here" / "queue.sqlite3")


def test_memory() -> None:
    store = open_store("memory:", now=T0)
    assert store.entries(Filter()) == []
    store.close()


@pytest.mark.parametrize(
    "url",
    ["", "sqlite", "sqlite:", "directory:", "memory", "memory:x", "postgres:x", "/var/spool", "sqlite:a\0b"],
)
def test_what_names_no_queue(url: str) -> None:
    with pytest.raises(StoreError, match="names no queue"):
        open_store(url, now=T0)


def test_a_queue_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no queue in"):
        open_store(f"sqlite:{tmp_path}/none", now=T0, create=False)
    assert os.listdir(tmp_path) == []


def test_a_place_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot create the queue"):
        open_store(f"sqlite:{tmp_path}/file/spool", now=T0)


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").mkdir()
    with pytest.raises(StoreError, match="cannot open the queue"):
        open_store(f"sqlite:{tmp_path}", now=T0)


@pytest.mark.parametrize("scheme", ["sqlite", "directory"])
def test_whether_there_is_a_queue(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(Absent, match="there is no queue in"):
        there(f"{scheme}:{tmp_path}")
    open_store(f"{scheme}:{tmp_path}/a", now=T0).close()
    there(f"{scheme}:{tmp_path}/a")
    there("memory:")
    with pytest.raises(NoUrl):
        there("sqlite")


READ = """
import sys
from mether.queue import fsck
from mether.queue.open import open_store
from mether.queue.store import Filter, StoreError
url = sys.argv[1]
store = open_store(url, now=1.0, create=False)
print(len(store.entries(Filter())), list(store.check()), fsck.look(url).lines())
for work in (
    lambda: store.change(Filter(), "hold", now=1.0),
    lambda: open_store(url, now=1.0),
    lambda: fsck.repair(url, now=1.0),
):
    try:
        work()
    except StoreError as error:
        print(type(error).__name__, str(error).rpartition(": ")[2])
store.close()
"""

MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 99; shift; exec "$@"'


@pytest.mark.parametrize("missing", [(), ("-shm",), ("-shm", "-wal")])
@pytest.mark.parametrize("scheme", ["sqlite", "directory"])
def test_a_read_only_file_system(tmp_path: Path, scheme: str, missing: tuple[str, ...]) -> None:
    """What is queued can be listed and looked over, whatever of SQLite's log is there; no more can be."""
    url, path = f"{scheme}:{tmp_path}/spool", str(tmp_path / "spool")
    store = open_store(url, now=T0)
    put(store)
    put(store)
    store.close()
    if "-wal" in missing and scheme == "sqlite":
        connection = apsw.Connection(f"{path}/queue.sqlite3")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()
    for name in missing:
        (tmp_path / "spool" / f"queue.sqlite3{name}").unlink(missing_ok=True)
    argv = ["unshare", "-m", "sh", "-c", MOUNT, "sh", path, sys.executable, "-c", READ, url]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 99 or (done.returncode and done.stderr.startswith("unshare:")):
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["2 [] []", *["StoreError Read-only file system"] * 3]


def test_a_queue_of_another_user(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/spool"
    open_store(url, now=T0).close()
    with forbidden(f"{tmp_path}/spool"):
        for work in (lambda: open_store(url, now=T0, create=False), lambda: fsck.look(url)):
            with pytest.raises(NotAllowed, match="cannot be read: Permission denied"):
                work()
