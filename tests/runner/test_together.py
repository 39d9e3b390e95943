"""What fails at several next hops at once is told in one report, and nothing else waits for that."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from clock import T0, running, virtual
from mail import DAY, HOP, LATER, NEVER, OTHER, draft, heard
from runners import RETRY, Service, Transport, delayed, settled

from mether.outcome import Route
from mether.queue.claim import Claim, Hop
from mether.queue.message import Draft
from mether.queue.store import Filter, Select
from mether.reply import Reply
from mether.runner import together
from mether.runner.notify import Reporter
from mether.runner.schedule import Retry
from mether.runner.suppressing import Remember
from mether.runner.together import WAIT

THIRD = Route("smtp", "third.example.com")
HOPS = [HOP, OTHER, THIRD]
PATHS = ("a@example.net", "b@example.org", "c@third.example")
REFUSED = ("failed", NEVER, "recipient")


def apart(**more: Any) -> Draft:
    """A message to one recipient at each of three next hops."""
    return draft(*PATHS, routes=HOPS, **more)


def refusing(*paths: str) -> Service:
    """A service at whose next hops these recipients (none: all) are refused; its reports stay queued."""
    service = Service()
    service.transport.answers.update(dict.fromkeys(paths or ("*",), REFUSED))
    service.transport.answers["sender@example.com"] = delayed()
    return service


def blocks(service: Service) -> list[list[str]]:
    """Whom each report that is queued tells of, and of what."""
    told = []
    for entry in service.reports():
        text = service.store.content(entry.message.ident).read().decode()
        status = text.partition("Content-Type: message/delivery-status")[2]
        told.append(
            [
                block.split("\r\n")[0].strip().removeprefix("rfc822;").strip()[0]
                + block.partition("Action: ")[2][0]
                for block in status.split("Final-Recipient:")[1:]
            ]
        )
    return told


def slow(service: Service, route: Route, seconds: float) -> Transport:
    """A next hop that takes so long, with the answers of all."""
    made = service.transports.own[route] = Transport(service.runner, seconds=seconds)
    made.answers = service.transport.answers
    return made


def known(service: Service) -> bool:
    """Whether anything is remembered of messages with several claims."""
    return bool(service.runner._hand.together.groups or service.runner._hand.together._apart)


@virtual
async def test_one_report_for_all_that_failed_at_the_same_time() -> None:
    """BNC-3: two next hops refuse and one accepts, and the report has a block for each that failed."""
    service = Service()
    service.transport.answers.update({PATHS[0]: REFUSED, PATHS[2]: REFUSED})
    with heard() as events:
        service.receive(apart())
        await settled()
    assert blocks(service) == [["af", "cf"]]
    assert service.queued() == [service.reports()[0].message.ident]
    assert Counter(name for name, _ in events)["reported"] == 1
    assert not known(service)
    assert service.runner.window.used == 0


@virtual
async def test_a_failure_waits_for_the_others_and_no_success_waits() -> None:
    service = Service()
    service.transport.answers.update({PATHS[0]: REFUSED, PATHS[1]: delayed(), PATHS[2]: REFUSED})
    slow(service, THIRD, 10.0)
    service.receive(apart())
    await asyncio.sleep(9)
    assert not service.reports()
    (entry,) = service.store.entries(Filter())
    assert [(row.number, row.owner is None) for row in entry.rows] == [(0, False), (1, True), (2, False)]
    assert service.runner.window.used == 1, "what waits takes no room"
    await asyncio.sleep(2)
    assert blocks(service) == [["af", "cf"]]
    (entry,) = service.store.entries(Filter(idents=frozenset([entry.message.ident])))
    assert [row.number for row in entry.rows] == [1]
    assert not known(service)


@virtual
async def test_it_waits_no_longer_than_that() -> None:
    """And what fails later is told of later: nobody is told of twice."""
    service = refusing()
    slow(service, THIRD, 3 * WAIT)
    service.receive(apart())
    await asyncio.sleep(WAIT - 1)
    assert not service.reports()
    await asyncio.sleep(2)
    assert blocks(service) == [["af", "bf"]]
    await asyncio.sleep(3 * WAIT)
    assert sorted(blocks(service)) == [["af", "bf"], ["cf"]]
    assert not known(service)
    assert service.runner.window.used == 0


@pytest.mark.parametrize("action", ["relayed", "delayed"])
@virtual
async def test_it_goes_when_the_last_other_has_ended_well(action: str) -> None:
    service = Service()
    service.transport.answers.update({"*": REFUSED, PATHS[2]: (action, LATER, "recipient")})
    slow(service, THIRD, 10.0)
    service.receive(apart())
    await asyncio.sleep(11)
    assert blocks(service) == [["af", "bf"]]


@virtual
async def test_a_claim_given_back_is_not_waited_for() -> None:
    service = refusing()
    third = slow(service, THIRD, 0.0)
    third.holding = True
    service.receive(apart())
    await settled()
    assert not service.reports()
    third.give_back([third.held.pop()])
    await settled()
    assert blocks(service) == [["af", "bf"]]


@virtual
async def test_nothing_waits_at_the_end_of_a_service() -> None:
    service = refusing().start()
    third = slow(service, THIRD, 10.0)
    service.receive(apart(), apart())
    await settled()
    service.runner.stop()
    await settled()
    assert blocks(service) == [["af", "bf"]] * 2
    assert third.busy == 2
    await asyncio.sleep(11)
    assert sorted(blocks(service)) == [["af", "bf"]] * 2 + [["cf"]] * 2
    assert service.runner.window.used == 0 and not service.runner.in_hand


@pytest.mark.parametrize("action", ["hold", "remove"])
@virtual
async def test_what_a_person_marks_waits_no_more(action: Any) -> None:
    service = refusing().start()
    slow(service, THIRD, 25.0)
    service.receive(apart())
    await settled()
    service.store.change(Filter(), action, now=T0, reason="asked")
    service.runner.wake()
    await asyncio.sleep(1)
    assert blocks(service) == ([["af", "bf"]] if action == "hold" else [])
    await asyncio.sleep(30)
    assert service.runner.window.used == 0 and not known(service)


@virtual
async def test_of_claims_that_are_lost_nobody_is_told_here() -> None:
    """They are another's, who tells of them."""
    service = refusing()
    slow(service, THIRD, 25.0)
    service.receive(apart())
    await settled()
    claims = list(service.runner._hand._claims.values())
    service.store.release(claims)
    with heard() as events:
        service.runner._lost()
        await asyncio.sleep(30)
    assert Counter(name for name, _ in events)["refused"] == 3
    assert not service.reports()
    assert len(service.store.claim(9, T0)) == 3


