"""From outcomes to a settlement: each recipient has its own end, and none costs another anything."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from clock import T0
from hypothesis import given
from hypothesis import strategies as st
from mail import DAY, HOP, LATER, NEVER, OK, claim, message

from mether.address import Address
from mether.content import words_kind
from mether.content.classify import parse
from mether.envelope import By
from mether.outcome import DONE, Outcome, Route
from mether.queue.claim import Claim, Hop, Pending
from mether.reply import Reply
from mether.runner import settle
from mether.runner.schedule import Retry
from mether.runner.settle import Verdict

RETRY = Retry()
REPLIES = {"relayed": OK, "delivered": OK, "expanded": OK, "delayed": LATER, "failed": NEVER}
ACTIONS = st.sampled_from(list(REPLIES))
SCOPES = st.sampled_from(["host", "transaction", "recipient"])


def outcomes(*actions: str, scope: str = "recipient") -> list[Outcome]:
    return [
        Outcome(number, action, REPLIES[action], scope=scope)  # type: ignore[arg-type]
        for number, action in enumerate(actions)
    ]


def work(
    claim: Claim, results: Sequence[Outcome], hop: Hop | None = None, *, now: float = T0, random: float = 0.5
) -> Verdict:
    return settle.decide(claim, results, hop or Hop(HOP), RETRY, now, lambda: random)


def several(count: int, **more: object) -> Claim:
    return claim(*(f"u{number}@example.net" for number in range(count)), **more)  # type: ignore[arg-type]


@given(st.lists(st.tuples(ACTIONS, SCOPES), min_size=1, max_size=8), st.booleans(), st.floats(0, 1))
def test_each_recipient_gets_what_its_own_outcome_says(
    results: list[tuple[str, str]], late: bool, random: float
) -> None:
    one = several(len(results), expires=T0 - 1 if late else T0 + DAY)
    given_ = [
        Outcome(number, action, REPLIES[action], scope=scope)  # type: ignore[arg-type]
        for number, (action, scope) in enumerate(results)
    ]
    verdict = work(one, given_, random=random)
    assert [decision.number for decision in verdict.decisions] == list(range(len(results)))
    for (action, _), decision in zip(results, verdict.decisions, strict=True):
        again = action == "delayed" and not late
        assert (decision.retry_at is not None) is again
        assert decision.outcome is not None
        if again:
            assert decision.retry_at is not None and T0 < decision.retry_at <= T0 + DAY
    failed = [
        number
        for number, (action, _) in enumerate(results)
        if action == "failed" or (late and action == "delayed")
    ]
    assert [pending.number for pending, _ in verdict.failed] == failed
    assert all(outcome.action == "failed" for _, outcome in verdict.failed)


def test_a_refused_recipient_neither_holds_back_nor_repeats_an_accepted_one() -> None:
    """QUE-5"""
    verdict = work(several(3), outcomes("relayed", "failed", "delayed"))
    assert [decision.retry_at is None for decision in verdict.decisions] == [True, True, False]
    assert [one.number for one, _ in verdict.failed] == [1]
    assert verdict.hop is None, "the host is not to blame"


def test_tries_are_counted_for_each_recipient() -> None:
    verdict = work(several(1, attempts=3), outcomes("delayed"))
    assert verdict.decisions[0].retry_at == T0 + 1800


def test_an_expired_recipient_fails_with_the_real_cause() -> None:
    """QUE-8: not a bare "expired"."""
    busy = Outcome(0, "delayed", Reply(450, "4.2.2", "mailbox full"), remote_mta="mx [192.0.2.1]", at=T0)
    verdict = work(several(1, expires=T0), [busy])
    ((_, outcome),) = verdict.failed
    assert outcome.action == "failed"
    assert (outcome.reply, outcome.remote_mta, outcome.at) == (busy.reply, "mx [192.0.2.1]", T0)
    assert verdict.decisions[0].retry_at is None


def test_the_last_retry_is_at_the_expiry() -> None:
    verdict = work(several(1, attempts=20, expires=T0 + 100), outcomes("delayed"))
    assert verdict.decisions[0].retry_at == T0 + 100


@pytest.mark.parametrize(
    ("last", "cause", "text"),
    [
        (None, "", "451 4.4.7"),
        (None, "451 4.4.1 connecting to 192.0.2.1: refused", "451 4.4.1 connecting"),
        (None, "nonsense", "451 4.4.7"),
        (Outcome(0, "delayed", LATER), "", "451 4.3.0 later"),
        (Outcome(0, "delayed", LATER), "451 4.4.1 refused", "451 4.4.1 refused"),
    ],
)
def test_giving_up_without_a_try_quotes_what_is_known(last: Outcome | None, cause: str, text: str) -> None:
    """QUE-8"""
    (one,) = several(1).pending
    outcome = settle.give_up(one, last, cause)
    assert outcome.action == "failed"
    assert str(outcome.reply).startswith(text)


def test_a_host_failure_backs_the_next_hop_off() -> None:
    verdict = work(several(2), outcomes("delayed", "delayed", scope="host"))
    assert verdict.hop is not None
    assert (verdict.hop.failures, verdict.hop.last) == (1, str(LATER))
    assert verdict.hop.not_before == T0 + 60


def test_a_burst_of_host_failures_counts_once() -> None:
    hop = Hop(HOP)
    changes = 0
    for second in range(10):
        verdict = work(several(1), outcomes("delayed", scope="host"), hop, now=T0 + second)
        if verdict.hop is not None:
            hop, changes = verdict.hop, changes + 1
    assert (changes, hop.failures) == (1, 1)


@pytest.mark.parametrize("action", sorted([*DONE, "delayed", "failed"]))
def test_a_host_that_answers_anything_has_recovered(action: str) -> None:
    hop = Hop(HOP, failures=3, not_before=T0 - 1, last="451 x")
    results = outcomes(action, scope="recipient")
    results[0].remote_mta = "mx.example.net"
    verdict = work(several(1), results, hop)
    assert verdict.hop is not None
    assert (verdict.hop.failures, verdict.hop.not_before) == (0, 0.0)


def test_a_fault_of_ours_says_nothing_of_the_next_hop() -> None:
    """A probe that failed for want of descriptors is no answer: the next hop stays backed off."""
    hop = Hop(HOP, failures=3, not_before=T0 - 1, last="451 x")
    assert work(several(1), outcomes("delayed", scope="transaction"), hop).hop is None


def test_a_domain_that_does_not_exist_backs_nothing_off() -> None:
    verdict = work(several(1), outcomes("failed", scope="host"))
    assert verdict.hop is None
    assert len(verdict.failed) == 1


def test_what_is_quoted_says_whose_words_it_is() -> None:
    """RFC 3464 section 2.3.6; a report quotes the next hop's last outcome."""
    (one,) = several(1).pending
    busy = Outcome(0, "delayed", Reply(450, "4.2.2", "mailbox full"), remote_mta="mx [192.0.2.1]", at=T0)
    same = settle.give_up(one, busy, str(busy.reply))
    assert (same.remote_mta, same.said, same.at) == ("mx [192.0.2.1]", True, T0)
    newer = settle.give_up(one, busy, "451 4.4.1 connecting to 192.0.2.1: refused")
    assert (newer.remote_mta, newer.said, newer.at) == ("", False, T0)
    ours = Outcome(0, "delayed", Reply(451, "4.4.1", "refused"), remote_mta="mx", said=False)
    assert not settle.give_up(one, ours).said


