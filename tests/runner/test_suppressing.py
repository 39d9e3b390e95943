"""Recipients on the suppression list: nobody connects for them, the others get theirs; what is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clock import T0, Clock, virtual
from mail import address, claim, draft
from runners import Service, settled

from mether.content import suppression
from mether.outcome import Outcome, Route
from mether.queue.suppressed_row import Suppressed
from mether.queue.suppressed_watch import Watch
from mether.reply import Reply
from mether.runner.suppressing import NOBODY, Remember, Suppressing, learned, told

if TYPE_CHECKING:
    from mether.outcome import Action, Scope

NO_USER = Reply(550, "5.1.1", "No such user here")
MTA = "mx.example.net[192.0.2.1]:25"
FAR = Route("smtp", "example.net")


def refused(
    number: int = 0, reply: Reply = NO_USER, *, said: bool = True, scope: Scope = "recipient"
) -> Outcome:
    return Outcome(number, "failed", reply, scope=scope, remote_mta=MTA, said=said, at=T0)


def done(number: int, action: Action = "relayed") -> Outcome:
    return Outcome(number, action, Reply(250, "2.0.0", "ok"), remote_mta=MTA, at=T0)


class Recorder:
    """Takes down what it is told."""

    def __init__(self) -> None:
        self.failures: list[Suppressed] = []
        self.deliveries: list[str] = []

    def failed(self, one: Suppressed) -> None:
        self.failures.append(one)

    def delivered(self, one: object) -> None:
        self.deliveries.append(str(one))


class Place:
    """A list with these addresses on it, and what a runner does about it."""

    def __init__(self, *paths: str, applies: bool = True, kinds: tuple[str, ...] = suppression.USUAL) -> None:
        self.clock = Clock()
        self.watch = Watch(None, self.clock)
        self.put(*paths)
        self.recorder = Recorder()
        remember = Remember(kinds, self.recorder) if kinds else None  # type: ignore[arg-type]
        self.suppressing = Suppressing(self.watch, lambda route: applies, remember)

    def put(self, *paths: str) -> None:
        self.watch.list.put(
            [
                Suppressed(
                    address(path),
                    source="delivery",
                    since=T0,
                    kind="no such user",
                    status="5.1.1",
                    reason=str(NO_USER),
                )
                for path in paths
            ]
        )
        self.watch.changed()


def test_a_claim_of_nobody_on_the_list_is_tried() -> None:
    one = claim("bob@example.net", route=FAR)
    assert Place().suppressing.begin(one, T0) is None
    assert Place("ann@example.net").suppressing.begin(one, T0) is None
    assert NOBODY.begin(one, T0) is None


def test_all_of_a_claim_on_the_list_fail_at_once_with_what_is_remembered() -> None:
    outcomes = Place("bob@example.net").suppressing.begin(claim("BOB@example.net", route=FAR), T0)
    assert outcomes is not None
    (outcome,) = outcomes
    assert (outcome.action, outcome.scope, outcome.remote_mta, outcome.said) == (
        "failed",
        "recipient",
        "",
        False,
    )
    assert suppression.ours(outcome.reply)
    assert str(outcome.reply).startswith("550 5.1.1 ")
    assert outcome.reply.text.endswith("550 5.1.1 No such user here")


def test_the_others_of_a_claim_are_tried_alone_and_settled_together() -> None:
    place = Place("bob@example.net")
    one = claim("ann@example.net", "bob@example.net", "eve@example.net", route=FAR)
    whole = one.pending
    assert place.suppressing.begin(one, T0) is None
    assert [each.number for each in one.pending] == [0, 2]
    outcomes = place.suppressing.ended(one, [done(0), refused(2)], T0)
    assert one.pending == whole
    assert [outcome.recipient for outcome in outcomes] == [0, 1, 2]
    assert [outcome.action for outcome in outcomes] == ["relayed", "failed", "failed"]
    assert suppression.ours(outcomes[1].reply)


def test_what_comes_back_untried_is_as_it_was() -> None:
    place = Place("bob@example.net")
    one = claim("ann@example.net", "bob@example.net", route=FAR)
    whole = one.pending
    place.suppressing.begin(one, T0)
    assert place.suppressing.returned([one]) == [one]
    assert one.pending == whole
    assert place.suppressing.ended(one, [done(0), done(1)], T0)[1].action == "relayed"


def test_routes_that_are_not_concerned() -> None:
    place = Place("bob@example.net", applies=False)
    one = claim("bob@example.net", route=FAR)
    assert place.suppressing.begin(one, T0) is None
    place.suppressing.ended(one, [refused()], T0)
    assert place.recorder.failures == []


def test_a_refusal_is_remembered() -> None:
    place = Place()
    place.suppressing.ended(claim("Bob@Example.NET", route=FAR), [refused()], T0)
    (one,) = place.recorder.failures
    assert (str(one.address), one.kind, one.status) == ("Bob@Example.NET", "no such user", "5.1.1")
    assert (one.reason, one.remote, one.since) == ("550 5.1.1 No such user here", MTA, T0)


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(refused(said=False), id="our own words"),
        pytest.param(refused(scope="transaction"), id="said of the whole message"),
        pytest.param(refused(scope="host"), id="said by a host of everybody"),
        pytest.param(refused(reply=Reply(552, "5.2.2", "Mailbox full")), id="another class"),
        pytest.param(refused(reply=Reply(550, "5.7.1", "blocked using zen.spamhaus.org")), id="reputation"),
        pytest.param(
            Outcome(0, "delayed", Reply(451, "4.1.1", "No such user, maybe"), remote_mta=MTA), id="4yz"
        ),
    ],
)
def test_what_does_not_count(outcome: Outcome) -> None:
    place = Place()
    place.suppressing.ended(claim("bob@example.net", route=FAR), [outcome], T0)
    assert place.recorder.failures == []


def test_classes_that_the_configuration_names_count() -> None:
    place = Place(kinds=("mailbox full",))
    full = Reply(554, "5.2.2", "Mailbox full")
    one = claim("bob@example.net", "eve@example.net", route=FAR)
    place.suppressing.ended(one, [refused(0, full), refused(1)], T0)
    assert [str(each.address) for each in place.recorder.failures] == ["bob@example.net"]


def test_nothing_is_learned_where_nothing_is_remembered() -> None:
    place = Place("bob@example.net", kinds=())
    one = claim("bob@example.net", route=FAR)
    assert place.suppressing.ended(one, [refused()], T0)
    assert place.suppressing.begin(one, T0) is not None


def test_a_delivery_takes_back_what_was_learned() -> None:
    place = Place("bob@example.net")
    place.suppressing.ended(claim("bob@example.net", "ann@example.net", route=FAR), [done(0), done(1)], T0)
    assert place.recorder.deliveries == ["bob@example.net"]


def test_the_bare_postmaster_is_never_remembered() -> None:
    remember = Remember(("no such user",), Recorder())  # type: ignore[arg-type]
    assert learned(remember, address("postmaster"), refused(), T0) is None


def test_a_newer_configuration() -> None:
    place = Place("bob@example.net")
    place.suppressing.adopt(lambda route: False, None)
    assert place.suppressing.begin(claim("bob@example.net", route=FAR), T0) is None


def test_what_a_person_put_there_is_told_so() -> None:
    reply = told(Suppressed(address("bob@example.net"), source="person", since=T0, note="asked for it"))
    assert reply.status == "5.7.1"
    assert "it is on the list here since" in reply.text and reply.text.endswith(": asked for it")


@virtual
async def test_a_message_to_nobody_else_is_returned_without_an_attempt() -> None:
    """With a report that says what is remembered."""
    service = Service()
    service.runner._trying._suppressing = Place("bob@example.net").suppressing
    service.start()
    service.receive(draft("bob@example.net", sender="alice@example.com", routes=FAR))
    await settled()
    assert not any("bob@example.net" in recipients for _, _, recipients in service.transport.tried)
    ((_, _, readers),) = service.transport.tried  # the report, to its reader
    assert readers == ["alice@example.com"]


@virtual
async def test_the_others_of_a_message_get_it_in_one_attempt() -> None:
    """BNC-3: and what failed is settled, and reported, with theirs."""
    service = Service()
    service.runner._trying._suppressing = Place("bob@example.net").suppressing
    service.start()
    service.receive(draft("bob@example.net", "eve@example.net", sender=None, routes=FAR))
    await settled()
    assert service.transport.tried[0][2] == ["eve@example.net"]
    assert not any("bob@example.net" in recipients for _, _, recipients in service.transport.tried)
    assert not list(service.runner.in_hand)


@virtual
async def test_what_is_given_back_is_tried_again_as_a_whole() -> None:
    service = Service()
    service.runner._trying._suppressing = Place("bob@example.net").suppressing
    service.start()
    service.transport.holding = True
    service.receive(draft("bob@example.net", "eve@example.net", sender=None, routes=FAR))
    await settled()
    service.transport.give_back([service.transport.held.popleft()])
    service.transport.holding = False
    await settled()
    tried = [recipients for _, _, recipients in service.transport.tried]
    assert tried[:2] == [["eve@example.net"], ["eve@example.net"]]
    assert not list(service.runner.in_hand)
