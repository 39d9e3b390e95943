"""A message that a person returns is reported and removed in one transaction, or not at all."""

import pytest

from mether.address import Address, parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome, Route
from mether.queue.claim import Decision, Settlement
from mether.queue.ident import new_id
from mether.queue.memory import MemoryStore
from mether.queue.message import Arrival, Draft, Message
from mether.queue.store import Filter, Select, StoreError
from mether.reply import Reply
from mether.routing.router import Router
from mether.runner.notify import Reporter
from mether.runner.returning import give_back

NOW = 1_800_000_000.0
PM = Address("pm", "home.test")
_numbers = iter(range(10_000))


@pytest.fixture
def store():
    store = MemoryStore(now=NOW)
    yield store
    store.close()


@pytest.fixture
def reporter():
    return Reporter(
        hostname="mx.test",
        postmaster=PM,
        tell_postmaster=True,
        router=Router((), "mx.test"),
        lifetime=86400.0,
        boundary=lambda: "b",
    )


def put(store, sender="ann@x.test", notify=None):
    ident = new_id(NOW + next(_numbers), 1)
    envelope = Envelope(parse(sender) if sender else None, [Recipient(parse("bob@y.test"), notify=notify)])
    message = Message(ident, envelope, Arrival(NOW), size=20, expires=NOW + 9)
    store.commit([Draft(message, b"Subject: s\r\n\r\n", [Route("smtp", "y.test")], due=NOW)], now=NOW)
    return ident


def claims(store):
    return store.claim(10, NOW, Select(regardless=True, held=True))


def queued(store):
    return {entry.message.ident for entry in store.entries(Filter())}


def test_the_reason_is_what_was_last_said(store, reporter):
    put(store)
    (claim,) = claims(store)
    said = Outcome(0, "delayed", Reply(451, "4.2.1", "asleep"), at=NOW)
    store.settle([Settlement(claim, [Decision(0, said, NOW)])], now=NOW)
    (answer,) = give_back(store, claims(store), reporter, NOW)
    (report,) = answer.reports
    assert queued(store) == {report}
    assert b"451 4.2.1 asleep" in store.content(report).read()


def test_a_claim_that_was_lost_returns_nothing(store, reporter, monkeypatch):
    ident = put(store)
    held = claims(store)
    store.release(held)
    (answer,) = give_back(store, held, reporter, NOW)
    assert answer.refused
    assert answer.reports == []
    assert queued(store) == {ident}


def test_who_wanted_no_report_gets_none(store, reporter):
    """NOTIFY=NEVER: checklist DSN-5."""
    put(store, notify="NEVER")
    (answer,) = give_back(store, claims(store), reporter, NOW)
    assert answer.reports == []
    assert queued(store) == set()


def test_content_that_cannot_be_read_does_not_keep_the_sender_in_the_dark(store, reporter, monkeypatch):
    put(store)
    found = claims(store)
    found[0].content = None

    def damaged(ident):
        raise StoreError("unreadable")

    with monkeypatch.context() as broken:
        broken.setattr(store, "content", damaged)
        (answer,) = give_back(store, found, reporter, NOW)
    assert queued(store) == set(answer.reports)
