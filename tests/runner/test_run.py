"""The runner on a queue in memory, with transports that do as they are told, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from clock import T0, running, virtual
from mail import DAY, HOP, NEVER, OTHER, draft, heard
from runners import Service, delayed, settled

from mether.outcome import Route
from mether.queue.claim import Claim
from mether.queue.memory import MemoryStore
from mether.queue.store import Filter, NoSpace, Select, StoreError
from mether.runner import giving
from mether.runner.window import Window

LOCAL = Route("maildir", "here")


@virtual
async def test_a_fresh_message_goes_straight_through() -> None:
    """It is claimed by its own commit, and never read back."""
    service = Service()
    service.store.claim = None  # type: ignore[assignment, method-assign]
    with heard() as events:
        service.receive(draft("a@example.net", "b@example.net"))
        await settled()
    assert service.transport.times() == [0]
    assert not service.queued()
    assert service.runner.window.used == 0
    assert [name for name, _ in events if name == "relayed"] == ["relayed"] * 2


@virtual
async def test_what_waits_in_the_queue_is_worked() -> None:
    service = Service()
    service.put(*(draft() for _ in range(5)))
    service.start()
    await settled()
    assert len(service.transport.tried) == 5
    assert not service.queued()


@virtual
async def test_a_deferred_message_is_tried_at_its_time() -> None:
    service = Service().start()
    service.transport.answers["*"] = delayed()
    service.receive(draft())
    await asyncio.sleep(3 * 3600)
    for tried, expected in zip(service.transport.times(), [0, 60, 360, 1260, 3060, 6660], strict=True):
        assert expected <= tried <= expected + 2
    service.transport.answers.clear()
    await asyncio.sleep(2 * 3600)
    assert not service.queued()


@virtual
async def test_a_host_that_is_down_is_probed_by_one_message() -> None:
    service = Service().start()
    service.transport.answers["*"] = delayed("host")
    service.receive(draft())
    await settled()
    service.receive(*(draft() for _ in range(20)))
    await asyncio.sleep(62)
    assert len(service.transport.tried) == 2, "the first, and one probe when it is due"
    service.transport.answers.clear()
    await asyncio.sleep(320)
    assert not service.queued(), "when it is up again, all that waited goes"
    assert len(service.transport.tried) == 2 + 21


@virtual
async def test_a_dead_next_hop_holds_up_no_other() -> None:
    service = Service().start()
    service.transport.answers["dead@example.net"] = delayed("host")
    service.receive(draft("dead@example.net"))
    await settled()
    service.receive(*(draft("dead@example.net") for _ in range(50)))
    service.receive(draft("live@example.org", routes=OTHER))
    await settled()
    assert service.transport.tried[-1][2] == ["live@example.org"]
    assert len(service.queued()) == 51


@virtual
async def test_a_full_window_leaves_fresh_messages_in_the_queue() -> None:
    service = Service(window=Window(messages=8)).start()
    service.transport.holding = True
    service.receive(*(draft() for _ in range(20)))
    await settled()
    assert service.runner.window.used <= 8
    assert len(service.transport.held) <= 8
    assert len(service.queued()) == 20
    service.transport.holding = False
    while service.transport.held:
        service.transport.work(service.transport.held.popleft())
    await asyncio.sleep(1)
    assert not service.queued()
    assert service.runner.window.used == 0


@virtual
async def test_one_next_hop_takes_not_all_of_the_window() -> None:
    service = Service(window=Window(messages=20))
    service.transport.holding = True
    service.receive(*(draft() for _ in range(20)))
    await settled()
    assert len(service.transport.held) == 10
    assert not service.runner.admit(draft())
    assert service.runner.admit(draft("x@example.org", routes=OTHER))


@virtual
async def test_a_commit_that_failed_leaves_nothing_in_hand() -> None:
    service = Service()
    service.queue.failure, service.queue.delay = NoSpace("full"), 5
    service.receive(draft())
    assert service.runner.window.used == 1
    draining = running().create_task(service.runner.drain())
    await asyncio.sleep(6)
    assert service.runner.window.used == 0
    assert draining.done()


@virtual
async def test_once_tries_each_message_once_whatever_its_time() -> None:
    """runsmtpq --all"""
    service = Service()
    service.transport.answers["*"] = delayed("host")
    service.put(*(draft() for _ in range(3)), draft("x@example.org", routes=OTHER))
    assert await service.runner.once(Select(regardless=True)) >= 2
    tried = len(service.transport.tried)
    service.transport.tried.clear()
    assert await service.runner.once(Select(regardless=True)) == 4
    assert len(service.transport.tried) == 4
    assert tried
    assert all(entry.status == "deferred" for entry in service.store.entries(Filter()))
    assert running().time() < 1


@virtual
async def test_once_takes_only_what_is_due() -> None:
    service = Service()
    service.transport.answers["*"] = delayed()
    service.put(draft())
    assert await service.runner.once(Select()) == 1
    assert await service.runner.once(Select()) == 0
    assert len(service.transport.tried) == 1


@virtual
async def test_once_takes_what_is_named() -> None:
    service = Service()
    wanted, other = draft(), draft()
    service.put(wanted, other)
    assert await service.runner.once(Select(idents=frozenset([wanted.message.ident]))) == 1
    assert service.queued() == [other.message.ident]


@virtual
async def test_once_with_more_messages_than_fit() -> None:
    service = Service(window=Window(messages=4))
    service.transport.answers["*"] = delayed()
    service.put(*(draft() for _ in range(30)))
    assert await service.runner.once(Select(regardless=True)) == 30
    assert len({ident for _, ident, _ in service.transport.tried}) == len(service.transport.tried) == 30


@virtual
async def test_once_comes_past_what_it_just_deferred() -> None:
    """runsmtpq --all, while most of the queue waits for a time far away."""
    service = Service(window=Window(messages=4))
    service.transport.answers["*"] = delayed()
    late = [draft() for _ in range(30)]
    for one in late:
        one.due = T0 + DAY
    service.put(*late)
    assert await service.runner.once(Select(regardless=True)) == 30
    assert len({ident for _, ident, _ in service.transport.tried}) == len(service.transport.tried) == 30


@virtual
async def test_once_comes_past_what_is_given_back() -> None:
    """What a transport gives back untried does not crowd out the rest, and ends."""
    service = Service(window=Window(messages=4))
    service.put(*(draft() for _ in range(10)))
    back = []

    def offer(claim: Claim) -> None:
        back.append(claim.message.ident)
        running().call_soon(service.runner.returned, [claim])

    service.transport.offer = offer  # type: ignore[method-assign]
    assert await service.runner.once(Select(regardless=True)) == 10
    assert len(back) == 10
    assert len(service.store.claim(20, T0)) == 10


@virtual
async def test_once_waits_for_room_that_comes_with_time() -> None:
    """What is due at a next hop with a rate is not left behind."""
    service = Service(each=2)
    service.transports.own[HOP] = service.transport
    service.transport.most = 2
    service.put(*(draft() for _ in range(5)))
    real = service.transport.offer

    def offer(claim: Claim) -> None:
        service.transport.most -= 1
        running().call_later(5, more)
        real(claim)

    def more() -> None:
        service.transport.most += 1

    service.transport.offer = offer  # type: ignore[method-assign]
    assert await service.runner.once(Select()) == 5
    assert not service.queued()


@virtual
async def test_once_also_sends_the_reports_of_what_it_returned() -> None:
    service = Service(window=Window(messages=4))
    service.transport.answers["a@example.net"] = ("failed", NEVER, "recipient")
    service.put(*(draft("a@example.net") for _ in range(10)))
    assert await service.runner.once(Select(regardless=True)) == 20
    assert service.queued() == []


@virtual
async def test_stop_takes_nothing_more_and_drain_waits_for_the_rest() -> None:
    service = Service().start()
    service.transport.holding = True
    service.receive(draft())
    await settled()
    service.runner.stop()
    assert not service.runner.admit(draft())
    service.put(draft())
    draining = running().create_task(service.runner.drain())
    await asyncio.sleep(100)
    assert service.task is not None and service.task.done()
    assert not draining.done()
    service.transport.work(service.transport.held.pop())
    await settled()
    assert draining.done()
    assert len(service.queued()) == 1, "the other was not touched"


@virtual
async def test_a_message_whose_commit_returns_after_stop_stays_in_the_queue() -> None:
    service = Service()
    service.receive(draft())
    service.runner.stop()
    await settled()
    assert not service.transport.tried
    (entry,) = service.store.entries(Filter())
    assert entry.status == "fresh"
    assert service.runner.window.used == 0


@virtual
async def test_a_fault_does_not_end_the_runner() -> None:
    service = Service()
    service.put(draft())
    real = service.store.claim
    faults = 1

    def claim(limit: int, now: float, select: Select | None = None) -> Sequence[Claim]:
        nonlocal faults
        if faults:
            faults -= 1
            return [None]  # type: ignore[list-item]
        return real(limit, now, select)

    service.store.claim = claim  # type: ignore[assignment, method-assign]
    service.start()
    with heard() as events:
        await asyncio.sleep(giving.RETRY + 1)
    assert not service.queued()
    assert service.task is not None and not service.task.done()
    assert [name for name, _ in events].count("error") == 1


@virtual
async def test_trouble_with_the_store_passes() -> None:
    service = Service()
    service.put(draft())
    real = service.store.claim
    troubles = 0

    def claim(limit: int, now: float, select: Select | None = None) -> Sequence[Claim]:
        nonlocal troubles
        if troubles < 3:
            troubles += 1
            raise StoreError("disk I/O error")
        return real(limit, now, select)

    service.store.claim = claim  # type: ignore[assignment, method-assign]
    service.start()
    with heard() as events:
        await asyncio.sleep(120)
    assert not service.queued()
    assert [name for name, _ in events].count("error") == 1, "the same trouble is told once"


@virtual
async def test_once_says_that_nothing_can_be_claimed() -> None:
    """A run that tried nothing for the store's sake is not to look like one that found nothing."""
    service = Service()
    service.put(draft())

    def claim(limit: int, now: float, select: Select | None = None) -> Sequence[Claim]:
        raise StoreError("disk I/O error")

    service.store.claim = claim  # type: ignore[assignment, method-assign]
    with heard() as events, pytest.raises(StoreError, match="disk I/O error"):
        await service.runner.once(Select())
    assert not events


