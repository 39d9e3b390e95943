"""A message, part by part, however it is cut (RFC 2046 section 5.1)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mether.content import mime_walk
from mether.content.mime_walk import BODY, END, HEADER, OTHER, TooComplex, Walker

NESTED = (
    b"From: a@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\r\n"
    b"preamble\r\n--a b\r\nContent-Type: multipart/digest;\r\n boundary=c\r\n\r\n"
    b"--c\r\n\r\nSubject: x\r\n\r\nbody one\r\n\r\n"
    b"--c--\r\nbetween\r\n--a b  \r\n\r\nbody two\r\n--a bc\r\n--c\r\n"
    b"--a b\r\nContent-Type: text/x\r\n--a b--\r\nepilogue\r\n"
)  # fmt: skip

PIECES = st.lists(
    st.sampled_from(
        [
            b"\r\n", b"\r", b"\n", b"-", b"--", b"--a\r\n", b"--a--\r\n", b"--b\r\n", b"--b--\r\n", b"x",
            b" ",
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
            b"Content-Type: message/rfc822\r\n\r\n", b"\r\n\r\n", b"y" * 300,
        ]
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


def _events(chunks: list[bytes]) -> list[tuple[int, int, bytes]]:
    """The events, what belongs together put together."""
    out: list[tuple[int, int, bytes]] = []
    for event, number, data in Walker().walk(chunks):
        if out and event in (BODY, OTHER) and out[-1][:2] == (event, number):
            out[-1] = (event, number, out[-1][2] + data)
        else:
            out.append((event, number, data))
    return out


def test_nested() -> None:
    """8BM-2: what belongs to which part."""
    assert _events([NESTED]) == [
        (HEADER, 0, NESTED[: NESTED.index(b"preamble")]),
        (OTHER, 0, b"preamble\r\n--a b\r\n"),
        (HEADER, 1, b"Content-Type: multipart/digest;\r\n boundary=c\r\n\r\n"),
        (OTHER, 1, b"--c\r\n"),
        (HEADER, 2, b"\r\n"),
        (HEADER, 3, b"Subject: x\r\n\r\n"),
        (BODY, 3, b"body one\r\n"),
        (END, 3, b""),
        (OTHER, 1, b"\r\n--c--\r\nbetween"),
        (OTHER, 0, b"\r\n--a b  \r\n"),
        (HEADER, 4, b"\r\n"),
        (BODY, 4, b"body two\r\n--a bc\r\n--c"),
        (END, 4, b""),
        (OTHER, 0, b"\r\n--a b\r\n"),
        (HEADER, 5, b"Content-Type: text/x\r\n"),
        (END, 5, b""),
        (OTHER, 0, b"--a b--\r\nepilogue\r\n"),
    ]


@given(PIECES, st.lists(st.integers(0, 2000), max_size=6))
@settings(max_examples=300)
def test_the_same_however_it_is_cut(message: bytes, cuts: list[int]) -> None:
    """8BM-2: every octet comes out in order, and the parts do not depend on the pieces."""
    whole = _events([message])
    assert b"".join(data for _, _, data in whole) == message
    places = [0, *sorted(cut for cut in cuts if cut < len(message)), len(message)]
    cut = [message[start:end] for start, end in itertools.pairwise(places)]
    assert _events(cut) == whole
    assert _events([message[at : at + 1] for at in range(len(message))]) == whole


def test_a_cr_stays_with_its_lf() -> None:
    """8BM-5: no piece of a body ends between them."""
    for event, _, data in Walker().walk([b"\r\na\r", b"\nb\r", b"c\r"]):
        assert event != BODY or data in (b"a", b"\r\nb", b"\rc", b"\r")


def test_limits() -> None:
    """8BM-2: depth, parts and headers are bounded."""
    deep = b"Content-Type: message/rfc822\r\n\r\n" * (mime_walk.MAX_DEPTH + 1)
    many = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\n" * mime_walk.MAX_PARTS
    for message in (deep, many, b"x" * (mime_walk.MAX_HEADER + 1)):
        with pytest.raises(TooComplex):
            list(Walker().walk([message]))


def test_a_long_line_is_no_delimiter() -> None:
    """8BM-2: what only begins like a delimiter is not waited for."""
    head = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n"
    line = b"--a" + b" " * 5000
    held = []
    walker = Walker()
    for event, _, data in walker.walk([head, b"x\r\n" + line, line]):
        if event == BODY:
            held.append(data)
    assert b"".join(held) == b"x\r\n" + line + line and len(held) >= 2
