"""Reports of every kind, each with a name: what was reported on, and what became of whom."""

from __future__ import annotations

from mether.address import Address, parse
from mether.content.dsn import About, Item, report
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

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

EIGHT_BIT = (
    PLAIN.partition(b"\r\n\r\n")[0]
    + b"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit"
    + "\r\n\r\nUm zwölf?\r\n".encode()
)
BINARY = (
    PLAIN.partition(b"\r\n\r\n")[0]
    + b"\r\nMIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary"
    + b"\r\n\r\n\x89PNG\r\n\x1a\n\0\0\0\rIHDR\r\n"
)

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


HOSTILE = Reply(
    550,
    "5.7.1",
    "no\r\n\r\n--f3a1c07e\r\nContent-Type: text/html;",
    "Status: 2.0.0",
    "Action: delivered \x1b[2J\x00\x85\u2028 Final-Recipient: rfc822;eve@example.com and so on, and on",
    "Action: delivered",
)


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
    "declared-8bit": (ALICE, Envelope(ALICE, body="8BITMIME", ret="FULL"), EIGHT_BIT, [FAILED]),
    "binary": (ALICE, Envelope(ALICE, body="BINARYMIME", ret="FULL"), BINARY, [FAILED]),
    "hostile": (ALICE, Envelope(ALICE), PLAIN, [item("bob@example.com", "failed", HOSTILE)]),
    "notice": (None, Envelope(None), PLAIN, [FAILED]),
}


def made(name: str) -> bytes:
    """The report as it goes out."""
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
