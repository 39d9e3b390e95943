"""How a claim ends: reports go with the settlement that owes them, and who is told of what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clock import virtual
from mail import CONTENT, DAY, HOP, NEVER, OTHER, draft, heard
from runners import RETRY, Service, delayed, settled

from mether.envelope import By
from mether.queue.content import Content
from mether.queue.message import Draft
from mether.queue.store import Filter, StoreError
from mether.reply import Reply
from mether.runner.notify import Reporter


@virtual
async def test_a_report_is_queued_in_the_settlement_that_ends_its_message() -> None:
    """BNC: it exists if and only if its message is gone."""
    service = Service()
    service.transport.answers["*"] = ("failed", NEVER, "recipient")
    service.receive(draft("one@example.net", "two@example.net"))
    before = service.queued
    await settled()
    (report,) = service.reports()
    assert before() == [report.message.ident]
    content = service.store.content(report.message.ident).read().decode()
    assert content.count("Action: failed") == 2
    assert "Subject: test" in content


@virtual
async def test_nobody_is_removed_without_the_report_that_is_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """BNC-1: what cannot be reported now stays queued; the runner goes on."""
    service = Service().start()
    service.transport.answers["a@example.net"] = ("failed", NEVER, "recipient")
    with heard() as events, monkeypatch.context() as broken:

        def reports(*arguments: object) -> list[Draft]:
            raise RuntimeError("broken")

        broken.setattr(Reporter, "reports", reports)
        service.receive(draft("a@example.net", "b@example.net"))
        await settled()
        service.receive(draft("c@example.net"))
        await settled()
    (entry,) = service.store.entries(Filter())
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["a@example.net"]
    assert entry.status == "deferred"
    assert [name for name, _ in events].count("error") == 1
    assert service.runner.window.used == 0
    await asyncio.sleep(2 * DAY)
    assert service.transport.tried[-1][2] == ["sender@example.com"]
    assert not service.queued()


@virtual
async def test_a_settlement_that_came_too_late_is_told_and_reports_nothing() -> None:
    service = Service()
    service.transport.answers["*"] = ("failed", NEVER, "recipient")
    service.transport.holding = True
    service.receive(draft())
    await settled()
    claim = service.transport.held.pop()
    service.store.release([claim])
    with heard() as events:
        service.transport.work(claim)
        await settled()
    assert "refused" in [name for name, _ in events]
    assert not service.reports()
    assert len(service.queued()) == 1


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), StoreError("damaged")])
@virtual
async def test_a_report_is_made_though_the_content_cannot_be_read(error: Exception) -> None:
    class Torn(Content):
        def read(self, limit: int | None = None) -> bytes:
            raise error

    service = Service()
    service.transport.answers["*"] = ("failed", NEVER, "recipient")
    service.transport.holding = True
    service.receive(draft())
    await settled()
    claim = service.transport.held.pop()
    claim.content = Torn(None, len(CONTENT))
    service.transport.work(claim)
    await settled()
    (report,) = service.reports()
    assert service.queued() == [report.message.ident]
    assert service.runner.window.used == 0


@virtual
async def test_success_is_reported_in_the_settlement_that_ends_its_message() -> None:
    """DSN-4, DSN-5: where NOTIFY asked for it, and to the log as what it is."""
    service = Service()
    with heard() as events:
        service.receive(draft("one@example.net", notify="SUCCESS"))
        service.receive(draft("two@example.net", notify="FAILURE,DELAY"))
        service.receive(draft("three@example.net"))
        await settled()
    (report,) = service.reports()
    assert service.queued() == [report.message.ident]
    content = service.store.content(report.message.ident).read().decode()
    assert content.count("Action: relayed") == 1
    assert "one@example.net" in content
    assert [fields["kind"] for name, fields in events if name == "reported"] == ["relayed"]


def timed(by: By, *paths: str, **more: Any) -> Draft:
    """A draft with a time to deliver by, as it is made of what arrives."""
    one = draft(*paths, **more)
    message = one.message
    message.envelope.by = by
    if by.mode == "R":
        message.expires = min(message.expires, message.arrival.at + by.seconds)
    else:
        message.warn_at = message.arrival.at + by.seconds
    return one


@virtual
async def test_a_delay_is_told_once_and_the_message_tried_on() -> None:
    """EXT-1, DSN-6: RFC 2852 section 4.1.3, mode N."""
    service = Service().start()
    service.transport.answers["rcpt@example.net"] = delayed(reply=Reply(450, "4.2.2", "mailbox full"))
    service.transport.answers["sender@example.com"] = delayed()
    one = timed(By(200, "N"))
    service.receive(one)
    with heard() as events:
        await asyncio.sleep(199)
        assert not service.reports()
        await asyncio.sleep(3000)
    (report,) = service.reports()
    content = service.store.content(report.message.ident).read().decode()
    assert "Action: delayed" in content
    assert "Status: 4.4.7" in content
    assert [fields["kind"] for name, fields in events if name == "reported"] == ["delayed"]
    tries = [round(time) for time, _, to in service.transport.tried if to == ["rcpt@example.net"]]
    assert tries[:4] == [0, 60, 360, 1260], "the warning is no attempt and moves none"
    service.transport.answers.clear()
    await asyncio.sleep(3 * 3600)
    assert not service.queued()
    assert len([entry for name, entry in events if name == "reported"]) == 1


@virtual
async def test_a_delay_is_told_though_the_next_hop_is_left_alone() -> None:
    """DSN-6: of recipients at every next hop, and of none twice."""
    service = Service().start()
    service.transport.answers.update(
        {"a@example.net": delayed("host"), "b@example.org": delayed("host"), "*": delayed()}
    )
    service.receive(timed(By(50, "N"), "a@example.net", "b@example.org", routes=[HOP, OTHER]))
    await asyncio.sleep(55)
    texts = [service.store.content(entry.message.ident).read().decode() for entry in service.reports()]
    assert sum(text.count("Action: delayed") for text in texts) == 2
    assert {"a@example.net" in text for text in texts} == {True, False}
    await asyncio.sleep(600)
    assert len(service.reports()) == 2


@virtual
async def test_a_delay_nobody_asked_to_hear_of_is_not_told() -> None:
    """DSN-6: NOTIFY without DELAY, and the null reverse-path."""
    service = Service().start()
    service.transport.answers["*"] = delayed()
    service.receive(timed(By(50, "N"), notify="FAILURE"), timed(By(50, "N"), sender=""))
    await asyncio.sleep(70)
    assert len(service.queued()) == 2
    assert [entry.message.warn_at for entry in service.store.entries(Filter())] == [None, None]
    assert service.runner.window.used == 0


@virtual
async def test_a_warning_that_cannot_be_written_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service().start()
    service.transport.answers["*"] = delayed()
    with heard() as events, monkeypatch.context() as broken:

        def fail(*arguments: object) -> list[Draft]:
            raise RuntimeError("broken")

        broken.setattr(Reporter, "delayed", fail)
        service.receive(timed(By(50, "N")))
        await asyncio.sleep(70)
    assert [name for name, _ in events].count("error") == 1
    assert not service.reports()
    await asyncio.sleep(RETRY.intervals[-1])
    assert len(service.reports()) == 1
