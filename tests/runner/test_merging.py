"""Reports above the hourly limit wait, and go as one."""

from __future__ import annotations

import asyncio
import email
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from clock import running, virtual
from mail import DAY, LATER, NEVER, draft, heard
from runners import Service, settled

from mether.outcome import Route
from mether.queue.claim import Claim
from mether.queue.pace import HOUR, Pace, hour
from mether.queue.store import Filter
from mether.reply import Reply
from mether.runner import merging

SENDER = "sender@example.com"
DIGEST = re.compile(rb"\r\n--b0undary\w*-d\r\n")
GONE = ("failed", NEVER, "recipient")


class Reporting(Service):
    """A service where nobody is at example.net, with so many reports an hour; `sent` is what readers get."""

    def __init__(self, hourly: int, **more: Any) -> None:
        super().__init__(**more)
        self.pace = self.reporter.pace = Pace(None, hourly)
        self.sent: list[bytes] = []
        self.transport.answers["rcpt@example.net"] = GONE
        offer = self.transport.offer

        def offered(claim: Claim) -> None:
            if claim.message.envelope.reverse_path is None:
                assert claim.content is not None
                self.sent.append(claim.content.read())
            offer(claim)

        self.transport.offer = offered  # type: ignore[method-assign]

    def told(self) -> list[int]:
        """How many reports were in each message that was sent to a reader."""
        return [max(1, len(DIGEST.findall(one))) for one in self.sent]

    def until(self) -> float:
        """Seconds until the sender's hour is over."""
        now = running().clock()
        return hour(SENDER, now) - now


@contextmanager
def reporting(hourly: int, **more: Any) -> Iterator[Reporting]:
    service = Reporting(hourly, **more)
    service.start()
    yield service
    service.pace.close()


@virtual
async def test_what_is_above_the_limit_goes_as_one_in_the_next_hour() -> None:
    """BNC-2: never a storm; and none is dropped."""
    with reporting(3) as service, heard() as events:
        service.put(*(draft(sender=SENDER) for _ in range(40)))
        service.runner.wake()
        await settled()
        assert service.told() == [1, 1, 1]
        assert len(service.queued()) == 37
        await asyncio.sleep(service.until() + 1)
        assert service.told() == [1, 1, 1, 37]
        assert not service.queued()
    [merged] = [fields for name, fields in events if name == "merged"]
    assert len(merged["reports"]) == 37 and merged["to"] == SENDER
    reported = [fields["report"] for name, fields in events if name == "reported"]
    relayed = [fields["queue_id"] for name, fields in events if name == "relayed"]
    assert sorted(relayed) == sorted(reported) and len(set(reported)) == 40


@virtual
async def test_the_one_message_is_a_report_like_any() -> None:
    """From and to whom each was, with the null reverse-path, and NOTIFY=NEVER."""
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(4)))
        service.runner.wake()
        await settled()
        [entry, *_] = service.reports()
        assert entry.message.envelope.recipients[0].notify == "NEVER"
        await asyncio.sleep(service.until() + 1)
    single, several = map(email.message_from_bytes, service.sent)
    assert several["To"] == single["To"] == f"<{SENDER}>"
    assert several.get_content_type() == "multipart/mixed"


@virtual
async def test_those_that_wait_hold_the_header_alone() -> None:
    """BNC-6: what is kept for an hour, and sent with many others, is kept small."""
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(3)))
        service.runner.wake()
        await settled()
        assert b"message/rfc822" in service.sent[0]
        for entry in service.reports():
            assert b"text/rfc822-headers" in service.store.content(entry.message.ident).read()


@virtual
async def test_readers_do_not_wait_for_each_other() -> None:
    with reporting(1) as service:
        service.put(*(draft(sender=f"user{number}@example.com") for number in range(20)))
        service.runner.wake()
        await settled()
        assert service.told() == [1] * 20


