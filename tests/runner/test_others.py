"""Other processes hear of what they are to do, and a client may have what waits for it tried."""

from __future__ import annotations

import asyncio

from clock import T0, virtual
from mail import draft
from runners import Service, delayed, settled

from mether.outcome import Route
from mether.queue.store import Committed, StoreError

LOCAL = Route("maildir", "here")


@virtual
async def test_a_process_that_may_not_claim_wakes_the_one_that_does() -> None:
    """One process at a time runs a directory spool; a second smtpd on it only queues."""
    service = Service()
    other = service.store.another(now=T0)
    assert not other.wait(0) and other.fileno()
    wakes, real = [], service.store.wake

    def wake() -> int:
        wakes.append(real())
        return wakes[-1]

    service.store.wake = wake  # type: ignore[method-assign]
    for _ in range(2):
        for fresh in [draft() for _ in range(5)]:
            fresh.claim = service.runner.admit(fresh)
            service.runner.committed(fresh, Committed(fresh.message.ident))
        await settled()
        assert other.wait(0)
    assert wakes == [1, 1], "one for all of a batch"
    assert service.runner.window.used == 0


@virtual
async def test_start_tries_what_waits_for_a_next_hop() -> None:
    """RFC 1985: at once, though it failed a moment ago; and says how many messages that is."""
    service = Service().start()
    service.transport.answers["*"] = delayed("host")
    service.receive(draft())
    await settled()
    service.receive(*(draft() for _ in range(4)))
    await asyncio.sleep(5)
    assert len(service.transport.tried) == 1
    service.transport.answers.clear()
    answers: list[int | StoreError] = []
    service.runner.start("MX.example.net", answers.append)
    service.runner.start("nowhere.example", answers.append)
    await asyncio.sleep(2)
    assert answers == [5, 0]
    assert not service.queued()


@virtual
async def test_start_says_what_is_wrong_with_the_store() -> None:
    service = Service()
    trouble = StoreError("no")

    def start(domain: str, *, now: float, limit: int) -> int:
        raise trouble

    service.store.start = start  # type: ignore[method-assign]
    answers: list[int | StoreError] = []
    service.runner.start("mx.example.net", answers.append)
    await settled()
    assert answers == [trouble]