MTA = "mx.test[192.0.2.1]:25"
TOO_MUCH = Outcome(
    0,
    "delayed",
    Reply(421, "4.7.0", "Too many connections"),
    scope="host",
    remote_mta="mx.test[192.0.2.1]:25",
    at=T0,
)
FULL = Reply(452, "4.2.2", "over quota")


def test_what_a_next_hop_said_at_another_message_is_quoted_as_its_words() -> None:
    """RFC 3464 section 2.3.6: it is no word of ours, whatever message it was said to."""
    hop = work(several(1), [TOO_MUCH]).hop
    assert hop is not None
    assert hop.last == "mx.test[192.0.2.1]:25 said: 421 4.7.0 Too many connections"
    ((_, warned),) = settle.waiting(several(1, hop=hop))
    (expired,) = (one for _, one in settle.expire(several(1, hop=hop), T0).failed)
    for one in (warned, expired):
        assert (one.said, one.remote_mta, one.reply) == (True, TOO_MUCH.remote_mta, TOO_MUCH.reply)
        assert (words_kind.kind(one), one.at) == ("rate limited", 0.0)


def test_our_own_words_of_a_next_hop_stay_ours() -> None:
    refused = Outcome(
        0, "delayed", Reply(451, "4.4.1", "refused"), scope="host", remote_mta="mx.test", said=False
    )
    hop = work(several(1), [refused]).hop
    assert hop is not None
    ((_, one),) = settle.waiting(several(1, hop=hop))
    assert (one.said, one.remote_mta, words_kind.kind(one)) == (False, "", "no answer")


