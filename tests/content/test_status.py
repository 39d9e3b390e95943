"""The part of a report that programs read; the whole report is in test_dsn."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.content import status
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply


@pytest.mark.parametrize(
    ("action", "reply", "expected"),
    [
        ("failed", Reply(550, None, "no"), "5.0.0"),
        ("failed", Reply(451, "4.4.7", "too old"), "4.4.7"),
        ("failed", Reply(550, "5.01.001", "x"), "5.1.1"),
        ("failed", Reply(250, "2.0.0", "x"), "5.0.0"),
        ("delayed", Reply(550, "5.1.1", "x"), "4.0.0"),
        ("delivered", Reply(250, "2.1.5", "x"), "2.1.5"),
    ],
)
def test_status_fits_the_action(action: str, reply: Reply, expected: str) -> None:
    """BNC-9."""
    assert status.status(Outcome(0, action, reply)) == expected  # type: ignore[arg-type]


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
    assert status.part("mx.example.net", 1772529160.0, Envelope(None), items, 0) == (
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
        b"\r\n"
        b"Final-Recipient: rfc822;dan@example.com\r\n"
        b"Action: failed\r\n"
        b"Status: 4.4.1\r\n"
        b"Diagnostic-Code: x-mether; 451 4.4.1 refused\r\n"
    )
