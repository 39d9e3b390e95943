"""The places that sessions are held in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import T0
from places import Place

from mether.queue.memory import MemoryStore
from mether.queue.sqlite import SqliteStore


@pytest.fixture
def place() -> Place:
    return Place(MemoryStore(now=T0))


@pytest.fixture(params=["memory", "sqlite"])
def spooled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    store = MemoryStore(now=T0) if request.param == "memory" else SqliteStore(str(tmp_path / "q"), now=T0)
    place = Place(store)
    yield place
    incoming = tmp_path / "q" / "incoming"
    if incoming.exists():
        assert not list(incoming.iterdir()), "something received was left behind"
    store.close()
