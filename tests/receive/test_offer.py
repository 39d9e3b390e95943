"""What EHLO offers: what would be done for who asks, and nothing else."""

from __future__ import annotations

import pytest

from mether.receive.hold import MAX_HOLD
from mether.receive.offer import Offers, Who, etrn_domain
from mether.smtp.xclient import KEYWORD

DAY = 86400.0


def words(who: Who, **more: object) -> set[str]:
    offers = Offers(size=1000, recipients=10, **more)  # type: ignore[arg-type]
    return {line.partition(" ")[0] for line in offers.lines(who, 0.0)}


def test_what_everybody_is_offered() -> None:
    """SUB-6, LMT-3"""
    lines = Offers(size=1000, recipients=10).lines(Who(), 0.0)
    assert {"PIPELINING", "SIZE 1000", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "DSN"} <= set(lines)
    assert {"CHUNKING", "BINARYMIME", "LIMITS RCPTMAX=10", "VRFY", "HELP"} <= set(lines)


def test_tls_is_offered_before_it_and_what_needs_it_after() -> None:
    """TLS-1; RFC 8689 section 4."""
    assert "STARTTLS" not in words(Who())
    assert "STARTTLS" in words(Who(), starttls=True)
    assert "REQUIRETLS" not in words(Who(), starttls=True)
    assert "STARTTLS" not in words(Who(secure=True), starttls=True)
    assert "REQUIRETLS" in words(Who(secure=True), starttls=True)


def test_a_login_is_offered_by_its_mechanisms() -> None:
    """AUT-1: no AUTH without a mechanism that may be used now."""
    assert "AUTH" not in words(Who())
    lines = Offers(size=0, recipients=1).lines(Who(mechanisms=("SCRAM-SHA-256", "PLAIN")), 0.0)
    assert "AUTH SCRAM-SHA-256 PLAIN" in lines


def test_submitters_may_say_when_and_how_soon() -> None:
    """EXT: RFC 2852, RFC 4865, RFC 6710."""
    assert not {"DELIVERBY", "FUTURERELEASE", "MT-PRIORITY"} & words(Who())
    assert {"DELIVERBY", "FUTURERELEASE", "MT-PRIORITY"} <= words(Who(submitter=True))


def test_a_trusted_program_of_this_host_may_say_everything() -> None:
    """RFC 8689 section 4: on no network there is nothing to protect; RFC 4954 section 5: AUTH= of MAIL."""
    lines = Offers(size=0, recipients=1).lines(Who(local=True), 0.0)
    assert {"REQUIRETLS", "AUTH"} <= set(lines)
    assert not {"REQUIRETLS", "AUTH"} & words(Who(submitter=True))
    lines = Offers(size=0, recipients=1).lines(Who(local=True, mechanisms=("PLAIN",)), 0.0)
    assert "AUTH PLAIN" in lines and "AUTH" not in lines


def test_the_latest_date_of_release_moves_with_the_days() -> None:
    offers = Offers(size=0, recipients=1)
    first, same, later = (
        next(line for line in offers.lines(Who(submitter=True), at) if line.startswith("FUTURERELEASE"))
        for at in (0.0, DAY - 1, DAY)
    )
    assert first == same == f"FUTURERELEASE {MAX_HOLD} 1970-01-31T00:00:00Z"
    assert later == f"FUTURERELEASE {MAX_HOLD} 1970-02-01T00:00:00Z"


@pytest.mark.parametrize(
    ("off", "gone"),
    [
        (["PIPELINING"], {"PIPELINING"}),
        (["chunking"], {"CHUNKING", "BINARYMIME"}),
        (["8BITMIME"], {"8BITMIME", "SMTPUTF8"}),
    ],
)
def test_what_is_kept_back_goes_with_what_needs_it(off: list[str], gone: set[str]) -> None:
    """8BM: RFC 3030 section 3, RFC 6531 section 3.1."""
    assert words(Who()) - words(Who(), off=off) == gone


def test_etrn_and_xclient_are_for_those_who_may() -> None:
    """SUB-6"""
    assert not {"ETRN", "XCLIENT"} & words(Who())
    assert {"ETRN", "XCLIENT"} <= words(Who(etrn=True, xclient=True))
    assert KEYWORD in Offers(size=0, recipients=1).lines(Who(xclient=True), 0.0)


@pytest.mark.parametrize(
    ("argument", "domain"),
    [
        ("Example.ORG", "example.org"),
        ("@Example.ORG", "@example.org"),
        ("", None),
        ("@", None),
        ("-x", None),
        ("[192.0.2.1]", None),
        ("#queue", None),
    ],
)
def test_what_etrn_may_name(argument: str, domain: str | None) -> None:
    """EXT: RFC 1985 section 5."""
    assert etrn_domain(argument) == domain


def test_the_reply_has_our_name_in_front_and_is_made_once() -> None:
    offers = Offers(size=0, recipients=1)
    reply = offers.reply("mx.example.org", Who(), 0.0)
    assert (reply.code, reply.lines) == (250, ("mx.example.org", *offers.lines(Who(), 0.0)))
    assert offers.reply("mx.example.org", Who(), 0.0) is reply
    assert offers.reply("mx.example.org", Who(secure=True), 0.0) != reply