@virtual
async def test_where_one_claim_is_lost_the_others_are_told_of() -> None:
    service = refusing()
    slow(service, THIRD, 10.0)
    service.receive(apart())
    await settled()
    claims = {claim.route: claim for claim in service.runner._hand._claims.values()}
    service.store.release([claims[OTHER]])
    await asyncio.sleep(11)
    assert sorted(blocks(service)) == [["af"], ["cf"]]
    (entry,) = service.store.entries(Filter(recipient=PATHS[1]))
    assert [row.number for row in entry.rows] == [1]
    assert service.runner.window.used == 0


@virtual
async def test_a_next_hop_that_works_again_is_not_kept_from_its_mail() -> None:
    """Its probe is settled at once, for what waits there is tried when that is written."""
    service = refusing()
    service.store.apply(hops=[Hop(HOP, failures=3, not_before=T0)], now=T0)
    slow(service, OTHER, 10.0)
    service.put(draft(*PATHS[:2], routes=HOPS[:2]), draft("d@example.net"))
    service.start()
    await asyncio.sleep(5)
    assert sorted(blocks(service)) == [["af"], ["df"]]
    await asyncio.sleep(10)
    assert sorted(blocks(service)) == [["af"], ["bf"], ["df"]]


@virtual
async def test_what_is_learned_of_a_next_hop_is_written_at_once() -> None:
    service = Service()
    service.transport.answers.update(dict.fromkeys(PATHS, delayed("host", Reply(421, "4.3.2", "closing"))))
    service.transport.answers["sender@example.com"] = delayed()
    slow(service, OTHER, 10.0)
    one = draft(*PATHS[:2], routes=HOPS[:2], expires=T0 + 0.5)
    service.put(one)
    await asyncio.sleep(1)
    service.start()
    await asyncio.sleep(5)
    assert [(hop.route, hop.failures) for hop in service.store.hops()] == [(HOP, 1)]
    await asyncio.sleep(10)
    assert blocks(service) == [["af", "bf"]]


@virtual
async def test_no_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 3)
    service = refusing()
    slow(service, OTHER, 10.0)
    for _ in range(5):
        service.receive(draft(*PATHS[:2], routes=HOPS[:2]))
    await settled()
    assert blocks(service) == [["af"]] * 2
    await asyncio.sleep(11)
    assert sorted(blocks(service)) == [["af"]] * 2 + [["af", "bf"]] * 3 + [["bf"]] * 2


@virtual
async def test_who_wants_no_report_waits_for_nothing() -> None:
    """DSN-5."""
    service = refusing()
    slow(service, THIRD, 10.0)
    service.receive(apart(notify="NEVER"))
    await settled()
    (entry,) = service.store.entries(Filter())
    assert [row.number for row in entry.rows] == [2]


@virtual
async def test_the_postmaster_has_one_notice() -> None:
    service = refusing()
    service.receive(apart(sender=""))
    await settled()
    assert blocks(service) == [["af", "bf", "cf"]]


