"""Quoted-printable and base64, piece by piece (RFC 2045 sections 6.7, 6.8)."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mether.content.mime_encode import Base64, QuotedPrintable

ODD = st.lists(
    st.one_of(
        st.sampled_from(
            [b"\r\n", b"\r", b"\n", b"--", b"-", b" ", b"\t", b"=", b".", b"\0", b"\x7f", b"a" * 74]
        ),
        st.binary(max_size=90),
        st.integers(60, 200).map(lambda count: b"-" * count),
    ),
    max_size=12,
).map(b"".join)


@given(ODD, st.booleans(), st.lists(st.integers(0, 900), max_size=4))
@example(b"x" * 75 + b"--b", False, [])
@example(b"--b=", True, [])
@example(b"\0" * 11 + b"     " + b"\0" * 10 + b"     \0", True, [])
def test_quoted_printable_gives_back_every_octet(data: bytes, last: bool, cuts: list[int]) -> None:
    """8BM-2: no loss, no line over 76 octets, none that begins like a delimiter, seven bits."""
    encoder = QuotedPrintable()
    pieces, at = [], 0
    for cut in sorted(cut for cut in cuts if cut < len(data)):
        if data[cut - 1 : cut + 1] != b"\r\n":
            pieces.append(data[at:cut])
            at = cut
    pieces.append(data[at:])
    out = b"".join(encoder.feed(piece) for piece in pieces) + encoder.end(last=last)
    assert binascii.a2b_qp(out) == data
    assert out.isascii() and b"\0" not in out
    for line in out.split(b"\r\n"):
        assert len(line) <= 76 and not line.startswith(b"--")
        assert b"\r" not in line and b"\n" not in line
        assert not line.endswith((b" ", b"\t"))
    assert not last or not out or out.endswith(b"\r\n")


def test_a_line_without_end_is_not_held() -> None:
    """8BM-5: a line of a megabyte passes in pieces."""
    encoder = QuotedPrintable()
    data = "é".encode() * 500_000
    out = b"".join(encoder.feed(data[at : at + 65536]) for at in range(0, len(data), 65536))
    assert len(out) > 2_900_000
    assert binascii.a2b_qp(out + encoder.end(last=True)) == data


def test_text_stays_readable() -> None:
    """8BM-5: lines stay lines."""
    encoder = QuotedPrintable()
    assert encoder.feed("Grüße\r\n- one = 1 \r\n--\r\n".encode()) + encoder.end(last=True) == (
        b"Gr=C3=BC=C3=9Fe\r\n- one =3D 1=20\r\n=2D-\r\n"
    )


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans())
def test_base64_gives_back_every_octet(pieces: list[bytes], last: bool) -> None:
    """8BM-2: no loss, lines of at most 76 octets."""
    encoder = Base64()
    out = b"".join(encoder.feed(piece) for piece in pieces) + encoder.end(last=last)
    assert binascii.a2b_base64(out) == b"".join(pieces)
    lines = out.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert all(len(line) == 76 for line in lines[: -2 if last else -1])
    assert not last or not out or out.endswith(b"\r\n")


@pytest.mark.parametrize("last", [True, False])
def test_nothing_encodes_to_nothing(last: bool) -> None:
    """8BM-2: an empty body stays empty."""
    assert QuotedPrintable().end(last=last) == Base64().end(last=last) == b""
