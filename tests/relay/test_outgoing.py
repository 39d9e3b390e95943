"""What each next hop is sent of one message: converted, downgraded, as it is, or nothing."""

from __future__ import annotations

import email
import io
import pathlib
from collections.abc import Iterator

import pytest
from mail import TRACE

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.queue.content import Content, in_memory
from mether.relay.outgoing import Outgoing
from mether.smtp import extension
from mether.smtp.extension import Offer
from mether.smtp.fit import Fit, Policy

MAIL = pathlib.Path(__file__).parents[3] / "shared" / "testdata" / "mail"
SEVEN = Offer()
EIGHT = extension.parse(["8BITMIME", "SIZE 10000000"])
UTF8 = extension.parse(["8BITMIME", "SMTPUTF8"])
BINARY = extension.parse(["8BITMIME", "CHUNKING", "BINARYMIME"])
TEXT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + "Grüße\r\n".encode() * 50


def _envelope(**given: object) -> Envelope:
    path = parse("a@example.org")
    return Envelope(path, [Recipient(parse("b@example.com"))], **given)  # type: ignore[arg-type]


def _in_file(octets: bytes) -> Content:
    return Content(None, len(octets), lambda: io.BytesIO(octets))


def _unread() -> Content:
    def fail() -> io.BytesIO:
        raise AssertionError("the file was read")

    return Content(None, 1000, fail)


def _sent(trace: bytes, source: object) -> bytes:
    chunks: Iterator[bytes] = source.chunks(4096)  # type: ignore[attr-defined]
    out = trace + b"".join(chunks)
    assert len(out) == len(trace) + source.size  # type: ignore[attr-defined]
    return out


def _fit(content: Content, offer: Offer, policy: Policy | None = None, **given: object) -> tuple[Fit, bytes]:
    envelope = _envelope(**given)
    outgoing = Outgoing(envelope, TRACE, content)
    made, trace, source = outgoing.fit(envelope.recipients, offer, policy or Policy())
    octets = b"" if made.refusal is not None else _sent(trace, source)
    assert made.refusal is not None or made.size == len(octets)
    return made, octets


@pytest.mark.parametrize("content", [in_memory(TEXT), _in_file(TEXT)])
@pytest.mark.parametrize("body", ["7BIT", "8BITMIME"])
def test_converted_for_seven_bits(content: Content, body: str) -> None:
    """8BM-2: whatever was declared, no octet above 127 goes to a server without 8BITMIME."""
    made, octets = _fit(content, SEVEN, body=body)
    assert made.mail == [] and octets.isascii() and octets.startswith(TRACE)
    assert email.message_from_bytes(octets).get_payload(decode=True) == "Grüße\r\n".encode() * 50


@pytest.mark.parametrize("content", [in_memory(TEXT), _in_file(TEXT)])
def test_as_it_is_for_eight_bits(content: Content) -> None:
    """8BM-1: all bits are kept where they may be."""
    made, octets = _fit(content, EIGHT, body="8BITMIME")
    assert octets == TRACE + TEXT
    assert made.mail == [f"SIZE={len(octets)}", "BODY=8BITMIME"]


def test_returned_where_nothing_is_converted() -> None:
    """8BM-2: 5.6.3 where the configuration wants no conversion, or none can be."""
    for content in (in_memory(TEXT), _in_file(TEXT)):
        made, _ = _fit(content, SEVEN, Policy(convert=False), body="8BITMIME")
        assert made.refusal is not None and made.refusal.status == "5.6.3"
    made, _ = _fit(in_memory(b"Subject: \xe9\r\n\r\n"), SEVEN)
    assert made.refusal is not None and (made.refusal.code, made.refusal.status) == (554, "5.6.3")
    assert "header" in made.refusal.text and made.lacking


def test_a_file_is_read_only_when_it_matters() -> None:
    """8BM-1: what was declared is believed by who takes it all."""
    for body, smtputf8, offer, said in (
        ("7BIT", False, EIGHT, ["SIZE=1029"]),
        ("8BITMIME", False, EIGHT, ["SIZE=1029", "BODY=8BITMIME"]),
        ("8BITMIME", True, UTF8, ["BODY=8BITMIME", "SMTPUTF8"]),
        ("BINARYMIME", False, BINARY, ["BODY=BINARYMIME"]),
    ):
        envelope = _envelope(body=body, smtputf8=smtputf8)
        outgoing = Outgoing(envelope, TRACE, _unread())
        assert not outgoing.reads(offer)
        assert outgoing.fit(envelope.recipients, offer)[0].mail == said
        assert outgoing.reads(SEVEN)


