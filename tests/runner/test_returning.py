"""A message that a person returns is reported and removed in one transaction, or not at all."""

import pytest
from mail import heard

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
from mether.runner.returning import UNTRIED, foresee, give_back

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


def put_several(store, *paths, sender="ann@x.test"):
    """A message whose recipients wait at one next hop; its id."""
    ident = new_id(NOW + next(_numbers), 1)
    recipients = [Recipient(parse(each)) for each in paths]
    message = Message(
        ident,
        Envelope(parse(sender) if sender else None, recipients),
        Arrival(NOW),
        size=20,
        expires=NOW + 9,
    )
    routes = [Route("smtp", "y.test")] * len(recipients)
    store.commit([Draft(message, b"Subject: s\r\n\r\n", routes, due=NOW)], now=NOW)
    return ident


def test_only_those_that_are_meant(store, reporter):
    ident = put_several(store, "bob@y.test", "cat@y.test")
    found = claims(store)
    (answer,) = give_back(store, found, reporter, NOW, recipient="CAT@*")
    assert answer.given_up == {1}
    (report,) = answer.reports
    assert b"bob@y.test" not in store.content(report).read()
    (row,) = store.entries(Filter(idents=frozenset([ident])))[0].rows
    assert (str(row.recipient.forward_path), row.owner, row.attempts) == ("bob@y.test", None, 0)
    (left,) = give_back(store, claims(store)[:1], reporter, NOW, recipient="nobody@*")
    assert (left.open, left.given_up, left.reports) == (True, set(), [])


def test_the_remark_is_the_postmasters_and_no_servers(store, reporter):
    """RFC 3464 section 2.3.6: a Diagnostic-Code of smtp is what a server said."""
    put(store)
    (answer,) = give_back(store, claims(store), reporter, NOW, remark="the branch is closed")
    text = store.content(answer.reports[0]).read().decode()
    words, _, status = text.partition("Content-Type: message/delivery-status")
    assert "the branch is closed" in words
    assert "the branch is closed" not in status
    assert "Diagnostic-Code: smtp" not in status
    assert "Status: 5.0.0" in status
    assert "Last-Attempt-Date" not in status  # there was none: RFC 3464 section 2.3.7


@pytest.mark.parametrize("notify", [None, "SUCCESS,FAILURE"])
def test_where_nobody_can_be_told_it_is_held(store, reporter, notify):
    """Not dropped: RFC 5321 section 6.1 forbids to return it, and a person asked for holding such."""
    reporter.hold, reporter.tell_postmaster = True, False
    ident = put(store, sender="", notify=notify)
    (answer,) = give_back(store, claims(store), reporter, NOW, remark="late")
    assert answer.kept == f"cannot be returned, as nobody can be told: {UNTRIED} (late)"
    assert answer.given_up == set()
    (entry,) = store.entries(Filter())
    assert (entry.message.ident, entry.message.hold, entry.rows[0].last) == (ident, answer.kept, None)
    (again,) = give_back(store, claims(store), reporter, NOW + 1)
    assert (again.kept, again.open) == (answer.kept, True)


def test_what_cannot_be_written_is_left_and_the_others_go(store, reporter, monkeypatch):
    first, second = put(store), put(store)
    real = Reporter.reports

    def odd(self, claim, *args, **named):
        if claim.message.ident == first:
            raise ValueError("odd")
        return real(self, claim, *args, **named)

    monkeypatch.setattr(Reporter, "reports", odd)
    answers = {one.message.ident: one for one in give_back(store, claims(store), reporter, NOW)}
    assert (answers[first].open, answers[first].trouble) == (
        True,
        "a report cannot be written: ValueError('odd')",
    )
    assert queued(store) == {first, *answers[second].reports}


@pytest.mark.parametrize("sender", ["ann@x.test", ""])
def test_what_is_foreseen_is_what_happens(store, reporter, sender):
    put_several(store, "bob@y.test", "cat@y.test", sender=sender)
    (entry,) = store.entries(Filter())
    (seen,) = foresee(entry, entry.rows, {}, reporter, NOW)
    assert queued(store) == {entry.message.ident}
    (done,) = give_back(store, claims(store), reporter, NOW)
    assert (seen.notice, seen.kept, len(seen.reports)) == (done.notice, done.kept, len(done.reports))
    assert [str(outcome.reply) for _, outcome in seen.recipients] == [str(UNTRIED)] * 2


def put_apart(store, *, sender="ann@x.test", tried=()):
    """A message with a recipient at each of three next hops, of which `tried` say something; its id."""
    ident = new_id(NOW + next(_numbers), 1)
    recipients = [Recipient(parse(f"{name}@{name}.test")) for name in "abc"]
    message = Message(
        ident, Envelope(parse(sender) if sender else None, recipients), Arrival(NOW), size=20, expires=NOW + 9
    )
    routes = [Route("smtp", f"{name}.test") for name in "abc"]
    store.commit([Draft(message, b"Subject: s\r\n\r\n", routes, due=NOW)], now=NOW)
    for claim, text in zip(claims(store) if tried else (), tried, strict=True):
        (one,) = claim.pending
        outcome = Outcome(one.number, "delayed", Reply(451, "4.2.0", text), at=NOW)
        store.settle([Settlement(claim, [Decision(one.number, outcome, NOW + 60)])], now=NOW)
    return ident


def test_one_report_tells_each_recipient_its_own_reason(store, reporter):
    """BNC-3: one report for all recipients that failed at the same time."""
    put_apart(store, tried=("busy here", "full there", "gone fishing"))
    with heard() as events:
        first, second, third = give_back(store, claims(store), reporter, NOW)
    assert [len(one.reports) for one in (first, second, third)] == [1, 0, 0]
    assert queued(store) == set(first.reports)
    assert [one.given_up for one in (first, second, third)] == [{0}, {1}, {2}]
    text = store.content(first.reports[0]).read().decode()
    blocks = text.partition("Content-Type: message/delivery-status")[2].split("Final-Recipient:")[1:]
    assert [
        (name in block, said in block)
        for name, said, block in zip("abc", ("busy here", "full there", "gone fishing"), blocks, strict=True)
    ] == [(True, True)] * 3
    names = [name for name, _ in events]
    assert (names.count("reported"), names.count("failed"), names.count("removed")) == (1, 3, 1)


def test_where_one_claim_is_lost_the_others_are_returned(store, reporter):
    ident = put_apart(store)
    found = claims(store)
    store.release([found[1]])
    first, second, third = give_back(store, found, reporter, NOW)
    assert (first.given_up, second.refused, third.given_up) == ({0}, True, {2})
    assert queued(store) == {ident, *first.reports, *third.reports}
    (entry,) = store.entries(Filter(idents=frozenset([ident])))
    assert [row.number for row in entry.rows] == [1]


def test_a_message_that_nobody_can_be_told_of_is_held_whole(store, reporter):
    reporter.hold, reporter.tell_postmaster = True, False
    put_apart(store, sender="")
    answers = give_back(store, claims(store), reporter, NOW)
    assert len({one.kept for one in answers}) == 1
    (entry,) = store.entries(Filter())
    assert entry.message.hold == answers[0].kept
    assert [row.owner for row in entry.rows] == [None] * 3


def test_what_is_foreseen_of_several_next_hops(store, reporter):
    put_apart(store)
    (entry,) = store.entries(Filter())
    assert [len(one.reports) for one in foresee(entry, entry.rows, {}, reporter, NOW)] == [1, 0, 0]
    assert foresee(entry, [], {}, reporter, NOW) == []
