"""What a runner has in hand stays its own, for as long as it takes."""

from __future__ import annotations

import asyncio

from clock import T0, running, virtual
from mail import draft
from runners import Service, settled

from mether.queue.memory import MemoryStore


@virtual
async def test_claims_are_kept_by_renewing_them() -> None:
    """A slow delivery is not taken over by another process."""
    memory = MemoryStore(now=T0)
    service = Service(store=memory).start()
    service.transport.holding = True
    service.receive(draft())
    await settled()
    other = memory.another(now=T0)
    for _ in range(20):
        await asyncio.sleep(60)
        assert not other.claim(10, running().clock())
    service.transport.work(service.transport.held.pop())
    await settled()
    assert not service.queued()


@virtual
async def test_claims_are_kept_until_the_last_delivery_has_ended() -> None:
    """A service that is told to stop in the middle of a slow delivery still owns that message."""
    memory = MemoryStore(now=T0)
    service = Service(store=memory).start()
    service.transport.holding = True
    service.receive(draft())
    await settled()
    other = memory.another(now=T0)
    service.runner.stop()
    draining = running().create_task(service.runner.drain())
    for _ in range(10):
        await asyncio.sleep(60)
        assert not other.claim(10, running().clock())
    service.transport.work(service.transport.held.pop())
    await draining
    assert not service.queued()
