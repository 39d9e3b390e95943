"""How a claim ends: reports go with the settlement that owes them, and who is told of what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clock import T0, virtual
from mail import CONTENT, DAY, HOP, NEVER, OTHER, draft, heard
from names import Names, aliased, users
from runners import RETRY, Service, delayed, settled

from mether.envelope import By
from mether.queue.content import Content
from mether.queue.message import Draft
from mether.queue.store import Filter, StoreError
from mether.reply import Reply
from mether.runner.ending import AGAIN
from mether.runner.notify import Reporter
from mether.runner.schedule import Retry, warn_at


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
async def test_what_nobody_can_be_told_of_is_held_for_a_person() -> None:
    """A report that is refused as its message was: neither its reader nor the postmaster would hear of it."""
    service = Service().start()
    service.reporter.hold, service.reporter.tell_postmaster = True, False
    service.transport.answers["*"] = ("failed", NEVER, "recipient")
    with heard() as events:
        service.receive(draft("one@example.net", "two@example.net"))
        await settled()
        await asyncio.sleep(9 * DAY)
    (entry,) = service.store.entries(Filter())
    assert entry.message.envelope.reverse_path is None  # the report, with the message in it
    assert entry.message.hold == f"cannot be delivered, and nobody can be told: {NEVER}"
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["sender@example.com"]
    assert "Subject: test" in service.store.content(entry.message.ident).read().decode()
    assert "held" in [name for name, _ in events] and "dropped" not in [name for name, _ in events]


@virtual
async def test_it_is_the_message_itself_whose_sender_is_nobody_here() -> None:
    """And only those of its recipients that failed, where reports of them were wanted."""
    service = Service()
    service.reporter.hold, service.reporter.tell_postmaster = True, False
    service.reporter.router = aliased({}, users=users("ann"))  # and no sender@example.com
    service.transport.answers["no@example.net"] = ("failed", NEVER, "recipient")
    service.receive(draft("no@example.net", "yes@example.net"))
    service.receive(draft("no@example.net", notify="NEVER"))
    await settled()
    (entry,) = service.store.entries(Filter())
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["no@example.net"]
    assert entry.status == "held"


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
    service.transport.answers["rcpt@example.net"] = delayed(reply=Reply(450, "4.2.0", "mailbox locked"))
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
    (report,) = service.reports()
    text = service.store.content(report.message.ident).read().decode()
    assert text.count("Action: delayed") == 2
    assert "a@example.net" in text and "b@example.org" in text
    await asyncio.sleep(600)
    assert len(service.reports()) == 1


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


HOUR = 3600
WARNING = Retry(jitter=0.0, warn=[4 * HOUR, 10 * HOUR, DAY])


def aging(*paths: str, **more: Any) -> Draft:
    """A draft with a first warning, as it is made of what arrives."""
    one = draft(*paths, **more)
    one.message.warn_at = warn_at(WARNING, one.message, one.message.arrival.at)
    return one


@virtual
async def test_the_sender_is_told_at_each_age_and_the_message_tried_as_before() -> None:
    """DSN-6, QUE-2, QUE-8: with the real cause, and without NOTIFY; the waits are those of the schedule."""
    service = Service(retry=WARNING).start()
    service.transport.answers["rcpt@example.net"] = delayed(reply=Reply(450, "4.2.0", "mailbox locked"))
    service.receive(aging())
    told: list[int] = []
    with heard() as events:
        await asyncio.sleep(60)
        for hour in range(1, 31):
            await asyncio.sleep(HOUR)
            told += [hour] * (len([name for name, _ in events if name == "reported"]) - len(told))
    assert told == [4, 10, 24]
    assert {fields["kind"] for name, fields in events if name == "reported"} == {"delayed"}
    tries = [round(time) for time, _, to in service.transport.tried if to == ["rcpt@example.net"]]
    assert tries[:8] == [0, 60, 360, 1260, 3060, 6660, 13860, 28260]
    (entry,) = service.store.entries(Filter())
    assert entry.message.warn_at is None


@virtual
async def test_a_warning_says_why_and_until_when_it_is_tried() -> None:
    """DSN-6, BNC-8: Will-Retry-Until; RFC 3463: the cause, not only that it took long."""
    service = Service(retry=WARNING).start()
    service.transport.answers.update(
        {
            "rcpt@example.net": delayed("host", Reply(451, "4.4.1", "connection refused")),
            "sender@example.com": delayed(),
        }
    )
    service.receive(aging())
    await asyncio.sleep(4 * HOUR + 1)
    (report,) = service.reports()
    content = service.store.content(report.message.ident).read().decode()
    assert "Action: delayed" in content
    assert "Status: 4.4.1" in content
    assert "connection refused" in content
    assert "Will-Retry-Until:" in content
    assert service.runner.window.used == 0


@pytest.mark.parametrize("more", [{"notify": "NEVER"}, {"notify": "SUCCESS,FAILURE"}, {"sender": ""}])
@virtual
async def test_who_is_not_to_hear_of_delays_hears_of_none_at_any_age(more: dict[str, str]) -> None:
    """DSN-6: RFC 3461 section 5.2.5; a null reverse-path."""
    service = Service(retry=WARNING).start()
    service.transport.answers["*"] = delayed()
    one = aging(**more)
    one.message.warn_at = T0 + 4 * HOUR
    service.receive(one)
    before = service.queued
    await asyncio.sleep(2 * DAY)
    assert before() == [one.message.ident]
    assert service.runner.window.used == 0


@virtual
async def test_only_those_who_may_be_told_of_are_in_the_warning() -> None:
    """DSN-6: by each recipient's own NOTIFY, in one report for all at a next hop."""
    service = Service(retry=WARNING).start()
    paths = ("a@example.net", "b@example.net", "c@example.net")
    one = aging(*paths)
    for recipient, notify in zip(one.message.envelope.recipients, (None, "DELAY", "FAILURE"), strict=True):
        recipient.notify = notify
    service.transport.answers["*"] = delayed()
    service.receive(one)
    await asyncio.sleep(4 * HOUR + 1)
    (report,) = service.reports()
    content = service.store.content(report.message.ident).read().decode()
    assert [path in content for path in paths] == [True, True, False]


