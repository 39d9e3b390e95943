"""All failure policy, line by line of the table in the module's docstring."""

from __future__ import annotations

from typing import Any

import pytest

from mether.address import parse as parse_address
from mether.client.session import Lost
from mether.content.classify import parse
from mether.envelope import Recipient
from mether.outcome import Outcome, Route
from mether.relay import failure
from mether.reply import Reply
from mether.smtp.transaction import LOCAL, Result

AT = 1_800_000_000.0


@pytest.mark.parametrize(
    ("stage", "reply", "action", "scope"),
    [
        # MAIL, DATA or content refused 4yz
        ("MAIL", Reply(450, "4.1.8", "x"), "delayed", "transaction"),
        ("DATA", Reply(451, "4.3.0", "x"), "delayed", "transaction"),
        (".", Reply(452, "4.3.1", "x"), "delayed", "transaction"),
        # the same, 5yz
        ("MAIL", Reply(550, "5.7.1", "x"), "failed", "transaction"),
        ("MAIL", Reply(552, "5.3.4", "x"), "failed", "transaction"),
        ("DATA", Reply(554, "5.5.1", "x"), "failed", "transaction"),
        (".", Reply(554, "5.6.0", "x"), "failed", "transaction"),
        (".", Reply(552, None, "x"), "failed", "transaction"),
        # RCPT
        ("RCPT", Reply(450, "4.2.1", "x"), "delayed", "recipient"),
        ("RCPT", Reply(452, "4.5.3", "x"), "delayed", "recipient"),
        ("RCPT", Reply(552, None, "too many recipients"), "delayed", "recipient"),
        ("RCPT", Reply(552, None, "mailbox full"), "delayed", "recipient"),
        ("RCPT", Reply(552, "5.5.3", "too many recipients"), "delayed", "recipient"),
        ("RCPT", Reply(552, "5.2.2", "mailbox full"), "failed", "recipient"),
        ("RCPT", Reply(552, "5.2.3", "x"), "failed", "recipient"),
        ("RCPT", Reply(552, "5.3.4", "x"), "failed", "recipient"),
        ("RCPT", Reply(552, "5.7.1", "x"), "failed", "recipient"),
        ("RCPT", Reply(550, "5.1.1", "x"), "failed", "recipient"),
        ("RCPT", Reply(551, None, "x"), "failed", "recipient"),
        ("RCPT", Reply(599, None, "never heard of"), "failed", "recipient"),
        ("RCPT", Reply(499, None, "never heard of"), "delayed", "recipient"),
        # 421 at any command
        ("MAIL", Reply(421, "4.3.2", "x"), "delayed", "host"),
        ("RCPT", Reply(421, "4.3.2", "x"), "delayed", "host"),
        ("RCPT", Reply(421, "4.7.1", "Greylisted, please try again later"), "delayed", "transaction"),
        ("MAIL", Reply(421, "4.7.1", "Greylisted, please try again later"), "delayed", "host"),
        ("DATA", Reply(421, "4.3.2", "x"), "delayed", "host"),
        (".", Reply(421, "4.3.2", "x"), "delayed", "host"),
        # refused before a word was said
        (LOCAL, Reply(552, "5.3.4", "x"), "failed", "transaction"),
    ],
)
def test_what_a_refusal_means(stage: str, reply: Reply, action: str, scope: str) -> None:
    """CLI-8, CLI-2, CLI-6: the first digit decides, but for 421 and 552."""
    outcome = failure.of_result(3, Result(stage, reply), remote_mta="mx [192.0.2.1]", at=AT)
    assert (outcome.recipient, outcome.action, outcome.scope) == (3, action, scope)
    assert outcome.reply == reply
    assert outcome.at == AT
    assert not outcome.uncertain
    assert outcome.remote_mta == ("" if stage == LOCAL else "mx [192.0.2.1]")


@pytest.mark.parametrize("code", [200, 250, 251, 299])
def test_any_2yz_to_the_content_is_success(code: int) -> None:
    outcome = failure.of_result(0, Result(".", Reply(code, None, "x")), remote_mta="mx")
    assert (outcome.action, outcome.remote_mta) == ("relayed", "mx")
    assert failure.of_result(0, Result(".", Reply(code, None, "x")), done="delivered").action == "delivered"


@pytest.mark.parametrize(("stage", "code"), [("MAIL", 354), ("RCPT", 334), ("DATA", 250), (".", 354)])
def test_a_reply_that_no_command_allows_is_a_protocol_fault(stage: str, code: int) -> None:
    outcome = failure.of_result(0, Result(stage, Reply(code, None, "what?")))
    assert (outcome.action, outcome.status, outcome.scope) == ("delayed", "4.5.0", "transaction")
    assert str(code) in outcome.reply.text