def test_what_was_said_of_a_recipient_is_not_lost_to_what_its_host_says_to_all() -> None:
    full = Outcome(0, "delayed", FULL, remote_mta="mx.test[192.0.2.1]:25", at=T0 - DAY)
    hop = Hop(HOP, failures=1, last=TOO_MUCH.words)
    ((_, one),) = settle.waiting(several(1, last=full, hop=hop))
    assert (one.reply, one.said, one.at) == (FULL, True, T0 - DAY)
    ((_, one),) = settle.waiting(several(1, last=full, hop=Hop(HOP, last="451 4.4.1 refused")))
    assert one.reply == Reply(451, "4.4.1", "refused")


def test_nor_where_its_last_try_came_to_no_more() -> None:
    full = Outcome(0, "delayed", FULL, remote_mta="mx.test[192.0.2.1]:25", at=T0 - DAY)
    ((_, one),) = work(several(1, last=full, expires=T0 - 1), [TOO_MUCH]).failed
    assert (one.action, one.reply, one.at) == ("failed", FULL, T0)
    down = Outcome(0, "delayed", Reply(451, "4.4.1", "refused"), scope="host", at=T0)
    ((_, one),) = work(several(1, last=full, expires=T0 - 1), [down]).failed
    assert one.reply == down.reply


def test_what_was_queued_under_another_configuration_gets_its_new_next_hop() -> None:
    """The next hop in the queue is a cached decision; one that a person gave is kept."""
    old, new = Route("smtp", "old.example"), Route("smtp", "new.example")

    def table(path: Address, about: object) -> Route:
        return new if path.domain == "moved.example" else old

    def waiting(*paths: str, pinned: bool = False) -> Claim:
        about = message(*paths)
        pending = [
            Pending(number, one, next_attempt=T0, pinned=pinned)
            for number, one in enumerate(about.envelope.recipients)
        ]
        return Claim(about, old, pending, owner=1, token=1)

    def moves(about: Claim) -> list[tuple[int, Route | None]]:
        return [(one.number, one.route) for one in settle.reroute(about, table, T0)]

    assert moves(waiting("a@example.net")) == []
    assert moves(waiting("a@moved.example", pinned=True)) == []
    assert moves(waiting("a@example.net", "b@moved.example")) == [(0, None), (1, new)]


def by(claim: Claim, seconds: int, mode: str) -> Claim:
    """The claim with DELIVERBY."""
    claim.message.envelope.by = By(seconds, mode)
    return claim


def test_what_is_not_delivered_by_its_time_is_returned_as_that_says() -> None:
    """EXT-1: RFC 2852 section 4.1.3, mode R; QUE-8: the last cause stands behind."""
    one = by(several(1), 600, "R")
    assert work(one, outcomes("delayed"), now=T0 + 599).failed == []
    ((_, outcome),) = work(one, outcomes("delayed"), now=T0 + 600).failed
    assert outcome.status == "5.4.7"
    assert str(outcome.reply) == (
        "554 5.4.7 delivery time expired; the last try ended with: 451 4.3.0 later, please"
    )
    assert not outcome.said
    assert settle.ends(one.message) == T0 + 600


def test_the_last_try_comes_before_that_time() -> None:
    """EXT-1"""
    one = by(several(1, attempts=20), 600, "R")
    assert work(one, outcomes("delayed")).decisions[0].retry_at == T0 + 600


def test_a_refusal_for_good_is_what_it_is_at_any_time() -> None:
    """EXT-1: RFC 2852 section 4.1.2."""
    ((_, outcome),) = work(by(several(1), 600, "R"), outcomes("failed"), now=T0 + 900).failed
    assert outcome.reply == NEVER