@virtual
async def test_a_suspended_next_hop_is_warned_of_and_a_held_message_is_not() -> None:
    """DSN-6, QUE-4: nobody but a person may end the one; and a person waits for the other already."""
    service = Service(retry=WARNING).start()
    service.store.suspend([HOP], reason="moving house", until=None)
    waits, held = aging(), aging("b@example.org", routes=[OTHER])
    held.message.hold = "asked"
    service.receive(waits, held)
    with heard() as events:
        await asyncio.sleep(5 * HOUR)
    assert [fields["queue_id"] for name, fields in events if name == "reported"] == [waits.message.ident]
    assert {to[0] for _, _, to in service.transport.tried} == {"sender@example.com"}
    assert held.message.ident in service.queued()


@virtual
async def test_what_came_due_with_its_warning_is_tried_first() -> None:
    """QUE-2: as after a day in which nothing ran; who gets it then is not told of a delay."""
    service = Service(retry=WARNING)
    late, gone = aging("late@example.net"), aging("gone@example.net")
    service.put(late, gone)
    service.transport.answers.update({"late@example.net": delayed(), "sender@example.com": delayed()})
    await asyncio.sleep(11 * HOUR)
    with heard() as events:
        service.start()
        await asyncio.sleep(HOUR / 2)
    assert [fields["queue_id"] for name, fields in events if name == "reported"] == [late.message.ident]
    entries = {entry.message.ident: entry for entry in service.store.entries(Filter())}
    assert gone.message.ident not in entries
    assert entries[late.message.ident].message.warn_at == T0 + DAY


@virtual
async def test_what_is_delivered_in_time_is_warned_of_by_nobody() -> None:
    service = Service(retry=WARNING).start()
    service.receive(aging())
    await asyncio.sleep(2 * DAY)
    assert not service.queued()
    assert len(service.transport.tried) == 1


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


@virtual
async def test_a_report_waits_for_the_table_that_says_where_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader is an alias: a slow table is asked, and one that cannot be read is tried again."""
    service = Service()
    service.transport.answers["*"] = ("failed", NEVER, "recipient")
    names = Names({"sender@example.com": "ann@example.net"}, slow=True)
    monkeypatch.setattr(service.runner._trying._ending._reporter, "router", aliased(names))
    service.receive(draft("a@example.net"))
    await settled()
    await settled()
    (report,) = service.reports()
    assert [str(row.recipient.forward_path) for row in report.rows] == ["ann@example.net"]
    names.broken = True
    with heard() as events:
        service.receive(draft("b@example.net"))
        await settled()
        assert len(service.reports()) == 1 and len(service.queued()) == 2
        names.broken = False
        await asyncio.sleep(AGAIN)
        await settled()
    assert "cannot be addressed now: names: no" in next(
        one["what"] for name, one in events if name == "error"
    )
    assert len(service.reports()) == 2 and len(service.queued()) == 2
    assert len(service.transport.tried) == 2, "nothing is delivered again for that"
