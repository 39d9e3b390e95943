"""What people read of a report; that it can be read at all is in test_dsn."""

from __future__ import annotations

import quopri

import pytest

from mether.address import parse
from mether.content import words
from mether.content.status import Item
from mether.envelope import Recipient
from mether.outcome import Outcome
from mether.reply import Reply


def item(
    action: str, reply: Reply, to: str = "bob@example.com", remote_mta: str = "mx.example.com", **more: float
) -> Item:
    outcome = Outcome(0, action, reply, remote_mta=remote_mta)  # type: ignore[arg-type]
    return Item(Recipient(parse(to, utf8=True)), outcome, **more)


FAILED = item("failed", Reply(550, "5.1.1", "no such user"))
DELAYED = item("delayed", Reply(451, "4.2.1", "asleep"), "dan@example.com", will_retry_until=86400.0)
DELIVERED = item("delivered", Reply(250, "2.0.0", "delivered to the mailbox"), "eve@example.net", "")
RELAYED = item("relayed", Reply(250, "2.0.0", "queued as 1"), "fay@example.com")


def test_a_failure() -> None:
    assert words.part("mx.example.net", [FAILED], ident="ABC", complete=True).decode().split("\r\n") == [
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "This is the mail system at mx.example.net.",
        "",
        "Your message could not be delivered to one or more recipients, and nothing more",
        "will be tried for those.  The reason for each is below.  When what it names has been",
        "put right, you can send the message to them again.",
        "",
        "<bob@example.com>:",
        "    Not delivered.",
        "    mx.example.com said: 550 5.1.1 no such user",
        "",
        "The message is attached in full.",
        "Its queue id was ABC.",
        "",
    ]


def test_each_thing_that_happened_has_its_section_the_worst_first() -> None:
    """BNC-3: one report, and nobody reads of a success as if it had failed."""
    text = words.part("mx.example.net", [RELAYED, DELIVERED, DELAYED, FAILED]).decode()
    places = [
        text.index(said)
        for said in (
            "could not be delivered",
            "<bob@example.com>",
            "A WARNING ONLY",
            "<dan@example.com>",
            "tried until Fri, 02 Jan 1970 00:00:00 +0000",
            "was delivered to the recipients below",
            "<eve@example.net>",
            "Result: 250 2.0.0 delivered to the mailbox",
            "was handed on",
            "<fay@example.com>",
            "mx.example.com said: 250 2.0.0 queued as 1",
            "The header of the message",
        )
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("items", "subject"),
    [
        ([FAILED, DELAYED, DELIVERED], "Undelivered mail returned to sender"),
        ([DELAYED, DELIVERED], "Mail delivery is delayed"),
        ([DELIVERED, RELAYED], "Mail delivery report"),
    ],
)
def test_the_subject_tells_the_worst(items: list[Item], subject: str) -> None:
    assert words.subject(items) == subject


def test_words_outside_ascii_can_be_read() -> None:
    text = words.part("mx.example.net", [item("failed", Reply(550, None, "unbekannt"), "jürgen@example.com")])
    assert text.isascii()
    assert b"charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n" in text
    assert "<jürgen@example.com>:" in quopri.decodestring(text).decode()


def test_what_a_server_said_begins_no_line() -> None:
    """BNC-10"""
    text = words.part("mx", [item("failed", Reply(550, None, "no\r\n\r\n--b1\r\nX: y"))])
    assert b"\r\n--b1" not in text
    assert b"\r\nX" not in text
