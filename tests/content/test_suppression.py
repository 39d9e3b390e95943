"""The reply for an address that is on the suppression list."""

from __future__ import annotations

import pytest

from mether.content import suppression
from mether.content.classify import KINDS, classify
from mether.reply import Reply

SINCE = 1769860800.0  # 2026-01-31 12:00 UTC


def test_it_says_when_mail_came_back_and_why() -> None:
    reply = suppression.refusal(SINCE, "550 5.1.1 No such user here", "5.1.1")
    assert str(reply) == (
        "550 5.1.1 suppressed address: mail for it came back on 2026-01-31: 550 5.1.1 No such user here"
    )
    assert suppression.ours(reply)


def test_what_a_person_put_there_is_no_address_that_does_not_exist() -> None:
    reply = suppression.refusal(SINCE, "asked not to be written to", came_back=False)
    assert str(reply) == (
        "550 5.7.1 suppressed address: it is on the list here since 2026-01-31: asked not to be written to"
    )


def test_nothing_is_told_where_nothing_is_known() -> None:
    assert str(suppression.refusal(SINCE, "")).endswith("came back on 2026-01-31")


@pytest.mark.parametrize("status", ["", "4.2.2", "5", "x.y.z"])
def test_a_status_of_no_failure_is_not_given(status: str) -> None:
    assert suppression.refusal(SINCE, "", status).status == "5.1.1"


def test_the_reason_is_bounded_and_ascii() -> None:
    """A reply line has 512 octets (RFC 5321 section 4.5.3.1.5), and not every client takes UTF-8."""
    reply = suppression.refusal(SINCE, "unbekannt: Müller\r\n" + "x" * 10_000, "5.1.1")
    assert len(reply.encode()) < 400
    assert reply.encode().count(b"\r\n") == 1
    assert "M?ller x" in reply.text


def test_other_replies_are_not_ours() -> None:
    assert not suppression.ours(Reply(550, "5.1.1", "no such user"))
    assert not suppression.ours(Reply(451, "4.1.1", suppression.START))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Reply(550, "5.1.1", "No such user here"), "no such user"),
        (Reply(550, None, "User unknown"), "no such user"),
        (Reply(552, "5.2.2", "Mailbox full"), "mailbox full"),
    ],
)
def test_its_class_is_that_of_what_was_said(said: Reply, kind: str) -> None:
    verdict = classify(said, "RCPT")
    assert verdict.kind == kind
    assert classify(suppression.refusal(SINCE, str(said), verdict.status)).kind == kind


def test_the_classes_are_some_of_all() -> None:
    assert set(suppression.USUAL) < set(suppression.KINDS) < set(KINDS)
