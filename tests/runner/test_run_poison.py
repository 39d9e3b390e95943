"""A message that kills whoever tries it, and deliveries of which nobody knows."""

from __future__ import annotations

import asyncio

import pytest
from clock import T0, running, virtual
from mail import OTHER, draft, heard
from runners import Service, delayed, settled

from mether.outcome import Outcome
from mether.queue.claim import Claim
from mether.queue.memory import MemoryStore
from mether.queue.store import Filter
from mether.reply import Reply
from mether.runner.schedule import Retry

LOST = Reply(451, "4.4.2", "the connection was lost after the end of the content")
HOLDING = Retry(jitter=0.0, hold_uncertain=True)


class Mortal(Service):
    """A process that dies when it tries what is for poison@example.net: nothing that it has in hand ends."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store=store)
        self.dead = False
        offer = self.transport.offer

        def deadly(claim: Claim) -> None:
            if any("poison" in str(one.recipient.forward_path) for one in claim.pending):
                self.die()
            if not self.dead:
                offer(claim)

        self.transport.offer = deadly  # type: ignore[method-assign]
        work = self.transport.work
        self.transport.work = lambda claim: None if self.dead else work(claim)  # type: ignore[method-assign]

    def die(self) -> None:
        self.dead = True
        self.runner.stop()
        self.runner._lease.stop()
        if self.task is not None:
            self.task.cancel()
        self.store.memory.owners[self.store.owner] = 0.0


async def lives(store: MemoryStore, most: int = 40) -> list[Mortal]:
    """Start a process after each death until one lives on."""
    found: list[Mortal] = []
    while not found or found[-1].dead:
        assert len(found) < most, "they die for ever"
        found.append(Mortal(store.another(now=running().clock())))
        found[-1].start()
        await asyncio.sleep(2)
    return found


@virtual
async def test_three_strikes_hold_the_message_that_kills_and_no_other() -> None:
    """QUE-5: the innocent ones of the same window go, and the queue goes on."""
    store = MemoryStore(now=T0)
    innocent = [draft(f"good{number}@example.net", routes=OTHER) for number in range(15)]
    poison = draft("poison@example.net")
    store.commit([*innocent[:8], poison, *innocent[8:]], now=T0)
    found = await lives(store)
    (entry,) = store.entries(Filter())
    assert entry.message.ident == poison.message.ident
    assert entry.message.hold == "three processes in a row ended while they tried this message"
    assert len(found) == 1 + 4, "once with the others, then three times as a suspect"
    assert [attempt.uncertain for attempt in store.attempts(entry.message.ident)] == [True] * 4
    found[-1].receive(draft("later@example.net"))
    await settled()
    assert len(store.entries(Filter())) == 1


@virtual
async def test_two_that_kill_are_told_apart() -> None:
    store = MemoryStore(now=T0)
    innocent = [draft(f"good{number}@example.net", routes=OTHER) for number in range(6)]
    poison = [draft("poison@example.net"), draft("poison2@example.net", routes=OTHER)]
    store.commit([*innocent[:3], *poison, *innocent[3:]], now=T0)
    await lives(store)
    left = store.entries(Filter())
    assert {entry.message.ident for entry in left} == {one.message.ident for one in poison}
    assert all(entry.message.hold for entry in left)


@virtual
async def test_what_may_have_been_delivered_is_recorded_and_tried_again() -> None:
    """QUE-5: the session died between the final dot and its reply."""
    service = Service().start()
    service.transport.work = uncertain(service)  # type: ignore[method-assign]
    service.receive(draft())
    await settled()
    (entry,) = service.store.entries(Filter())
    assert entry.status == "deferred"
    (attempt,) = service.store.attempts(entry.message.ident)
    assert attempt.uncertain
    assert attempt.transcript == "S: 354 go on\n"
    await asyncio.sleep(65)
    assert len(service.transport.tried) == 2


@virtual
async def test_or_it_is_held_for_a_person_if_the_configuration_says_so() -> None:
    service = Service(retry=HOLDING).start()
    usual = service.transport.work
    service.transport.work = uncertain(service)  # type: ignore[method-assign]
    service.receive(draft("a@example.net", "b@example.net"))
    with heard() as events:
        await settled()
    (entry,) = service.store.entries(Filter())
    assert entry.message.hold == f"may have been delivered to a@example.net and 1 more: {LOST}"
    assert [fields["why"] for name, fields in events if name == "held"] == [entry.message.hold]
    await asyncio.sleep(86400)  # six times the longest wait
    assert len(service.transport.tried) == 1
    service.transport.work = usual  # type: ignore[method-assign]
    service.store.change(Filter(), "release", now=running().clock())
    service.runner.wake()
    await settled()
    assert not service.queued()


@virtual
async def test_nor_is_it_given_up_though_its_time_is_over() -> None:
    service = Service(retry=HOLDING)
    service.transport.work = uncertain(service)  # type: ignore[method-assign]
    service.put(draft(expires=T0))
    service.start()
    await asyncio.sleep(3600)
    (entry,) = service.store.entries(Filter())
    assert entry.message.hold is not None


def uncertain(service: Service):
    def work(claim: Claim) -> None:
        service.transport.busy -= 1
        now = running().clock()
        outcomes = [
            Outcome(one.number, "delayed", LOST, scope="transaction", at=now, uncertain=True)
            for one in claim.pending
        ]
        service.runner.done(claim, outcomes, now, now, "S: 354 go on\n")

    return work


@pytest.mark.parametrize("expires", [T0 + 86400, T0 + 60])
@virtual
async def test_what_a_dead_process_had_in_hand_is_held_at_once(expires: float) -> None:
    """QUE-5: nobody knows whether it was delivered; when a person releases it, it is tried like any other."""
    dead = MemoryStore(now=T0)
    dead.commit([draft("a@example.net", claim=True, expires=expires) for _ in range(3)], now=T0)
    dead.memory.owners[dead.owner] = T0 - 1
    await asyncio.sleep(100)
    service = Service(store=dead.another(now=T0), retry=HOLDING)
    with heard() as events:
        service.start()
        await asyncio.sleep(1)
    assert not service.transport.tried
    entries = service.store.entries(Filter())
    assert len(entries) == 3
    assert all("may have been delivered to a@example.net" in (one.message.hold or "") for one in entries)
    assert [name for name, _ in events].count("held") == 3
    if expires > T0 + 1000:
        service.store.change(Filter(), "release", now=running().clock())
        service.runner.wake()
        await asyncio.sleep(1)
        assert len(service.transport.tried) == 3
        assert not service.queued()


@virtual
async def test_a_slow_next_hop_is_no_strike() -> None:
    """Only a death is."""
    store = MemoryStore(now=T0)
    store.commit([draft(claim=True)], now=T0)
    store.memory.owners[store.owner] = T0 - 1
    service = Service(store=store.another(now=T0)).start()
    service.transport.answers["*"] = delayed()
    await asyncio.sleep(7200)
    (entry,) = service.store.entries(Filter())
    assert entry.message.hold is None
    assert len(service.transport.tried) > 3
