"""What a runner has in hand stays its own, for as long as it takes."""

from __future__ import annotations

import asyncio

from clock import T0, running, virtual
from mail import NEVER, draft, heard
from runners import Queue, Service, settled

from mether.queue.figures import Live
from mether.queue.memory import MemoryStore
from mether.queue.store import Filter
from mether.runner.asking import asker
from mether.runner.lease import RENEWAL, Lease


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


@virtual
async def test_everyone_learns_how_many_share_the_work() -> None:
    """QUE-4: each keeps to its part of every limit, and no message costs a row for that."""
    memory = MemoryStore(now=T0)
    first = Service(store=memory).start()
    shared: list[tuple[int, int]] = []
    first.runner.shared = lambda live: shared.append((live.runners, live.receivers))
    await settled()
    assert first.transports.runners == [1]
    second = Service(store=memory.another(now=T0)).start()
    receiver = memory.another(now=T0)
    receiver.runs, receiver.receives = False, True
    queue = Queue(receiver)
    heard_of: list[int] = []
    lease = Lease(
        running(),
        asker(running(), queue),  # type: ignore[arg-type]
        running().clock,
        lambda live: heard_of.append(live.runners),
    )
    lease.start()
    await asyncio.sleep(RENEWAL + 1)
    assert first.transports.runners == [1, 2]
    assert second.transports.runners[-1] == 2
    assert shared[-1] == (2, 1)
    assert heard_of[-1] == 2
    lease.stop()
    assert second.task is not None
    second.task.cancel()
    await asyncio.sleep(100)
    assert first.transports.runners == [1, 2, 1]
    assert shared[-1] == (1, 0)


@virtual
async def test_a_process_that_was_stopped_gives_up_what_was_taken_from_it() -> None:
    """QUE-5: what it has on its way ends refused, without a second report; what waits there is not tried."""
    memory = MemoryStore(now=T0)
    stopped = Service(store=memory).start()
    stopped.transport.answers["rcpt@example.net"] = ("failed", NEVER, "recipient")
    stopped.transport.holding = True
    stopped.receive(*(draft() for _ in range(5)))
    await settled()
    under_way = stopped.transport.held.popleft()
    other = Service(store=memory.another(now=T0))
    other.transport.answers["rcpt@example.net"] = ("failed", NEVER, "recipient")
    memory.memory.owners[memory.owner] = T0 - 1  # it did nothing for a minute, and was taken for dead
    with heard() as events:
        other.start()
        await asyncio.sleep(RENEWAL)
        assert "warning" in [name for name, _ in events]
        assert not stopped.transport.held
        stopped.transport.work(under_way)
        await settled()
    assert [name for name, _ in events].count("refused") == 1
    assert [name for name, _ in events].count("reported") == 5
    assert not stopped.runner._hand
    stopped.transport.holding = False
    stopped.transport.answers.clear()
    other.transport.answers.clear()
    await asyncio.sleep(100)
    assert not memory.entries(Filter())


@virtual
async def test_a_fault_does_not_end_the_renewing() -> None:
    service = Service().start()
    faults = 1
    real = service.store.live

    def live(now: float) -> Live:
        nonlocal faults
        if faults:
            faults -= 1
            raise RuntimeError("broken")
        return real(now)

    service.store.live = live  # type: ignore[method-assign]
    with heard() as events:
        await asyncio.sleep(RENEWAL + 1)
    assert [name for name, _ in events].count("error") == 1
    assert service.transports.runners == [1]
