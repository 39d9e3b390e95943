"""What people and other processes did: suspended next hops, marks, and a clock that was set."""

from __future__ import annotations

import asyncio

from clock import T0, running, virtual
from mail import HOP, OTHER, draft, heard
from runners import Service, delayed, settled

from mether.queue.memory import MemoryStore
from mether.queue.store import Filter, StoreError
from mether.runner.news import SPACING


def person(service: Service) -> MemoryStore:
    """The store as smtpq opens it."""
    return service.store.another(now=running().clock())


@virtual
async def test_a_suspended_next_hop_gets_no_fresh_mail_from_the_moment_we_are_told() -> None:
    service = Service().start()
    await settled()
    await asyncio.sleep(SPACING)
    person(service).suspend([HOP], reason="moving house", until=None)
    service.runner.wake()
    await settled()
    assert not service.runner.admit(draft())
    service.receive(draft(), draft("x@example.org", routes=OTHER))
    await settled()
    assert [to for _, _, to in service.transport.tried] == [["x@example.org"]]
    assert person(service).resume([HOP], now=running().clock()) == 1
    await asyncio.sleep(SPACING)
    service.runner.wake()
    await settled()
    assert not service.queued()
    assert service.runner.admit(draft())


@virtual
async def test_a_suspension_is_known_from_the_start_and_ends_by_itself() -> None:
    service = Service()
    person(service).suspend([HOP], reason="a move", until=T0 + 100)
    service.start()
    await settled()
    service.receive(draft())
    await asyncio.sleep(99)
    assert not service.transport.tried
    await asyncio.sleep(2)
    assert not service.queued()


@virtual
async def test_a_suspension_that_nobody_told_of_is_found_at_the_next_poll() -> None:
    service = Service().start()
    await settled()
    person(service).suspend([HOP], reason="moving", until=None)
    await asyncio.sleep(20)
    assert not service.runner.admit(draft())


@virtual
async def test_a_next_hop_that_another_process_found_well_is_used_again() -> None:
    service = Service().start()
    service.transport.answers["*"] = delayed("host")
    service.receive(draft())
    await settled()
    assert not service.runner.admit(draft())
    service.transport.answers.clear()
    other = person(service)
    (hop,) = other.hops()
    hop.failures, hop.not_before = 0, 0.0
    other.apply(hops=[hop], now=running().clock())
    await asyncio.sleep(20)
    assert service.runner.admit(draft())


@virtual
async def test_what_is_marked_is_taken_back_from_its_transport() -> None:
    """In hand, and removed or held at the next safe point."""
    service = Service().start()
    service.transport.holding = True
    drafts = [draft() for _ in range(3)]
    service.receive(*drafts)
    await asyncio.sleep(SPACING)
    gone, held, left = (frozenset([one.message.ident]) for one in drafts)
    person(service).change(Filter(idents=gone), "remove", now=T0)
    person(service).change(Filter(idents=held), "hold", now=T0, reason="looked at")
    service.runner.wake()
    await settled()
    assert [claim.message.ident for claim in service.transport.held] == list(left)
    assert frozenset(service.queued()) == held | left
    assert [entry.status for entry in service.store.entries(Filter(idents=held))] == ["held"]
    assert service.runner.window.used == 1


@virtual
async def test_whoever_wakes_us_all_the_time_costs_one_reading_a_second() -> None:
    service = Service().start()
    readings = []
    real = service.store.hops

    def hops(like: str | None = None) -> object:
        readings.append(running().time())
        return real(like)

    service.store.hops = hops  # type: ignore[assignment, method-assign]
    for _ in range(500):
        service.runner.wake()
        await asyncio.sleep(0.01)
    assert len(readings) <= 7
    person(service).suspend([HOP], reason="moving", until=None)
    service.runner.wake()
    await asyncio.sleep(SPACING + 0.1)
    assert not service.runner.admit(draft()), "what is too early is read a little later"


@virtual
async def test_trouble_with_the_store_is_told_by_whoever_claims() -> None:
    service = Service()

    def hops(like: str | None = None) -> object:
        raise StoreError("disk I/O error")

    real, service.store.hops = service.store.hops, hops  # type: ignore[assignment, method-assign]
    with heard() as events:
        service.start().receive(draft())
        await asyncio.sleep(30)
    assert not service.queued()
    assert "error" not in [name for name, _ in events]
    service.store.hops = real  # type: ignore[method-assign]


@virtual
async def test_a_clock_set_back_loses_no_message() -> None:
    """QUE-5: what was deferred while the clock was years ahead is tried when it is right again."""
    ahead = 10 * 365 * 86400.0
    running().clock = lambda: T0 + running().time() + ahead  # type: ignore[method-assign]
    service = Service(clock=lambda: running().clock())
    service.transport.answers.update({"down@example.org": delayed("host"), "*": delayed()})
    service.start()
    long = T0 + ahead + 5 * 86400
    service.receive(draft(expires=long), draft("down@example.org", routes=OTHER, expires=long))
    await asyncio.sleep(1)
    assert len(service.transport.tried) == 2
    service.transport.answers.clear()
    with heard() as events:
        ahead = 0.0
        await asyncio.sleep(20)
    assert not service.queued()
    told = [fields["what"] for name, fields in events if name == "warning"]
    assert told == [
        "the clock was set back by 315360000 seconds",
        "2 messages waited for a time too far away and are tried sooner",
    ]


@virtual
async def test_a_process_that_starts_after_the_clock_was_set_back_finds_it_out() -> None:
    before = Service()
    far = T0 + 1e8
    late = [draft(expires=far + 86400) for _ in range(3)]
    for one in late:
        one.due = far
    before.put(*late)
    service = Service(store=before.store).start()
    await asyncio.sleep(1)
    assert len(service.transport.tried) == 3


@virtual
async def test_a_clock_set_forward_tries_what_is_due_by_it() -> None:
    """And what has expired by it once more, before it is returned."""
    ahead = 0.0
    running().clock = lambda: T0 + running().time() + ahead  # type: ignore[method-assign]
    service = Service(clock=lambda: running().clock())
    service.transport.answers["*"] = delayed()
    service.start()
    service.receive(draft(expires=T0 + 1000))
    await settled()
    ahead = 90 * 86400.0
    with heard() as events:
        await asyncio.sleep(20)
    tried = [to for _, _, to in service.transport.tried]
    assert tried.count(["rcpt@example.net"]) == 2
    assert "failed" in [name for name, _ in events]
    assert any("set forward" in fields.get("what", "") for _, fields in events)