@pytest.mark.parametrize(
    ("kind", "stage", "status"),
    [
        ("connect", "", "4.4.1"),
        ("timeout", "greeting", "4.4.2"),
        ("timeout", "RCPT", "4.4.2"),
        ("closed", "MAIL", "4.4.2"),
        ("closed", "DATA", "4.4.2"),
        ("protocol", "EHLO", "4.5.0"),
    ],
)
@pytest.mark.parametrize("sent", [False, True])
def test_a_lost_session_delays_and_taints_the_host(kind: str, stage: str, status: str, sent: bool) -> None:
    """ENH-13."""
    outcome = failure.of_lost(1, Lost(kind, stage, "it went away"), remote_mta="mx", content_sent=sent)
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "host", status)
    assert not outcome.uncertain
    assert "it went away" in outcome.reply.text


@pytest.mark.parametrize("kind", ["timeout", "closed", "protocol"])
def test_a_session_lost_after_the_final_dot_is_uncertain(kind: str) -> None:
    """The message may have been taken: nobody knows, and the host is not to blame."""
    outcome = failure.of_lost(1, Lost(kind, ".", "gone"), content_sent=True)
    assert (outcome.action, outcome.scope, outcome.uncertain) == ("delayed", "transaction", True)
    assert "content" in outcome.reply.text


def test_an_empty_content_that_got_no_answer_is_not_uncertain() -> None:
    """All recipients were refused and the server still gave 354: nothing was sent."""
    assert not failure.of_lost(1, Lost("closed", ".", "gone"), content_sent=False).uncertain


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        (Reply(451, "4.4.1", "no host answered"), "delayed"),
        (Reply(451, "4.4.3", "the DNS is silent"), "delayed"),
        (Reply(550, "5.1.2", "no such domain"), "failed"),
        (Reply(556, "5.1.10", "the domain takes no mail"), "failed"),
        (Reply(554, None, "no service for you"), "failed"),
        (Reply(421, None, "too busy"), "delayed"),
    ],
)
def test_no_host_can_be_used(reply: Reply, action: str) -> None:
    outcome = failure.of_host(0, reply, remote_mta="mx")
    assert (outcome.action, outcome.scope, outcome.reply) == (action, "host", reply)


@pytest.mark.parametrize(("code", "action"), [(250, "delivered"), (452, "delayed"), (550, "failed")])
def test_a_local_delivery(code: int, action: str) -> None:
    outcome = failure.of_delivery(2, Reply(code, None, "x"))
    assert (outcome.recipient, outcome.action, outcome.scope) == (2, action, "recipient")


def test_a_want_of_descriptors_blames_no_host() -> None:
    outcome = failure.of_lost(
        1, Lost("shortage", "", "connecting to mx: Too many open files"), remote_mta="mx"
    )
    assert str(outcome.reply) == "451 4.3.2 connecting to mx: Too many open files"
    assert (outcome.action, outcome.scope, outcome.remote_mta) == ("delayed", "transaction", "")


def test_our_own_trouble_delays_and_blames_no_host() -> None:
    outcome = failure.of_fault(0, "the content cannot be read")
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "transaction", "4.3.0")


def outcome(action: str, code: int, status: str, scope: str = "transaction") -> Outcome:
    return Outcome(0, action, Reply(code, status, "x"), scope=scope)  # type: ignore[arg-type]


DONE = outcome("relayed", 250, "2.0.0")
LATER = outcome("delayed", 451, "4.3.0")
FAULT = outcome("delayed", 451, "4.5.0")
NO_USER = outcome("failed", 550, "5.1.1", "recipient")


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([], 0),
        ([DONE, DONE], 0),
        ([DONE, LATER], 75),
        ([NO_USER, LATER], 75),
        ([FAULT], 76),
        ([FAULT, NO_USER, DONE], 76),
        ([FAULT, LATER], 75),
        ([DONE, NO_USER], 67),
        ([outcome("failed", 550, "", "recipient")], 67),
        ([outcome("failed", 550, "5.7.1", "recipient")], 69),
        ([outcome("failed", 553, "5.7.1", "recipient")], 69),
        ([outcome("delayed", 454, "4.7.8", "host")], 75),
        ([outcome("failed", 553, "", "recipient")], 67),
        ([outcome("failed", 550, "5.1.2", "host")], 68),
        ([outcome("failed", 556, "5.1.10", "host")], 68),
        ([outcome("failed", 556, "", "host")], 68),
        ([outcome("failed", 550, "5.4.4", "host")], 68),
        ([outcome("failed", 554, "5.6.0")], 65),
        ([outcome("failed", 550, "5.7.1")], 69),
        ([outcome("failed", 552, "5.3.4")], 69),
        ([outcome("failed", 554, "", "host")], 69),
        ([outcome("failed", 552, "5.2.2", "recipient")], 69),
        ([NO_USER, outcome("failed", 554, "5.6.0")], 67),
    ],
)
def test_exit_status(outcomes: list[Outcome], status: int) -> None:
    assert failure.exit_status(outcomes) == status


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (failure.of_result(0, Result("RCPT", Reply(550, "5.1.1", "x")), remote_mta="mx"), True),
        (failure.of_result(0, Result("MAIL", Reply(354, None, "x")), remote_mta="mx"), False),
        (failure.of_result(0, Result(LOCAL, Reply(552, "5.3.4", "x")), remote_mta="mx"), False),
        (failure.of_host(0, Reply(554, None, "go away"), remote_mta="mx"), True),
        (failure.of_host(0, Reply(550, "5.1.2", "no such domain")), False),
        (failure.of_lost(0, Lost("connect", "", "refused"), remote_mta="mx"), False),
        (failure.of_lost(0, Lost("timeout", ".", "x"), remote_mta="mx", content_sent=True), False),
        (failure.of_fault(0, "x"), False),
    ],
)
def test_whose_words_an_outcome_has(outcome: Outcome, said: bool) -> None:
    """RFC 3464 section 2.3.6: only what a server said is quoted as its words."""
    assert outcome.said is said


