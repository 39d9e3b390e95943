"""What a header says of its body, and how another encoding is written into it (RFC 2045)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import mime_fields


@pytest.mark.parametrize(
    ("header", "kind", "boundary"),
    [
        (b"", b"text/plain", None),
        (b"Content-Type: TEXT/HTML; charset=x\r\n", b"text/html", None),
        (b"Content-type : multipart/mixed ; boundary=simple\r\n", b"multipart/mixed", b"simple"),
        (b"Content-Type: multipart/mixed;\r\n\tBoundary=\"a \\\"b; c\"\r\n", b"multipart/mixed", b'a "b; c'),
        (b"Content-Type: (a (nested) \\) x) multipart/(x)mixed; boundary=y(z)\r\n", b"multipart/mixed", b"y"),
        (b"Content-Type: multipart/mixed; boundary=\"trailing  \"\r\n", b"multipart/mixed", b"trailing"),
        (b"Content-Type: multipart/mixed; boundary=\"\"\r\n", b"multipart/mixed", None),
        (b"Content-Type: multipart/mixed; boundary=" + b"x" * 300 + b"\r\n", b"multipart/mixed", None),
        (b"Content-Type: text\r\n", b"text/plain", None),
        (b"Content-Type:\r\n", b"text/plain", None),
    ],
)  # fmt: skip
def test_type_and_boundary(header: bytes, kind: bytes, boundary: bytes | None) -> None:
    """8BM-2: quoted strings, comments, folding, and the default for what cannot be read."""
    entity = mime_fields.read(header)
    assert (entity.kind + b"/" + entity.subtype, entity.boundary, entity.odd) == (kind, boundary, False)


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: text/plain\r\ncontent-type: text/plain\r\n",
        b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 8bit\r\n",
        b"no field\r\n",
        b" begins with a space\r\n",
        b"Content-Type: multipart; boundary=x\r\n",
        b"Content-Type: message\r\n",
        b"Content-Type: multipart/mixed; boundary=x; boundary=y\r\n",
        b"Content-Type: multipart/mixed; boundary*0=x; boundary*1=y\r\n",
    ],
)
def test_odd(header: bytes) -> None:
    """8BM-2: what contradicts itself is left alone."""
    assert mime_fields.read(header).odd


def test_mailbox_line_and_digest() -> None:
    """8BM-2: the From line of a mailbox file is harmless; parts of a digest are messages."""
    assert not mime_fields.read(b"From a@b Thu Jan  1\r\nSubject: x\r\n\r\n").odd
    assert mime_fields.read(b"", digest=True).kind == b"message"


@pytest.mark.parametrize(
    ("value", "encoding", "identity"),
    [
        (b" 8BIT", b"8bit", True),
        (b" (what) Quoted-Printable (so)", b"quoted-printable", False),
        (b" binary", b"binary", True),
        (b" base64 8bit", b"?", False),
        (b"", b"?", False),
    ],
)
def test_encoding(value: bytes, encoding: bytes, identity: bool) -> None:
    """8BM-2: what the body is in; one that is not known is taken for an encoding."""
    entity = mime_fields.read(b"Content-Transfer-Encoding:" + value + b"\r\n")
    assert (entity.encoding, entity.identity) == (encoding, identity)


@given(st.binary(max_size=120))
def test_nothing_fails(octets: bytes) -> None:
    """8BM-2: whatever is there."""
    mime_fields.read(octets)
    mime_fields.read(b"Content-Type: " + octets)
    mime_fields.with_encoding(octets, b"base64", message=True)


def test_the_label_is_replaced_in_its_place() -> None:
    """8BM-2: every other octet of the header stays."""
    header = b"A: 1\r\nContent-Transfer-Encoding:\r\n 8bit\r\nMIME-Version: 1.0\r\nB:\r\n 2\r\n\r\n"
    assert mime_fields.with_encoding(header, b"base64", message=True) == (
        b"A: 1\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\nB:\r\n 2\r\n\r\n"
    )


def test_the_label_is_added_to_a_part() -> None:
    """8BM-2: a part of a multipart needs no MIME-Version."""
    assert mime_fields.with_encoding(b"\r\n", b"base64", message=False) == (
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    )


def test_a_message_gets_its_version() -> None:
    """8BM-3: converted content is MIME content."""
    assert mime_fields.with_encoding(b"Content-Type: a/b\r\n\r\n", b"base64", message=True) == (
        b"Content-Type: a/b\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
