"""Each thing that mether itself says of a failure has its own text."""

from __future__ import annotations

import pytest

from mether.content.classify import KINDS, parse
from mether.content.suppression import refusal
from mether.content.words_kind import ALL, OWN, kind
from mether.outcome import Outcome
from mether.queue import directory_recover, sqlite_owner
from mether.relay import failure, final, program, way
from mether.reply import Reply
from mether.routing import resolution
from mether.runner import returning, settle
from mether.smtp import fit, transaction


def outcome(
    reply: Reply, scope: str = "recipient", *, said: bool = False, uncertain: bool = False
) -> Outcome:
    action = "failed" if reply.permanent else "delayed"
    host = "mx.example.com" if said else ""
    return Outcome(0, action, reply, scope=scope, remote_mta=host, said=said, uncertain=uncertain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (final.LOOP, "loop"),
        (resolution.LOOP, "loop"),
        (Reply(554, "5.4.6", "the mail would come back to this service: a loop"), "loop"),
        (resolution.UNKNOWN, "no such user"),
        (resolution.FORBIDDEN, "refused"),
        (resolution.EMPTY, "refused"),
        (resolution.NO_PLACE, "refused"),
        (Reply(550, "5.7.1", "not wanted here"), "refused"),
        (Reply(550, None, "go away"), "refused"),
        (refusal(0.0, "550 5.1.1 no such user", "5.1.1"), "suppressed"),
        (fit.NO_SMTPUTF8_SENDER, "smtputf8"),
        (fit.NO_SMTPUTF8_RECIPIENT, "smtputf8"),
        (fit.NO_SMTPUTF8_HEADER, "smtputf8"),
        (fit.NOT_CONVERTED, "8bit"),
        (fit.NOT_CONVERTIBLE, "8bit"),
        (fit.NO_REQUIRETLS, "requiretls"),
        (fit.NO_TLS, "requiretls"),
        (fit.NO_DELIVERBY, "deliver-by"),
        (fit.TOO_SOON, "deliver-by"),
        (fit.EXPIRED, "deliver-by"),
        (settle.over(outcome(settle.EXPIRED)).reply, "deliver-by"),
        (Reply(552, "5.3.4", "the next hop takes messages of up to 10 octets, this one has 20"), "too large"),
        (Reply(556, "5.1.10", "x.test does not accept mail (null MX)"), "null mx"),
        (Reply(550, "5.1.2", "the domain x.test does not exist"), "no domain"),
        (Reply(550, "5.4.4", "x.test has neither a mail exchanger nor an address"), "no domain"),
        (Reply(451, "4.4.3", "the DNS has no answer about x.test now: timed out"), "dns"),
        (Reply(451, "4.4.1", "connecting to mx.test[192.0.2.1]:25: Connection refused"), "no answer"),
        (Reply(451, "4.7.5", "the certificate is not for mx.test"), "tls"),
        (Reply(454, "4.7.8", "the server refused our login: 535 5.7.8 no"), "trouble"),
        (program.exit_reply("rmail", 67, b"no such user"), "program"),
        (program.exit_reply("rmail", -9, b""), "program"),
        (way.BAD_PROGRAM, "program"),
        (directory_recover.UNKNOWN, "uncertain"),
        (sqlite_owner.DIED, "uncertain"),
        (settle.EXPIRED, "waiting"),
        (settle.UNTRIED, "waiting"),
        (returning.UNTRIED, "waiting"),
        (failure.of_fault(0, "cannot read the message").reply, "trouble"),
        (transaction.UNSENDABLE, "refused"),
        (transaction.EARLY, "protocol"),
    ],
    ids=str,
)
def test_a_cause_of_ours(reply: Reply, expected: str) -> None:
    assert kind(outcome(reply)) == expected


def test_the_same_words_of_another_server_have_a_class() -> None:
    assert kind(outcome(fit.NOT_CONVERTED, said=True)) in KINDS
    assert kind(outcome(Reply(451, "4.3.0", "greylisted"), said=True)) == "greylisted"


def test_the_last_words_of_a_host_that_is_down_are_not_our_trouble() -> None:
    assert kind(outcome(Reply(421, "4.3.2", "system not accepting network messages"), "host")) == "connection"


def test_a_person_and_a_doubt_come_before_all_others() -> None:
    lost = outcome(Reply(451, "4.4.2", "the connection was lost"), uncertain=True)
    assert kind(lost) == "uncertain"
    assert kind(outcome(Reply(550, "5.1.1", "who?")), returned=True) == "returned"


def test_an_administrators_rules_decide_what_a_server_meant() -> None:
    rules = parse("[mailbox full x.2.2]\nwho are you\n")
    assert kind(outcome(Reply(550, None, "Who are you?"), said=True), rules) == "mailbox full"


def test_there_is_one_name_for_each() -> None:
    assert len(set(ALL)) == len(ALL) == len(KINDS) + len(OWN)
