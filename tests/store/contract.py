"""What every store must do, as examples: the suite that each store's tests inherit.

A store's test file subclasses `StoreContract` and gives two fixtures:

- `make_store`: a function that opens one more owner on the same queue each time it is called, as
  another process would, and whose stores are closed when the test ends;
- `kill`: a function that makes a store's owner die as by ``kill -9``: nothing is released, nothing is said.

Tests in which two owners take claims at once are skipped for a store with `single_runner` set.
`model(make)` gives the stateful test: random verbs on the store and on a dictionary must agree.
"""

from __future__ import annotations

import select as select_
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from mether.address import Address, parse
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Decision, Hop, Settlement
from mether.queue.content import SMALL
from mether.queue.message import Arrival, Draft, Message
from mether.queue.store import Committed, Filter, Move, Select, Store, StoreError, names
from mether.reply import Reply

T0 = 1_800_000_000.0
"""The time at which every test begins, Unix seconds."""

DAY = 86400.0
OK = Reply(250, "2.0.0", "queued as 1")
LATER = Reply(451, "4.3.0", "later, please")
NO = Reply(550, "5.1.1", "no such user")
HOP = Route("smtp", "mx.example.net")
OTHER = Route("smtp", "other.example.org", "helo.example")
THIRD = Route("smtp", "third.example.com")

Maker = Callable[[], Store]
Killer = Callable[[Store], None]

_numbers = count(1)


def new_ident(at: float = T0) -> str:
    """A queue id that no other test draws."""
    return ident_.new_id(at + next(_numbers) * 1e-3, 7)


TRACE = b"Received: from client\r\n"


def draft(
    *paths: str,
    ident: str | None = None,
    sender: str = "sender@example.com",
    routes: Route | list[Route] = HOP,
    content: Any = b"Subject: test\r\n\r\nHello.\r\n",
    at: float = T0,
    due: float | None = None,
    expires: float = T0 + 5 * DAY,
    warn_at: float | None = None,
    priority: int = 0,
    release_at: float = 0.0,
    **more: Any,
) -> Draft:
    """A draft for the forward-paths (one by default), all by one route unless a list is given."""
    recipients = [Recipient(parse(path, utf8=True)) for path in paths or ("rcpt@example.net",)]
    envelope = Envelope(parse(sender) if sender else None, recipients, priority=priority)
    message = Message(
        ident or new_ident(at),
        envelope,
        Arrival(at, "ESMTP", address="192.0.2.1", host="client.example", helo="client"),
        trace=TRACE,
        size=len(TRACE) + (len(content) if isinstance(content, bytes) else content.size),
        expires=expires,
        warn_at=warn_at,
        release_at=release_at,
    )
    each = routes if isinstance(routes, list) else [routes] * len(recipients)
    return Draft(message, content, each, due=at if due is None else due, **more)


def commit(store: Store, *drafts: Draft, now: float = T0) -> list[Committed]:
    """Queue drafts that must all be taken."""
    answers = store.commit(drafts, now=now)
    assert [answer.error for answer in answers] == [None] * len(drafts)
    return answers


def settlement(claim: Claim, retry_at: float | None = None, *, at: float = T0, **more: Any) -> Settlement:
    """All pending recipients delivered, or with `retry_at` delayed until then."""
    outcomes = [
        Outcome(
            pending.number,
            "relayed" if retry_at is None else "delayed",
            OK if retry_at is None else LATER,
            remote_mta="mx.example.net",
            at=at,
        )
        for pending in claim.pending
    ]
    attempt = Attempt(claim.route, outcomes, started=at, seconds=0.5, remote_mta="mx.example.net")
    decisions = [Decision(outcome.recipient, outcome, retry_at) for outcome in outcomes]
    return Settlement(claim, decisions, attempt=attempt, **more)


def failed(claim: Claim, report: Draft) -> Settlement:
    """All pending recipients failed, and the report that says so."""
    outcomes = [Outcome(pending.number, "failed", NO, at=T0) for pending in claim.pending]
    return Settlement(
        claim, [Decision(outcome.recipient, outcome, None) for outcome in outcomes], reports=[report]
    )


def idents(store: Store, filter: Filter | None = None) -> list[str]:
    """The ids of the entries that match."""
    return [entry.message.ident for entry in store.entries(filter or Filter())]


def claimed(claims: list[Claim]) -> list[str]:
    """The ids of the claimed messages."""
    return [claim.message.ident for claim in claims]


