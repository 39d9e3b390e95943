"""What is in hand: no next hop that is dead or slow holds what others need, and nobody looks in vain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clock import T0, running, virtual
from mail import DAY, HOP, OTHER, draft
from runners import Service, Transport, Transports, delayed, settled

from mether.outcome import Route
from mether.queue.claim import Claim, Hop
from mether.queue.message import Draft
from mether.queue.store import Committed, Filter, Select
from mether.runner.window import Window

DEAD = Route("smtp", "dead.example.net")
SLOW = Route("smtp", "slow.example.net")
GOOD = [Route("smtp", f"good{number}.example.net") for number in range(8)]


def to(route: Route) -> Draft:
    return draft(f"someone@{route.next_hop}", routes=route)


def mixed(service: Service) -> Service:
    """Give it a transport for each next hop: the dead one times out, the slow one takes a minute."""
    own = service.transports.own
    for route in GOOD:
        own[route] = Transport(service.runner, most=10, seconds=0.1)
    own[SLOW] = Transport(service.runner, most=10, seconds=60)
    own[DEAD] = Transport(service.runner, most=10, seconds=30)
    own[DEAD].answers["*"] = delayed("host")
    return service


def looks(service: Service) -> list[int]:
    """The limits that the store is asked for from now on."""
    found: list[int] = []
    real = service.store.claim

    def claim(limit: int, now: float, select: Select | None = None) -> list[Claim]:
        found.append(limit)
        return real(limit, now, select)

    service.store.claim = claim  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize("fresh", [True, False])
@virtual
async def test_one_dead_and_one_slow_of_ten_cost_the_others_nothing(fresh: bool) -> None:
    """QUE-6: each good one is done as soon as it would be alone, whether the mail is fresh or waited."""
    service = mixed(Service(window=Window(messages=100), each=10))
    everything = [to(route) for _ in range(60) for route in (DEAD, SLOW, *GOOD)]
    if fresh:
        service.start()
        await settled()
        service.receive(*everything)
    else:
        service.put(*everything)
        service.start()
    await asyncio.sleep(1.5)
    for route in GOOD:
        transport = service.transports.own[route]
        assert len(transport.tried) == 60, f"{route}"
        assert transport.peak <= 10
    for route in (DEAD, SLOW):
        transport = service.transports.own[route]
        assert len(transport.tried) <= 10, "no more claims than it can use"
        assert transport.tried
    assert len(service.queued()) == 2 * 60


@virtual
async def test_many_slow_next_hops_leave_half_of_the_window() -> None:
    service = Service(window=Window(messages=100), each=50)
    slow = [Route("smtp", f"slow{number}.example.net") for number in range(20)]
    for route in slow:
        service.transports.own[route] = Transport(service.runner, most=50, seconds=300)
    service.transports.own[HOP] = Transport(service.runner, most=10, seconds=0.1)
    service.put(*(to(route) for _ in range(30) for route in slow))
    service.start()
    await asyncio.sleep(3)
    service.receive(*(to(HOP) for _ in range(30)))
    await asyncio.sleep(5)
    assert len(service.transports.own[HOP].tried) == 30


@virtual
async def test_fresh_mail_does_not_overtake_what_waits_for_ever() -> None:
    """More comes than a next hop can take: the first that had to wait goes long before the last that came."""
    service = Service(each=8).start()
    service.transport.most, service.transport.seconds = 8, 0.1
    first: list[str] = []
    for _ in range(100):
        some = [draft() for _ in range(4)]
        service.receive(*some)
        first += [one.message.ident for one in some]
        await asyncio.sleep(0.04)
    tried = {ident: at for at, ident, _ in service.transport.tried}
    assert set(first[:200]) <= set(tried)
    await asyncio.sleep(10)
    assert not service.queued()


@virtual
async def test_mail_that_waits_for_room_goes_as_soon_as_there_is_some() -> None:
    """And not at the next poll."""
    service = Service(each=4).start()
    service.transport.most, service.transport.seconds = 4, 0.2
    service.receive(*(draft() for _ in range(40)))
    await asyncio.sleep(3)
    assert not service.queued()
    assert service.transport.peak == 4


@virtual
async def test_no_message_costs_a_look_of_its_own() -> None:
    """While mail waits for a next hop, a look finds half of what it takes."""
    service = Service(each=40).start()
    await settled()
    found = looks(service)
    service.transport.most, service.transport.seconds = 40, 0.2
    service.receive(*(draft() for _ in range(400)))
    await asyncio.sleep(4)
    assert not service.queued()
    assert len(found) <= 400 / 20 + 8


@virtual
async def test_a_next_hop_that_stays_full_is_not_looked_for_all_the_time() -> None:
    """QUE-6: no busy loop while mail is due that has no room."""
    service = Service(each=5).start()
    await settled()
    found = looks(service)
    service.transport.holding, service.transport.most = True, 5
    service.put(*(draft() for _ in range(20)))
    service.runner.wake()
    await asyncio.sleep(60)
    assert len(service.transport.held) == 5
    assert len(found) <= 70


@virtual
async def test_room_that_nobody_announces_is_found() -> None:
    """As under a rate: nothing is in hand, yet there is no room for a while."""
    service = Service(each=5).start()
    service.transports.own[HOP] = service.transport
    service.transport.most = 0
    service.receive(*(draft() for _ in range(3)))
    await asyncio.sleep(10)
    assert len(service.queued()) == 3
    service.transport.most = 5
    await asyncio.sleep(1.1)
    assert not service.queued()


@virtual
async def test_what_is_being_committed_takes_room_already() -> None:
    """A disk that is slow for a moment does not let one next hop take all."""
    service = Service()
    service.queue.delay = 3
    service.transport.most = 6
    drafts = [draft() for _ in range(20)]
    service.receive(*drafts)
    assert sum(one.claim for one in drafts) == 6
    await asyncio.sleep(4)
    assert service.transport.peak <= 6
    assert not service.runner._hand


@virtual
async def test_a_message_takes_room_at_each_of_its_next_hops() -> None:
    service = Service(window=Window(messages=8))
    service.transport.holding = True
    one = draft("a@example.net", "b@example.net", "c@example.org", routes=[HOP, HOP, OTHER])
    service.receive(one)
    assert service.runner.window.used == 2
    await settled()
    assert len(service.transport.held) == 2
    while service.transport.held:
        service.transport.work(service.transport.held.popleft())
    await settled()
    assert service.runner.window.used == 0
    assert not service.queued()


@virtual
async def test_only_what_the_commit_gave_is_in_hand() -> None:
    """A store may give the claims of some next hops alone."""
    service = Service()
    one = draft("a@example.net", "c@example.org", routes=[HOP, OTHER])
    one.claim = service.runner.admit(one)
    answer = service.store.commit([one], now=T0)[0]
    service.transport.holding = True
    service.runner.committed(one, Committed(answer.ident, answer.claims[:1]))
    assert service.runner.window.used == 1
    service.transport.work(service.transport.held.pop())
    await settled()
    assert not service.runner._hand


@virtual
async def test_a_large_message_that_waits_for_its_content_takes_room() -> None:
    service = Service(each=3).start()
    service.transport.most, service.transport.seconds = 3, 5
    real, waiting = service.queue.call, []

    def call(work: Any, done: Any) -> None:
        if waiting is not None and service.runner._hand and not waiting:
            waiting.append(None)
            running().call_later(2, real, work, done)
        else:
            real(work, done)

    large = []
    for _ in range(6):
        one = draft()
        writer = service.store.stage(one.message.ident)
        writer.write(b"x" * 100_000)
        writer.sync()
        one.content = writer
        large.append(one)
    service.queue.call = call  # type: ignore[method-assign]
    service.receive(*large)
    await asyncio.sleep(25)
    assert service.transport.peak <= 3
    assert not service.queued()


@virtual
async def test_withdrawn_claims_are_due_as_before() -> None:
    service = Service()
    service.transport.holding = True
    service.receive(draft(), draft())
    await settled()
    first, _ = service.transport.held
    service.runner._hand.withdraw([first.token, 99])
    await settled()
    assert len(service.transport.held) == 1
    assert sorted(entry.status for entry in service.store.entries(Filter())) == ["active", "fresh"]
    service.runner._hand.withdraw()
    await settled()
    assert not service.runner._hand


@virtual
async def test_what_former_transports_still_have_can_be_withdrawn() -> None:
    """They finish it after a newer configuration has come, but not what was held or removed since."""
    service = Service()
    before = service.transports
    service.transport.holding = True
    service.receive(draft())
    await settled()
    service.transports = Transports(service)
    service.transports.own[HOP] = Transport(service.runner)
    service.runner._hand.withdraw()
    await settled()
    assert service.runner._hand, "nobody has asked those that have it"
    service.runner.former(lambda: [before])
    service.runner._hand.withdraw()
    await settled()
    assert not service.runner._hand


@virtual
async def test_after_a_long_outage_everything_has_its_last_try() -> None:
    """QUE-8: what is due and has expired waits for room without a busy loop, and is then tried."""
    service = Service(each=5)
    old = [draft(expires=T0 - 60) for _ in range(20)]
    for one in old:
        one.due = T0 - DAY
    service.put(*old)
    service.transport.holding, service.transport.most = True, 5
    found = looks(service)
    service.start()
    await asyncio.sleep(60)
    assert len(service.transport.held) == 5
    assert len(service.queued()) == 20
    assert len(found) <= 70
    service.transport.holding = False
    while service.transport.held:
        service.transport.work(service.transport.held.popleft())
    await asyncio.sleep(5)
    assert not service.queued()
    assert len(service.transport.tried) == 20


@virtual
async def test_what_is_left_in_the_store_is_looked_for_once_a_second() -> None:
    """QUE-6: also where nobody knew that something waits for a next hop that is full."""
    service = Service(each=5).start()
    service.transport.holding, service.transport.most = True, 5
    service.receive(*(draft() for _ in range(5)))
    late = draft()
    late.due = T0 + 10
    service.put(late)
    await asyncio.sleep(20)
    found = looks(service)
    await asyncio.sleep(60)
    assert len(found) <= 65
    service.transport.work(service.transport.held.popleft())
    service.transport.work(service.transport.held.popleft())
    await asyncio.sleep(0.5)
    assert late.message.ident in [ident for _, ident, _ in service.transport.tried]


@virtual
async def test_fresh_mail_for_a_next_hop_that_failed_goes_when_its_time_comes() -> None:
    """And not at the next poll: nothing else waits there that would tell."""
    service = Service()
    service.store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 4)], now=T0)
    service.start()
    await asyncio.sleep(1)
    service.receive(draft())
    await asyncio.sleep(2.9)
    assert not service.transport.tried
    await asyncio.sleep(0.2)
    assert not service.queued()


@virtual
async def test_mail_for_a_next_hop_in_trouble_costs_no_look_each() -> None:
    service = Service()
    service.store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 1)], now=T0)
    service.transport.holding = True
    service.start()
    await asyncio.sleep(2)
    found = looks(service)
    for _ in range(500):
        service.receive(draft())
        await asyncio.sleep(0.01)
    assert len(service.transport.held) == 1, "a probe"
    assert len(found) <= 30


@virtual
async def test_one_next_hop_that_others_suspended_leaves_the_rest_of_the_message_alone() -> None:
    """What comes back claimed is tried, and the rest when the suspension is over."""
    service = Service().start()
    await settled()
    await asyncio.sleep(2)
    other = service.store.another(now=T0)
    assert other.fileno()
    other.suspend([OTHER], reason="moving", until=T0 + 7)
    one = draft("a@example.net", "b@example.org", routes=[HOP, OTHER])
    service.receive(one)
    assert one.claim, "nobody has told us yet"
    await settled()
    assert [to for _, _, to in service.transport.tried] == [["a@example.net"]]
    assert service.runner.window.used == 0
    assert other.wait(0), "another process may run the queue"
    await asyncio.sleep(3)
    assert not service.runner.admit(draft(routes=OTHER))
    await asyncio.sleep(1.9)
    assert len(service.queued()) == 1
    await asyncio.sleep(0.5)
    assert not service.queued()
