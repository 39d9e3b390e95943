"""Who is owed a report: one, to the sender, and never an error about an error."""

from __future__ import annotations

from typing import Any

import pytest
from clock import T0
from mail import CONTENT, NEVER, TRACE, address, claim, table

from mether.outcome import Outcome
from mether.queue.store import Claim, Draft, Pending
from mether.runner.notify import Reporter

POSTMASTER = "postmaster@example.com"


def reporter(*, tell: bool = True) -> Reporter:
    return Reporter(
        hostname="mx.example.com",
        postmaster=address(POSTMASTER),
        tell_postmaster=tell,
        table=table(),
        lifetime=86400.0,
        boundary=lambda: "b0undary",
    )


def reports(
    about: Claim, *, tell: bool = True, numbers: tuple[int, ...] | None = None, original: Any = None
) -> list[Draft]:
    failed = [
        (one, Outcome(one.number, "failed", NEVER, at=T0))
        for one in about.pending
        if numbers is None or one.number in numbers
    ]
    return reporter(tell=tell).reports(about, failed, original or (lambda: (TRACE + CONTENT, True)), T0 + 9)


def claimed(draft: Draft) -> Claim:
    """A claim on a report that was queued."""
    pending = [Pending(number, one) for number, one in enumerate(draft.message.envelope.recipients)]
    return Claim(draft.message, draft.routes[0], pending, owner=1, token=2)


def text(draft: Draft) -> str:
    assert isinstance(draft.content, bytes)
    return draft.content.decode()


def test_one_report_tells_of_all_that_failed_at_once() -> None:
    """BNC-2"""
    about = claim("one@example.net", "two@example.net", "three@example.net")
    (draft,) = reports(about, numbers=(0, 2))
    assert "one@example.net" in text(draft) and "three@example.net" in text(draft)
    assert "two@example.net" not in text(draft)
    assert text(draft).count("Action: failed") == 2


def test_a_report_goes_to_the_sender_with_a_null_reverse_path() -> None:
    """BNC-3, RFC 5321 section 4.5.5"""
    (draft,) = reports(claim())
    envelope = draft.message.envelope
    assert envelope.reverse_path is None
    assert [str(one.forward_path) for one in envelope.recipients] == ["sender@example.com"]
    assert str(draft.routes[0]) == "maildir:here"
    assert draft.message.expires == T0 + 9 + 86400
    assert "no such user" in text(draft)
    assert "Subject: test" in text(draft)


@pytest.mark.parametrize("notify", ["NEVER", "never", "SUCCESS", "DELAY", "SUCCESS,DELAY"])
def test_who_asked_not_to_be_told_is_not(notify: str) -> None:
    """DSN-5"""
    asked: list[int] = []

    def original() -> tuple[bytes, bool]:
        asked.append(1)
        return CONTENT, True

    assert reports(claim(notify=notify), original=original) == []
    assert not asked, "nothing is read when nothing is written"


@pytest.mark.parametrize("notify", [None, "FAILURE", "failure", "SUCCESS,FAILURE,DELAY"])
def test_who_wants_to_be_told_is(notify: str | None) -> None:
    assert len(reports(claim(notify=notify))) == 1


def test_only_those_that_wanted_it_are_named() -> None:
    about = claim("quiet@example.net", "loud@example.net")
    about.message.envelope.recipients[0].notify = "NEVER"
    (draft,) = reports(about)
    assert "loud@example.net" in text(draft)
    assert "quiet@example.net" not in text(draft)


def test_a_message_without_a_sender_is_shown_to_the_postmaster() -> None:
    (draft,) = reports(claim(sender=""))
    assert [str(one.forward_path) for one in draft.message.envelope.recipients] == [POSTMASTER]
    assert draft.message.envelope.reverse_path is None
    assert "rcpt@example.net" in text(draft)


def test_or_dropped_as_configured() -> None:
    assert reports(claim(sender=""), tell=False) == []


def test_a_notice_about_a_notice_is_dropped() -> None:
    """No error about an error: the postmaster could not be reached."""
    assert reports(claim(POSTMASTER, sender="")) == []


def test_the_chain_of_reports_ends() -> None:
    """A report that fails becomes a notice, and a notice that fails becomes nothing."""
    (report,) = reports(claim())
    (notice,) = reports(claimed(report))
    assert reports(claimed(notice)) == []


def test_two_settlements_of_a_message_name_two_reports() -> None:
    about = claim("one@example.net", "two@example.net")
    (first,) = reports(about, numbers=(0,))
    (again,) = reports(about, numbers=(0,))
    about.settlement = 2
    (second,) = reports(about, numbers=(1,))
    assert first.message.ident == again.message.ident, "done over after a crash it is the same"
    assert len({first.message.ident, second.message.ident, about.message.ident}) == 3


def test_the_postmaster_as_sender_is_told() -> None:
    (draft,) = reports(claim(sender=POSTMASTER))
    assert [str(one.forward_path) for one in draft.message.envelope.recipients] == [POSTMASTER]


def test_a_large_message_is_quoted_by_its_header_alone() -> None:
    (draft,) = reports(claim(), original=lambda: (TRACE + CONTENT, False))
    assert "Subject: test" in text(draft)
    assert "Hello." not in text(draft)