@virtual
async def test_success_that_is_asked_for_is_told_with_the_failure_of_its_next_hop() -> None:
    """DSN-4, BNC-3: and that of another next hop, which waits for nothing, by itself."""
    service = Service()
    service.transport.answers.update({"x@example.net": REFUSED, "y@example.org": REFUSED})
    paths = ("a@example.net", "x@example.net", "y@example.org", "z@third.example")
    service.receive(draft(*paths, routes=[HOP, HOP, OTHER, THIRD], notify="SUCCESS,FAILURE"))
    await settled()
    assert sorted(blocks(service)) == [["ar", "xf", "yf"], ["zr"]]


@virtual
async def test_nobody_is_removed_without_the_report_that_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """BNC-1, BNC-2: at none of the next hops."""
    service = refusing().start()
    with monkeypatch.context() as broken:

        def reports(*arguments: object) -> list[Draft]:
            raise RuntimeError("broken")

        broken.setattr(Reporter, "reports", reports)
        service.receive(apart())
        await settled()
    (entry,) = service.store.entries(Filter())
    assert [row.owner for row in entry.rows] == [None] * 3
    assert service.runner.window.used == 0
    await asyncio.sleep(2 * RETRY.intervals[-1])
    assert blocks(service) == [["af", "bf", "cf"]]
    assert len(service.queued()) == 1


class Large:
    """Has the store give claims without their content, as of large messages."""

    def __init__(self, service: Service) -> None:
        real = service.store.claim

        def claim(limit: int, now: float, select: Select | None = None) -> list[Claim]:
            claims = real(limit, now, select)
            for one in claims:
                one.content = None
            return claims

        service.store.claim = claim  # type: ignore[method-assign]


@pytest.mark.parametrize("large", [False, True])
@virtual
async def test_what_expires_is_told_in_one_report(large: bool) -> None:
    """BNC-3, QUE-8: at next hops that are down and at one that is tried once more."""
    service = Service()
    if large:
        Large(service)
    for hop in (HOP, OTHER):
        service.store.apply(hops=[Hop(hop, failures=3, not_before=T0 + DAY, last="451 4.4.1 down")], now=T0)
    service.transport.answers["*"] = delayed()
    service.put(apart(expires=T0 + 100))
    await asyncio.sleep(101)
    service.start()
    await settled()
    await settled()
    assert blocks(service) == [["af", "bf", "cf"]]
    assert len(service.queued()) == 1 and not known(service)


@pytest.mark.parametrize("large", [False, True])
@virtual
async def test_one_warning_for_all_that_wait(large: bool) -> None:
    """DSN-6: and who is tried at that moment is warned of when it is known that it waits on."""
    service = Service(retry=Retry(jitter=0.0, warn=[100.0, 4000.0]))
    if large:
        Large(service)
    service.store.suspend([HOP, OTHER], reason="asked", until=None)
    service.transport.answers.update({PATHS[2]: delayed(), "sender@example.com": delayed()})
    late = apart()
    late.message.warn_at = T0 + 100
    service.put(late)
    await asyncio.sleep(101)
    service.start()
    slow(service, THIRD, 1.0)
    await settled()
    await settled()
    assert blocks(service) == [["ad", "bd"]]
    await asyncio.sleep(1800)
    assert sorted(blocks(service)) == [["ad", "bd"], ["cd"]]
    await asyncio.sleep(3600)
    assert sum(told.count("ad") for told in blocks(service)) == 2
    assert not known(service)


@virtual
async def test_one_run_over_the_queue_ends_with_its_reports() -> None:
    """As runsmtpq does: the run waits for what waits, and leaves nothing in hand."""
    service = refusing()
    slow(service, THIRD, 10.0)
    service.put(apart(), apart())
    assert await service.runner.once(Select()) == 6 + 2
    assert running().time() >= 10
    assert blocks(service) == [["af", "bf", "cf"]] * 2
    assert len(service.queued()) == 2 and not known(service)


class _Nothing:
    """A recorder that forgets."""

    def failed(self, one: object) -> None:
        """Nothing."""

    def delivered(self, address: object) -> None:
        """Nothing."""


@virtual
async def test_each_failure_is_learned_once() -> None:
    """What is remembered of addresses is told when they fail, however long the report waits."""
    service = Service()
    learned: list[str] = []
    recorder = _Nothing()
    recorder.failed = lambda one: learned.append(str(one.address))  # type: ignore[attr-defined,method-assign]
    suppressing = service.runner._trying._suppressing = type(service.runner._trying._suppressing)(
        None,
        lambda route: True,
        Remember(["no such user"], recorder),  # type: ignore[arg-type]
    )
    assert suppressing is service.runner._trying._suppressing
    service.transport.answers["*"] = REFUSED
    service.receive(draft(*PATHS[:2], routes=HOPS[:2]))
    await settled()
    assert blocks(service) == [["af", "bf"]]
