"""What is given back is due as before, and the store is asked until it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from clock import virtual
from mail import draft, heard
from runners import Service, settled

from mether.outcome import Route
from mether.queue.claim import Claim
from mether.queue.store import Filter, StoreError
from mether.runner import giving

LOCAL = Route("maildir", "here")


@virtual
async def test_what_a_transport_gives_back_is_due_as_before() -> None:
    service = Service()
    service.transport.holding = True
    service.receive(draft())
    await settled()
    service.runner.returned([service.transport.held.pop()])
    await settled()
    (entry,) = service.store.entries(Filter())
    assert (entry.status, entry.rows[0].attempts) == ("fresh", 0)
    assert service.runner.window.used == 0


@virtual
async def test_claims_are_given_back_until_the_store_takes_them() -> None:
    """A claim of ours that nobody works would be nobody's to try."""
    service = Service()
    service.transport.holding = True
    service.receive(draft())
    await settled()
    real = service.store.release
    troubles = 1

    def release(claims: Sequence[Claim]) -> None:
        nonlocal troubles
        if troubles:
            troubles -= 1
            raise StoreError("disk I/O error")
        real(claims)

    service.store.release = release  # type: ignore[method-assign]
    with heard() as events:
        service.runner.returned([service.transport.held.pop()])
        await settled()
        (entry,) = service.store.entries(Filter())
        assert entry.status == "active"
        await asyncio.sleep(giving.RETRY)
    (entry,) = service.store.entries(Filter())
    assert entry.status == "fresh"
    assert [name for name, _ in events] == ["error"]
