"""What becomes of a claim between the store and its end."""

from __future__ import annotations

import asyncio

import pytest
from clock import T0, running, virtual
from mail import NEVER, draft, heard
from runners import Service, delayed, settled

from mether.envelope import By
from mether.outcome import Route
from mether.queue.claim import Claim
from mether.queue.store import Filter
from mether.reply import Reply
from mether.runner import giving

LOCAL = Route("maildir", "here")


@virtual
async def test_each_recipient_has_its_own_end() -> None:
    """QUE-5: the accepted one once, the refused one returned at once, the delayed one again."""
    service = Service().start()
    service.transport.answers.update(
        {"no@example.net": ("failed", NEVER, "recipient"), "later@example.net": delayed()}
    )
    service.receive(draft("yes@example.net", "no@example.net", "later@example.net"))
    await settled()
    (report,) = [tried for tried in service.transport.tried if tried[2] == ["sender@example.com"]]
    assert report
    service.transport.answers.clear()
    await asyncio.sleep(100)
    assert [tried[2] for tried in service.transport.tried if tried[2] != ["sender@example.com"]] == [
        ["yes@example.net", "no@example.net", "later@example.net"],
        ["later@example.net"],
    ]
    assert not service.queued()


@virtual
async def test_a_message_that_expires_is_returned_with_the_last_cause() -> None:
    """QUE-8"""
    service = Service().start()
    service.transport.answers["rcpt@example.net"] = delayed(reply=Reply(450, "4.2.2", "mailbox full"))
    service.transport.answers["sender@example.com"] = delayed()
    service.receive(draft(expires=T0 + 1000))
    await asyncio.sleep(1100)
    (report,) = service.reports()
    assert service.queued() == [report.message.ident]
    assert "mailbox full" in service.store.content(report.message.ident).read().decode()
    assert max(time for time, _, to in service.transport.tried if to == ["rcpt@example.net"]) <= 1002


@virtual
async def test_a_message_expires_though_its_next_hop_is_left_alone() -> None:
    service = Service().start()
    service.transport.answers["rcpt@example.net"] = delayed("host", Reply(451, "4.4.1", "connection refused"))
    service.receive(draft(expires=T0 + 1000))
    await settled()
    service.receive(draft(expires=T0 + 30))
    with heard() as events:
        await asyncio.sleep(50)
    assert "expired" in [name for name, _ in events]
    assert len([tried for tried in service.transport.tried if tried[2] == ["rcpt@example.net"]]) == 1
    (text,) = [one for one in service.transport.tried if one[2] == ["sender@example.com"]]
    assert text


@virtual
async def test_large_messages_are_not_taken_straight_through_and_go_all_the_same() -> None:
    service = Service().start()
    await settled()
    one = draft()
    writer = service.store.stage(one.message.ident)
    writer.write(b"x" * 100_000)
    writer.sync()
    one.content = writer
    service.receive(one)
    assert not one.claim
    await settled()
    assert len(service.transport.tried) == 1
    assert not service.queued()


@virtual
async def test_what_was_to_be_delivered_by_now_is_not_tried_again() -> None:
    """EXT-1: RFC 2852 section 4.1.3, mode R."""
    service = Service().start()
    service.transport.answers["rcpt@example.net"] = delayed()
    service.transport.answers["sender@example.com"] = delayed()
    one = draft(expires=T0 + 300)
    one.message.envelope.by = By(300, "R")
    service.receive(one)
    await asyncio.sleep(600)
    (report,) = service.reports()
    content = service.store.content(report.message.ident).read().decode()
    assert "Status: 5.4.7" in content
    assert "delivery time expired; the last try ended with: 451" in " ".join(content.split())
    assert max(time for time, _, to in service.transport.tried if to == ["rcpt@example.net"]) < 300


@virtual
@pytest.mark.parametrize("scope", ["recipient", "host"])
async def test_what_was_to_be_delivered_by_now_is_returned_at_its_time(scope: str) -> None:
    """EXT-1: RFC 2852 section 4.1.3, mode R; also behind a next hop that is left alone for longer."""
    service = Service().start()
    service.transport.answers["rcpt@example.net"] = delayed(scope)
    await asyncio.sleep(1)  # the runner pauses: nothing waits
    for _ in range(2):  # the second may find its next hop in trouble, and is not tried
        one = draft(at=T0 + running().time(), expires=T0 + running().time() + 4)
        one.message.envelope.by = By(4, "R")
        with heard() as events:
            service.receive(one)
            await asyncio.sleep(5)
        assert [name for name, _ in events].count("expired") == 1
        (failed,) = [fields for name, fields in events if name == "failed"]
        assert 4 <= failed["ended"] - failed["arrival"] < 5
        assert failed["arrival"] <= failed["started"] <= failed["connected"] <= failed["ended"]
        assert [name for name, _ in events].count("reported") == 1
        assert not service.queued()


@pytest.mark.parametrize("straight", [True, False])
@virtual
async def test_a_fault_before_the_transport_is_an_outcome(straight: bool) -> None:
    """QUE: no claim is left to nobody; the others of the batch go on."""
    service = Service()
    real, faults = service.transport.offer, 1

    def offer(claim: Claim) -> None:
        nonlocal faults
        if faults:
            faults -= 1
            raise RuntimeError("broken")
        real(claim)

    service.transport.offer = offer  # type: ignore[method-assign]
    if straight:
        service.start().receive(draft(), draft())
    else:
        service.put(draft(), draft())
        service.start()
    await asyncio.sleep(1)
    (entry,) = service.store.entries(Filter())
    assert entry.status == "deferred"
    assert entry.rows[0].last is not None
    assert "broken" in str(entry.rows[0].last.reply)
    await asyncio.sleep(70)
    assert not service.queued()
    assert service.runner.window.used == 0


@virtual
async def test_a_claim_is_given_back_when_not_even_its_fault_can_be_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service()
    with heard() as events, monkeypatch.context() as broken:

        def fail(*arguments: object) -> None:
            raise RuntimeError("broken")

        broken.setattr(service.transport, "offer", fail)
        broken.setattr(service.runner._trying, "done", fail)
        service.start().receive(draft())
        await settled()
    assert "error" in [name for name, _ in events]
    assert service.runner.window.used == 1
    await asyncio.sleep(giving.RETRY + 1)
    assert not service.queued()
    assert service.runner.window.used == 0