def test_with_notify_it_goes_on_being_tried() -> None:
    """EXT-1: RFC 2852 section 4.1.3, mode N."""
    one = by(several(1), 600, "N")
    verdict = work(one, outcomes("delayed"), now=T0 + 900)
    assert verdict.failed == []
    assert verdict.decisions[0].retry_at is not None
    assert settle.ends(one.message) == one.message.expires
    assert settle.overdue(one.message, T0 + 600)
    assert not settle.overdue(one.message, T0 + 599)


def test_the_message_expires_all_the_same() -> None:
    """EXT-1: RFC 2852 section 4.1: no time to deliver by makes mail live longer."""
    one = by(several(1, expires=T0 + 300), 600, "R")
    assert settle.ends(one.message) == T0 + 300
    ((_, outcome),) = work(one, outcomes("delayed"), now=T0 + 300).failed
    assert outcome.reply == LATER


@pytest.mark.parametrize(
    ("mode", "text"),
    [("R", "554 5.4.7 delivery time expired"), ("N", "451 4.4.7 the message could not be delivered in time")],
)
def test_what_was_never_tried_in_time(mode: str, text: str) -> None:
    """EXT-1, ENH-16: with mode N it is the message that expired."""
    verdict = settle.expire(by(several(2), 600, mode), T0 + 7 * DAY)
    assert [decision.retry_at for decision in verdict.decisions] == [None, None]
    assert [one.number for one, _ in verdict.failed] == [0, 1]
    ((_, outcome), _) = verdict.failed
    assert str(outcome.reply) == text


def test_what_waits_is_told_by_the_last_thing_that_happened() -> None:
    """DSN-6"""
    last = Outcome(0, "delayed", LATER, remote_mta="mx.example.net", at=T0)
    ((_, outcome),) = settle.waiting(several(1, last=last))
    assert (outcome.action, outcome.reply, outcome.said) == ("delayed", LATER, True)
    ((_, outcome),) = settle.waiting(several(1, last=last, hop=Hop(HOP, last="451 4.4.1 refused")))
    assert (str(outcome.reply), outcome.said) == ("451 4.4.1 refused", False)
    ((_, outcome),) = settle.waiting(several(1))
    assert outcome.reply == settle.UNTRIED
    two = several(2)
    two.pending[0].warned = True
    assert [one.number for one, _ in settle.waiting(two)] == [1]


def test_success_is_kept_for_a_report_only_where_one_may_be_owed() -> None:
    """DSN-4, EXT-1: the common message, which asks for nothing, costs nothing."""
    assert not work(several(2), outcomes("relayed", "delivered")).done
    asked = several(2, notify="SUCCESS")
    assert [one.number for one, _ in work(asked, outcomes("relayed", "failed")).done] == [0]
    assert len(work(by(several(2), 600, "N"), outcomes("relayed", "delivered")).done) == 2


def test_what_becomes_of_a_claim_is_its_course() -> None:
    """The runner and whoever says what it would do go by it."""
    made = claim(expires=T0 + 100).message
    assert settle.course(made, T0 + 200, due=True) == "try", "once more, though its time is over"
    assert settle.course(made, T0 + 50, due=False) == "warn"
    assert settle.course(made, T0 + 100, due=False) == "return"
    made.envelope.by = By(60, "R")
    assert settle.course(made, T0 + 59, due=True) == "try"
    assert settle.course(made, T0 + 60, due=True) == "return"


def test_the_reply_says_how_soon_it_is_tried_again() -> None:
    """BNC-10: greylisting soon, a full mailbox slowly; by rules of one's own, too."""

    def after(text: str, retry: Retry = RETRY) -> float:
        outcome = Outcome(0, "delayed", Reply(450, None, text), remote_mta="mx", at=T0)
        at = settle.decide(several(1), [outcome], Hop(HOP), retry, T0, lambda: 0.5).decisions[0].retry_at
        assert at is not None
        return at - T0

    assert after("busy") == 60
    assert after("Greylisted, come back in 5 minutes") == 330
    assert after("Mailbox full") == 7200
    assert after("busy", Retry(rules=parse("[mailbox full x.2.2]\nbusy"))) == 7200