def test_what_was_accepted_says_who_reports_it() -> None:
    """DSN-3, EXT-1; of what was not accepted nobody else tells."""
    for reply, expected in ((Reply(250, None, "ok"), True), (Reply(550, None, "no"), False)):
        outcome = failure.of_result(0, Result(".", reply), remote_mta="mx", notifies=True, traced=True)
        assert (outcome.notifies, outcome.traced) == (expected, expected)


@pytest.mark.parametrize(
    ("reply", "after"),
    [
        (Reply(550, "5.1.2", "the host hub.test does not exist"), (451, "4.4.4")),
        (Reply(550, "5.4.4", "the host hub.test has no address"), (451, "4.4.4")),
        (Reply(556, "5.1.10", "hub.test does not accept mail (null MX)"), (451, "4.4.4")),
        (Reply(554, "5.4.6", "a loop"), (554, "5.4.6")),
        (Reply(451, "4.4.3", "silence"), (451, "4.4.3")),
    ],
)
def test_a_next_hop_that_a_person_named_may_be_a_mistake(reply: Reply, after: tuple[int, str]) -> None:
    """All mail goes by it: it waits until the name is put right.  A loop, and silence, stay what they are."""
    found = failure.of_named(reply)
    assert (found.code, found.status) == after
    assert found.text.startswith(reply.text)
    outcome = failure.of_host(0, found, at=AT)
    assert (outcome.action, outcome.scope) == ("delayed" if found.temporary else "failed", "host")


@pytest.mark.parametrize(
    ("pinned", "route", "named"),
    [
        (False, Route("smtp", "sparr"), False),
        (True, Route("smtp", "sparr"), True),
        (True, Route("smtp", "[hub.test]"), True),
        (True, Route("smtp", "relay.exmaple.invalid"), True),
        (True, Route("smtp", "example.org"), False),
        (True, Route("lmtp", "example.org"), True),
    ],
)
def test_who_named_a_next_hop(pinned: bool, route: Route, named: bool) -> None:
    """By hand, but for the MX of the recipient's domain: that is the sender's to name."""
    assert failure.is_named(pinned, route, Recipient(parse_address("ann@Example.ORG"))) is named


@pytest.mark.parametrize(
    ("outcome", "kind", "slows"),
    [
        (Outcome(0, "relayed", Reply(250, None, "rate limited"), remote_mta="mx"), None, False),
        (Outcome(0, "delayed", Reply(450, None, "Rate limit"), remote_mta="mx"), "rate limited", False),
        (
            Outcome(0, "delayed", Reply(450, None, "Rate limit"), scope="transaction", remote_mta="mx"),
            "rate limited",
            True,
        ),
        (
            Outcome(0, "delayed", Reply(421, None, "Too many sessions"), scope="host", remote_mta="mx"),
            "rate limited",
            True,
        ),
        (
            Outcome(0, "failed", Reply(550, None, "Rate limit"), scope="transaction", remote_mta="mx"),
            "rate limited",
            False,
        ),
        (
            Outcome(0, "delayed", Reply(451, None, "Rate limit"), scope="host", said=False),
            "rate limited",
            False,
        ),
        (Outcome(0, "delayed", Reply(552, None, "no"), remote_mta="mx"), "mailbox full", False),
        (Outcome(0, "delayed", Reply(552, None, "no"), scope="transaction", remote_mta="mx"), "size", False),
    ],
)
def test_what_was_wrong_and_who_wants_less(outcome: Outcome, kind: str | None, slows: bool) -> None:
    """BNC-10: the class of the reply; a recipient that gets too much says nothing of the others."""
    assert failure.kind(outcome) == kind
    assert failure.slows(outcome) is slows


@pytest.mark.parametrize(
    ("lost", "kind"),
    [("connect", "connection"), ("timeout", "connection"), ("protocol", "protocol"), ("tls", "tls")],
)
def test_our_own_words_have_their_classes_too(lost: Any, kind: str) -> None:
    assert failure.kind(failure.of_lost(0, Lost(lost, "", "it went wrong"))) == kind


def test_rules_of_ones_own_decide_first() -> None:
    outcome = Outcome(
        0, "delayed", Reply(450, None, "later, alligator"), scope="transaction", remote_mta="mx"
    )
    assert not failure.slows(outcome)
    assert failure.slows(outcome, parse("[rate limited x.7.28]\nalligator"))
