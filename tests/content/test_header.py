"""The header section as octets: what mether counts and removes must be what a mail reader would see."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import header

NAMES = st.sampled_from(
    [b"Received", b"RECEIVED", b"received", b"Received-SPF", b"Subject", b"Return-Path", b"X"]
)
VALUES = st.lists(
    st.text("ab: \t;,@<>.", min_size=0, max_size=20).map(lambda text: text.strip().encode() + b"x"),
    min_size=1,
    max_size=3,
).map(b"\r\n\t".join)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def write(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in pairs)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"A: 1\r\nB: 2\r\n\r\nbody", b"A: 1\r\nB: 2\r\n"),
        (b"\r\nbody\r\n\r\nmore", b""),
        (b"A: 1\r\n", b"A: 1\r\n"),
        (b"", b""),
    ],
)
def test_the_header_ends_at_the_first_empty_line(content: bytes, expected: bytes) -> None:
    assert content[: header.split(content)] == expected


@given(HEADERS, st.binary(max_size=50))
def test_split_finds_what_was_put_together(pairs: list[tuple[bytes, bytes]], body: bytes) -> None:
    written = write(pairs)
    assert header.split(written + b"\r\n" + body) == len(written)


@given(HEADERS)
def test_received_fields_are_counted_as_a_mail_reader_counts_them(pairs: list[tuple[bytes, bytes]]) -> None:
    """QUE-7."""
    written = write(pairs)
    assert header.count_received(written) == len(message_from_bytes(written).get_all("received", []))


def test_a_folded_line_that_looks_like_received_is_none() -> None:
    """QUE-7: only a field at the start of a line is one."""
    assert header.count_received(b"Subject: a\r\n received: b\r\nX: received: c\r\n") == 0


def test_the_obsolete_form_with_a_space_counts_too() -> None:
    """QUE-7: RFC 5322 section 4.5 has them, so a loop may be made of them."""
    assert header.count_received(b"Received : a\r\nReceived\t: b\r\nReceived: c\r\n") == 3


@given(HEADERS)
def test_fields_gives_back_what_was_written(pairs: list[tuple[bytes, bytes]]) -> None:
    assert list(header.fields(write(pairs))) == [(name, b" " + value) for name, value in pairs]


def test_lines_that_are_no_field_are_passed_over() -> None:
    assert list(header.fields(b"From someone\r\nno colon\r\nA:1\r\nb c: 2\r\nlast")) == [(b"A", b"1")]


@given(HEADERS)
def test_remove_takes_away_every_field_of_that_name_and_nothing_else(
    pairs: list[tuple[bytes, bytes]],
) -> None:
    """TRC-6."""
    kept = [pair for pair in pairs if pair[0].lower() != b"return-path"]
    assert header.remove(write(pairs), b"Return-Path") == write(kept)


@pytest.mark.parametrize(
    ("section", "left"),
    [
        (b"Return-Path: <a@b>\nSubject: x\n\nbody", b"Subject: x\n\nbody"),
        (b"Return-Path:\n <a@b>\r\n\t(c)\nA: b\r\nC: d\r\n", b"A: b\r\nC: d\r\n"),
        (b"A: b\r\nReturn-Path: <a@b>\nReturn-Path: <c@d>\n\nx\r\n", b"A: b\r\n\nx\r\n"),
        (b"Return-Path: <a@b>\n ", b""),
    ],
)
def test_what_stands_behind_a_lone_lf_is_no_part_of_the_field(section: bytes, left: bytes) -> None:
    """DAT-10, TRC-6: binary content may have Unix lines, and is not to be lost with one of them."""
    assert header.remove(section, b"return-path") == left


def test_many_lines_do_not_nest() -> None:
    """However many such fields follow each other."""
    assert header.remove(b"Bcc: x\n" * 20_000 + b"y", b"bcc") == b"y"


@given(st.binary(max_size=200))
def test_any_octets_survive_when_the_name_is_absent(data: bytes) -> None:
    assert header.remove(data, b"not-there-at-all") == data
    list(header.fields(data))
