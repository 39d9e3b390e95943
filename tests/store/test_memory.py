"""The store in memory: the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract import T0, Killer, Maker, StoreContract, model
from hypothesis import settings

from mether.queue.memory import Memory, MemoryStore
from mether.queue.store import Store


class TestMemory(StoreContract):
    @pytest.fixture
    def make_store(self) -> Iterator[Maker]:
        memory = Memory()
        made: list[MemoryStore] = []

        def make() -> Store:
            made.append(MemoryStore(now=T0, memory=memory))
            return made[-1]

        yield make
        for store in made:
            store.close()

    @pytest.fixture
    def kill(self) -> Killer:
        def die(store: Store) -> None:
            """A process is not there to die: its time is made to have passed."""
            assert isinstance(store, MemoryStore)
            if store.owner in store.memory.owners:
                store.memory.owners[store.owner] = 0.0
            if store._pipe is not None:
                store.wait(0)

        return die


def _make() -> tuple[Maker, object]:
    memory = Memory()
    return lambda: MemoryStore(now=T0, memory=memory), lambda: None


TestModel = model(_make).TestCase  # type: ignore[arg-type]
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_another_owner_shares_the_queue() -> None:
    first = MemoryStore(now=T0)
    second = first.another(now=T0)
    assert second.memory is first.memory
    assert second.owner != first.owner
