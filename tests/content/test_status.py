"""The part of a report that programs read; the whole report is in test_dsn."""

from __future__ import annotations

import quopri

import pytest

from mether.address import parse
from mether.content import status
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply


def about(envelope: Envelope | None = None) -> status.About:
    return status.About(envelope or Envelope(None), "ABC", arrival=1772529160.0, original=b"", complete=True)


@pytest.mark.parametrize(
    ("action", "reply", "expected"),
    [
        ("failed", Reply(550, None, "no"), "5.0.0"),
        ("failed", Reply(451, "4.4.7", "too old"), "4.4.7"),
        ("failed", Reply(550, "5.01.001", "x"), "5.1.1"),
        ("failed", Reply(550, "5.1.1234", "x"), "5.0.0"),
        ("failed", Reply(550, "5.1", "x"), "5.0.0"),
        ("failed", Reply(550, "5.1.x", "x"), "5.0.0"),
        ("failed", Reply(250, "2.0.0", "x"), "5.0.0"),
        ("delayed", Reply(550, "5.1.1", "x"), "4.0.0"),
        ("delivered", Reply(250, "2.1.5", "x"), "2.1.5"),
        ("relayed", Reply(250, None, "x"), "2.0.0"),
        ("failed", Reply(552, None, "full"), "5.2.2"),
        ("failed", Reply(556, None, "no mail"), "5.1.10"),
        ("failed", Reply(421, None, "expired at last"), "4.3.2"),
        ("failed", Reply(552, "2.0.0", "nonsense"), "5.2.2"),
        ("failed", Reply(554, None, "no"), "5.0.0"),
        ("delayed", Reply(452, None, "full"), "4.3.1"),
        ("delayed", Reply(552, None, "too many"), "4.0.0"),
        ("failed", Reply(550, None, "User unknown"), "5.1.1"),
        ("failed", Reply(554, None, "blocked using zen.spamhaus.org"), "5.7.1"),
        ("failed", Reply(452, None, "Mailbox full"), "4.2.2"),
        ("delayed", Reply(354, None, "User unknown"), "4.0.0"),
    ],
)
def test_status_fits_the_action(action: str, reply: Reply, expected: str) -> None:
    """BNC-9, BNC-10."""
    assert status.status(Outcome(0, action, reply)) == expected  # type: ignore[arg-type]


def test_a_message_that_is_too_large_is_no_full_mailbox() -> None:
    """BNC-10, SIZ-4: 552 to MAIL or the content."""
    too_large = Outcome(0, "failed", Reply(552, None, "too large"), scope="transaction")
    assert status.status(too_large) == "5.3.4"


def test_the_part_as_it_is_written() -> None:
    """BNC-5, BNC-7, BNC-8: an empty line before each recipient, long fields folded.

    Our own words are not quoted as a server's.
    """
    said = Reply(
        550, "5.7.1", "this is a long explanation", "of which the second line says even more than that"
    )
    items = [
        status.Item(
            Recipient(parse("bob@example.com")), Outcome(0, "failed", said, remote_mta="mx.example.com")
        ),
        status.Item(Recipient(parse("postmaster")), Outcome(1, "failed", Reply(554, "5.4.6", "a loop"))),
        status.Item(
            Recipient(parse("dan@example.com")),
            Outcome(2, "failed", Reply(451, "4.4.1", "refused"), remote_mta="mx.example.com", said=False),
        ),
    ]
    assert status.part("mx.example.net", about(), items, 0) == (
        b"Content-Type: message/delivery-status\r\n"
        b"\r\n"
        b"Reporting-MTA: dns; mx.example.net\r\n"
        b"Arrival-Date: Tue, 03 Mar 2026 09:12:40 +0000\r\n"
        b"\r\n"
        b"Final-Recipient: rfc822;bob@example.com\r\n"
        b"Action: failed\r\n"
        b"Status: 5.7.1\r\n"
        b"Remote-MTA: dns; mx.example.com\r\n"
        b"Diagnostic-Code: smtp; 550 5.7.1 this is a long explanation of which the\r\n"
        b" second line says even more than that\r\n"
        b"\r\n"
        b"Final-Recipient: rfc822;postmaster\r\n"
        b"Action: failed\r\n"
        b"Status: 5.4.6\r\n"
        b"Diagnostic-Code: x-mether; 554 5.4.6 a loop\r\n"
        b"Final-Log-ID: ABC\r\n"
        b"\r\n"
        b"Final-Recipient: rfc822;dan@example.com\r\n"
        b"Action: failed\r\n"
        b"Status: 4.4.1\r\n"
        b"Diagnostic-Code: x-mether; 451 4.4.1 refused\r\n"
        b"Final-Log-ID: ABC\r\n"
    )


