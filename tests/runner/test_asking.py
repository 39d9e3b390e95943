"""Asking the store from the loop: the result, the error, and nobody there any more."""

from __future__ import annotations

import asyncio

import pytest
from clock import T0, running, virtual
from mail import draft
from runners import Queue, settled

from mether.queue.memory import MemoryStore
from mether.queue.store import Store, StoreError
from mether.runner.asking import asker


@virtual
async def test_the_answer_is_that_of_the_store() -> None:
    store = MemoryStore(now=T0)
    store.commit([draft()], now=T0)
    ask = asker(running(), Queue(store))  # type: ignore[arg-type]
    assert await ask(lambda store: store.count(10)) == 1


@virtual
async def test_trouble_comes_back_as_it_is() -> None:
    def work(store: Store) -> None:
        raise StoreError("disk I/O error")

    ask = asker(running(), Queue(MemoryStore(now=T0)))  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="disk I/O error"):
        await ask(work)


@virtual
async def test_who_does_not_wait_any_more_is_not_answered() -> None:
    ask = asker(running(), Queue(MemoryStore(now=T0)))  # type: ignore[arg-type]
    task = asyncio.ensure_future(ask(lambda store: store.count(10)))
    running().call_soon(task.cancel)
    await settled()
    assert task.cancelled()
