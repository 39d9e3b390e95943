"""Delivery on this host: the rule decides how, each recipient has its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from clock import T0
from mail import CONTENT, TRACE, address, claim

from mether.envelope import Recipient
from mether.event import mail as event
from mether.outcome import Outcome, Route
from mether.queue.claim import Claim
from mether.queue.content import Content, in_memory
from mether.queue.store import StoreError
from mether.relay.asuser import Helper, HelperGone
from mether.relay.letter import Letter
from mether.relay.local import AT_ONCE, PLACES, WORKERS, Local, Members
from mether.relay.way import Terms, Way
from mether.reply import Reply
from mether.routing.router import Router
from mether.routing.rule import Rule

BOXES, PIPE, GONE = Route("maildir", "boxes"), Route("pipe", "program"), Route("maildir", "gone")
HANGS, USERS = Route("pipe", "hangs"), Route("maildir", "users")


def router(tmp_path: Path) -> Router:
    """Maildirs, a program that takes all and puts it off, and one that hangs until there is a file `go`."""
    hang = f"while ! test -e {tmp_path}/go; do sleep 0.01; done"
    return Router(
        [
            Rule(["example.com"], "maildir", f"{tmp_path}/{{user}}", "boxes"),
            Rule(["example.net"], "pipe", ("sh", "-c", f"cat > {tmp_path}/piped; exit 75"), "program"),
            Rule(["example.org"], "pipe", ("sh", "-c", hang), "hangs"),
            Rule(["example.edu"], "maildir", "{home}/Maildir", "users", delimiter="+"),
        ],
        "mx.example.com",
        address("postmaster@example.com"),
    )


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """The errors that go to the log."""
    lines: list[str] = []

    def sink(name: str, fields: Mapping[str, Any]) -> None:
        if name == "error":
            lines.append(fields["what"])

    event.sinks.append(sink)
    yield lines
    event.sinks.remove(sink)


class Made:
    """A `Local`, and what it made of claims: what is `done`, and what came back `untried`."""

    def __init__(
        self,
        tmp_path: Path,
        stored: Content | StoreError | None = None,
        members: Members | None = None,
        helper: Helper | None = None,
    ) -> None:
        self.stored = stored
        self.done: dict[str, list[Outcome]] = {}
        self.order: list[str] = []
        self.untried: list[Claim] = []
        self.changed = asyncio.Event()
        self.local = Local(
            loop=asyncio.get_running_loop(),
            router=router(tmp_path),
            content=self._content,
            hostname="mx.example.com",
            clock=lambda: T0,
            done=self._done,
            returned=self.untried.extend,
            terms={"program": Terms(30.0), "users": Terms(30.0, as_user=True)},
            members=members or Members(),
            helper=helper,
        )

    async def _content(self, claim: Claim) -> Content:
        if isinstance(self.stored, StoreError):
            raise self.stored
        assert self.stored is not None
        return self.stored

    def _done(
        self, claim: Claim, outcomes: list[Outcome], started: float, connected: float, transcript: str
    ) -> None:
        assert transcript == ""
        self.done[claim.message.ident] = outcomes
        self.order.append(claim.message.ident)
        self.changed.set()

    def offer(self, *claims: Claim) -> None:
        for one in claims:
            self.local.at(one.route).offer(one)

    async def wait(self, *claims: Claim) -> list[list[Outcome]]:
        """The outcomes of these, when they are there."""
        while not all(one.message.ident in self.done for one in claims):
            self.changed.clear()
            await self.changed.wait()
        return [self.done[one.message.ident] for one in claims]


def deliver(
    tmp_path: Path,
    *claims: Claim,
    stored: Content | StoreError | None = None,
    members: Members | None = None,
    helper: Helper | None = None,
) -> list[list[Outcome]]:
    """Work the claims; the outcomes of each."""

    async def run() -> list[list[Outcome]]:
        made = Made(tmp_path, stored, members, helper)
        made.offer(*claims)
        outcomes = await made.wait(*claims)
        await made.local.close()
        return outcomes

    return asyncio.run(run())


def test_into_a_maildir(tmp_path: Path) -> None:
    one = claim("bob@example.com", "eve@example.com", '"../x"@example.com', route=BOXES)
    (outcomes,) = deliver(tmp_path, one)
    assert [outcome.action for outcome in outcomes] == ["delivered", "delivered", "failed"]
    assert outcomes[2].status == "5.1.1"
    for user in ("bob", "eve"):
        (file,) = (tmp_path / user / "new").iterdir()
        assert file.read_bytes().endswith((TRACE + CONTENT).replace(b"\r\n", b"\n"))


def test_into_a_program(tmp_path: Path) -> None:
    ((outcome,),) = deliver(tmp_path, claim(route=PIPE))
    assert outcome.action == "delayed", "it said 75, EX_TEMPFAIL"
    assert (tmp_path / "piped").read_bytes().endswith(b"Hello.\n")


def test_content_is_fetched_when_it_did_not_come_along(tmp_path: Path) -> None:
    ((outcome,),) = deliver(
        tmp_path, claim("bob@example.com", route=BOXES, content=None), stored=in_memory(b"x\r\n")
    )
    assert outcome.action == "delivered"


def test_content_that_is_not_there_delays(tmp_path: Path) -> None:
    ((outcome,),) = deliver(
        tmp_path, claim("bob@example.com", route=BOXES, content=None), stored=StoreError("the file is gone")
    )
    assert (outcome.action, outcome.reply.code) == ("delayed", 451)
    assert "the file is gone" in outcome.reply.text


def test_a_rule_that_is_gone_delays_and_loses_nothing(tmp_path: Path) -> None:
    """A mistake in the configuration must not return the mail."""
    (outcomes,) = deliver(tmp_path, claim("a@example.com", "b@example.com", route=GONE))
    assert [(one.action, one.status) for one in outcomes] == [("delayed", "4.3.5")] * 2


def test_many_at_once(tmp_path: Path) -> None:
    claims = [claim(f"u{number}@example.com", route=BOXES) for number in range(40)]
    outcomes = deliver(tmp_path, *claims)
    assert all(one.action == "delivered" for (one,) in outcomes)


def test_a_program_that_hangs_holds_up_its_own_mail_alone(tmp_path: Path) -> None:
    """QUE-6: and it has little room, so that its claims do not fill what all may have in hand."""

    async def run() -> None:
        made = Made(tmp_path)
        hanging = made.local.at(HANGS)
        assert hanging.room == AT_ONCE
        stuck = [claim(f"u{number}@example.org", route=HANGS) for number in range(2 * WORKERS)]
        made.offer(*stuck)
        assert hanging.room == 0
        assert made.local.rooms() == {HANGS: 0}
        others = [claim(f"u{number}@example.com", route=BOXES) for number in range(20)]
        made.offer(*others)
        outcomes = await made.wait(*others)
        assert all(one.action == "delivered" for (one,) in outcomes)
        assert not any(one.message.ident in made.done for one in stuck)
        assert made.local.at(BOXES).room > AT_ONCE, "what is fast has more"
        (tmp_path / "go").touch()
        await made.wait(*stuck)
        await made.local.close()

    asyncio.run(run())


def test_what_waits_goes_by_priority_and_may_be_withdrawn(tmp_path: Path) -> None:
    """EXT-3; what has begun is finished."""

    async def run() -> None:
        made = Made(tmp_path)
        low = [claim(f"u{number}@example.org", route=HANGS) for number in range(60)]
        made.offer(*low)
        high, gone = (claim(f"{name}@example.org", route=HANGS) for name in ("high", "gone"))
        high.message.envelope.priority = 5
        gone.token = 77
        made.offer(gone, high)
        made.local.at(HANGS).withdraw({77})
        assert made.untried == [gone]
        (tmp_path / "go").touch()
        await made.wait(*low, high)
        assert made.order.index(high.message.ident) < 2 * WORKERS, "all that had begun, and then it"
        await made.local.close()

    asyncio.run(run())


def test_close_finishes_what_is_in_hand_and_gives_back_the_rest(tmp_path: Path) -> None:
    async def run() -> None:
        made = Made(tmp_path)
        claims = [claim(f"u{number}@example.org", route=HANGS) for number in range(2 * WORKERS)]
        made.offer(*claims)
        closing = asyncio.ensure_future(made.local.close())
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        await closing
        assert made.done and made.untried
        assert {*made.done, *(one.message.ident for one in made.untried)} == {
            one.message.ident for one in claims
        }
        late = claim("late@example.org", route=HANGS)
        made.offer(late)
        assert made.untried[-1] is late

    asyncio.run(run())


def test_members_of_aliases(tmp_path: Path, heard: list[str]) -> None:
    """A program, a file and a Maildir of an alias, and what neither is."""
    routes = [
        Route("pipe", f"|/bin/sh -c 'cat > {tmp_path}/piped'"),
        Route("file", f"{tmp_path}/box"),
        Route("file", f"{tmp_path}/dir/"),
        Route("pipe", "|a | b"),
        Route("file", "relative"),
    ]
    claims = [claim("bob@example.com", route=route) for route in routes]
    every = [one for [one] in deliver(tmp_path, *claims, members=Members(programs=True, files=True))]
    assert [one.action for one in every] == ["delivered"] * 3 + ["delayed"] * 2
    assert {one.status for one in every[3:]} == {"4.3.5"}
    assert "Delivered-To: bob@example.com\n" in (tmp_path / "piped").read_text()
    assert (tmp_path / "box").read_text().startswith("From ")
    assert len(list((tmp_path / "dir" / "new").iterdir())) == 1
    assert any("needs a shell" in line for line in heard)


def test_members_wait_where_no_rule_allows_them_any_more(tmp_path: Path) -> None:
    claims = [
        claim("bob@example.com", route=Route("pipe", f"|touch {tmp_path}/x")),
        claim("bob@example.com", route=Route("file", f"{tmp_path}/x")),
    ]
    assert {(one.action, one.status) for [one] in deliver(tmp_path, *claims)} == {("delayed", "4.3.5")}
    [[one]] = deliver(tmp_path, claims[1], members=Members(programs=True))
    assert one.action == "delayed"
    assert not (tmp_path / "x").exists()


class Fake(Helper):
    """Says yes, or is gone."""

    def __init__(self, *, known: bool = True, gone: bool = False) -> None:
        self.known, self.gone = known, gone
        self.asked: list[tuple[str, str]] = []

    def knows(self, rule: str, way: Way) -> bool:
        assert way.delimiter == "+"
        return self.known

    def deliver(self, rule: str, recipient: Recipient, letter: Letter, limit: float) -> Reply:
        if self.gone:
            raise HelperGone("Broken pipe")
        self.asked.append((rule, str(recipient.forward_path)))
        return Reply(250, "2.0.0", "by another")


def test_as_its_users_each_recipient_is_asked_for(tmp_path: Path) -> None:
    helper = Fake()
    [outcomes] = deliver(tmp_path, claim("ann@example.edu", "bob+x@example.edu", route=USERS), helper=helper)
    assert [one.action for one in outcomes] == ["delivered"] * 2
    assert helper.asked == [("users", "ann@example.edu"), ("users", "bob+x@example.edu")]


@pytest.mark.parametrize(
    ("helper", "line"),
    [(None, "started by root"), (Fake(known=False), "needs a new start"), (Fake(gone=True), "is gone")],
)
def test_as_its_users_mail_waits_with_one_line(
    tmp_path: Path, heard: list[str], helper: Helper | None, line: str
) -> None:
    [[one]] = deliver(tmp_path, claim("ann@example.edu", route=USERS), helper=helper)
    assert (one.action, one.status) == ("delayed", "4.3.0")
    [told] = heard
    assert line in told


def test_places_are_forgotten_when_there_are_too_many(tmp_path: Path) -> None:
    async def run() -> None:
        local = Made(tmp_path).local
        kept = local.at(HANGS)
        kept.offer(claim("a@example.org", route=HANGS))
        for number in range(PLACES + 5):
            local.at(Route("file", f"/box{number}"))
        assert len(local._places) <= PLACES
        assert local.at(HANGS) is kept
        (tmp_path / "go").touch()
        await local.close()

    asyncio.run(run())