class StoreContract:
    """Subclass this, and give `make_store` and `kill`."""

    @pytest.fixture
    def store(self, make_store: Maker) -> Store:
        return make_store()

    @pytest.fixture
    def runners(self, make_store: Maker) -> Maker:
        """make_store, where several owners may take claims at once."""

        def make() -> Store:
            store = make_store()
            if store.single_runner:
                pytest.skip("one runner at a time")
            return store

        return make

    def test_a_settlement_may_change_the_next_hop(self, make_store: Maker) -> None:
        """What was queued under another configuration goes by the new one, at once and after a restart."""
        store = make_store()
        new = Route("smtp", "elsewhere.example", "")
        one = draft("a@example.net", "b@example.net")
        commit(store, one)
        (mine,) = store.claim(10, T0)
        assert not any(pending.pinned for pending in mine.pending)
        moves = [Decision(0, None, T0 + 1, new), Decision(1, None, mine.pending[1].next_attempt)]
        assert store.settle([Settlement(mine, moves)], now=T0) == []
        store.close()
        again = make_store()
        rows = again.entries(Filter())[0].rows
        assert [row.route == new for row in rows] == [True, False]
        assert {claim.route for claim in again.claim(10, T0 + 2)} == {new, mine.route}

    # What is queued

    def test_an_empty_queue(self, store: Store) -> None:
        assert store.entries(Filter()) == []
        assert store.claim(10, T0) == []
        assert store.next_due(T0) is None
        assert store.hops() == []
        assert list(store.check()) == []
        assert store.apply(now=T0).answers == []

    def test_a_message_is_listed_as_it_came(self, store: Store) -> None:
        one = draft("a@example.net", "b@example.net")
        envelope = one.message.envelope
        envelope.body, envelope.size, envelope.smtputf8, envelope.requiretls = "8BITMIME", 1234, True, True
        envelope.ret, envelope.envid = "HDRS", "QQ314159"
        envelope.recipients[0].orcpt, envelope.recipients[0].notify = "rfc822;a@example.net", "FAILURE,DELAY"
        one.message.arrival.login = "user@example.com"
        one.message.envelope.priority, one.message.warn_at = 3, T0 + 3600
        envelope.auth, envelope.by, envelope.hold = "ann@example.com", By(-90, "N", True), "for;3600"
        one.message.release_at = T0 + 3600
        commit(store, one)
        (entry,) = store.entries(Filter())
        message = entry.message
        assert message.ident == one.message.ident
        assert message.envelope == envelope
        for name in ("at", "protocol", "address", "host", "helo", "login"):
            assert getattr(message.arrival, name) == getattr(one.message.arrival, name), name
        for name in ("trace", "size", "expires", "warn_at", "hold", "priority", "release_at"):
            assert getattr(message, name) == getattr(one.message, name), name
        assert [(row.number, row.route, row.attempts, row.owner) for row in entry.rows] == [
            (0, HOP, 0, None),
            (1, HOP, 0, None),
        ]
        assert entry.status == "fresh"

    @pytest.mark.parametrize(
        "path",
        [
            "postmaster",
            '"odd @ one"@example.net',
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "ü@bücher.example",
        ],
    )
    def test_every_kind_of_address_comes_back(self, store: Store, path: str) -> None:
        commit(store, draft(path, sender=""))
        (entry,) = store.entries(Filter())
        assert entry.message.envelope.reverse_path is None
        back = entry.message.envelope.recipients[0].forward_path
        assert isinstance(back, Address)
        assert str(back) == path

    def test_it_is_still_there_when_the_queue_is_opened_again(self, make_store: Maker) -> None:
        first = make_store()
        one = draft("a@example.net", content=b"once\r\n")
        commit(first, one)
        first.close()
        second = make_store()
        assert idents(second) == [one.message.ident]
        assert second.content(one.message.ident).read() == b"once\r\n"
        assert claimed(second.claim(1, T0)) == [one.message.ident]

    def test_another_process_sees_it(self, make_store: Maker) -> None:
        first, second = make_store(), make_store()
        one = draft()
        commit(first, one)
        assert idents(second) == [one.message.ident]
        assert first.owner != second.owner

    def test_one_bad_draft_fails_alone(self, store: Store) -> None:
        good, again, more = draft(), draft(), draft()
        commit(store, good)
        again.message.ident = good.message.ident
        odd = draft("a@example.net", "b@example.net")
        odd.routes = [HOP]
        nobody = draft()
        nobody.message.envelope.recipients, nobody.routes = [], []
        surrogate = draft()
        surrogate.message.arrival.helo = "\udc80"
        answers = store.commit([again, odd, more, nobody, surrogate], now=T0)
        assert [answer.error is None for answer in answers] == [False, False, True, False, False]
        assert all(isinstance(answer.error, StoreError) for answer in answers if answer is not answers[2])
        assert idents(store) == [good.message.ident, more.message.ident]

    @pytest.mark.parametrize("at", [T0 - 40 * 365 * DAY, T0 + 80 * 365 * DAY])
    def test_a_wrong_clock_is_said_to_be_wrong(self, store: Store, at: float) -> None:
        one, other = draft(), draft()
        one.message.ident = ident_.new_id(at, 1)
        assert "the clock of this system is wrong: it is " in str(store.commit([one], now=T0)[0].error)
        commit(store, other)

    def test_two_drafts_of_one_id_in_a_batch(self, store: Store) -> None:
        one, two = draft(), draft()
        two.message.ident = one.message.ident
        answers = store.commit([one, two], now=T0)
        assert [answer.error is None for answer in answers] == [True, False]
        assert idents(store) == [one.message.ident]

    # Content

    def test_small_content(self, store: Store) -> None:
        (answer,) = commit(store, draft(content=b"x" * 5000, claim=True))
        assert answer.claims[0].content is not None
        assert answer.claims[0].content.read() == b"x" * 5000
        content = store.content(answer.ident)
        assert (content.size, content.read(), content.read(10)) == (5000, b"x" * 5000, b"x" * 10)
        assert b"".join(content.chunks(999)) == b"x" * 5000

    def test_empty_content(self, store: Store) -> None:
        (answer,) = commit(store, draft(content=b""))
        assert store.content(answer.ident).read() == b""

    def test_large_content_given_at_once(self, store: Store) -> None:
        data = b"0123456789abcdef" * (SMALL // 16 + 1)
        (answer,) = commit(store, draft(content=data))
        content = store.content(answer.ident)
        assert content.size == len(data)
        assert content.read() == data

    def test_staged_content(self, make_store: Maker) -> None:
        """QUE-5: the content is in its place before the message exists, and there after a restart."""
        store = make_store()
        one = draft()
        writer = store.stage(one.message.ident)
        for _ in range(40):
            writer.write(b"y" * 5000)
        assert writer.size == 200_000
        writer.sync()
        one.content = writer
        commit(store, one)
        writer.discard()
        store.close()
        store = make_store()
        content = store.content(one.message.ident)
        assert (content.size, content.data) == (200_000, None)
        assert content.read() == b"y" * 200_000
        (claim,) = store.claim(1, T0)
        assert store.settle([settlement(claim)], now=T0) == []
        with pytest.raises(StoreError):
            store.content(one.message.ident)
        assert list(store.check()) == []

    def test_staged_content_that_was_not_synced_is_refused(self, store: Store) -> None:
        one = draft()
        one.content = writer = store.stage(one.message.ident)
        writer.write(b"z" * 100_000)
        (answer,) = store.commit([one], now=T0)
        assert isinstance(answer.error, StoreError)
        writer.discard()
        assert idents(store) == []

    def test_discarded_content_leaves_nothing(self, store: Store) -> None:
        writer = store.stage(new_ident())
        writer.write(b"z" * 100_000)
        writer.discard()
        writer.discard()
        assert store.sweep(T0) == 0
        assert list(store.check()) == []

    def test_there_is_no_content_of_an_unknown_message(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.content(new_ident())
        with pytest.raises(StoreError):
            store.content("not an id")

    def test_sweep_takes_what_a_dead_owner_left(self, make_store: Maker, kill: Killer) -> None:
        dead, alive = make_store(), make_store()
        dead.stage(new_ident()).write(b"w" * 1000)
        kept = draft()
        kept.content = alive.stage(kept.message.ident)
        kept.content.write(b"k" * 1000)
        kept.content.sync()
        kill(dead)
        alive.sweep(T0)
        commit(alive, kept)
        alive.sweep(T0)
        assert alive.content(kept.message.ident).read() == b"k" * 1000
        assert alive.sweep(T0) == 0

    # Submission keys

    def test_a_submission_key_queues_one_message(self, store: Store) -> None:
        one, two = (draft(key="k1", key_until=T0 + DAY) for _ in range(2))
        three = draft(key="k1", key_until=T0 + 3 * DAY, at=T0 + 2 * DAY)
        commit(store, one)
        (answer,) = commit(store, two)
        assert (answer.known, answer.ident, answer.claims) == (True, one.message.ident, [])
        assert idents(store) == [one.message.ident]
        (answer,) = commit(store, three, now=T0 + 2 * DAY)
        assert (answer.known, answer.ident) == (False, three.message.ident)

    def test_a_key_outlives_its_message(self, store: Store) -> None:
        one = draft(key="k2", key_until=T0 + DAY, claim=True)
        (answer,) = commit(store, one)
        store.settle([settlement(answer.claims[0])], now=T0)
        (answer,) = commit(store, draft(key="k2", key_until=T0 + DAY))
        assert answer.known
        assert idents(store) == []

    def test_one_key_twice_in_a_batch(self, store: Store) -> None:
        one, two = (draft(key="k3", key_until=T0 + DAY) for _ in range(2))
        answers = commit(store, one, two)
        assert [answer.known for answer in answers] == [False, True]
        assert answers[1].ident == one.message.ident

    # Claims

    def test_a_claim_holds_what_is_needed_to_try(self, store: Store) -> None:
        one = draft("a@example.net", "b@example.net", routes=OTHER)
        one.message.envelope.recipients[1].orcpt = "rfc822;b@example.net"
        commit(store, one)
        (claim,) = store.claim(10, T0)
        assert claim.message.ident == one.message.ident
        assert claim.message.envelope.reverse_path == one.message.envelope.reverse_path
        assert claim.message.trace == one.message.trace
        assert claim.route == OTHER
        assert claim.due
        assert not claim.suspect
        assert claim.owner == store.owner
        assert [pending.number for pending in claim.pending] == [0, 1]
        assert claim.pending[1].recipient == one.message.envelope.recipients[1]
        assert claim.hop is None or claim.hop.failures == 0
        assert store.claim(10, T0) == []
        assert store.next_due(T0) is None
        assert store.entries(Filter())[0].status == "active"

    def test_a_draft_that_asks_comes_back_claimed(self, store: Store) -> None:
        one = draft("a@example.net", "b@example.org", "c@example.net", routes=[HOP, OTHER, HOP], claim=True)
        two = draft()
        first, second = commit(store, one, two)
        numbers = {claim.route: [pending.number for pending in claim.pending] for claim in first.claims}
        assert numbers == {HOP: [0, 2], OTHER: [1]}
        assert second.claims == []
        assert claimed(store.claim(10, T0)) == [two.message.ident]
        assert store.settle([settlement(claim) for claim in first.claims], now=T0) == []
        assert idents(store) == [two.message.ident]

    def test_recipients_of_two_next_hops_are_two_claims(self, store: Store) -> None:
        commit(store, draft("a@example.net", "b@example.org", routes=[HOP, OTHER]))
        claims = store.claim(10, T0)
        assert {claim.route for claim in claims} == {HOP, OTHER}
        assert {claim.settlement for claim in claims} == {1, 2}
        by_route = {claim.route: claim for claim in claims}
        store.settle([settlement(by_route[HOP])], now=T0)
        (entry,) = store.entries(Filter())
        assert [row.number for row in entry.rows] == [1]
        assert [str(each.forward_path) for each in entry.message.envelope.recipients] == ["b@example.org"]
        store.settle([settlement(by_route[OTHER])], now=T0)
        assert idents(store) == []

    def test_nothing_is_claimed_before_it_is_due(self, store: Store) -> None:
        commit(store, draft(due=T0 + 60))
        assert store.next_due(T0) == T0 + 60
        assert store.claim(10, T0 + 59) == []
        assert len(store.claim(10, T0 + 60)) == 1

    def test_released_claims_are_due_as_before(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.release(answer.claims)
        assert store.next_due(T0) == T0
        (claim,) = store.claim(10, T0)
        assert claim.pending[0].attempts == 0
        assert claim.token != answer.claims[0].token
        assert claim.settlement > answer.claims[0].settlement

    def test_the_limit_is_kept(self, store: Store) -> None:
        commit(store, *(draft() for _ in range(7)))
        assert len(store.claim(3, T0)) == 3
        assert len(store.claim(3, T0)) == 3
        assert len(store.claim(3, T0)) == 1

    def test_a_busy_next_hop_leaves_room_for_the_others(self, store: Store) -> None:
        commit(store, *(draft(due=T0 - 100) for _ in range(20)), draft(routes=OTHER))
        assert OTHER in {claim.route for claim in store.claim(4, T0)}

    def test_close_gives_claims_back(self, make_store: Maker) -> None:
        store = make_store()
        commit(store, draft(claim=True))
        store.close()
        (claim,) = make_store().claim(1, T0)
        assert not claim.suspect
        assert claim.pending[0].attempts == 0

    def test_close_can_leave_claims_as_a_death_does(self, make_store: Maker) -> None:
        """Nobody knows what came of the attempts in hand."""
        store = make_store()
        commit(store, draft(), draft())
        left, given = store.claim(2, T0)
        store.close(leave={left.token})
        store.close()
        again = make_store()
        claims = again.claim(2, T0) + again.claim(2, T0 + 1)
        told = {claim.message.ident: (claim.suspect, claim.pending[0].attempts) for claim in claims}
        assert told == {left.message.ident: (True, 1), given.message.ident: (False, 0)}
        (attempt,) = again.attempts(left.message.ident)
        assert attempt.uncertain

    # Settlements

    def test_delivered_and_gone(self, store: Store) -> None:
        commit(store, draft(), draft())
        claims = store.claim(10, T0)
        assert store.settle([settlement(claim) for claim in claims], now=T0) == []
        assert idents(store) == []
        assert store.next_due(T0) is None
        with pytest.raises(StoreError):
            store.content(claims[0].message.ident)
        assert list(store.check()) == []

    @pytest.mark.parametrize(("said", "uncertain"), [(True, False), (False, False), (False, True)])
    def test_whose_words_were_stored_is_remembered(self, store: Store, said: bool, uncertain: bool) -> None:
        """BNC-8: a report may quote as a server's only what that server said (RFC 3464 section 2.3.6)."""
        (answer,) = commit(store, draft("a@example.net", claim=True))
        outcome = Outcome(0, "delayed", LATER, remote_mta="mx", said=said, uncertain=uncertain, at=T0)
        claim = answer.claims[0]
        attempt = Attempt(HOP, [outcome], started=T0, remote_mta="mx")
        store.settle([Settlement(claim, [Decision(0, outcome, T0 + 300)], attempt=attempt)], now=T0)
        (claim,) = store.claim(1, T0 + 300)
        (tried,) = store.attempts(answer.ident)
        (entry,) = store.entries(Filter())
        for last in (claim.pending[0].last, tried.outcomes[0], entry.rows[0].last):
            assert last is not None
            assert (last.remote_mta, last.said, last.uncertain) == ("mx", said, uncertain)

    def test_a_deferral_is_remembered(self, store: Store) -> None:
        (answer,) = commit(store, draft("a@example.net", claim=True))
        store.settle([settlement(answer.claims[0], T0 + 300)], now=T0)
        (entry,) = store.entries(Filter())
        (row,) = entry.rows
        assert entry.status == "deferred"
        assert (row.attempts, row.next_attempt, row.owner) == (1, T0 + 300, None)
        assert row.last is not None
        assert (row.last.action, row.last.reply, row.last.remote_mta) == ("delayed", LATER, "mx.example.net")
        (attempt,) = store.attempts(answer.ident)
        assert (attempt.route, attempt.started, attempt.seconds) == (HOP, T0, 0.5)
        assert (attempt.remote_mta, attempt.uncertain) == ("mx.example.net", False)
        assert [(outcome.recipient, outcome.action) for outcome in attempt.outcomes] == [(0, "delayed")]
        assert store.next_due(T0) == T0 + 300
        assert store.claim(1, T0 + 299) == []
        (claim,) = store.claim(1, T0 + 300)
        assert claim.pending[0].attempts == 1
        assert claim.pending[0].last is not None
        assert claim.pending[0].last.reply == LATER
        assert claim.pending[0].next_attempt == T0 + 300

    def test_each_recipient_has_its_own_outcome(self, store: Store) -> None:
        (answer,) = commit(store, draft("a@example.net", "b@example.net", "c@example.net", claim=True))
        (claim,) = answer.claims
        late = Outcome(1, "delayed", LATER, at=T0)
        decisions = [
            Decision(0, Outcome(0, "relayed", OK, at=T0), None),
            Decision(1, late, T0 + 60),
            Decision(2, late, T0 + 90),
        ]
        store.settle([Settlement(claim, decisions)], now=T0)
        (entry,) = store.entries(Filter())
        assert [(row.number, row.next_attempt) for row in entry.rows] == [(1, T0 + 60), (2, T0 + 90)]
        (claim,) = store.claim(9, T0 + 60)
        assert [pending.number for pending in claim.pending] == [1]
        assert store.next_due(T0 + 60) == T0 + 90

    def test_a_decision_without_an_outcome_records_nothing(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.settle([Settlement(answer.claims[0], [Decision(0, None, T0 + 60)])], now=T0)
        (entry,) = store.entries(Filter())
        assert (entry.rows[0].attempts, entry.rows[0].last) == (0, None)
        assert entry.rows[0].next_attempt == T0 + 60
        assert store.attempts(answer.ident) == []

    def test_a_lost_claim_is_refused_and_its_report_is_not_sent(self, store: Store) -> None:
        """DSN: no report is lost or sent twice, because it is enqueued where its message is settled."""
        (answer,) = commit(store, draft(claim=True))
        old = answer.claims[0]
        store.release([old])
        (new,) = store.claim(1, T0)
        report = draft("sender@example.com", sender="")
        stale = settlement(old, reports=[report])
        assert store.settle([stale], now=T0) == [stale]
        assert idents(store) == [answer.ident]
        fresh = settlement(new, reports=[report])
        assert store.settle([fresh], now=T0) == []
        assert idents(store) == [report.message.ident]
        assert store.settle([fresh], now=T0) == [fresh]
        assert idents(store) == [report.message.ident]

    def test_several_claims_are_settled_together_with_one_report(self, make_store: Maker) -> None:
        """BNC-3: one report for all recipients that failed at the same time, at whatever next hops."""
        store = make_store()
        routes = [HOP, OTHER, HOP, THIRD]
        paths = ("a@example.net", "b@example.org", "c@example.net", "d@example.com")
        (answer,) = commit(store, draft(*paths, routes=routes, claim=True))
        first, second, third = answer.claims
        later = Outcome(2, "delayed", LATER, remote_mta="mx.example.net", at=T0)
        report = draft("sender@example.com", sender="")
        lead = failed(first, report)
        lead.decisions[1] = Decision(2, later, T0 + 60)
        lead.attempt = Attempt(HOP, [later], started=T0, transcript="said")
        other = failed(second, report)
        other.reports = ()
        other.attempt = Attempt(OTHER, [other.decisions[0].outcome], started=T0, seconds=2.0)
        lead.also = [other]
        assert store.settle([lead], now=T0) == []
        assert sorted(idents(store)) == sorted([answer.ident, report.message.ident])
        (entry,) = store.entries(Filter(idents=frozenset([answer.ident])))
        assert [(row.number, row.owner is None, row.attempts) for row in entry.rows] == [
            (2, True, 1),
            (3, False, 0),
        ]
        assert [one.route for one in store.attempts(answer.ident)] == [HOP, OTHER]
        assert store.settle([lead], now=T0) == [lead]
        assert store.settle([settlement(third)], now=T0) == []
        (claim,) = store.claim(9, T0 + 60, Select(idents=frozenset([answer.ident])))
        assert store.settle([settlement(claim)], now=T0 + 60) == []
        assert idents(store) == [report.message.ident]
        store.close()
        assert idents(make_store()) == [report.message.ident]

    @pytest.mark.parametrize("lost", [0, 1, 2])
    def test_settled_together_or_not_at_all(self, store: Store, lost: int) -> None:
        """BNC-2: where one of several claims is lost the others keep what they had, and nobody is told."""
        routes = [HOP, OTHER, THIRD]
        commit(store, draft("a@example.net", "b@example.org", "c@example.com", routes=routes))
        claims = store.claim(9, T0)
        report = draft("sender@example.com", sender="")
        parts = [failed(claim, report) for claim in claims]
        lead = parts[0]
        lead.also, lead.hold = parts[1:], "no"
        store.release([claims[lost]])
        beside = commit(store, draft(claim=True))[0]
        beside_done = settlement(beside.claims[0])
        assert store.settle([lead, beside_done], now=T0) == [lead]
        (entry,) = store.entries(Filter())
        assert [row.last for row in entry.rows] == [None] * 3
        assert [row.owner is None for row in entry.rows].count(True) == 1
        assert entry.message.hold is None
        lead.also, lead.hold = (), None
        for number, part in enumerate(parts):
            part.reports = ()
            assert store.settle([part], now=T0) == ([part] if number == lost else [])
        (entry,) = store.entries(Filter())
        assert [row.route for row in entry.rows] == [claims[lost].route]

    def test_claims_of_two_messages_are_not_settled_together(self, store: Store) -> None:
        answers = commit(store, draft(claim=True), draft(claim=True))
        one, two = (settlement(answer.claims[0]) for answer in answers)
        one.also = [two]
        assert store.settle([one], now=T0) == [one]
        assert len(idents(store)) == 2

    def test_claims_given_up_in_vain_are_given_back_at_the_end(self, make_store: Maker) -> None:
        store = make_store()
        commit(store, draft("a@example.net", "b@example.org", routes=[HOP, OTHER]))
        one, two = store.claim(9, T0)
        store.release([two])
        lead = settlement(one, also=[settlement(two)])
        assert store.settle([lead], now=T0) == [lead]
        store.close()
        assert len(make_store().claim(9, T0)) == 2

    def test_a_warning_of_all_next_hops(self, make_store: Maker) -> None:
        """DSN-6: the sender is told once of all, and next of all again, also when it is opened anew."""
        store = make_store()
        both = ("a@example.net", "b@example.org")
        commit(store, draft(*both, routes=[HOP, OTHER], warn_at=T0 + 100, due=T0 + 1000))
        for at in (T0 + 100, T0 + 300):
            one, two = store.claim(9, at)
            assert {one.due, two.due} == {False}
            report = draft("sender@example.com", sender="", routes=THIRD, due=T0 + DAY)
            done = Settlement(
                one, [], reports=[report], warned=True, warn_at=at + 200, also=[Settlement(two, [])]
            )
            assert store.settle([done], now=at) == []
            assert store.claim(9, at + 199) == []
            (entry,) = store.entries(Filter(recipient="*@example.net"))
            assert (entry.message.warn_at, [row.warned for row in entry.rows]) == (at + 200, [False, False])
            assert {row.owner for row in entry.rows} == {None}
            store.close()
            store = make_store()
        assert len(idents(store)) == 3

    def test_what_is_removed_at_every_next_hop_is_not_reported(self, store: Store) -> None:
        """A report goes only when all that it tells of were removed by a person, at whatever next hops."""
        both = ("a@example.net", "b@example.org")
        for removed in (True, False):
            (answer,) = commit(store, draft(*both, routes=[HOP, OTHER], claim=True))
            report = draft("sender@example.com", sender="")
            one, two = (failed(claim, report) for claim in answer.claims)
            two.reports, one.also = (), [two]
            ident = frozenset([answer.ident])
            if removed:
                store.change(Filter(idents=ident), "remove", now=T0)
            assert store.settle([one], now=T0) == []
            assert one.reports == ([] if removed else [report])
            assert idents(store) == [each.message.ident for each in one.reports]

    def test_the_probes_of_several_claims_are_over(self, store: Store) -> None:
        commit(
            store, draft("a@example.net", "b@example.org", routes=[HOP, OTHER]), draft(), draft(routes=OTHER)
        )
        store.apply(hops=[Hop(HOP, failures=2), Hop(OTHER, failures=2)], now=T0)
        claims = store.claim(9, T0)
        assert len(claims) == 2
        if claims[0].message.ident != claims[1].message.ident:
            store.release(claims)
            (first, *_) = idents(store)
            claims = store.claim(9, T0, Select(idents=frozenset([first])))
        assert store.claim(9, T0) == []
        one, two = (settlement(claim) for claim in claims)
        one.also = [two]
        assert store.settle([one], now=T0) == []
        assert len(store.claim(9, T0)) == 2

    def test_owners_that_take_claims_from_each_other_report_everybody_once(self, runners: Maker) -> None:
        """QUE-5, BNC-3: whoever is late is refused, and its report is nowhere."""
        owners = [runners() for _ in range(3)]
        messages = [draft() for _ in range(12)]
        commit(owners[0], *messages)
        # Those that were in the hands of too many who were taken for dead are held.
        select = Select(idents=frozenset(one.message.ident for one in messages), regardless=True, held=True)
        chance, now = Random(7), T0
        held: list[tuple[Store, Claim]] = []
        told: list[str] = []
        late = 0
        for turn in range(200):
            now += chance.choice((1.0, 45.0))
            owner = chance.choice(owners)
            owner.renew(now + 30, now)  # and whose time has passed meanwhile is taken for dead
            held += [(owner, claim) for claim in owner.claim(3, now, select)]
            chance.shuffle(held)
            while held and (turn >= 150 or chance.random() < 0.2):
                who, claim = held.pop()
                report = draft("sender@example.com", sender="", due=T0 + 1e6)
                if who.settle([failed(claim, report)], now=now):
                    late += 1
                else:
                    told.append(claim.message.ident)
        assert sorted(told) == sorted(one.message.ident for one in messages)
        assert late > 5
        assert len(idents(owners[0])) == len(messages)

    def test_nobody_is_removed_whose_report_cannot_be_stored(self, store: Store) -> None:
        """DSN, BNC-3: all of the transaction is undone, and another report may be made."""
        (answer,) = commit(store, draft(claim=True))
        report = draft("sender@example.com", sender="")
        report.routes = []
        with pytest.raises(StoreError):
            store.settle([failed(answer.claims[0], report)], now=T0)
        assert idents(store) == [answer.ident]
        other = draft("sender@example.com", sender="")
        assert store.settle([failed(answer.claims[0], other)], now=T0) == []
        assert idents(store) == [other.message.ident]

    @pytest.mark.parametrize("batch", [4, 40])
    def test_refused_and_applied_in_one_batch(self, store: Store, batch: int) -> None:
        answers = commit(store, *(draft(claim=True) for _ in range(batch)))
        claims = [answer.claims[0] for answer in answers]
        store.release(claims[1:2])
        settlements = [settlement(claim) for claim in claims]
        assert store.settle(settlements, now=T0) == [settlements[1]]
        assert idents(store) == [answers[1].ident]

    def test_one_transaction_for_everything(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        more = draft(routes=OTHER)
        applied = store.apply(
            [more],
            [settlement(answer.claims[0], T0 + 60)],
            [Hop(HOP, failures=1, not_before=T0 + 30, last="421 closing")],
            now=T0,
        )
        assert [answer.ident for answer in applied.answers] == [more.message.ident]
        assert applied.refused == []
        assert idents(store) == [answer.ident, more.message.ident]
        assert [(hop.route, hop.failures) for hop in store.hops()] == [(HOP, 1)]

    def test_a_reason_is_cut(self, store: Store) -> None:
        commit(store, draft())
        store.change(Filter(), "hold", now=T0, reason="x" * 100_000)
        store.suspend([HOP], reason="y" * 100_000, until=None)
        assert [entry.message.hold for entry in store.entries(Filter())] == ["x" * 255]
        assert [hop.suspended for hop in store.hops()] == ["y" * 255]

    def test_a_settlement_may_hold_its_message(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.settle([settlement(answer.claims[0], T0, hold="it breaks the program")], now=T0)
        (entry,) = store.entries(Filter())
        assert (entry.status, entry.message.hold) == ("held", "it breaks the program")
        assert store.claim(9, T0 + DAY) == []
        assert store.next_due(T0) is None

    def test_a_warning_is_given_once(self, store: Store) -> None:
        commit(store, draft(warn_at=T0 + 100, due=T0 + 1000))
        assert store.next_due(T0) == T0 + 100
        (claim,) = store.claim(9, T0 + 100)
        assert not claim.due
        report = draft("sender@example.com", sender="", due=T0 + 5000)
        done = Settlement(claim, [Decision(0, None, T0 + 1000)], reports=[report], warned=True, warn_at=None)
        assert store.settle([done], now=T0 + 100) == []
        assert store.claim(9, T0 + 101) == []
        assert store.next_due(T0) == T0 + 1000
        entries = {entry.message.ident: entry for entry in store.entries(Filter())}
        assert entries[claim.message.ident].message.warn_at is None
        assert report.message.ident in entries

    def test_the_sender_is_told_once_of_each_recipient(self, store: Store) -> None:
        """DSN-6: those at another next hop are told of too, and those that were told of are not again."""
        both = ("a@example.net", "b@example.org")
        commit(store, draft(*both, routes=[HOP, OTHER], warn_at=T0 + 100, due=T0 + 1000))
        told = []
        for at in (T0 + 100, T0 + 101):
            (claim, *_) = claims = store.claim(1, at)
            assert not claim.due
            told += [one.number for one in claim.pending if not one.warned]
            decisions = [Decision(one.number, None, one.next_attempt) for one in claim.pending]
            assert store.settle([Settlement(claim, decisions, warned=True)], now=at) == []
            assert len(claims) == 1
        assert sorted(told) == [0, 1]
        assert store.claim(9, T0 + 102) == []
        assert store.next_due(T0 + 102) == T0 + 1000
        (entry,) = store.entries(Filter())
        assert entry.message.warn_at is None

    def test_who_was_told_of_is_remembered(self, make_store: Maker) -> None:
        store = make_store()
        both = ("a@example.net", "b@example.org")
        commit(store, draft(*both, routes=[HOP, OTHER], warn_at=T0 + 100, due=T0 + 1000))
        (claim,) = store.claim(1, T0 + 100)
        number = claim.pending[0].number
        report = draft("sender@example.com", sender="", due=T0 + 5000, routes=Route("smtp", "back.example"))
        decisions = [Decision(number, None, T0 + 1000)]
        done = Settlement(claim, decisions, reports=[report], warned=True)
        assert store.settle([done], now=T0 + 100) == []
        (entry,) = store.entries(Filter(next_hop=claim.route.next_hop))
        assert [row.warned for row in entry.rows if row.number == number] == [True]
        assert entry.message.warn_at == T0 + 100
        (other,) = store.claim(9, T0 + 101)
        assert [one.number for one in other.pending] == [1 - number]

    def test_the_next_warning_is_of_everybody_again(self, make_store: Maker) -> None:
        """DSN-6: at the time that came with the last one of the warnings before, also when opened anew."""
        store, both = make_store(), ("a@example.net", "b@example.org")
        commit(store, draft(*both, routes=[HOP, OTHER], warn_at=T0 + 100, due=T0 + 1000))
        for at in (T0 + 100, T0 + 300):
            claims = store.claim(9, at)
            assert sorted(one.number for claim in claims for one in claim.pending if not one.warned) == [0, 1]
            done = [Settlement(claim, [], warned=True, warn_at=at + 200) for claim in claims]
            assert store.settle(done, now=at) == []
            assert store.claim(9, at + 199) == []
            assert store.next_due(at) == at + 200
            (entry,) = store.entries(Filter())
            assert (entry.message.warn_at, [row.warned for row in entry.rows]) == (at + 200, [False, False])
            store.close()
            store = make_store()

    def test_warnings_by_the_thousand_keep_nobody_waiting(self, store: Store) -> None:
        """QUE-4, DSN-6: those of a dead host take their share of each claim, and come all in turn."""
        commit(store, *(draft(due=T0 - 50, warn_at=T0 - 1) for _ in range(40)))
        store.apply(hops=[Hop(HOP, failures=9, not_before=T0 + 9 * DAY)], now=T0)
        others = [draft(routes=OTHER, due=T0 - 50) for _ in range(4)]
        commit(store, *others)
        claims = store.claim(8, T0)
        assert len(claims) == 8
        assert {one.message.ident for one in others} <= set(claimed(claims))
        warned = 0
        while claims:
            late = [claim for claim in claims if claim.route == HOP]
            assert not any(claim.due for claim in late)
            warned += len(late)
            assert store.settle([Settlement(claim, [], warned=True) for claim in late], now=T0) == []
            claims = store.claim(8, T0)
        assert warned == 40

    def test_a_warning_is_no_try(self, make_store: Maker, kill: Killer) -> None:
        """A suspect that was only warned of is tried alone as before, and its recipients wait as they did."""
        first = make_store()
        commit(first, draft(warn_at=T0 + 500))
        (claim,) = first.claim(9, T0)
        kill(first)
        store = make_store()
        (claim,) = store.claim(9, T0 + 100)
        assert claim.suspect
        assert store.settle([Settlement(claim, [], warned=True)], now=T0 + 100) == []
        (entry,) = store.entries(Filter())
        assert [(row.suspect, row.attempts, row.owner) for row in entry.rows] == [(True, 1, None)]
        assert entry.message.warn_at is None
        (claim,) = store.claim(9, T0 + 101)
        assert claim.suspect

    # Release in the future

    def test_nothing_is_released_early(self, store: Store) -> None:
        """EXT-2: not by being due, by a claim regardless of time, a retry or its next hop's recovery."""
        later = T0 + DAY
        (answer,) = commit(store, draft(release_at=later, expires=T0 + 60, warn_at=T0 + 30, claim=True))
        assert answer.claims == []
        only = frozenset([answer.ident])
        store.apply(hops=[Hop(HOP, failures=3, not_before=T0 + 800)], now=T0)
        assert store.change(Filter(idents=only), "retry", now=T0 + 5) == 1
        assert store.start("mx.example.net", now=T0 + 5, limit=9) == 0
        store.apply(hops=[Hop(HOP)], now=T0)
        for action in ("hold", "release"):
            store.change(Filter(idents=only), action, now=T0)  # type: ignore[arg-type]
        assert store.next_due(T0) == later
        for select in (
            None,
            Select(regardless=True),
            Select(idents=only),
            Select(idents=only, regardless=True, held=True),
            Select(next_hop="mx.example.net", regardless=True, not_since=T0),
            Select(held=True),
        ):
            assert store.claim(9, later - 1, select) == [], select
        (claim,) = store.claim(9, later)
        assert claim.due
        assert claim.message.release_at == later

    def test_a_claim_that_was_given_back_is_not_released_early(self, store: Store) -> None:
        commit(store, draft(release_at=T0 + DAY))
        select = Select(regardless=True, unreleased=True)
        (claim,) = store.claim(9, T0, select)
        assert store.settle([settlement(claim, T0 + 60)], now=T0) == []
        assert store.next_due(T0) == T0 + DAY
        (claim,) = store.claim(9, T0, select)
        store.release([claim])
        assert store.claim(9, T0 + 60) == []

    def test_who_returns_a_message_may_claim_it_before_its_release(self, store: Store) -> None:
        (answer, _) = commit(store, draft(release_at=T0 + DAY), draft())
        only = frozenset([answer.ident])
        (claim,) = store.claim(9, T0, Select(idents=only, regardless=True, unreleased=True))
        assert claim.message.ident == answer.ident

    def test_what_is_to_be_released_later_can_be_removed(self, store: Store) -> None:
        commit(store, draft(release_at=T0 + DAY))
        assert store.change(Filter(), "remove", now=T0) == 1
        assert store.next_due(T0) is None

    # Priority

    def test_the_highest_priority_goes_first(self, store: Store) -> None:
        """EXT-3: of what is due at a next hop, and only of that."""
        drafts = [
            draft(ident=new_ident(T0 + at), at=T0 + at, priority=priority)
            for at, priority in ((0, 0), (1, -9), (2, 9), (3, 0), (4, 3), (90, 5))
        ]
        commit(store, *drafts)
        assert store.next_due(T0) == T0
        claims = [store.claim(1, T0 + 10)[0] for _ in range(5)]
        order = [claim.message.ident for claim in claims]
        assert order == [drafts[number].message.ident for number in (2, 4, 0, 3, 1)]
        assert store.claim(1, T0 + 10) == []
        assert store.next_due(T0 + 10) == T0 + 90

    def test_a_batch_of_claims_has_the_order_too(self, store: Store) -> None:
        commit(store, *(draft(priority=number % 5 - 2) for number in range(20)))
        priorities = [claim.message.priority for claim in store.claim(20, T0)]
        assert priorities == sorted(priorities, reverse=True)
        assert len(priorities) == 20

    def test_what_is_named_has_the_order_too(self, store: Store) -> None:
        commit(store, *(draft(priority=number) for number in (-1, 4, 0)))
        select = Select(next_hop="mx.example.net")
        assert [claim.message.priority for claim in store.claim(9, T0, select)] == [4, 0, -1]

    def test_priority_takes_nothing_from_other_next_hops(self, store: Store) -> None:
        """Next hops share as they would without it."""
        commit(store, *(draft(priority=9) for _ in range(30)), draft(routes=OTHER, priority=-9))
        assert OTHER in {claim.route for claim in store.claim(4, T0)}

    def test_a_deferred_message_keeps_its_priority(self, store: Store) -> None:
        commit(store, draft(priority=0), draft(priority=7))
        claims = store.claim(9, T0)
        store.settle([settlement(claim, T0 + 60) for claim in claims], now=T0)
        assert [claim.message.priority for claim in store.claim(9, T0 + 60)] == [7, 0]

    # Starting a next hop's queue

    def test_what_waits_for_too_long_is_due_sooner(self, store: Store) -> None:
        """QUE-5: and only that; what is in hand, due before or not named keeps its time."""
        drafts = [draft(due=T0 + 1e6, expires=T0 + 1e7) for _ in range(4)]
        drafts[1].due = T0 + 60
        commit(store, *drafts, draft("a@example.net", routes=OTHER))
        (claim,) = store.claim(1, T0)
        names = [one.message.ident for one in drafts]
        store.change(Filter(idents=frozenset([names[3]])), "hold", now=T0)
        store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 50)], now=T0)
        times = {names[n]: (T0 + 100, T0 + 70 + n) for n in (0, 1, 3)}
        times[claim.message.ident] = (T0 - 1, T0 + 5)
        times[new_ident()] = (T0, T0)
        assert store.advance(times) == 2
        found = {entry.message.ident: entry.rows[0].next_attempt for entry in store.entries(Filter())}
        assert [found[name] for name in names] == [T0 + 70, T0 + 60, T0 + 1e6, T0 + 73]
        assert found[claim.message.ident] == T0
        assert [hop.not_before for hop in store.hops()] == [T0 + 50]
        assert store.next_due(T0) == T0 + 60
        (near,) = store.claim(9, T0 + 60)
        assert near.message.ident == names[1]
        store.apply((), [settlement(near)], [Hop(HOP)], now=T0 + 60)
        assert claimed(store.claim(9, T0 + 70)) == [names[0]]

    def test_start_makes_what_waits_there_due(self, store: Store) -> None:
        """RFC 1985: the rest is left alone."""
        waiting = [draft(due=T0 + 900, routes=Route("smtp", "MX.example.net:2525")) for _ in range(3)]
        held, other = draft(due=T0 + 900), draft(due=T0 + 900, routes=OTHER)
        commit(store, *waiting, held, other)
        store.change(Filter(idents=frozenset([held.message.ident])), "hold", now=T0)
        hop = Hop(waiting[0].routes[0], failures=2, not_before=T0 + 600)
        store.apply(hops=[hop], now=T0)
        assert store.start("nobody.example", now=T0, limit=9) == 0
        assert store.start("mx.example.net", now=T0 + 5, limit=2) == 2
        assert store.start("mx.example.net", now=T0 + 5, limit=9) == 3
        assert store.next_due(T0 + 5) == T0 + 5
        assert len(store.claim(9, T0 + 5)) == 1, "a next hop that failed is probed"

    def test_start_with_a_domain_and_all_below(self, store: Store) -> None:
        """RFC 1985 section 5.3"""
        commit(store, draft(due=T0 + 900), draft(due=T0 + 900, routes=OTHER))
        assert store.start("@example.net", now=T0, limit=9) == 1
        assert store.start("@ample.net", now=T0, limit=9) == 0
        assert [claim.route for claim in store.claim(9, T0)] == [HOP]

    @pytest.mark.parametrize(
        ("domain", "next_hop", "named"),
        [
            ("example.net", "Example.NET", True),
            ("EXAMPLE.net", "example.net:2525", True),
            ("mail.example.net", "[mail.example.net]", True),
            ("mail.example.net", "[mail.example.net]:2525", True),
            ("[192.0.2.1]", "192.0.2.1", True),
            ("[192.0.2.1]", "[192.0.2.1]:25", True),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]", True),
            ("example.net", "mail.example.net", False),
            ("@example.net", "mail.example.net", True),
            ("@example.net", "example.net", True),
            ("@net", "notnet", False),
            ("@", "example.net", False),
            ("*", "example.net", False),
            ("run", "unix:/run", False),
        ],
    )
    def test_what_names_a_next_hop(self, domain: str, next_hop: str, named: bool) -> None:
        assert names(domain, next_hop) is named

    # Next hops

    def test_a_next_hop_that_fails_is_left_alone(self, store: Store) -> None:
        """QUE-2: what is known of a host that cannot be reached holds for all mail to it."""
        bad, good = draft(), draft(routes=OTHER, due=T0 + 1)
        commit(store, bad, good)
        store.apply(hops=[Hop(HOP, failures=2, not_before=T0 + 600, last="connection refused")], now=T0)
        assert store.next_due(T0) == T0 + 1
        assert claimed(store.claim(9, T0 + 1)) == [good.message.ident]
        assert store.next_due(T0 + 1) == T0 + 600
        (hop,) = store.hops()
        assert (hop.route, hop.failures, hop.not_before, hop.last) == (HOP, 2, T0 + 600, "connection refused")
        (claim,) = store.claim(9, T0 + 600)
        assert claim.hop is not None
        assert (claim.hop.failures, claim.hop.last) == (2, "connection refused")

    def test_a_next_hop_with_failures_is_probed_by_one_message(self, store: Store) -> None:
        commit(store, *(draft() for _ in range(3)))
        store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 60)], now=T0)
        (probe,) = store.claim(9, T0 + 60)
        assert store.claim(9, T0 + 61) == []
        assert store.next_due(T0 + 61) == T0 + 5 * DAY
        store.apply((), [settlement(probe)], [Hop(HOP)], now=T0 + 61)
        assert store.hops() == []
        assert len(store.claim(9, T0 + 61)) == 2

    def test_a_probe_that_failed_or_was_given_back(self, store: Store) -> None:
        commit(store, draft(), draft())
        store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 60)], now=T0)
        (probe,) = store.claim(9, T0 + 60)
        store.release([probe])
        (probe,) = store.claim(9, T0 + 60)
        store.apply(
            (), [settlement(probe, T0 + 120)], [Hop(HOP, failures=2, not_before=T0 + 120)], now=T0 + 61
        )
        assert store.claim(9, T0 + 119) == []
        assert store.next_due(T0 + 61) == T0 + 120
        assert len(store.claim(9, T0 + 120)) == 1

    def test_many_messages_for_a_dead_host_cost_the_others_nothing(self, store: Store) -> None:
        commit(store, *(draft(due=T0 - 50) for _ in range(50)))
        store.apply(hops=[Hop(HOP, failures=9, not_before=T0 + 60)], now=T0)
        one = draft(routes=OTHER)
        commit(store, one)
        assert claimed(store.claim(4, T0)) == [one.message.ident]

    def test_expiry_comes_whatever_the_next_hop(self, store: Store) -> None:
        """QUE-8: what cannot be delivered in time is returned, also when its host is not being tried."""
        (answer,) = commit(store, draft(expires=T0 + DAY, due=T0 + 9 * DAY))
        store.apply(hops=[Hop(HOP, failures=5, not_before=T0 + 9 * DAY, last="no route")], now=T0)
        assert store.next_due(T0) == T0 + DAY
        assert store.claim(9, T0 + DAY - 1) == []
        (claim,) = store.claim(9, T0 + DAY)
        assert (claim.message.ident, claim.due) == (answer.ident, False)
        assert claim.hop is not None
        assert claim.hop.last == "no route"

    def test_a_message_due_at_its_expiry_is_tried(self, store: Store) -> None:
        commit(store, draft(expires=T0 + DAY, due=T0 + DAY))
        (claim,) = store.claim(9, T0 + DAY)
        assert claim.due

    # What people change

    def test_hold_and_release(self, store: Store) -> None:
        (answer,) = commit(store, draft(expires=T0 + DAY, warn_at=T0 + 60))
        only = Filter(idents=frozenset([answer.ident]))
        assert store.change(only, "hold", now=T0, reason="looks odd") == 1
        (entry,) = store.entries(Filter())
        assert (entry.status, entry.message.hold) == ("held", "looks odd")
        assert store.claim(9, T0 + 9 * DAY) == []
        assert store.next_due(T0) is None
        assert store.change(only, "release", now=T0) == 1
        assert store.next_due(T0) == T0
        assert claimed(store.claim(9, T0)) == [answer.ident]

    def test_a_change_leaves_alone_what_it_does_nothing_to(self, store: Store) -> None:
        """What is held keeps its reason and its time; only what changes is counted."""
        held, _ = commit(store, draft(due=T0 + 900, expires=T0 + DAY), draft(due=T0 + 900))
        only = Filter(idents=frozenset([held.ident]))
        assert store.change(only, "release", now=T0) == 0
        store.change(only, "hold", now=T0, reason="it may have been delivered")
        assert store.change(only, "hold", now=T0, reason="another") == 0
        assert store.change(only, "retry", now=T0 + 5) == 0
        assert store.change(Filter(), "retry", now=T0 + 5) == 1
        entries = store.entries(Filter())
        assert [entry.message.hold for entry in entries] == ["it may have been delivered", None]
        assert [entry.rows[0].next_attempt for entry in entries] == [T0 + 900, T0 + 5]
        assert store.change(Filter(), "release", now=T0) == 1
        assert store.change(Filter(), "hold", now=T0, reason="all") == 2
        assert store.change(Filter(), "hold", now=T0, reason="all") == 0

    def test_what_is_to_be_removed_already_is_not_counted_again(self, store: Store) -> None:
        (answer,) = commit(store, draft("a@example.net", "b@example.org", routes=[HOP, OTHER], claim=True))
        store.release(answer.claims[:1])
        assert [store.change(Filter(), "remove", now=T0) for _ in range(2)] == [1, 0]
        assert store.marked() == {answer.claims[1].token: "remove"}

    def test_retry_makes_it_due_and_its_next_hop_too(self, store: Store) -> None:
        one, two = draft(due=T0 + 900), draft(due=T0 + 900)
        commit(store, one, two)
        store.apply(hops=[Hop(HOP, failures=3, not_before=T0 + 800)], now=T0)
        assert store.change(Filter(idents=frozenset([one.message.ident])), "retry", now=T0 + 5) == 1
        assert store.next_due(T0 + 5) == T0 + 5
        assert claimed(store.claim(9, T0 + 5)) == [one.message.ident]

    def test_a_suspension_outlasts_a_retry_and_what_is_learned(self, store: Store) -> None:
        commit(store, draft(expires=T0 + 2 * DAY))
        store.apply(hops=[Hop(HOP, failures=3, not_before=T0 + 800)], now=T0)
        store.suspend([HOP], reason="at rest", until=T0 + DAY)
        assert store.change(Filter(), "retry", now=T0 + 5) == 1
        store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 9)], now=T0 + 5)
        (hop,) = store.hops()
        assert (hop.failures, hop.suspended, hop.suspended_until) == (1, "at rest", T0 + DAY)
        assert store.next_due(T0 + 5) == T0 + DAY
        assert store.claim(9, T0 + DAY - 1) == []
        (claim,) = store.claim(9, T0 + DAY)
        assert claim.hop is not None
        assert claim.hop.suspended == "at rest"

    def test_remove(self, store: Store) -> None:
        one, two = draft(), draft(content=b"L" * (SMALL + 1))
        commit(store, one, two)
        assert store.change(Filter(idents=frozenset([two.message.ident])), "remove", now=T0) == 1
        assert idents(store) == [one.message.ident]
        with pytest.raises(StoreError):
            store.content(two.message.ident)
        assert list(store.check()) == []
        assert store.change(Filter(), "remove", now=T0) == 1
        assert store.next_due(T0) is None
        assert store.change(Filter(), "remove", now=T0) == 0

    def test_a_claimed_message_is_removed_when_it_is_settled(self, store: Store) -> None:
        late, done = commit(store, draft(claim=True), draft(claim=True))
        assert store.change(Filter(), "remove", now=T0) == 2
        assert [row.mark for entry in store.entries(Filter()) for row in entry.rows] == ["remove", "remove"]
        settled = [settlement(late.claims[0], T0 + 60), settlement(done.claims[0])]
        assert store.settle(settled, now=T0) == []
        assert idents(store) == []

    def test_what_is_removed_while_it_fails_is_not_reported(self, store: Store) -> None:
        """Removed means forgotten without a report; what else failed is reported all the same."""
        alone, quiet, also = commit(store, draft(claim=True), draft(claim=True), draft(claim=True))
        only = Filter(idents=frozenset([alone.ident, quiet.ident]))
        assert store.change(only, "remove", now=T0) == 2
        reports = [draft("sender@example.com", sender="", due=T0 + 9) for _ in range(3)]
        settled = [
            failed(answer.claims[0], report)
            for answer, report in zip((alone, quiet, also), reports, strict=True)
        ]
        settled[1].decisions[0].outcome = None
        settled[1].decisions[0].retry_at = T0 + 60
        assert store.settle(settled, now=T0) == []
        assert [len(one.reports) for one in settled] == [0, 0, 1]
        assert idents(store) == [settled[2].reports[0].message.ident]

    def test_what_failed_beside_what_is_removed_is_reported(self, store: Store) -> None:
        answers = commit(store, draft("a@example.net", "b@example.net", claim=True))
        (claim,) = answers[0].claims
        one = failed(claim, draft("sender@example.com", sender=""))
        one.forgo([1])
        assert len(one.reports) == 1
        one.reports[0].tells = [1]
        one.forgo([])
        assert len(one.reports) == 1
        one.forgo([1])
        assert not one.reports

    def test_a_claimed_message_that_is_removed_goes_when_it_is_given_back(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.change(Filter(), "remove", now=T0)
        store.release(answer.claims)
        assert idents(store) == []

    def test_a_claimed_message_is_held_when_it_is_settled(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.change(Filter(), "hold", now=T0, reason="wait")
        (entry,) = store.entries(Filter())
        assert entry.rows[0].mark == "hold"
        store.settle([settlement(answer.claims[0], T0 + 60)], now=T0)
        (entry,) = store.entries(Filter())
        assert (entry.message.hold, entry.rows[0].mark) == ("wait", None)
        assert store.claim(9, T0 + 60) == []
        store.change(Filter(), "release", now=T0)
        assert len(store.claim(9, T0 + 60)) == 1

    def test_a_hold_taken_back_before_it_is_settled(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.change(Filter(), "hold", now=T0)
        store.change(Filter(), "release", now=T0)
        store.settle([settlement(answer.claims[0], T0 + 60)], now=T0)
        assert len(store.claim(9, T0 + 60)) == 1

    # Suspension

    def test_a_suspended_next_hop_is_left_alone(self, store: Store) -> None:
        one, two = draft(), draft(routes=OTHER)
        commit(store, one, two)
        store.suspend([HOP], reason="they asked for it, ü", until=None)
        assert claimed(store.claim(9, T0)) == [two.message.ident]
        assert store.claim(9, T0 + 4 * DAY) == []
        (hop,) = store.hops()
        assert (hop.route, hop.suspended, hop.suspended_until) == (HOP, "they asked for it, ü", None)
        assert hop.blocked(T0 + 9 * DAY)
        assert store.next_due(T0) == T0 + 5 * DAY, "its expiry"
        assert store.resume([HOP], now=T0) == 1
        assert store.hops() == []
        assert store.next_due(T0) == T0
        assert claimed(store.claim(9, T0)) == [one.message.ident]

    def test_a_suspension_may_end_by_itself(self, store: Store) -> None:
        one = draft()
        commit(store, one)
        store.suspend([HOP], reason="maintenance", until=T0 + 3600)
        assert store.next_due(T0) == T0 + 3600
        assert store.claim(9, T0 + 3599) == []
        assert claimed(store.claim(9, T0 + 3600)) == [one.message.ident]

    def test_a_suspension_that_is_over_is_not_counted_when_resumed(self, store: Store) -> None:
        commit(store, draft(), draft(routes=OTHER))
        store.suspend([HOP], reason="short", until=T0 + 60)
        store.suspend([OTHER], reason="long", until=T0 + DAY)
        assert store.resume([HOP, OTHER], now=T0 + 60) == 1
        assert store.hops() == []
        assert len(store.claim(9, T0 + 60)) == 2

    def test_a_next_hop_that_nobody_has_mail_for_can_be_suspended(self, store: Store) -> None:
        store.suspend([HOP], reason="before it comes", until=None)
        store.sweep(T0)
        assert [(hop.route, hop.suspended) for hop in store.hops()] == [(HOP, "before it comes")]
        one = draft()
        commit(store, one)
        assert store.claim(9, T0 + DAY) == []
        assert store.next_due(T0) == T0 + 5 * DAY
        assert store.resume([HOP], now=T0 + DAY) == 1
        assert claimed(store.claim(9, T0 + DAY)) == [one.message.ident]

    def test_to_resume_what_is_not_suspended(self, store: Store) -> None:
        commit(store, draft())
        store.apply(hops=[Hop(OTHER, failures=2, not_before=T0 + 60)], now=T0)
        nobody = Route("smtp", "nobody.example")
        assert store.resume([HOP, OTHER, nobody], now=T0) == 0
        assert store.resume([], now=T0) == 0
        store.suspend([], reason="nothing", until=None)
        assert [(hop.route, hop.failures, hop.not_before) for hop in store.hops()] == [(OTHER, 2, T0 + 60)]

    def test_nothing_goes_straight_through_to_a_next_hop_in_trouble(self, make_store: Maker) -> None:
        """QUE-2: whoever asks for it may not know of the trouble yet."""
        store, person = make_store(), make_store()
        assert store.claim(9, T0) == []
        person.suspend([HOP], reason="r", until=T0 + 60)
        both = {"routes": [HOP, OTHER], "claim": True}
        (answer,) = commit(store, draft("a@example.net", "b@example.org", **both))  # type: ignore[arg-type]
        assert [claim.route for claim in answer.claims] == [OTHER]
        (alone,) = commit(store, draft(claim=True))
        assert alone.claims == []
        assert store.settle([settlement(answer.claims[0])], now=T0) == []
        assert store.next_due(T0) == T0 + 60
        late = draft(claim=True, at=T0 + 60)
        (again,) = commit(store, late, now=T0 + 60)
        assert [claim.route for claim in again.claims] == [HOP], "the suspension is over"
        store.apply(hops=[Hop(HOP, failures=1)], now=T0 + 60)
        (answer,) = commit(store, draft(claim=True, at=T0 + 60), now=T0 + 60)
        assert answer.claims == []

    def test_several_next_hops_at_once(self, store: Store) -> None:
        lmtp = Route("lmtp", "unix:/run/lmtp")
        commit(store, draft(), draft(routes=OTHER), draft(routes=lmtp))
        store.suspend([HOP, OTHER], reason="both", until=None)
        assert [claim.route for claim in store.claim(9, T0)] == [lmtp]
        assert store.resume([HOP, OTHER, lmtp], now=T0) == 2
        assert {claim.route for claim in store.claim(9, T0)} == {HOP, OTHER}

    def test_the_later_suspension_counts(self, store: Store) -> None:
        commit(store, draft())
        store.suspend([HOP], reason="first", until=None)
        store.suspend([HOP], reason="second", until=T0 + 60)
        (hop,) = store.hops()
        assert (hop.suspended, hop.suspended_until) == ("second", T0 + 60)
        assert store.next_due(T0) == T0 + 60

    def test_a_resumed_next_hop_keeps_its_own_time(self, store: Store) -> None:
        commit(store, draft())
        store.apply(hops=[Hop(HOP, failures=3, not_before=T0 + 800, last="no route")], now=T0)
        store.suspend([HOP], reason="r", until=T0 + 60)
        assert store.next_due(T0) == T0 + 800
        assert store.claim(9, T0 + 100) == []
        assert store.resume([HOP], now=T0 + 30) == 1
        (hop,) = store.hops()
        assert (hop.failures, hop.not_before, hop.last, hop.suspended) == (3, T0 + 800, "no route", None)
        assert store.next_due(T0 + 30) == T0 + 800

    @pytest.mark.parametrize("learned", [Hop(HOP), Hop(HOP, failures=1, not_before=T0 + 5)])
    def test_what_is_learned_undoes_no_suspension(self, store: Store, learned: Hop) -> None:
        """Nor does it suspend: whoever learned it may know an older state."""
        commit(store, draft())
        store.suspend([HOP], reason="at rest", until=None)
        store.apply(hops=[learned, Hop(OTHER, failures=1, suspended="old news")], now=T0)
        hops = {hop.route: hop for hop in store.hops()}
        assert (hops[HOP].suspended, hops[HOP].failures) == ("at rest", learned.failures)
        assert hops[OTHER].suspended is None
        assert store.claim(9, T0 + DAY) == []

    def test_expiry_and_warning_come_despite_suspension(self, store: Store) -> None:
        """QUE-8: a sender learns in time that the message waits, and that it is returned."""
        commit(store, draft(expires=T0 + DAY, warn_at=T0 + 3600))
        store.suspend([HOP], reason="at rest", until=None)
        assert store.next_due(T0) == T0 + 3600
        (claim,) = store.claim(9, T0 + 3600)
        assert not claim.due
        assert claim.hop is not None
        assert claim.hop.suspended == "at rest"
        warned = Settlement(claim, [Decision(0, None, T0)], warned=True)
        assert store.settle([warned], now=T0 + 3600) == []
        assert store.next_due(T0 + 3600) == T0 + DAY
        (claim,) = store.claim(9, T0 + DAY)
        assert not claim.due

    def test_what_is_in_hand_goes_on_when_its_next_hop_is_suspended(self, store: Store) -> None:
        one, two = commit(store, draft(claim=True), draft(claim=True))
        store.suspend([HOP], reason="r", until=None)
        done = [settlement(one.claims[0]), settlement(two.claims[0], T0 + 60)]
        assert store.settle(done, now=T0) == []
        assert idents(store) == [two.ident]
        assert store.claim(9, T0 + 60) == []

    def test_a_run_regardless_tries_what_is_suspended(self, store: Store) -> None:
        commit(store, draft())
        store.suspend([HOP], reason="r", until=None)
        assert store.claim(9, T0, Select(next_hop="mx.example.net")) == []
        assert len(store.claim(9, T0, Select(regardless=True))) == 1

    def test_a_suspension_outlives_the_process_and_is_seen_by_others(self, make_store: Maker) -> None:
        runner, other = make_store(), make_store()
        commit(runner, draft())
        assert runner.next_due(T0) == T0
        other.suspend([HOP], reason="r", until=None)
        assert runner.claim(9, T0) == []
        other.close()
        runner.close()
        again = make_store()
        assert [hop.suspended for hop in again.hops()] == ["r"]
        assert again.claim(9, T0) == []

    def test_the_next_hops_that_a_person_means(self, store: Store) -> None:
        odd = Route("smtp", "[mx.example.net]:2525")
        commit(store, draft(), draft(routes=OTHER), draft(routes=odd))
        store.apply(hops=[Hop(OTHER, failures=2, not_before=T0 + 60, last="no")], now=T0)
        store.suspend([Route("smtp", "rest.example")], reason="r", until=None)
        assert {hop.route.next_hop for hop in store.hops()} == {"other.example.org", "rest.example"}
        assert {hop.route for hop in store.hops("MX.example.net")} == {HOP, odd}
        assert {hop.route for hop in store.hops("smtp:mx.example.net:2525")} == {odd}
        assert len(store.hops("*")) == 4
        assert store.hops("nobody.example") == store.hops("") == []
        (hop,) = store.hops("other.*")
        assert (hop.route, hop.failures, hop.not_before, hop.last) == (OTHER, 2, T0 + 60, "no")

    # Room

    @pytest.mark.parametrize(
        ("select", "here", "there"),
        [
            (Select(each=2), 2, 2),
            (Select(room={HOP: 0}), 0, 6),
            (Select(each=1, room={HOP: 3}), 3, 1),
            (Select(each=0), 0, 0),
            (Select(each=0, room={OTHER: 2}), 0, 2),
            (Select(each=99, room={HOP: -1}), 0, 6),
        ],
    )
    def test_each_next_hop_gets_what_it_has_room_for(
        self, store: Store, select: Select, here: int, there: int
    ) -> None:
        """QUE-2: a slow next hop holds no claims that others need."""
        commit(store, *(draft(due=T0 - 9) for _ in range(6)), *(draft(routes=OTHER) for _ in range(6)))
        taken = [claim.route for claim in store.claim(20, T0, select)]
        assert (taken.count(HOP), taken.count(OTHER)) == (here, there)

    def test_no_room_at_one_next_hop_leaves_it_to_the_others(self, store: Store) -> None:
        commit(store, *(draft(due=T0 - 100) for _ in range(30)), *(draft(routes=OTHER) for _ in range(3)))
        taken = store.claim(4, T0, Select(each=10, room={HOP: 0}))
        assert [claim.route for claim in taken] == [OTHER] * 3
        assert store.claim(4, T0, Select(each=10, room={HOP: 0})) == []
        assert store.next_due(T0) == T0 - 100
        assert len(store.claim(40, T0, Select(each=10))) == 10

    def test_room_and_priority(self, store: Store) -> None:
        commit(store, *(draft(priority=number) for number in (0, 4, -4, 9)))
        assert [claim.message.priority for claim in store.claim(9, T0, Select(each=2))] == [9, 4]

    def test_room_holds_for_what_is_named_too(self, store: Store) -> None:
        commit(store, *(draft() for _ in range(5)), draft(routes=OTHER))
        taken = store.claim(9, T0, Select(next_hop="*", each=2))
        assert sorted(claim.route.next_hop for claim in taken) == [
            "mx.example.net",
            "mx.example.net",
            "other.example.org",
        ]

    def test_expiry_needs_no_room(self, store: Store) -> None:
        """QUE-8"""
        commit(store, *(draft(expires=T0 + DAY, due=T0 + 9 * DAY) for _ in range(3)), draft(due=T0 + DAY))
        taken = store.claim(9, T0 + DAY, Select(each=1, room={HOP: 0}))
        assert [claim.due for claim in taken] == [False] * 3
        assert [claim.due for claim in store.claim(9, T0 + DAY, Select(each=1))] == [True]

    def test_what_is_due_when_its_time_is_over_waits_for_its_last_try(self, store: Store) -> None:
        """QUE-8: after a long outage all is due and has expired, and there is room for little of it."""
        old = [draft(expires=T0 + DAY) for _ in range(5)]
        commit(store, *old, draft(expires=T0 + DAY, due=T0 + 9 * DAY))
        now = T0 + 8 * DAY
        taken = store.claim(9, now, Select(each=1))
        assert sorted(claim.due for claim in taken) == [False, True]
        assert store.claim(9, now, Select(room={HOP: 0})) == []
        assert store.claim(9, now, Select(room={HOP: 0}, next_hop="*")) == []
        assert store.claim(9, now, Select(room={HOP: 0}, regardless=True)) == []
        assert store.next_due(now) is not None
        rest = store.claim(9, now, Select(each=99))
        assert [claim.due for claim in rest] == [True] * 4
        store.release(rest)
        store.apply(hops=[Hop(HOP, failures=1, not_before=now + 60)], now=now)
        assert [claim.due for claim in store.claim(9, now, Select(each=99))] == [False] * 4

    def test_what_waits_for_room_keeps_nobody_from_being_returned(self, store: Store) -> None:
        """QUE-8: however many have expired that wait for room, those behind them get their turn."""
        commit(store, *(draft(expires=T0 + DAY) for _ in range(40)))
        behind = [draft(routes=OTHER, expires=T0 + 2 * DAY, due=T0 + 9 * DAY) for _ in range(3)]
        commit(store, *behind)
        select, now, found = Select(room={HOP: 0}), T0 + 3 * DAY, []
        for _ in range(30):
            found += store.claim(2, now, select)
        assert sorted(claimed(found)) == sorted(one.message.ident for one in behind)
        assert {claim.due for claim in found} == {False}
        assert len(store.claim(99, now)) == 40

    def test_one_that_waits_for_room_at_one_next_hop_is_returned_at_another(self, store: Store) -> None:
        """QUE-8"""
        one = draft("a@example.net", "b@example.org", routes=[HOP, OTHER], expires=T0 + DAY)
        commit(store, one)
        store.suspend([OTHER], reason="moving", until=None)
        (claim,) = store.claim(9, T0 + DAY, Select(room={HOP: 0}))
        assert (claim.route, claim.due) == (OTHER, False)
        (claim,) = store.claim(9, T0 + DAY)
        assert (claim.route, claim.due) == (HOP, True)

    def test_a_suspect_waits_for_room_too(self, make_store: Maker, kill: Killer) -> None:
        """QUE-8"""
        first = make_store()
        commit(first, draft(expires=T0 + DAY))
        first.claim(1, T0)
        kill(first)
        second = make_store()
        assert second.claim(9, T0 + DAY, Select(room={HOP: 0})) == []
        (claim,) = second.claim(9, T0 + DAY)
        assert (claim.suspect, claim.due) == (True, True)

    # Marks

    def test_what_a_person_marked_is_told(self, store: Store) -> None:
        one, two, three = commit(store, *(draft(claim=True) for _ in range(3)))
        waiting = draft(due=T0 + 60)
        commit(store, waiting)
        assert store.marked() == {}
        store.change(Filter(idents=frozenset([one.ident, waiting.message.ident])), "hold", now=T0)
        store.change(Filter(idents=frozenset([two.ident])), "remove", now=T0)
        assert store.marked() == {one.claims[0].token: "hold", two.claims[0].token: "remove"}
        store.change(Filter(idents=frozenset([one.ident])), "release", now=T0)
        assert store.marked() == {two.claims[0].token: "remove"}
        store.settle([settlement(two.claims[0], T0 + 9), settlement(three.claims[0], T0 + 9)], now=T0)
        assert store.marked() == {}

    def test_to_remove_outweighs_to_hold(self, store: Store) -> None:
        (answer,) = commit(store, draft("a@example.net", "b@example.org", routes=[HOP, OTHER], claim=True))
        for action in ("hold", "remove", "hold", "release"):
            store.change(Filter(), action, now=T0)
        assert store.marked() == {claim.token: "remove" for claim in answer.claims}
        store.release(answer.claims[:1])
        assert store.marked() == {answer.claims[1].token: "remove"}
        store.release(answer.claims[1:])
        assert (store.marked(), idents(store)) == ({}, [])

    def test_a_claim_given_back_is_held_as_a_person_said(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.change(Filter(), "hold", now=T0, reason="wait")
        store.release(answer.claims)
        (entry,) = store.entries(Filter())
        assert (entry.status, entry.message.hold, entry.rows[0].mark) == ("held", "wait", None)
        assert entry.rows[0].attempts == 0
        assert store.claim(9, T0 + 60) == []
        store.change(Filter(), "release", now=T0)
        assert len(store.claim(9, T0)) == 1

    def test_marks_of_another_process_are_told(self, make_store: Maker) -> None:
        runner, person = make_store(), make_store()
        (answer,) = commit(runner, draft(claim=True))
        assert person.change(Filter(), "remove", now=T0) == 1
        assert runner.marked() == {answer.claims[0].token: "remove"}
        assert person.marked() == {}

    def test_the_marks_of_lost_claims_are_not_told(self, runners: Maker) -> None:
        first, second = runners(), runners()
        commit(first, draft(claim=True))
        assert first.renew(T0 + 60, T0)
        second.change(Filter(), "hold", now=T0)
        assert second.claim(9, T0 + 61) == []
        assert (first.marked(), second.marked()) == ({}, {})

    # Transcripts

    def test_the_last_attempt_has_its_transcript(self, make_store: Maker) -> None:
        store = make_store()
        paths = ("a@example.net", "b@example.org")
        (answer,) = commit(store, draft(*paths, routes=[HOP, OTHER], claim=True))
        claims = {claim.route: claim for claim in answer.claims}

        def tried(claim: Claim, at: float, transcript: str) -> None:
            done = settlement(claim, at + 60, at=at)
            assert done.attempt is not None
            done.attempt.transcript = transcript
            assert store.settle([done], now=at) == []

        tried(claims[HOP], T0, "S: 450 first\n")
        tried(claims[OTHER], T0 + 1, "S: 450 other\n")
        assert [each.transcript for each in store.attempts(answer.ident)] == [
            "S: 450 first\n",
            "S: 450 other\n",
        ]
        (again,) = store.claim(9, T0 + 60)
        assert again.route == HOP
        tried(again, T0 + 60, "S: 450 zweites, ü\n")
        store.close()
        store = make_store()
        attempts = store.attempts(answer.ident)
        assert [(each.route, each.transcript) for each in attempts] == [
            (HOP, ""),
            (OTHER, "S: 450 other\n"),
            (HOP, "S: 450 zweites, ü\n"),
        ]

    def test_a_long_transcript_is_cut(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        done = settlement(answer.claims[0], T0 + 60)
        assert done.attempt is not None
        done.attempt.transcript = "S: 250-welcome\n" * 20_000 + "S: 450 later\n"
        store.settle([done], now=T0)
        (attempt,) = store.attempts(answer.ident)
        assert len(attempt.transcript.encode()) <= 16 * 1024
        assert attempt.transcript.endswith("\nS: 450 later\n")

    def test_a_transcript_that_utf_8_cannot_say(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        done = settlement(answer.claims[0], T0 + 60)
        assert done.attempt is not None
        done.attempt.transcript = "S: 450 \udc80\n"
        assert store.settle([done], now=T0) == []
        (attempt,) = store.attempts(answer.ident)
        assert attempt.transcript == "S: 450 ?\n"

    # Held by a settlement

    def test_a_refused_settlement_holds_nothing(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        store.release(answer.claims)
        stale = settlement(answer.claims[0], T0, hold="no")
        assert store.settle([stale], now=T0) == [stale]
        assert len(store.claim(9, T0)) == 1

    def test_what_a_settlement_held_is_released_to_its_time(self, store: Store) -> None:
        """Of what may have been delivered, say: a person decides."""
        (answer,) = commit(store, draft(claim=True))
        store.settle([settlement(answer.claims[0], T0 + 300, hold="it may have been delivered")], now=T0)
        assert store.next_due(T0) is None
        store.change(Filter(), "release", now=T0)
        assert store.next_due(T0) == T0 + 300
        (claim,) = store.claim(9, T0 + 300)
        assert claim.pending[0].attempts == 1

    def test_a_settlement_that_holds_leaves_the_other_claims_in_hand(self, store: Store) -> None:
        (answer,) = commit(store, draft("a@example.net", "b@example.org", routes=[HOP, OTHER], claim=True))
        one, two = answer.claims
        assert store.settle([settlement(one, T0 + 60, hold="uncertain")], now=T0) == []
        assert store.settle([settlement(two, T0 + 60)], now=T0) == []
        (entry,) = store.entries(Filter())
        assert (entry.status, entry.message.hold) == ("held", "uncertain")
        assert store.claim(9, T0 + DAY) == []

    def test_a_release_decides_what_was_in_doubt(self, make_store: Maker, kill: Killer) -> None:
        """At each of its next hops; what was tried is not forgotten for that, nor that it is a suspect."""
        first = make_store()
        (answer,) = commit(first, draft("a@example.net", "b@example.org", routes=[HOP, OTHER], claim=True))
        kill(first)
        store = make_store()
        (claim,) = store.claim(9, T0 + 1)
        stays = [Decision(one.number, None, T0 + 1) for one in claim.pending]
        assert store.settle([Settlement(claim, stays, hold="in doubt")], now=T0 + 1) == []
        assert [row.last.uncertain for row in store.entries(Filter())[0].rows if row.last] == [True, True]
        assert store.change(Filter(), "release", now=T0 + 2) == 1
        tried = []
        while claims := store.claim(9, T0 + 2):
            tried += claims
            store.settle([settlement(one, T0 + 60) for one in claims], now=T0 + 2)
        assert sorted((one.pending[0].number, one.suspect) for one in tried) in (
            [(0, False), (1, True)],
            [(0, True), (1, False)],
        )
        assert not any(one.last is None or one.last.uncertain for claim in tried for one in claim.pending)
        assert [one.uncertain for one in store.attempts(answer.ident)[:2]] == [True, True]

    def test_nothing_is_left_to_hold(self, store: Store) -> None:
        (answer,) = commit(store, draft(claim=True))
        assert store.settle([settlement(answer.claims[0], hold="too late")], now=T0) == []
        assert idents(store) == []
        assert list(store.check()) == []

    # Figures

    def test_messages_are_counted_by_status(self, store: Store) -> None:
        assert (store.summary().messages, store.summary().oldest) == (0, None)
        drafts = [draft(at=T0 - 5), draft(claim=True), draft(claim=True), draft(), draft(at=T0 - 90)]
        answers = commit(store, *drafts)
        store.settle([settlement(answers[2].claims[0], T0 + 60)], now=T0)
        store.change(Filter(idents=frozenset([answers[4].ident])), "hold", now=T0, reason="r")
        found = store.summary()
        assert (found.fresh, found.active, found.deferred, found.held) == (2, 1, 1, 1)
        assert (found.messages, found.oldest) == (5, T0 - 5)
        store.change(Filter(), "hold", now=T0)
        assert (store.summary().held, store.summary().oldest) == (5, None)

    def test_what_waits_for_its_release_is_not_old(self, store: Store) -> None:
        waits = draft(at=T0 - 90)
        waits.message.release_at = T0 + 600
        commit(store, waits)
        assert store.summary().oldest == T0 + 600
        commit(store, draft(at=T0 - 5))
        assert store.summary().oldest == T0 - 5

    def test_the_shape_of_the_queue(self, store: Store) -> None:
        both = draft("a@example.net", "b@example.org", routes=[HOP, OTHER], at=T0 - 600)
        commit(store, both, draft(at=T0), draft(at=T0 - 60), draft("c@example.net", at=T0 - 61, claim=True))
        edges = [T0 - 60, T0 - 600]
        shapes = [(one.route, one.counts, one.recipients) for one in store.shape(Filter(), edges)]
        assert shapes == [(HOP, [2, 2, 0], 4), (OTHER, [0, 1, 0], 1)]
        only = [(one.route, one.counts) for one in store.shape(Filter(recipient="c@*"), edges)]
        assert only == [(HOP, [0, 1, 0])]
        assert store.shape(Filter(status="held"), edges) == []
        assert [one.counts for one in store.shape(Filter(), [])] == [[4], [1]]

    def test_running_totals(self, make_store: Maker) -> None:
        store = make_store()
        before = store.totals()
        if before is None:
            pytest.skip("this store keeps none")
        assert (before.queued, before.done, before.failed, before.delayed) == (0, 0, 0, 0)
        answers = commit(
            store, draft("a@example.net", "b@example.net", claim=True), draft(claim=True), draft(claim=True)
        )
        done, later, no = (answer.claims[0] for answer in answers)
        report = draft("sender@example.com", sender="")
        store.settle([settlement(done), settlement(later, T0 + 60), failed(no, report)], now=T0)
        store.settle([settlement(done)], now=T0)
        (again,) = store.claim(9, T0 + 60, Select(idents=frozenset([later.message.ident])))
        store.release([again])
        store.close()
        after = make_store().totals()
        assert after is not None
        assert (after.queued, after.done, after.failed, after.delayed) == (4, 2, 1, 1)

    # Selecting

    def test_select_takes_what_is_named(self, store: Store) -> None:
        one, two, three = draft(due=T0 + 99), draft(due=T0 + 99), draft(routes=OTHER, due=T0 + 99)
        commit(store, one, two, three)
        ids = frozenset([one.message.ident, "no id"])
        assert store.claim(9, T0, Select(idents=ids)) == []
        (claim,) = store.claim(9, T0, Select(idents=ids, regardless=True))
        assert (claim.message.ident, claim.due) == (one.message.ident, True)
        assert store.claim(9, T0, Select(next_hop="OTHER.example.org")) == []
        assert store.claim(9, T0, Select(next_hop="other.example", regardless=True)) == []
        by_hop = store.claim(9, T0, Select(next_hop="smtp:OTHER.example.org", regardless=True))
        assert claimed(by_hop) == [three.message.ident]
        assert claimed(store.claim(9, T0, Select(regardless=True))) == [two.message.ident]

    def test_select_regardless_of_the_next_hop(self, store: Store) -> None:
        commit(store, draft(), draft())
        store.apply(hops=[Hop(HOP, failures=1, not_before=T0 + 600)], now=T0)
        assert store.claim(9, T0, Select(next_hop="mx.example.net")) == []
        assert len(store.claim(9, T0, Select(regardless=True))) == 2

    def test_select_held_messages(self, store: Store) -> None:
        (answer,) = commit(store, draft())
        store.change(Filter(), "hold", now=T0, reason="r")
        ids = frozenset([answer.ident])
        assert store.claim(9, T0, Select(idents=ids, regardless=True)) == []
        (claim,) = store.claim(9, T0, Select(idents=ids, regardless=True, held=True))
        assert claim.message.hold == "r"
        store.release([claim])
        assert store.entries(Filter())[0].status == "held"

    def test_a_plain_select_goes_by_the_next_hops(self, store: Store) -> None:
        """QUE-2: a long queue for one next hop leaves the others their share."""
        commit(store, *(draft(due=T0 - 100) for _ in range(60)))
        commit(store, *(draft(routes=OTHER) for _ in range(5)))
        assert Select().plain
        assert {claim.route for claim in store.claim(20, T0, Select())} == {HOP, OTHER}

    @pytest.mark.parametrize(
        "select",
        [
            Select(idents=frozenset()),
            Select(next_hop=""),
            Select(regardless=True),
            Select(held=True),
            Select(not_since=T0),
        ],
    )
    def test_what_is_narrowed_or_widened_is_not_plain(self, select: Select) -> None:
        assert not select.plain

    def test_select_page_by_page(self, store: Store) -> None:
        """Regardless of time, claims come in order of id, so that a run passes each message once."""
        drafts = [draft(due=T0 + 60 - number) for number in range(7)]
        commit(store, *reversed(drafts))
        seen: list[str] = []
        while page := store.claim(3, T0, Select(regardless=True, after=seen[-1] if seen else "")):
            seen += claimed(page)
            store.settle([settlement(claim, T0 + 1) for claim in page], now=T0)
        assert seen == [one.message.ident for one in drafts]

    def test_select_what_was_not_tried_since(self, store: Store) -> None:
        one, two, three = draft(), draft(), draft()
        commit(store, one, two, three)
        for claim, at in zip(store.claim(2, T0, Select(regardless=True)), (T0 + 5, T0 + 7), strict=True):
            store.settle([settlement(claim, T0 + 8, at=at)], now=at)
        since = Select(regardless=True, not_since=T0 + 5)
        assert claimed(store.claim(9, T0 + 7, since)) == [one.message.ident, three.message.ident]
        assert claimed(store.claim(9, T0 + 7, Select(regardless=True))) == [two.message.ident]

    def test_a_suspect_was_not_tried_since(self, make_store: Maker, kill: Killer) -> None:
        first = make_store()
        commit(first, draft(claim=True))
        kill(first)
        (claim,) = make_store().claim(9, T0 + 9, Select(regardless=True, not_since=T0))
        assert claim.suspect

    # Listing

    def test_messages_are_counted_up_to_a_limit(self, store: Store) -> None:
        assert store.count(5) == 0
        store.commit([draft(), draft(), draft()], now=T0)
        assert (store.count(5), store.count(2)) == (3, 2)

    def test_filters(self, store: Store) -> None:
        one = draft("Ann@Example.net", sender="Bob@example.com")
        two = draft("cat@example.org", sender="", routes=OTHER, at=T0 + 50)
        commit(store, one, two)
        first, second = [one.message.ident], [two.message.ident]
        for filter, expected in (
            (Filter(idents=frozenset([first[0], "?"])), first),
            (Filter(sender="bob@*"), first),
            (Filter(sender="*@EXAMPLE.com"), first),
            (Filter(sender="<>"), second),
            (Filter(recipient="ann@example.???"), first),
            (Filter(recipient="*@example.org"), second),
            (Filter(recipient="[a-z]*"), []),
            (Filter(next_hop="Other.*"), second),
            (Filter(next_hop="smtp:[other.example.org]:25"), second),
            (Filter(before=T0 + 50), first),
            (Filter(before=T0 + 51, sender="<>"), second),
            (Filter(status="fresh"), first + second),
            (Filter(status="held"), []),
        ):
            assert idents(store, filter) == expected, [getattr(filter, name) for name in Filter.__slots__]

    def test_statuses(self, store: Store) -> None:
        drafts = [draft(), draft(claim=True), draft(claim=True), draft()]
        answers = commit(store, *drafts)
        store.settle([settlement(answers[2].claims[0], T0 + 60)], now=T0)
        store.change(Filter(idents=frozenset([answers[3].ident])), "hold", now=T0, reason="r")
        for status, answer in zip(("fresh", "active", "deferred", "held"), answers, strict=True):
            assert idents(store, Filter(status=status)) == [answer.ident]

    def test_why_it_is_held(self, store: Store) -> None:
        drafts = [draft(), draft(), draft()]
        commit(store, *drafts)
        one, two, _ = (each.message.ident for each in drafts)
        store.change(Filter(idents=frozenset([one])), "hold", now=T0, reason="imported, on hold")
        store.change(Filter(idents=frozenset([two])), "hold", now=T0, reason="held in Postfix's queue")
        assert idents(store, Filter(reason="*")) == [one, two]
        assert idents(store, Filter(reason="*POSTFIX*")) == [two]
        assert idents(store, Filter(reason="Postfix")) == []
        assert store.change(Filter(reason="imported*"), "release", now=T0) == 1
        assert idents(store, Filter(status="held")) == [two]

    def test_pages(self, store: Store) -> None:
        drafts = [draft() for _ in range(7)]
        commit(store, *reversed(drafts))
        seen: list[str] = []
        while page := store.entries(Filter(), after=seen[-1] if seen else "", limit=3):
            assert len(page) <= 3
            seen += [entry.message.ident for entry in page]
        assert seen == [one.message.ident for one in drafts]

    # Owners

    def test_two_owners_share_the_work(self, runners: Maker) -> None:
        first, second = runners(), runners()
        commit(first, draft(), draft())
        one, two = first.claim(1, T0), second.claim(9, T0)
        assert len(one) == len(two) == 1
        assert claimed(one) != claimed(two)
        foreign = settlement(one[0])
        foreign.claim.owner = second.owner
        assert second.settle([foreign], now=T0) == [foreign]

    def test_an_owner_that_lives_keeps_its_claims(self, runners: Maker) -> None:
        first, second = runners(), runners()
        (answer,) = commit(first, draft(claim=True))
        assert first.renew(T0 + DAY, T0)
        assert second.claim(9, T0 + DAY - 1) == []
        assert first.settle([settlement(answer.claims[0])], now=T0 + DAY) == []

    def test_an_owner_that_stops_renewing_loses_its_claims(self, runners: Maker) -> None:
        first, second = runners(), runners()
        (answer,) = commit(first, draft(claim=True))
        assert first.renew(T0 + 60, T0)
        (claim,) = second.claim(9, T0 + 61)
        assert claim.suspect
        late = settlement(answer.claims[0], reports=[draft("sender@example.com", sender="")])
        assert first.settle([late], now=T0 + 62) == [late]
        assert not first.renew(T0 + 120, T0 + 62)
        assert first.renew(T0 + 120, T0 + 63)
        assert second.settle([settlement(claim)], now=T0 + 63) == []
        assert idents(first) == []

    def test_a_claim_that_outlives_its_owner_is_an_attempt(self, make_store: Maker, kill: Killer) -> None:
        """A message may have been delivered just before its process died: that is said, not hidden."""
        first = make_store()
        (answer,) = commit(first, draft(claim=True))
        kill(first)
        second = make_store()
        (claim,) = second.claim(9, T0 + 1)
        assert claim.suspect
        assert claim.pending[0].attempts == 1
        assert claim.pending[0].last is not None
        assert claim.pending[0].last.uncertain
        (attempt,) = second.attempts(answer.ident)
        assert (attempt.uncertain, attempt.route) == (True, HOP)
        assert [(outcome.recipient, outcome.uncertain) for outcome in attempt.outcomes] == [(0, True)]
        second.settle([settlement(claim, T0 + 60)], now=T0 + 1)
        (row,) = second.entries(Filter())[0].rows
        assert not row.suspect
        assert len(second.attempts(answer.ident)) == 2

    def test_what_a_dead_owner_would_not_try_is_as_it_was(self, make_store: Maker, kill: Killer) -> None:
        """Who returns mail tries none: what it had in hand cannot have been delivered."""
        first = make_store()
        first.runs = False
        (answer,) = commit(first, draft("bob@example.net", "cat@example.net"))
        moved = draft("dan@example.net")
        commit(first, moved)
        assert len(first.claim(9, T0)) == 2
        first.change(Filter(idents=frozenset([moved.message.ident])), "hold", now=T0)
        kill(first)
        second = make_store()
        claims = second.claim(9, T0 + 1)
        assert [claim.message.ident for claim in claims] == [answer.ident]
        assert [claim.suspect for claim in claims] == [False]
        assert [(one.attempts, one.last) for one in claims[0].pending] == [(0, None)] * 2
        assert second.attempts(answer.ident) == []
        (held,) = second.entries(Filter(status="held"))
        assert (held.message.ident, held.rows[0].suspect) == (moved.message.ident, False)

    def test_suspects_are_tried_one_at_a_time(self, make_store: Maker, kill: Killer) -> None:
        first = make_store()
        commit(first, *(draft(claim=True) for _ in range(3)))
        kill(first)
        second = make_store()
        fresh = draft(routes=OTHER)
        commit(second, fresh)
        claims = second.claim(9, T0 + 1)
        assert sorted(claim.suspect for claim in claims) == [False, True]
        assert second.claim(9, T0 + 1) == []
        assert second.next_due(T0 + 1) is None
        (suspect,) = [claim for claim in claims if claim.suspect]
        second.settle([settlement(suspect)], now=T0 + 1)
        due = second.next_due(T0 + 1)
        assert due is not None
        assert due <= T0 + 1
        assert [claim.suspect for claim in second.claim(9, T0 + 1)] == [True]

    def test_three_strikes_hold_a_message(self, make_store: Maker, kill: Killer) -> None:
        store = make_store()
        (answer,) = commit(store, draft(claim=True))
        for _ in range(3):
            kill(store)
            store = make_store()
            (claim,) = store.claim(9, T0 + 1)
            assert claim.suspect
        kill(store)
        store = make_store()
        assert store.claim(9, T0 + 1) == []
        (entry,) = store.entries(Filter())
        assert entry.status == "held"
        assert entry.message.hold
        assert len(store.attempts(answer.ident)) == 4

    def test_a_death_with_many_in_hand_strikes_none(self, make_store: Maker, kill: Killer) -> None:
        store = make_store()
        commit(store, draft(), draft())
        for _ in range(5):
            assert len(store.claim(9, T0, Select(regardless=True))) >= 1
            kill(store)
            store = make_store()
            for claim in store.claim(9, T0):
                store.settle([settlement(claim, T0)], now=T0)
            for claim in store.claim(9, T0):
                store.settle([settlement(claim, T0)], now=T0)
        assert [entry.message.hold for entry in store.entries(Filter())] == [None, None]

    # Who shares the work

    def test_live_owners_are_counted_by_what_they_do(self, make_store: Maker, kill: Killer) -> None:
        """A limit that holds over all processes is divided by them."""

        def live(store: Store) -> tuple[int, int]:
            found = store.live(T0)
            return found.runners, found.receivers

        runner, listener, both = make_store(), make_store(), make_store()
        assert live(runner) == (1, 0), "one counts itself before it is registered"
        runner.receives = True
        listener.runs, listener.receives = False, True
        both.runs, both.receives = False, True
        assert live(listener) == (0, 1)
        for store in (runner, listener, both):
            assert store.renew(T0 + 60, T0)
        assert live(runner) == live(listener) == live(both) == (1, 3)
        kill(both)
        assert live(runner) == live(listener) == (1, 2)
        runner.close()
        assert live(listener) == (0, 1)

    def test_several_runners_are_counted(self, runners: Maker) -> None:
        first, second, third = runners(), runners(), runners()
        for store, until in ((first, 60), (second, 60), (third, 30)):
            assert store.renew(T0 + until, T0)
        assert first.live(T0 + 30).runners == 3
        assert first.live(T0 + 31).runners == 2, "the third did not renew"
        second.close()
        assert first.live(T0 + 31).runners == 1
        assert first.live(T0 + DAY).runners == 1, "one counts itself"

    def test_who_takes_claims_is_counted_without_renewing(self, make_store: Maker) -> None:
        runner, other = make_store(), make_store()
        other.runs = False
        commit(runner, draft())
        assert len(runner.claim(9, T0)) == 1
        assert (other.live(T0).runners, other.live(T0).receivers) == (1, 0)

    # Waking

    def test_wake_reaches_who_waits(self, make_store: Maker) -> None:
        waiter, other = make_store(), make_store()
        fd = waiter.fileno()
        assert select_.select([fd], [], [], 0)[0] == []
        assert not waiter.wait(0)
        assert other.wake() == 1
        assert select_.select([fd], [], [], 0)[0] == [fd]
        assert waiter.wait(0)
        assert not waiter.wait(0)
        assert waiter.wake() == 0

    def test_what_was_queued_meanwhile_is_found_after_a_wake(self, make_store: Maker) -> None:
        waiter, other = make_store(), make_store()
        waiter.fileno()
        assert waiter.claim(9, T0) == []
        one = draft()
        commit(other, one)
        other.wake()
        assert waiter.wait(1)
        assert claimed(waiter.claim(9, T0)) == [one.message.ident]

    def test_waiting_takes_nothing_but_the_wake(self, make_store: Maker) -> None:
        """The event loop waits while the writer's thread is at work in the store."""
        waiter, other = make_store(), make_store()
        waiter.claim(9, T0)
        waiter.fileno()
        other.wake()
        before = {name: value for name, value in vars(waiter).items() if name != "_woken"}
        assert waiter.wait(1)
        assert waiter.fileno() >= 0
        assert {name: value for name, value in vars(waiter).items() if name != "_woken"} == before

    def test_many_wakes_are_one(self, make_store: Maker) -> None:
        waiter, other = make_store(), make_store()
        waiter.fileno()
        for _ in range(1000):
            other.wake()
        assert waiter.wait(1)
        assert not waiter.wait(0)

    def test_close_can_be_called_twice(self, make_store: Maker) -> None:
        store = make_store()
        store.fileno()
        store.close()
        store.close()

    # The model: what a queue is, in a dictionary.

    # Next hops of a rule's own connections, and where mail came from

    def test_a_next_hop_is_another_by_the_rule_whose_connections_it_has(
        self, store: Store, make_store: Maker
    ) -> None:
        apart = Route("smtp", HOP.next_hop, "", "by night")
        commit(store, draft("a@b.example"), draft("c@d.example", "e@f.example", routes=[HOP, apart]))
        other = make_store()
        rows = [row for entry in other.entries(Filter()) for row in entry.rows]
        assert [row.route for row in rows] == [HOP, HOP, apart]
        assert str(apart) == str(HOP)
        assert len(other.entries(Filter(next_hop="by night"))) == 1
        assert len(other.entries(Filter(next_hop="BY *"))) == 1
        assert len(other.entries(Filter(next_hop=HOP.next_hop))) == 2
        store.suspend([apart], reason="by hand", until=None)
        assert [hop.route for hop in store.hops() if hop.suspended is not None] == [apart]
        assert [hop.route.via for hop in make_store().hops()] == ["by night"]
        claims = store.claim(9, T0)
        assert sorted(claim.route == HOP for claim in claims) == [True, True]
        store.resume([apart], now=T0)
        claims += store.claim(9, T0)
        last = next(claim for claim in claims if claim.route == apart)
        one = settlement(last, T0 + 60)
        assert one.attempt is not None
        one.attempt.transcript = "S: 451 later\n"
        store.settle([one, *(settlement(claim, T0 + 60) for claim in claims if claim is not last)], now=T0)
        attempts = store.attempts(last.message.ident)
        assert sorted((each.route.via, each.transcript) for each in attempts) == [
            ("", ""),
            ("by night", "S: 451 later\n"),
        ]
        assert list(store.check()) == []

    def test_the_listener_by_which_a_message_came_is_kept(self, store: Store, make_store: Maker) -> None:
        one, two = draft(), draft()
        one.message.arrival.listener = "submission"
        commit(store, one, two)
        found = make_store().entries(Filter())
        assert [entry.message.arrival.listener for entry in found] == ["submission", ""]
        assert [claim.message.arrival.listener for claim in store.claim(9, T0)] == ["submission", ""]

    # Moving by hand

    def _move(self, store: Store, route: Route | None, filter: Filter | None = None, at: float = T0) -> int:
        return store.change(filter or Filter(), "move", now=at, move=Move(route))

    def test_moved_recipients_are_pinned_and_due_at_once(self, store: Store, make_store: Maker) -> None:
        commit(store, draft("a@b.example", "c@d.example", routes=[HOP, OTHER], due=T0 + DAY))
        there = Route("smtp", "[192.0.2.9]:2525", "", "spare")
        assert self._move(store, there, Filter(next_hop=HOP.next_hop)) == 1
        rows = make_store().entries(Filter())[0].rows
        assert [(row.route, row.pinned, row.next_attempt) for row in rows] == [
            (there, True, T0),
            (OTHER, False, T0 + DAY),
        ], "only the recipients that match"
        assert self._move(store, there, Filter(next_hop="spare")) == 0, "they are there already"
        (claim,) = store.claim(9, T0)
        assert claim.route == there
        assert [pending.pinned for pending in claim.pending] == [True]
        store.settle([settlement(claim)], now=T0)
        assert self._move(store, there, Filter(recipient="nobody@*")) == 0
        assert self._move(store, there, Filter(recipient="c@*")) == 1
        assert list(store.check()) == []

    def test_each_recipient_may_be_moved_to_its_own_next_hop(self, store: Store) -> None:
        commit(store, draft("a@b.example", "c@d.example", release_at=T0 + 60))
        move = Move(each=lambda address: Route("smtp", address.domain))
        assert store.change(Filter(), "move", now=T0, move=move) == 1
        rows = store.entries(Filter())[0].rows
        assert [(str(row.route), row.next_attempt) for row in rows] == [
            ("smtp:b.example", T0 + 60),
            ("smtp:d.example", T0 + 60),
        ], "never before its release"

    def test_what_is_pinned_no_more_is_left_to_the_rules(self, store: Store) -> None:
        commit(store, draft(pinned=True, due=T0 + DAY))
        assert self._move(store, None) == 1
        (claim,) = store.claim(9, T0)
        assert [pending.pinned for pending in claim.pending] == [False]
        assert claim.route == HOP

    def test_files_and_programs_of_aliases_stay_where_they_are(self, store: Store) -> None:
        members = [Route("file", "/var/mail/x"), Route("pipe", "|prog"), Route("pipe", "rule")]
        commit(store, draft("a@b.example", "c@b.example", "d@b.example", routes=members))
        assert self._move(store, OTHER) == 1
        assert [row.route for row in store.entries(Filter())[0].rows] == [*members[:2], OTHER]

    def test_what_is_held_stays_so_when_it_is_moved(self, store: Store) -> None:
        commit(store, draft())
        store.change(Filter(), "hold", now=T0, reason="wait")
        assert self._move(store, OTHER) == 1
        assert store.claim(9, T0) == []
        store.change(Filter(), "release", now=T0)
        assert [claim.route for claim in store.claim(9, T0)] == [OTHER]

    @pytest.mark.parametrize("ending", ["deferred", "released", "delivered", "decided"])
    def test_what_is_claimed_is_moved_when_its_claim_ends(self, store: Store, ending: str) -> None:
        commit(store, draft())
        (claim,) = store.claim(9, T0)
        assert self._move(store, OTHER) == 1
        assert store.marked() == {claim.token: "move"}
        row = store.entries(Filter())[0].rows[0]
        assert (row.route, row.mark, row.moved) == (HOP, "move", OTHER)
        if ending == "released":
            store.release([claim])
        elif ending == "decided":
            elsewhere = Decision(0, None, T0 + DAY, Route("smtp", "rules.example"))
            store.settle([Settlement(claim, [elsewhere])], now=T0 + 1)
        else:
            store.settle([settlement(claim, None if ending == "delivered" else T0 + DAY)], now=T0 + 1)
        if ending == "delivered":
            assert idents(store) == []
            return
        row = store.entries(Filter())[0].rows[0]
        assert (row.route, row.mark, row.moved, row.pinned) == (OTHER, None, None, True)
        assert [claim.route for claim in store.claim(9, T0 + 1)] == [OTHER]
        assert list(store.check()) == []

    def test_what_is_claimed_can_be_moved_back_to_where_it_is(self, store: Store) -> None:
        """What a person said last holds."""
        commit(store, draft(pinned=True))
        (claim,) = store.claim(9, T0)
        assert self._move(store, HOP) == 0, "it is there"
        assert self._move(store, OTHER) == 1
        assert self._move(store, OTHER) == 0, "that was said"
        assert self._move(store, HOP) == 1
        store.release([claim])
        assert [each.route for each in store.claim(9, T0)] == [HOP]

    def test_a_move_of_what_is_claimed_can_be_taken_back(self, store: Store) -> None:
        commit(store, draft())
        (claim,) = store.claim(9, T0)
        self._move(store, OTHER)
        store.change(Filter(), "hold", now=T0)
        store.change(Filter(), "release", now=T0)
        assert store.marked() == {claim.token: "move"}, "holding and releasing leave it"
        self._move(store, None)
        assert store.marked() == {}
        store.release([claim])
        assert store.entries(Filter())[0].rows[0].route == HOP

    def test_what_is_to_be_removed_is_not_moved(self, store: Store) -> None:
        commit(store, draft())
        (claim,) = store.claim(9, T0)
        store.change(Filter(), "remove", now=T0)
        assert self._move(store, OTHER) == 0
        store.release([claim])
        assert idents(store) == []

    def test_what_a_dead_owner_had_is_moved_as_asked(self, make_store: Maker, kill: Killer) -> None:
        dead = make_store()
        commit(dead, draft())
        dead.claim(9, T0)
        self._move(dead, OTHER)
        kill(dead)
        store = make_store()
        (claim,) = store.claim(9, T0 + DAY)
        assert (claim.route, claim.suspect) == (OTHER, True)
        assert [attempt.route for attempt in store.attempts(claim.message.ident)] == [HOP]


class _Row:
    def __init__(self, due: float) -> None:
        self.due = due
        self.token: tuple[int, int] | None = None
        self.mark: str | None = None
        self.pinned = False
        self.moved: Route | None = None


def model(make: Callable[[], tuple[Maker, Callable[[], None]]]) -> type[RuleBasedStateMachine]:
    """A stateful test over stores made by `make`, which returns (make_store, clean up)."""

    class Machine(RuleBasedStateMachine):
        claims: Bundle[Claim] = Bundle("claims")

        def __init__(self) -> None:
            super().__init__()
            make_store, self.clean_up = make()
            self.make_store = make_store
            self.store = make_store()
            self.now = T0
            self.rows: dict[str, dict[int, _Row]] = {}
            self.held: set[str] = set()
            self.suspended: set[Route] = set()
            self.routes: dict[tuple[str, int], Route] = {}

        def take(self, claim: Claim) -> Claim:
            for pending in claim.pending:
                row = self.rows[claim.message.ident][pending.number]
                assert row.token is None
                row.token = (claim.owner, claim.token)
            return claim

        def owned(self, claim: Claim) -> bool:
            rows = self.rows.get(claim.message.ident, {})
            token = (claim.owner, claim.token)
            return all(
                pending.number in rows and rows[pending.number].token == token for pending in claim.pending
            )

        def put_back(self, name: str, number: int, due: float) -> None:
            row = self.rows[name][number]
            row.token, row.due = None, due
            if row.moved is not None:
                self.routes[name, number] = row.moved
                row.pinned, row.moved = True, None
            if row.mark == "remove":
                del self.rows[name][number]
            self.tidy(name)

        def tidy(self, name: str) -> None:
            if not self.rows.get(name):
                self.rows.pop(name, None)
                self.held.discard(name)

        @rule(
            target=claims,
            hops=st.lists(st.sampled_from([HOP, OTHER]), min_size=1, max_size=3),
            wait=st.sampled_from([0, 0, 60]),
            claim=st.booleans(),
            size=st.sampled_from([10, 10, SMALL + 1]),
        )
        def commit(self, hops: list[Route], wait: float, claim: bool, size: int) -> Any:
            from hypothesis.stateful import multiple

            paths = [f"u{number}@example.net" for number in range(len(hops))]
            one = draft(
                *paths, routes=hops, due=self.now + wait, claim=claim, content=b"m" * size, at=self.now
            )
            (answer,) = commit(self.store, one, now=self.now)
            self.rows[answer.ident] = {n: _Row(self.now + wait) for n in range(len(hops))}
            for number, route in enumerate(hops):
                self.routes[answer.ident, number] = route
            if not self.suspended.intersection(hops):
                assert bool(answer.claims) == claim  # else it is the store's choice
            return multiple(*(self.take(each) for each in answer.claims))

        @rule(target=claims, limit=st.integers(1, 5), room=st.sampled_from([None, None, 1, 2]))
        def claim(self, limit: int, room: int | None) -> Any:
            from hypothesis.stateful import multiple

            due = {
                (name, self.routes[name, number])
                for name, rows in self.rows.items()
                for number, row in rows.items()
                if row.token is None and row.due <= self.now and name not in self.held
                if self.routes[name, number] not in self.suspended
            }
            rooms = None if room is None else dict.fromkeys((HOP, OTHER), room)
            taken = self.store.claim(limit, self.now, Select(room=rooms))
            free = [route for _, route in due]
            most = [min(free.count(route), limit if room is None else room) for route in (HOP, OTHER)]
            assert len(taken) == min(limit, sum(most))
            for each in taken:
                assert (each.message.ident, each.route) in due
            return multiple(*(self.take(each) for each in taken))

        @rule(claim=claims, retry=st.sampled_from([None, None, 0, 30]))
        def settle(self, claim: Claim, retry: float | None) -> None:
            at = None if retry is None else self.now + retry
            done = settlement(claim, at, at=self.now)
            owned = self.owned(claim)
            assert self.store.settle([done], now=self.now) == ([] if owned else [done])
            if owned:
                for pending in claim.pending:
                    if at is None:
                        del self.rows[claim.message.ident][pending.number]
                    else:
                        moved = self.rows[claim.message.ident][pending.number].moved
                        due = at if moved is None else min(at, self.now)
                        self.put_back(claim.message.ident, pending.number, due)
                self.tidy(claim.message.ident)

        @rule(claim=claims)
        def release(self, claim: Claim) -> None:
            owned = self.owned(claim)
            self.store.release([claim])
            if owned:
                name = claim.message.ident
                for pending in claim.pending:
                    self.put_back(name, pending.number, self.rows[name][pending.number].due)

        @rule(data=st.data(), action=st.sampled_from(["hold", "release", "retry", "remove"]))
        def change(self, data: st.DataObject, action: Any) -> None:
            if not self.rows:
                return
            name = data.draw(st.sampled_from(sorted(self.rows)))
            only = Filter(idents=frozenset([name]))
            held, rows = name in self.held, self.rows[name].values()
            changes = {
                "release": held,
                "remove": any(row.token is None or row.mark != "remove" for row in rows),
            }.get(action, not held)
            assert self.store.change(only, action, now=self.now, reason="r") == changes
            if not changes:
                return
            if action == "hold":
                self.held.add(name)
            elif action == "release":
                self.held.discard(name)
            for number, row in list(self.rows[name].items()):
                if action == "retry" and row.token is None:
                    row.due = self.now
                elif action == "remove":
                    if row.token is None:
                        del self.rows[name][number]
                    else:
                        row.mark, row.moved = "remove", None
            self.tidy(name)

        @rule(data=st.data(), route=st.sampled_from([HOP, OTHER, OTHER, None]))
        def move(self, data: st.DataObject, route: Route | None) -> None:
            if not self.rows:
                return
            name = data.draw(st.sampled_from(sorted(self.rows)))
            changed = False
            for number, row in self.rows[name].items():
                here = self.routes[name, number]
                if row.token is not None and row.mark == "remove":
                    continue
                if route is not None and (
                    route == row.moved or (row.moved is None and route == here and row.pinned)
                ):
                    continue
                changed = True
                if row.token is None:
                    row.pinned, row.due = route is not None, self.now
                    self.routes[name, number] = route or here
                elif route is None:
                    row.pinned, row.moved = False, None
                else:
                    row.moved = route
            only = Filter(idents=frozenset([name]))
            assert self.store.change(only, "move", now=self.now, move=Move(route)) == changed

        @rule(route=st.sampled_from([HOP, OTHER]), suspend=st.booleans())
        def suspend(self, route: Route, suspend: bool) -> None:
            if suspend:
                self.store.suspend([route], reason="r", until=None)
                self.suspended.add(route)
            else:
                assert self.store.resume([route], now=self.now) == (route in self.suspended)
                self.suspended.discard(route)

        @rule(seconds=st.sampled_from([1, 30, 60]))
        def pass_time(self, seconds: float) -> None:
            self.now += seconds

        @rule()
        def open_again(self) -> None:
            self.store.close()
            for name in list(self.rows):
                for number, row in list(self.rows[name].items()):
                    if row.token is not None:
                        self.put_back(name, number, row.due)
            self.store = self.make_store()

        @invariant()
        def listed(self) -> None:
            stored = {
                entry.message.ident: {
                    row.number: (
                        row.owner is not None,
                        row.route,
                        row.pinned,
                        row.moved if row.mark == "move" else None,
                    )
                    for row in entry.rows
                }
                for entry in self.store.entries(Filter())
            }
            assert stored == {
                name: {
                    number: (row.token is not None, self.routes[name, number], row.pinned, row.moved)
                    for number, row in rows.items()
                }
                for name, rows in self.rows.items()
            }

        @invariant()
        def marked(self) -> None:
            assert set(self.store.marked().values()) <= {"hold", "remove", "move"}
            assert {token for token, mark in self.store.marked().items() if mark == "remove"} == {
                row.token[1]
                for rows in self.rows.values()
                for row in rows.values()
                if row.token is not None and row.mark == "remove"
            }

        @invariant()
        def due_next(self) -> None:
            waiting = [
                T0 + 5 * DAY if self.routes[name, number] in self.suspended else row.due
                for name, rows in self.rows.items()
                for number, row in rows.items()
                if row.token is None and name not in self.held
            ]
            assert self.store.next_due(self.now) == (min(waiting) if waiting else None)

        def teardown(self) -> None:
            assert list(self.store.check()) == []
            self.store.close()
            self.clean_up()

    return Machine
