"""Messages taken apart, whatever they are made of."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import bounce_mime
from mether.content.bounce_mime import (
    Fields,
    content_type,
    decoded,
    fields,
    parts,
    split,
    unix,
    untagged,
    words,
)


def taken(message: bytes) -> list[tuple[str, str]]:
    section, body = split(unix(message))
    return [(part.kind, part.text) for part in parts(Fields(section), body)]


def test_leaves_in_order_and_a_message_unopened() -> None:
    message = (
        b'Content-Type: multipart/mixed; boundary="a"\r\n\r\nignored\r\n--a\r\n'
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n"
        b"Content-Type: text/html\r\n\r\n<p>two</p>\r\n--b--\r\n--a\r\n"
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nthree\r\n--a--\r\nignored\r\n"
    )
    assert taken(message) == [
        ("text/plain", "one"),
        ("text/html", "\ntwo\n"),
        ("message/rfc822", "Subject: x\n\nthree"),
    ]


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_every_line_end_is_one(end: bytes) -> None:
    assert taken(b"Subject: x\n\none\ntwo".replace(b"\n", end)) == [("text/plain", "one\ntwo")]


def test_a_boundary_that_is_nowhere() -> None:
    assert taken(b"Content-Type: multipart/mixed; boundary=a\n\ntext\n") == [("text/plain", "text\n")]


def test_a_part_without_the_empty_line_before_it() -> None:
    assert taken(b"Content-Type: multipart/mixed; boundary=a\n\n--a\nwords here\nmore\n--a--\n") == [
        ("text/plain", "words here\nmore")
    ]


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        (b"base64", b"aGVs\nbG8=", "hello"),
        (b"base64", b"aGVsbG8gdGhlcmU=x", "hello there"),
        (b"quoted-printable", b"hel=\nlo =C3=A4 =X", "hello \xe4 =X"),
        (b"unknown", b"hello", "hello"),
    ],
)
def test_encodings_even_broken_ones(encoding: bytes, body: bytes, text: str) -> None:
    message = b"Content-Transfer-Encoding: " + encoding + b"\n\n" + body
    assert taken(message)[0][1].startswith(text)


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("エラー".encode("iso-2022-jp"), "us-ascii", "エラー"),
        ("エラー".encode(), "iso-2022-jp", "エラー"),
        ("エラー".encode("shift_jis"), "Shift_JIS", "エラー"),
        ("ä".encode(), "", "ä"),
        ("ä".encode("latin-1"), "", "ä"),
        ("ä".encode("latin-1"), "x-nobody-knows", "ä"),
        ("ä".encode("latin-1"), "utf-8", "\ufffd"),
        (b"abc", "idna", "abc"),
        (b"abc", "zlib", "abc"),
        (b"abc", "\0", "abc"),
    ],
)
def test_charsets(data: bytes, charset: str, text: str) -> None:
    assert decoded(data, charset) == text


def test_fields() -> None:
    found = Fields(b"Subject: =?utf-8?Q?a=20?=\n =?utf-8?B?Yg==?= c\nno field\nTo: x\nTo: y\n")
    assert found.get("subject") == "a b c"
    assert found.all("to") == ["x", "y"]
    assert ("from" in found, found.get("from")) == (False, "")
    assert list(fields(b" lost\nA : b\n c")) == [("a", "b c")]


def test_encoded_words_that_are_none() -> None:
    assert words("=?utf-8?x?a?= =?b") == "=?utf-8?x?a?= =?b"


def test_a_parameter_whose_white_space_was_lost() -> None:
    assert taken(b'Content-Type: multipart/mixed;\nboundary="a"\n\n--a\n\none\n--a--\n') == [
        ("text/plain", "one")
    ]


def test_content_type() -> None:
    assert content_type('Text/HTML (x); charset="a\\"b"; Name=c;d') == (
        "text/html",
        {"charset": 'a"b', "name": "c"},
    )
    assert content_type("") == ("text/plain", {})


def test_html_without_its_tags() -> None:
    html = "<html><head><title>x</title></head><body>"
    html += "<p>Not <b>sent</b> to &lt;a@b.example&gt;<br>550&nbsp;no</p>"
    assert untagged(html).split() == ["Not", "sent", "to", "<a@b.example>", "550", "no"]
    assert untagged("<style") == ""


@given(st.binary(max_size=300))
def test_nothing_is_too_odd(data: bytes) -> None:
    taken(data)
    taken(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" + data)


def test_it_is_bounded() -> None:
    """Parts and depth; and no octets are walked over again for each of themselves."""
    start = time.process_time()
    many = taken(b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\n\nx\n" * 10_000)
    assert len(many) <= bounce_mime.MAX_PARTS
    assert taken(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n" * 1000)
    for text in ("<style" * 20_000, "<a " * 40_000, " " * 100_000):
        untagged(text)
    # A walk of each octet over all others would take minutes.
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Sat, 31 Jan 2026 13:00:00 +0100", "2026-01-31T12:00:00Z"),
        ("31 Jan 2026 13:00:00", "2026-01-31T13:00:00Z"),
        ("2016-01-27T14:59:38.237Z", "2016-01-27T14:59:38Z"),
        ("yesterday", ""),
        ("Sat, 31 Feb 2026 13:00:00 +0100", ""),
        ("0001-01-01T00:00:00+12:00", ""),
        ("", ""),
    ],
)
def test_dates(written: str, meant: str) -> None:
    assert bounce_mime.date(written) == meant