def test_what_has_no_queue_id_has_no_log_id() -> None:
    """What sendmail refuses was never queued."""
    of = status.About(Envelope(None), "", arrival=0.0, original=b"", complete=True)
    items = [status.Item(Recipient(parse("postmaster")), Outcome(0, "failed", Reply(550, "5.1.1", "no")))]
    assert b"Final-Log-ID" not in status.part("mx.example.net", of, items, 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mx.example.net", "dns; mx.example.net"),
        ("localhost", "x-local-hostname; localhost"),
        ("web1", "x-local-hostname; web1"),
    ],
)
def test_a_name_that_is_not_full_is_no_name_of_the_dns(host: str, expected: str) -> None:
    """BNC-7: RFC 3461 section 6.3 (b)."""
    assert status.part(host, about(), [], 0).startswith(
        f"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: {expected}\r\n".encode()
    )


def test_the_times_that_were_asked_for() -> None:
    """EXT-1, EXT-2: RFC 2852 section 5, RFC 4865 section 5.1."""
    of = about(Envelope(None, by=By(3600, "R"), hold="until;2026-12-24T18:00:00Z"))
    assert (
        b"Arrival-Date: Tue, 03 Mar 2026 09:12:40 +0000\r\n"
        b"Deliver-By-Date: Tue, 03 Mar 2026 10:12:40 +0000\r\n"
        b"Future-Release-Request: until;2026-12-24T18:00:00Z\r\n"
    ) in status.part("mx.example.net", of, [], 0)


def test_what_programs_compare_is_kept_to_the_space() -> None:
    """BNC-7, BNC-8: the envelope id and the addresses, case and spaces and all."""
    path = '"Two  Spaces and more words than are folded in any line"@Example.com'
    of = about(Envelope(None, envid="A++20+20b" + "+20" * 90 + "c"))
    item = status.Item(Recipient(parse(path)), Outcome(0, "failed", Reply(550, "5.1.1", "no")))
    text = status.part("mx.example.net", of, [item], 0).decode()
    assert f"Original-Envelope-Id: A+  b{' ' * 90}c\r\n" in text
    assert f"Final-Recipient: rfc822;{path}\r\n" in text


@pytest.mark.parametrize(
    ("smtputf8", "utf8", "reply", "kind", "encoding"),
    [
        (False, False, "no", b"message/delivery-status", b""),
        (False, False, "nö", b"message/delivery-status", b""),
        (True, False, "no", b"message/delivery-status", b""),
        (True, False, "nö", b"message/global-delivery-status", b"quoted-printable"),
        (True, True, "nö", b"message/global-delivery-status", b"8bit"),
    ],
)
def test_the_type_of_the_part(smtputf8: bool, utf8: bool, reply: str, kind: bytes, encoding: bytes) -> None:
    """EAI-9, RFC 6533 section 4.4: the old type where it loses nothing, else the new one, encoded."""
    outcome = Outcome(0, "failed", Reply(550, "5.1.1", reply), remote_mta="mx.example.com[192.0.2.1]:25")
    items = [status.Item(Recipient(parse("jürgen@example.com", utf8=True)), outcome)]
    of = about(Envelope(None, smtputf8=smtputf8))
    octets = status.part("mx.example.net", of, items, 0, utf8=utf8)
    head, _, body = octets.partition(b"\r\n\r\n")
    expected = b"Content-Type: " + kind
    assert head == (expected + b"\r\nContent-Transfer-Encoding: " + encoding if encoding else expected)
    text = quopri.decodestring(body).decode() if encoding else body.decode()
    address = "jürgen" if encoding else "j\\x{FC}rgen"
    assert f"Final-Recipient: utf-8;{address}@example.com" in text
    assert "Remote-MTA: dns; mx.example.com\r\n" in text  # a name, and no more (RFC 3464 section 2.1.2)
    assert f"Diagnostic-Code: smtp; 550 5.1.1 {reply if encoding else reply.replace('ö', '?')}" in text


@pytest.mark.parametrize("reply", ["no\x85", "no " + "x" * 800 + "ö"])
def test_what_is_not_quoted_asks_for_no_new_type(reply: str) -> None:
    """EAI-9: RFC 6533 section 4.4: controls are taken out, and long replies cut."""
    outcome = Outcome(0, "failed", Reply(550, "5.1.1", reply), remote_mta="mx.example.com")
    items = [status.Item(Recipient(parse("bob@example.com")), outcome)]
    octets = status.part("mx.example.net", about(Envelope(None, smtputf8=True)), items, 0)
    assert octets.startswith(b"Content-Type: message/delivery-status\r\n\r\n")


def test_a_utf8_report_without_any_keeps_the_old_type() -> None:
    """EAI-9: RFC 6533 section 4.4."""
    items = [status.Item(Recipient(parse("bob@example.com")), Outcome(0, "failed", Reply(550, None, "no")))]
    assert status.part("mx", about(), items, 0, utf8=True).startswith(
        b"Content-Type: message/delivery-status\r\n"
    )
