"""Delivery on this host: the rule decides how, each recipient has its own outcome."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clock import T0
from mail import CONTENT, TRACE, address, claim

from mether.outcome import Outcome, Route
from mether.queue.claim import Claim
from mether.queue.content import Content, in_memory
from mether.queue.store import StoreError
from mether.relay.local import Local
from mether.routing.table import Rule, Table

BOXES, PIPE, GONE = Route("maildir", "boxes"), Route("pipe", "program"), Route("maildir", "gone")


def deliver(
    tmp_path: Path, *claims: Claim, stored: Content | StoreError | None = None
) -> list[list[Outcome]]:
    """Work the claims; the outcomes of each."""
    done: dict[str, list[Outcome]] = {}
    table = Table(
        [
            Rule(["example.com"], "maildir", f"{tmp_path}/{{user}}", "boxes"),
            Rule(["example.net"], "pipe", ("sh", "-c", f"cat > {tmp_path}/piped; exit 75"), "program"),
        ],
        "mx.example.com",
        address("postmaster@example.com"),
    )

    async def content(claim: Claim) -> Content:
        if isinstance(stored, StoreError):
            raise stored
        assert stored is not None
        return stored

    async def run() -> None:
        local = Local(
            loop=asyncio.get_running_loop(),
            table=table,
            content=content,
            hostname="mx.example.com",
            clock=lambda: T0,
            done=lambda claim, outcomes, *times: done.update({claim.message.ident: outcomes}),
            limit=lambda name: 30.0,
        )
        for one in claims:
            local.offer(one)
        await local.close()

    asyncio.run(run())
    return [done[one.message.ident] for one in claims]


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


def test_close_finishes_what_is_in_hand(tmp_path: Path) -> None:
    claims = [claim(f"u{number}@example.com", route=BOXES) for number in range(40)]
    outcomes = deliver(tmp_path, *claims)
    assert all(one.action == "delivered" for (one,) in outcomes)
