"""Opening a queue by its URL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mether.queue.open import open_store
from mether.queue.store import Filter, StoreError

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
