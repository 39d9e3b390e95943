"""Every kind of report as it goes out, held against a file that a person has read.

The files in reports/ have LF line ends, to be read and compared; what is sent has CRLF.  After a change
that is meant, METHER_GOLDEN=write makes them anew: read what came out before it is committed.  The reports
are also read back by the standard library, and by flufl.bounce where it is installed.
"""

from __future__ import annotations

import os
from email import message_from_bytes, policy
from email.message import Message
from pathlib import Path

import pytest

from mether.address import Address, parse
from mether.content.dsn import About, Item, report
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

FILES = Path(__file__).parent / "reports"
AT = 1772529164.0
ALICE = parse("alice@example.org")
JURGEN = parse("jürgen@bücher.example", utf8=True)
PLAIN = (
    b"Received: from laptop.example.org (laptop.example.org [192.0.2.1])\r\n"
    b"\tby mx.example.net with ESMTPS id 1H9F3QVK2A7B0;\r\n"
    b"\tTue, 03 Mar 2026 09:12:40 +0000\r\n"
    b"From: Alice <alice@example.org>\r\nTo: bob@example.com\r\nSubject: Lunch\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nAt noon?\r\n"
)
UTF8 = (
    "Received: from laptop.example.org (laptop.example.org [192.0.2.1])\r\n"
    "\tby mx.example.net with UTF8SMTPS id 1H9F3QVK2A7B0;\r\n"
    "\tTue, 03 Mar 2026 09:12:40 +0000\r\n"
    "From: Jürgen <jürgen@bücher.example>\r\nTo: 例@example.com\r\nSubject: Grüße\r\n\r\nSchön.\r\n"
).encode()

NO_USER = Reply(550, "5.1.1", "<bob@example.com>: no such user here", "see https://example.com/help for more")
GREYLISTED = Reply(451, "4.7.1", "greylisted, please try again later")
NO_ANSWER = Reply(451, "4.4.1", "connecting to 192.0.2.9: Connection refused")
LATE = Reply(554, "5.4.7", "delivery time expired; the last try ended with: 451 4.7.1 greylisted")
QUEUED = Reply(250, "2.0.0", "queued as 4711")
STORED = Reply(250, "2.0.0", "delivered to the mailbox")
UNKNOWN = Reply(550, "5.1.1", "Empfänger unbekannt")


def item(to: str, action: str, reply: Reply, mta: str = "mail.example.com", orcpt: str | None = None) -> Item:
    outcome = Outcome(0, action, reply, remote_mta=mta, at=AT - 1)  # type: ignore[arg-type]
    return Item(Recipient(parse(to, utf8=True), orcpt=orcpt), outcome, will_retry_until=AT + 5 * 86400)


FAILED = item("Bob@example.com", "failed", NO_USER, orcpt="rfc822;Bob+2Blunch@example.com")
DOWN = item("carol@example.com", "failed", NO_ANSWER, mta="")
DELAYED = item("dan@example.com", "delayed", GREYLISTED)
DELIVERED = item("eve@example.net", "delivered", STORED, mta="")
RELAYED = item("fay@example.com", "relayed", QUEUED)
EXPANDED = item("team@example.net", "expanded", Reply(250, "2.0.0", "expanded"), mta="")
ABROAD = item("例@example.com", "failed", UNKNOWN, orcpt="utf-8;\\x{4F8B}@example.com")

