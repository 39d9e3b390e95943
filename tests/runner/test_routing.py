"""Deciding a next hop again, by rules that changed, wait, cannot tell, or are gone."""

from __future__ import annotations

import asyncio

import pytest
from clock import T0, running, virtual
from mail import HOP, draft, heard, router
from runners import RETRY, Service, settled

from mether.outcome import Route
from mether.queue.claim import Claim
from mether.queue.store import Filter, Move, Select
from mether.routing.match import Addresses
from mether.routing.rule import Rule
from mether.routing.source import Needs, TableError
from mether.routing.target import parse
from mether.runner.routing import LEARN

RULED = Route("smtp", "ruled.example")


class Table:
    """A table that says what it is told to, once it was asked."""

    name = "table:test"

    def __init__(self, known: dict[str, str] | None = None, takes: float = 0.0) -> None:
        self.known = known
        self.takes = takes
        self.learned: set[str] = set()
        self.asked = 0

    def get(self, key: str) -> str | None:
        if key not in self.learned:
            raise Needs(self, key)
        if self.known is None:
            raise TableError("table:test: no such file")
        return self.known.get(key)

    async def learn(self, key: str) -> None:
        self.asked += 1
        await asyncio.sleep(self.takes)
        self.learned.add(key)


def to(target: str, *domains: object, **more: object) -> Rule:
    return Rule(domains or ["*"], "smtp", parse(target), **more)  # type: ignore[arg-type]