@virtual
async def test_nothing_is_remembered_of_next_hops_that_are_well() -> None:
    """Memory does not grow with every domain that mail was ever sent to."""
    service = Service().start()
    routes = [Route("smtp", f"{number}.example.net") for number in range(6)]
    service.transport.answers["*"] = delayed("host")
    service.receive(*(draft(routes=each) for each in routes))
    await asyncio.sleep(1)
    assert set(service.runner._ways.troubled) == set(routes)
    service.transport.answers.clear()
    await asyncio.sleep(DAY)
    assert not service.queued()
    assert not service.runner._ways.to


@virtual
async def test_what_another_process_queued_is_found_when_it_says_so() -> None:
    service = Service().start()
    await asyncio.sleep(100)
    service.put(draft())
    service.runner.wake()
    began = running().time()
    await settled()
    assert len(service.transport.tried) == 1
    assert running().time() - began < 1


@virtual
async def test_and_after_a_while_when_it_does_not() -> None:
    service = Service().start()
    await asyncio.sleep(100)
    service.put(draft())
    await asyncio.sleep(20)
    assert len(service.transport.tried) == 1


@virtual
async def test_what_a_dead_process_had_in_hand_goes_without_delay() -> None:
    """Suspects are tried one at a time, yet one right after the other; each is told of."""
    dead = MemoryStore(now=T0)
    dead.commit([draft(claim=True) for _ in range(30)], now=T0)
    dead.memory.owners[dead.owner] = T0 - 1
    service = Service(store=dead.another(now=T0)).start()
    with heard() as events:
        await asyncio.sleep(1)
    assert [name for name, _ in events].count("reclaimed") == 30
    assert len(service.transport.tried) == 30
    assert not service.queued()