CASES: dict[str, tuple[Address | None, Envelope, bytes, list[Item]]] = {
    "failed": (ALICE, Envelope(ALICE, envid="QQ+2B314159"), PLAIN, [FAILED, DOWN]),
    "failed-headers": (ALICE, Envelope(ALICE, ret="HDRS"), PLAIN, [FAILED]),
    "failed-requiretls": (ALICE, Envelope(ALICE, ret="FULL", requiretls=True), PLAIN, [FAILED]),
    "delayed": (ALICE, Envelope(ALICE, ret="FULL"), PLAIN, [DELAYED]),
    "delivered": (ALICE, Envelope(ALICE, ret="FULL", envid="x"), PLAIN, [DELIVERED]),
    "relayed": (ALICE, Envelope(ALICE), PLAIN, [RELAYED]),
    "expanded": (ALICE, Envelope(ALICE), PLAIN, [EXPANDED]),
    "mixed": (ALICE, Envelope(ALICE), PLAIN, [DELIVERED, FAILED, RELAYED, DELAYED]),
    "deliver-by": (
        ALICE,
        Envelope(ALICE, by=By(3600, "R")),
        PLAIN,
        [item("bob@example.com", "failed", LATE, mta="")],
    ),
    "hold": (ALICE, Envelope(ALICE, hold="until;2026-12-24T18:00:00Z"), PLAIN, [FAILED]),
    "smtputf8": (ALICE, Envelope(ALICE, smtputf8=True, body="8BITMIME"), UTF8, [ABROAD]),
    "smtputf8-headers": (ALICE, Envelope(ALICE, smtputf8=True, ret="HDRS"), UTF8, [ABROAD]),
    "smtputf8-sender": (JURGEN, Envelope(JURGEN, smtputf8=True, body="8BITMIME"), UTF8, [ABROAD]),
    "undeclared-8bit": (ALICE, Envelope(ALICE), UTF8, [FAILED]),
    "notice": (None, Envelope(None), PLAIN, [FAILED]),
}


def made(name: str) -> bytes:
    to, envelope, original, items = CASES[name]
    return report(
        reporting_mta="mx.example.net",
        ident="1H9F3QVK2A7C5",
        boundary="f3a1c07e",
        to=to,
        postmaster=parse("postmaster@example.net"),
        at=AT,
        about=About(
            envelope,
            "1H9F3QVK2A7B0",
            arrival=AT - 4,
            original=original,
            complete=True,
            received_from="laptop.example.org ([192.0.2.1])",
        ),
        items=items,
    )


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_was_read(name: str) -> None:
    """BNC-3 to BNC-9, EAI-9, EXT-1, EXT-2."""
    content = made(name)
    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    file = FILES / f"{name}.eml"
    if os.environ.get("METHER_GOLDEN") == "write":
        file.write_bytes(content.replace(b"\r\n", b"\n"))
    assert content == file.read_bytes().replace(b"\n", b"\r\n")


def test_no_file_is_left_over() -> None:
    assert {file.stem for file in FILES.glob("*.eml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_standard_library_reads_it(name: str) -> None:
    """BNC-5, BNC-8: a program finds each recipient with its action."""
    message = message_from_bytes(made(name), policy=policy.SMTPUTF8)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    text, programs, last = message.get_payload()  # type: ignore[misc]
    assert isinstance(text, Message) and isinstance(programs, Message) and isinstance(last, Message)
    assert text.get_content_type() == "text/plain"
    assert last.get_content_type() in {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/global-headers",
    }
    assert programs.get_content_maintype() == "message"
    if programs.get_content_type() == "message/delivery-status":
        _, *blocks = programs.get_payload()
        actions = [block["Action"] for block in blocks]  # type: ignore[index]
        assert actions == [one.outcome.action for one in CASES[name][3]]


@pytest.mark.parametrize("name", CASES)
def test_only_a_sender_outside_ascii_gets_eight_bits(name: str) -> None:
    """EAI-9: the way back may lack SMTPUTF8."""
    assert made(name).isascii() is (name != "smtputf8-sender")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("smtputf8")])
def test_a_bounce_reader_that_is_not_ours_reads_it(name: str) -> None:
    """BNC-8: flufl.bounce, which Mailman reads bounces with."""
    flufl = pytest.importorskip("flufl.bounce")
    later, gone = flufl.all_failures(message_from_bytes(made(name)))
    expected: dict[str, set[bytes]] = {"delayed": set(), "failed": set()}
    for one in CASES[name][3]:
        # It gives the original recipient where there is one.
        kind, _, address = (one.recipient.orcpt or "").partition(";")
        path = address.replace("+2B", "+") if kind else str(one.recipient.forward_path)
        expected.get(one.outcome.action, set()).add(path.encode())
    assert set(later) == expected["delayed"]
    assert set(gone) == expected["failed"]
