"""Many reports in one message: those of a mailer are read, those of a person when asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.content import bounce_merged, merged
from mether.content.bounce_found import Bounce

HERE = Path(__file__).resolve().parent
REPORTS = [
    path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    for path in sorted((HERE / "reports").glob("*.eml"))
]
REPORT = """\
From: MAILER-DAEMON@mail.example.org
To: ann@example.org
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=r{0}

--r{0}

It failed.
--r{0}
Content-Type: message/delivery-status

Reporting-MTA: dns; mail.example.org

Final-Recipient: rfc822; bob{0}@example.net
Action: failed
Status: 5.1.1
--r{0}
Content-Type: text/rfc822-headers

Message-ID: <{0}@example.org>
--r{0}--
"""


def of(found: list[Bounce]) -> list[tuple[str, str]]:
    return [(one.recipient, each.message_id) for each in found for one in each.recipients]


def digest(head: str, count: int, kind: str = "multipart/digest") -> bytes:
    part = "" if kind == "multipart/digest" else "Content-Type: message/rfc822\n"
    inner = "".join(f"--d\n{part}\n{REPORT.format(number)}\n" for number in range(count))
    return (
        f"{head}Content-Type: multipart/mixed; boundary=m\n\n--m\n\nReports follow.\n--m\n"
        f"Content-Type: {kind}; boundary=d\n\n{inner}--d--\n--m--\n"
    ).encode()


MAILER = "Return-Path: <>\nFrom: MAILER-DAEMON@mail.example.org\nSubject: 3 delivery reports\n"
PERSON = "From: Ann <ann@example.org>\nSubject: what is that?\n"


def test_our_own_merged_reports_are_read() -> None:
    """Each of our reports, merged, says what it says alone."""
    whole = merged.merge(
        REPORTS,
        hostname="mail.example.org",
        postmaster="postmaster@example.org",
        ident="0D5K",
        boundary="b0",
        at=0.0,
    )
    alone = [one for report in REPORTS for one in bounce_merged.read(report)]
    together = bounce_merged.read(whole)
    assert len(together) == len(alone) == len(REPORTS)
    assert list(map(repr, together)) == list(map(repr, alone))


def test_each_report_is_about_its_own_message() -> None:
    assert of(bounce_merged.read(digest(MAILER, 3))) == [
        ("bob0@example.net", "0@example.org"),
        ("bob1@example.net", "1@example.org"),
        ("bob2@example.net", "2@example.org"),
    ]


def test_one_report_is_one() -> None:
    (one,) = bounce_merged.read(REPORT.format(1).encode())
    assert one.message_id == "1@example.org"
    assert bounce_merged.read(b"From: ann@example.org\n\nhello\n") == []


@pytest.mark.parametrize("kind", ["multipart/digest", "multipart/mixed"])
def test_what_a_person_attached_is_read_when_asked_for(kind: str) -> None:
    message = digest(PERSON, 2, kind)
    assert bounce_merged.read(message) == []
    assert len(bounce_merged.read(message, attached=True)) == 2


def test_a_list_digest_is_none() -> None:
    """Mail on a list may tell of bounces."""
    head = "Return-Path: <>\nFrom: x-request@example.org\nSubject: x Digest\nList-Id: <x.example.org>\n"
    assert bounce_merged.read(digest(head, 2)) == []


def test_what_is_no_report_in_a_digest_is_passed_over() -> None:
    message = digest(MAILER, 2).replace(b"--d--", b"--d\n\nSubject: hello\n\nHello.\n--d--")
    assert len(bounce_merged.read(message)) == 2


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounce_merged, "MAX_REPORTS", 20)
    assert len(bounce_merged.read(digest(MAILER, 100))) == 20
    monkeypatch.setattr(bounce_merged, "MAX_RECIPIENTS", 5)
    assert len(bounce_merged.read(digest(MAILER, 100))) == 5
    monkeypatch.setattr(bounce_merged, "MAX_SIZE", 1000)
    assert len(bounce_merged.read(digest(MAILER, 100))) <= 2


def test_a_long_digest_is_read_to_its_end() -> None:
    assert len(bounce_merged.read(digest(MAILER, 300))) == 300