@virtual
async def test_nothing_is_tried_before_its_release() -> None:
    """EXT-2: neither straight through, nor by a run over everything, nor by a person's retry."""
    service = Service()
    one = draft()
    one.message.release_at = one.due = T0 + 3600
    one.message.expires = T0 + 3600 + DAY
    assert not service.runner.admit(one)
    service.receive(one)
    await settled()
    assert await service.runner.once(Select(regardless=True)) == 0
    service.store.change(Filter(), "retry", now=T0)
    service.start()
    await asyncio.sleep(3599)
    assert service.transport.tried == []
    await asyncio.sleep(3)
    ((at, _, _),) = service.transport.tried
    assert 3600 <= at < 3602
    assert not service.queued()


@virtual
async def test_a_release_that_is_near_is_not_slept_over() -> None:
    """EXT-2: a runner that waits for other things hears of it."""
    service = Service().start()
    await settled()
    one = draft()
    one.message.release_at = one.due = T0 + 4
    service.receive(one)
    await asyncio.sleep(5)
    assert 4 <= service.transport.times()[0] < 5


@virtual
async def test_the_highest_priority_is_taken_first() -> None:
    """EXT-3"""
    service = Service(window=Window(messages=2))
    drafts = [draft() for _ in range(6)]
    for one, priority in zip(drafts, (0, -4, 9, 0, 5, 1), strict=True):
        one.message.envelope.priority = priority
    service.put(*drafts)
    service.start()
    await asyncio.sleep(1)
    order = [drafts[number].message.ident for number in (2, 4, 5, 0, 3, 1)]
    assert [ident for _, ident, _ in service.transport.tried] == order
