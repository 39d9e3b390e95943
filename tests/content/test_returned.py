"""What of the message itself goes into a report, and in which form."""

from __future__ import annotations

import base64
import quopri

import pytest

from mether.address import parse
from mether.content import returned
from mether.content.status import About, Item
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.reply import Reply

HEADER = "From: jürgen@example.org\r\nSubject: Grüße\r\n"
BODY = "\r\nEinen schönen Tag.\r\n"
EIGHT = (HEADER + BODY).encode()


def about(original: bytes = EIGHT, *, smtputf8: bool = True, complete: bool = True) -> About:
    return About(Envelope(None, smtputf8=smtputf8), "ABC", arrival=0.0, original=original, complete=complete)


def items(*actions: str) -> list[Item]:
    to = Recipient(parse("bob@example.com"))
    return [Item(to, Outcome(0, action, Reply(250, None, "x"))) for action in actions]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("envelope", "actions", "size", "expected"),
    [
        (Envelope(None), ("failed",), 100, True),
        (Envelope(None, ret="FULL"), ("delivered", "failed"), 100, True),
        (Envelope(None, ret="FULL"), ("delivered", "delayed", "relayed"), 100, False),
        (Envelope(None, ret="HDRS"), ("failed",), 100, False),
        (Envelope(None, ret="FULL", requiretls=True), ("failed",), 100, False),
        (Envelope(None, ret="FULL"), ("failed",), returned.MAX_RETURNED + 1, False),
    ],
)
def test_when_the_whole_is_wanted(
    envelope: Envelope, actions: tuple[str, ...], size: int, expected: bool
) -> None:
    """BNC-6."""
    assert returned.wanted(envelope, items(*actions), size) is expected


def test_a_message_in_utf8_goes_back_whole_in_seven_bits() -> None:
    """EAI-9: RFC 6533 section 4.5, for a way back that may lack SMTPUTF8."""
    octets, whole = returned.part(about(), whole=True)
    head, _, body = octets.partition(b"\r\n\r\n")
    assert whole
    assert head == b"Content-Type: message/global\r\nContent-Transfer-Encoding: base64"
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert base64.b64decode(body) == EIGHT


def test_or_as_it_is_where_the_report_may_hold_it() -> None:
    """EAI-9."""
    octets, whole = returned.part(about(), whole=True, utf8=True)
    assert whole
    assert octets == b"Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + EIGHT


@pytest.mark.parametrize("tail", [b"\xff\r\n", b"\0\r\n", b"a\rb\r\n", "é".encode() * 500 + b"\r\n"])
def test_what_no_line_of_text_can_hold_is_in_base64_all_the_same(tail: bytes) -> None:
    """EAI-9: 8bit is for short lines of UTF-8."""
    octets, whole = returned.part(about(EIGHT + tail), whole=True, utf8=True)
    assert whole
    assert base64.b64decode(octets.partition(b"\r\n\r\n")[2]) == EIGHT + tail


@pytest.mark.parametrize(
    ("utf8", "encoding", "decode"),
    [(False, b"quoted-printable", quopri.decodestring), (True, b"8bit", bytes)],
)
def test_its_header(utf8: bool, encoding: bytes, decode: object) -> None:
    """EAI-9: message/global-headers."""
    octets, whole = returned.part(about(), whole=False, utf8=utf8)
    head, _, body = octets.partition(b"\r\n\r\n")
    assert not whole
    assert head == b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: " + encoding
    assert decode(body) == HEADER.encode()  # type: ignore[operator]


def test_a_message_in_utf8_that_holds_none_goes_back_as_ever() -> None:
    """RFC 6533 section 4.4."""
    octets, whole = returned.part(about(b"A: b\r\n\r\nc\r\n"), whole=True)
    assert whole
    assert octets == b"Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc\r\n"
    octets, _ = returned.part(about(b"A: b\r\n\r\nc\r\n"), whole=False)
    assert octets == b"Content-Type: text/rfc822-headers\r\n\r\nA: b\r\n"


TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
BOUND = b"Content-Type: multipart/%s; boundary=b\r\n\r\n"


@pytest.mark.parametrize(
    "original",
    [
        b"Subject: hi\r\n" + TEXT + "\r\nEinen schönen Tag.\r\n".encode(),
        b"Subject: hi\r\n\r\nEinen sch\xf6nen Tag.\r\n",
        BOUND % b"mixed" + b"--b\r\n" + TEXT + "\r\nGrüße\r\n--b--\r\n".encode(),
    ],
    ids=["declared", "undeclared", "in a part"],
)
def test_eight_bits_go_back_as_they_are(original: bytes) -> None:
    """BNC-6: RFC 3461 section 6.2: the full message SHOULD be returned."""
    octets, whole = returned.part(about(original, smtputf8=False), whole=True)
    assert whole
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    assert octets == head + original


@pytest.mark.parametrize(
    "original",
    [
        EIGHT,
        BOUND % b"signed" + b"--b\r\n" + TEXT + "\r\nGrüße\r\n--b--\r\n".encode(),
        b"Subject: hi\r\n\r\n" + b"\xe9" * 1000 + b"\r\n",
        b"Subject: hi\r\n\r\n\xe9\0\r\n",
        b"Subject: hi\r\n\r\n\xe9\rbare\r\n",
        b"Subject: hi\r\n\r\nbare\n",
        b"Subject: hi\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" * 100 + b"\r\n\xe9\r\n",
    ],
    ids=["header", "signed", "long line", "nul", "bare CR", "bare LF", "binary", "nested"],
)
def test_what_could_not_go_everywhere_goes_back_by_its_header(original: bytes) -> None:
    """BNC-6: nobody hears of a report that no conversion helps."""
    octets, whole = returned.part(about(original, smtputf8=False), whole=True)
    assert not whole
    assert octets.startswith(b"Content-Type: text/rfc822-headers\r\n")
    assert octets.isascii()


def test_a_message_in_utf8_with_an_ascii_header_goes_back_as_text() -> None:
    """RFC 6533 section 4.4: what any reader can show."""
    original = b"Subject: hi\r\n" + TEXT + "\r\nGrüße\r\n".encode()
    octets, whole = returned.part(about(original), whole=True)
    assert whole and octets.startswith(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n")


def test_a_header_in_eight_bits_is_encoded() -> None:
    """BNC-6, RFC 6522 section 4."""
    octets, _ = returned.part(about(smtputf8=False), whole=True)
    head, _, body = octets.partition(b"\r\n\r\n")
    assert head.endswith(b"\r\nContent-Transfer-Encoding: quoted-printable")
    assert quopri.decodestring(body) == HEADER.encode()


def test_what_is_not_complete_is_no_message() -> None:
    """BNC-6."""
    octets, whole = returned.part(about(b"A: b\r\n\r\nc\r\n", complete=False), whole=True)
    assert not whole
    assert b"text/rfc822-headers" in octets