@virtual
async def test_what_fails_meanwhile_goes_with_them() -> None:
    with reporting(2) as service:
        for _ in range(4):
            service.put(*(draft(sender=SENDER, at=running().clock()) for _ in range(10)))
            service.runner.wake()
            await asyncio.sleep(service.until() / 8)
        assert service.told() == [1, 1]
        await asyncio.sleep(service.until() + 1)
        assert service.told() == [1, 1, 38]


@virtual
async def test_the_messages_of_many_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many in any hour, however much waits."""
    monkeypatch.setattr("mether.runner.merging.MOST", 10)
    with reporting(2) as service:
        service.put(*(draft(sender=SENDER) for _ in range(52)))
        service.runner.wake()
        await settled()
        await asyncio.sleep(service.until() + 1)
        assert service.told() == [1, 1, 10, 10]
        await asyncio.sleep(HOUR)
        assert service.told() == [1, 1] + [10] * 4
        await asyncio.sleep(HOUR)
        assert service.told() == [1, 1] + [10] * 5
        assert not service.queued()


@virtual
async def test_none_grows_beyond_its_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mether.runner.merging.OCTETS", 10_000)
    with reporting(100) as service:
        service.put(*(draft(sender=SENDER) for _ in range(120)))
        service.runner.wake()
        await settled()
        await asyncio.sleep(service.until() + 1)
        assert sum(service.told()) == 120
        assert len(service.sent) > 102
        assert max(map(len, service.sent)) < 15_000


@virtual
async def test_a_reader_that_cannot_be_reached_is_tried_with_all_of_them_again() -> None:
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(9)))
        service.runner.wake()
        await settled()
        service.transport.answers[SENDER] = ("delayed", LATER, "recipient")
        await asyncio.sleep(service.until() + 1)
        assert service.told() == [1, 8]
        assert {entry.rows[0].attempts for entry in service.reports()} == {1}
        service.transport.answers.pop(SENDER)
        await asyncio.sleep(2 * HOUR)
        assert not service.queued()
        assert service.told() == [1, 8, 8]


TOO_LARGE = Reply(552, "5.3.4", "message too big for system")


@virtual
@pytest.mark.parametrize(
    "refusal",
    [
        ("failed", TOO_LARGE, "transaction"),
        ("failed", TOO_LARGE, "recipient"),  # at RCPT
        ("delayed", Reply(552, None, "message too big for system"), "recipient"),  # as 552 is there
        ("failed", Reply(554, "5.7.1", "this looks like spam"), "transaction"),
    ],
)
async def test_what_is_too_much_for_the_next_hop_goes_in_less(refusal: tuple[str, Reply, str]) -> None:
    """Each would have been taken alone, and none may be lost for having been put with others."""
    with reporting(1) as service, heard() as events:
        service.put(*(draft(sender=SENDER) for _ in range(41)))
        service.runner.wake()
        await settled()
        work = service.transport.work

        def limited(claim: Claim) -> None:
            assert claim.content is not None
            if claim.content.size > 30_000:
                service.transport.answers[SENDER] = refusal
            work(claim)
            service.transport.answers.pop(SENDER, None)

        service.transport.work = limited  # type: ignore[method-assign]
        await asyncio.sleep(DAY)
        assert not service.queued()
        assert service.told()[:2] == [1, 40]
        assert sum(service.told()[2:]) == 40 and max(service.told()[2:]) > 1
    relayed = [fields["queue_id"] for name, fields in events if name == "relayed"]
    reported = [fields["report"] for name, fields in events if name == "reported"]
    assert sorted(relayed) == sorted(reported) and len(reported) == 41


@virtual
async def test_what_no_next_hop_takes_even_alone_is_the_postmasters() -> None:
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(9)))
        service.runner.wake()
        await settled()
        service.transport.answers[SENDER] = ("failed", TOO_LARGE, "transaction")
        await asyncio.sleep(4 * DAY)
        assert not service.queued()
        texts = [one for one in service.sent if b"To: <postmaster@example.com>" in one[:2000]]
        told = sum(max(1, len(DIGEST.findall(one))) for one in texts)
        assert told == 8


@virtual
async def test_no_more_readers_are_remembered_than_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mether.runner.merging.READERS", 3)
    with reporting(1) as service:
        senders = [f"user{number}@example.com" for number in range(6)]
        service.put(*(draft(sender=sender) for sender in senders for _ in range(4)))
        service.runner.wake()
        await settled()
        for sender in senders:
            service.transport.answers[sender] = ("failed", TOO_LARGE, "transaction")
        await asyncio.sleep(HOUR + 1)
        assert len(service.runner._trying._merging._most) == 3
        await asyncio.sleep(4 * DAY)
        assert not service.queued()


@virtual
async def test_one_that_cannot_be_read_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    read = merging._read
    with reporting(1) as service, heard() as events:
        service.put(*(draft(sender=SENDER) for _ in range(6)))
        service.runner.wake()
        await settled()
        bad = service.queued()[2]

        def damaged(claim: Claim) -> bytes:
            if claim.message.ident == bad:
                raise OSError(5, "Input/output error")
            return read(claim)

        monkeypatch.setattr("mether.runner.merging._read", damaged)
        await asyncio.sleep(service.until() + 1)
        assert service.told() == [1, 4]
        assert service.queued() == [bad]
    assert any("Input/output error" in str(fields) for _, fields in events)


@virtual
async def test_a_dead_host_is_counted_once() -> None:
    """The outcome of the one message is that of each report; the next hop has failed once."""
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(9)))
        service.runner.wake()
        await settled()
        service.transport.answers[SENDER] = ("delayed", Reply(451, "4.4.1", "no answer"), "host")
        await asyncio.sleep(service.until() + 1)
        [hop] = service.store.hops()
        assert (hop.route, hop.failures) == (Route("maildir", "here"), 1)
        assert {entry.rows[0].attempts for entry in service.reports()} == {1}


@virtual
async def test_a_reader_that_is_gone_is_the_postmasters_and_no_storm_either() -> None:
    """BNC-2: one notice about each, above the limit as one; and none about those."""
    with reporting(2) as service:
        service.put(*(draft(sender=SENDER) for _ in range(12)))
        service.transport.answers[SENDER] = GONE
        service.runner.wake()
        for _ in range(6):
            await asyncio.sleep(HOUR)
        assert not service.queued()
        tos = [email.message_from_bytes(one)["To"] for one in service.sent]
        postmasters = [
            n for n, to in zip(service.told(), tos, strict=True) if to == "<postmaster@example.com>"
        ]
        assert sum(postmasters) == 12
        assert len(postmasters) <= 5


@virtual
async def test_what_a_person_holds_or_removes_does_not_go_with_them() -> None:
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(6)))
        service.runner.wake()
        await settled()
        one, other, *_ = service.queued()
        now = running().clock()
        service.store.change(Filter(idents=frozenset([one])), "hold", now=now)
        service.store.change(Filter(idents=frozenset([other])), "remove", now=now)
        await asyncio.sleep(service.until() + 1)
        assert service.told() == [1, 3]
        assert service.queued() == [one]


@virtual
async def test_what_is_given_back_untried_is_each_report_of_it() -> None:
    """The service stops, or the next hop has no connection for it: they go as one later."""
    with reporting(1) as service:
        service.put(*(draft(sender=SENDER) for _ in range(6)))
        service.runner.wake()
        await settled()
        service.transport.holding = True
        await asyncio.sleep(service.until() + 1)
        assert [len(service.transport.held), service.told()] == [1, [1, 5]]
        service.transport.holding = False
        service.transport.withdraw({claim.token for claim in service.transport.held})
        await asyncio.sleep(HOUR)
        assert not service.queued()
        assert service.told()[-1] == 5


@virtual
async def test_one_run_takes_them_too() -> None:
    """``runsmtpq`` without a service."""
    from mether.queue.store import Select

    service = Reporting(1)
    service.put(*(draft(sender=SENDER) for _ in range(6)))
    await service.runner.once(Select())
    await service.runner.once(Select())
    assert service.told() == [1]
    await asyncio.sleep(service.until() + 1)
    await service.runner.once(Select())
    assert service.told() == [1, 5]
    assert not service.queued()
    service.pace.close()