class Watched(Service):
    """A service with these rules that notes by which route each message went."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__()
        self.went: list[tuple[str, Route]] = []
        offer = self.transport.offer

        def noted(claim: Claim) -> None:
            self.went.append((claim.message.ident, claim.route))
            offer(claim)

        self.transport.offer = noted  # type: ignore[method-assign]
        self.configure(*rules)

    def configure(self, *rules: Rule) -> None:
        self.runner.adopt(router=router(*rules), reporter=self.runner._trying._ending._reporter, retry=RETRY)

    @property
    def routes(self) -> list[Route]:
        return [route for _, route in self.went]


def last(service: Service) -> str:
    (entry,) = service.store.entries(Filter())
    assert entry.rows[0].last is not None
    return str(entry.rows[0].last.reply)


@virtual
async def test_what_waits_follows_the_configuration() -> None:
    """The next hop in the queue is a cached decision: it is decided by what the message came with."""
    service = Watched(to("ruled.example", senders=Addresses(["sender@example.com"])))
    service.put(draft(pinned=False))
    service.start()
    await settled()
    assert service.routes == [RULED]
    assert not service.queued()


@virtual
async def test_a_rule_asks_for_the_listener_the_client_and_the_login_of_queued_mail() -> None:
    service = Watched(to("ruled.example", listeners=["inside"]))
    other, inside = draft(pinned=False), draft(pinned=False)
    inside.message.arrival.listener = "inside"
    service.put(other, inside)
    service.start()
    await settled()
    assert dict(service.went) == {
        other.message.ident: Route("smtp", "example.net"),
        inside.message.ident: RULED,
    }


@pytest.mark.parametrize("route", [Route("file", "/var/mail/ann"), Route("pipe", "|/bin/prog")])
@virtual
async def test_what_an_alias_said_is_never_decided_again(route: Route) -> None:
    service = Watched(to("ruled.example"))
    service.put(draft(routes=route, pinned=False))
    service.start()
    await settled()
    assert service.routes == [route]


@virtual
async def test_what_a_person_pinned_is_never_decided_again() -> None:
    service = Watched(to("ruled.example"))
    service.put(draft(pinned=True))
    service.start()
    await settled()
    assert service.routes == [HOP]


@virtual
async def test_what_was_released_is_not_held_again_by_a_rule() -> None:
    hold = Rule(["*"], "hold", "look at it")
    service = Watched(hold, to("ruled.example"))
    service.put(draft(pinned=False))
    service.start()
    await settled()
    assert not service.queued()


@virtual
async def test_a_table_that_has_to_be_asked_is_waited_for() -> None:
    table = Table({"example.net": ""}, takes=5)
    service = Watched(to("ruled.example", table))
    service.put(draft(pinned=False), draft(pinned=True))
    service.start()
    await settled()
    assert service.routes == [HOP], "the others go on"
    assert service.runner.window.used == 1, "it stays in hand"
    await asyncio.sleep(6)
    assert service.routes == [HOP, RULED]
    assert service.runner.window.used == 0


@virtual
async def test_a_table_that_cannot_be_read_delays() -> None:
    """It never bounces, and is sent nowhere else: 451 4.3.0."""
    table = Table(None)
    service = Watched(to("ruled.example", table))
    service.put(draft(pinned=False))
    with heard() as events:
        service.start()
        await asyncio.sleep(1)
    assert service.transport.tried == []
    assert last(service).startswith("451 4.3.0 a table")
    assert [fields for name, fields in events if name == "error"]
    assert not service.store.hops(), "no next hop is to blame"
    table.known = {"example.net": ""}
    await asyncio.sleep(70)
    assert service.routes == [RULED]


@virtual
async def test_and_a_message_that_expires_then_is_returned() -> None:
    """QUE-8: its time is over, whatever the table would have said."""
    service = Watched(to("ruled.example", Table(None)))
    service.put(draft(pinned=False, expires=T0 + 3600))
    service.start()
    await asyncio.sleep(3500)
    assert not service.routes
    assert len(service.queued()) == 1
    await asyncio.sleep(200)
    (report,) = service.reports()
    assert str(report.rows[0].recipient.forward_path) == "sender@example.com"
    assert HOP not in service.routes
    assert len(service.queued()) == 1


@virtual
async def test_a_table_that_never_answers_is_waited_for_so_long() -> None:
    service = Watched(to("ruled.example", Table({}, takes=10 * LEARN)))
    service.put(draft(pinned=False))
    service.start()
    await asyncio.sleep(LEARN - 1)
    assert service.runner.window.used == 1
    await asyncio.sleep(2)
    assert service.runner.window.used == 0
    assert last(service).startswith("451 4.3.0")


@virtual
async def test_what_is_pinned_to_a_route_that_is_gone_waits_and_says_so() -> None:
    gone = Route("smtp", "relay.example", "", "night")
    service = Watched(to("ruled.example"))
    service.put(draft(routes=gone, pinned=True))
    service.start()
    await asyncio.sleep(1)
    assert last(service) == ("451 4.3.5 the route 'night' by which this is to go is not in the configuration")
    service.configure(to("relay.example", name="night", apart=True))
    await asyncio.sleep(70)
    assert service.routes == [gone]


@virtual
async def test_once_goes_to_the_new_next_hop_in_the_same_run() -> None:
    service = Watched(to("ruled.example", Table({"example.net": ""}, takes=1)))
    service.put(draft(pinned=False), draft("ann@elsewhere.example", pinned=False))
    assert await service.runner.once(Select(regardless=True)) == 2
    assert sorted(map(str, service.routes)) == [
        "smtp:elsewhere.example",
        "smtp:ruled.example",
    ]


@virtual
async def test_what_waits_for_a_table_is_given_back_when_the_service_ends() -> None:
    service = Watched(to("ruled.example", Table({}, takes=30)))
    service.put(draft(pinned=False))
    service.start()
    await settled()
    service.runner.stop()
    await service.runner.drain()
    assert running().clock() <= T0 + LEARN
    assert [row.owner for entry in service.store.entries(Filter()) for row in entry.rows] == [None]


@virtual
async def test_a_move_by_hand_is_obeyed_before_the_next_try() -> None:
    """What is in hand and not on its way is given up at once, and goes where it was sent."""
    service = Watched()
    service.start()
    service.transport.holding = True
    service.put(draft())
    service.runner.wake()
    await asyncio.sleep(5)
    assert service.routes == [HOP]
    service.store.change(Filter(), "move", now=T0, move=Move(RULED))
    service.transport.holding = False
    service.runner.wake()
    await asyncio.sleep(5)
    assert service.routes == [HOP, RULED]
    assert not service.queued()