def test_a_file_known_to_be_ascii_is_not_read() -> None:
    """8BM-2: the caller has seen it pass."""
    envelope = _envelope()
    outgoing = Outgoing(envelope, b"", _unread(), eight_bit=False)
    assert outgoing.fit(envelope.recipients, SEVEN)[0].refusal is None


def test_one_message_to_several_hosts() -> None:
    """8BM-2: what is known, and what was converted, is kept from host to host."""
    envelope = _envelope(body="8BITMIME")
    for content in (in_memory(TEXT), _in_file(TEXT)):
        outgoing = Outgoing(envelope, TRACE, content)
        for offer in (EIGHT, SEVEN, EIGHT, SEVEN):
            made, trace, source = outgoing.fit(envelope.recipients, offer)
            assert made.refusal is None
            assert _sent(trace, source).isascii() == (offer is SEVEN)


def test_declared_binary() -> None:
    """8BM-4, 8BM-5, BDT-1: by BDAT where it is taken, converted to 8-bit or 7-bit elsewhere."""
    content = TEXT.replace(b"text/plain", b"application/x-thing") + b"\0\n\r"
    made, octets = _fit(in_memory(content), BINARY, body="BINARYMIME")
    assert octets == TRACE + content and made.chunking and "BODY=BINARYMIME" in made.mail
    for offer in (EIGHT, SEVEN):
        for where in (in_memory, _in_file):
            made, octets = _fit(where(content), offer, body="BINARYMIME")
            assert made.refusal is None and b"\0" not in octets and not made.chunking
            assert (
                email.message_from_bytes(octets).get_payload(decode=True) == content[content.index(b"Gr") :]
            )


def test_internationalized_header_anywhere() -> None:
    """EAI-5: a UTF-8 header at any level does not go to a server without SMTPUTF8; a UTF-8 body does."""
    inner = b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + "Subject: ü\r\n\r\nx\r\n".encode()
    for where in (in_memory, _in_file):
        made, _ = _fit(where(inner), EIGHT, body="8BITMIME", smtputf8=True)
        assert made.refusal is not None and made.refusal.status == "5.6.9"
        made, octets = _fit(where(TEXT), EIGHT, body="8BITMIME", smtputf8=True)
        assert made.refusal is None and octets == TRACE + TEXT
        made, octets = _fit(where(inner), UTF8, body="8BITMIME", smtputf8=True)
        assert made.mail == ["BODY=8BITMIME", "SMTPUTF8"] and octets == TRACE + inner


def test_converted_content_may_be_too_large() -> None:
    """SIZ-5: what the server announced is held against what it would get."""
    made, _ = _fit(in_memory(TEXT), extension.parse([f"SIZE {len(TRACE) + len(TEXT)}"]))
    assert made.refusal is not None and made.refusal.status == "5.3.4"


def test_trouble_with_the_file_is_raised() -> None:
    """CLI-4: nothing is said of a message that cannot be read."""

    def fail() -> io.BytesIO:
        raise OSError(5, "Input/output error")

    envelope = _envelope()
    with pytest.raises(OSError, match="Input/output"):
        Outgoing(envelope, TRACE, Content(None, 9, fail)).fit(envelope.recipients, SEVEN)


@pytest.mark.skipif(not MAIL.is_dir(), reason="needs the collection of mail")
@pytest.mark.parametrize("smtputf8", [False, True])
def test_collected_mail(smtputf8: bool) -> None:
    """8BM-1, 8BM-2, EAI-5: every message of the collection to next hops with and without each extension."""
    refused = sent = 0
    for path in sorted(MAIL.rglob("*")):
        if not path.is_file():
            continue
        text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        message = text.replace(b"\n", b"\r\n").replace(b"\0", b"")
        for where in (in_memory, _in_file):
            for offer in (SEVEN, EIGHT, UTF8):
                body = "7BIT" if message.isascii() else "8BITMIME"
                made, octets = _fit(where(message), offer, body=body, smtputf8=smtputf8)
                if made.refusal is not None:
                    refused += 1
                    assert offer is not UTF8 and not message.isascii()
                    assert made.refusal.status in ("5.6.3", "5.6.9")
                    continue
                sent += 1
                assert octets.isascii() or "BODY=8BITMIME" in made.mail
                if offer is SEVEN and not message.isascii():
                    assert octets.isascii()
                    assert _leaves(octets) == _leaves(TRACE + message), path
                else:
                    assert octets == TRACE + message
    assert sent > 10 * refused


def _leaves(message: bytes) -> list[object]:
    parsed = email.message_from_bytes(message)
    return [part.get_payload(decode=True) for part in parsed.walk() if not part.is_multipart()]
