"""The SQLite store: the contract, and what only it promises."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract import T0, Killer, Maker, StoreContract, model
from hypothesis import settings

from mether.queue.sqlite import SqliteStore
from mether.queue.store import Store


def die(store: Store) -> None:
    """End an owner as kill -9 does: the kernel closes what it had open."""
    assert isinstance(store, SqliteStore)
    store._db.close()
    store._spool.life.drop(remove=False)
    if store._wake._sock is not None:
        store._wake._sock.close()
        store._wake._sock = None
    store._registered = False


class TestSqlite(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[Maker]:
        made: list[SqliteStore] = []

        def make() -> Store:
            made.append(SqliteStore(str(tmp_path / "spool"), now=T0))
            return made[-1]

        yield make
        for store in made:
            store.close()

    @pytest.fixture
    def kill(self) -> Killer:
        return die


def _make() -> tuple[Maker, object]:
    directory = tempfile.mkdtemp()
    return lambda: SqliteStore(directory, now=T0), lambda: shutil.rmtree(directory)


TestModel = model(_make).TestCase  # type: ignore[arg-type]
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
