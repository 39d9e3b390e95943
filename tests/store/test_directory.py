"""The directory store passes the contract that all stores pass (tests/store/contract.py)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contract import T0, Killer, Maker, StoreContract, model
from hypothesis import settings

from mether.queue.directory import DirectoryStore
from mether.queue.store import Store


def kill(store: Store) -> None:
    """What ``kill -9`` leaves of a store: the kernel closes its descriptors, and nothing else happens."""
    assert isinstance(store, DirectoryStore)
    for fd in [*store._held.values(), store._runner, store._journal._fd]:
        if fd >= 0:
            os.close(fd)
    store._held.clear()
    store._claims.clear()
    store._runner = store._journal._fd = -1
    store._lock.close()
    store._files.life.drop(remove=False)


class TestDirectory(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[Maker]:
        stores: list[Store] = []

        def make() -> Store:
            stores.append(DirectoryStore(str(tmp_path / "spool"), now=T0))
            return stores[-1]

        yield make
        for store in stores:
            store.close()

    @pytest.fixture
    def kill(self) -> Killer:
        return kill


def _make() -> tuple[Maker, Callable[[], None]]:
    path = tempfile.mkdtemp()
    return lambda: DirectoryStore(path, now=T0), lambda: shutil.rmtree(path)


TestModel = model(_make).TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
