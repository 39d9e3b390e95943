"""The message as a mailbox gets it."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from mether.address import parse
from mether.queue.content import CHUNK, Content, in_memory
from mether.relay import final

ALICE = parse("alice@example.org")


def whole(content: bytes, **options: str) -> bytes:
    return b"".join(final.octets(ALICE, b"Received: us\r\n", in_memory(content), **options))


def test_return_path_is_on_top_then_the_trace() -> None:
    """TRC-1, TRC-6."""
    assert whole(b"Subject: x\r\n\r\nbody\r\n") == (
        b"Return-Path: <alice@example.org>\nReceived: us\nSubject: x\n\nbody\n"
    )


def test_there_is_exactly_one_return_path() -> None:
    """TRC-6: what the client brought is removed, also folded, in any case; the body is left alone."""
    message = whole(
        b"A: 1\r\nReturn-path: <x@\r\n y>\r\nRETURN-PATH:<z>\r\nB: 2\r\n\r\nReturn-Path: <body>\r\n"
    )
    assert message == b"Return-Path: <alice@example.org>\nReceived: us\nA: 1\nB: 2\n\nReturn-Path: <body>\n"


def test_the_null_reverse_path() -> None:
    """TRC-6."""
    assert b"".join(final.octets(None, b"", in_memory(b"A: 1\r\n"))) == b"Return-Path: <>\nA: 1\n"


def test_original_recipient() -> None:
    """TRC-8."""
    assert whole(b"\r\nx", orcpt="rfc822;Bob@example.com") == (
        b"Return-Path: <alice@example.org>\nOriginal-Recipient: rfc822;Bob@example.com\nReceived: us\n\nx"
    )


def test_original_recipient_of_a_message_in_utf8() -> None:
    """TRC-8: RFC 6533 section 5; without SMTPUTF8 the header stays in seven bits."""
    orcpt = "utf-8;j\\x{FC}rgen@example.org"
    assert "Original-Recipient: utf-8;jürgen@example.org\n".encode() in whole(
        b"\r\nx", orcpt=orcpt, utf8=True
    )
    assert b"Original-Recipient: utf-8;j\\x{FC}rgen@example.org\n" in whole(b"\r\nx", orcpt=orcpt)


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\r", b"\n", b"b\r", b"\nc"])))
def test_line_ends_across_pieces(pieces: list[bytes]) -> None:
    assert b"".join(final.unix_lines(pieces)) == b"".join(pieces).replace(b"\r\n", b"\n")


def test_large_content_streams() -> None:
    body = (b"x" * 77 + b"\r\n") * 5000
    data = b"Return-Path: <x>\r\nA: 1\r\n\r\n" + body
    content = Content(None, len(data), lambda: io.BytesIO(data))
    pieces = list(final.octets(ALICE, b"", content))
    assert max(map(len, pieces)) <= CHUNK + 200
    assert b"".join(pieces) == b"Return-Path: <alice@example.org>\nA: 1\n\n" + body.replace(b"\r\n", b"\n")


def test_a_header_longer_than_a_piece_is_searched_to_its_end() -> None:
    """TRC-6."""
    data = b"X: " + b"y" * 900 + b"\r\n"
    data = data * 100 + b"Return-Path: <x>\r\n\r\nbody\r\n"
    content = Content(None, len(data), lambda: io.BytesIO(data))
    assert b"".join(final.octets(None, b"", content)).count(b"Return-Path") == 1


def test_delivered_to_stands_below_return_path() -> None:
    """TRC-8: RFC 9228; fields of earlier deliveries stay."""
    message = final.octets(
        ALICE,
        b"Received: us\r\n",
        in_memory(b"Delivered-To: x@example.org\r\n\r\n"),
        "rfc822;b@example.org",
        delivered_to=parse("bob@example.com"),
    )
    assert b"".join(message) == (
        b"Return-Path: <alice@example.org>\nDelivered-To: bob@example.com\n"
        b"Original-Recipient: rfc822;b@example.org\nReceived: us\nDelivered-To: x@example.org\n\n"
    )


def test_a_loop_is_found_by_the_address() -> None:
    """QUE-7, TRC-8."""
    bob = parse("Bob@Example.com")
    for field in (b"Delivered-To: bob@example.com", b"DELIVERED-TO:\r\n <BOB@EXAMPLE.COM>"):
        assert final.loops(in_memory(b"A: b\r\n" + field + b"\r\n\r\n"), bob)
    for other in (b"Delivered-To: bob", b"Delivered-To: rob@example.com", b"X-Delivered-To: bob@example.com"):
        assert not final.loops(in_memory(other + b"\r\n\r\nDelivered-To: bob@example.com\r\n"), bob)
    assert final.loops(
        in_memory("Delivered-To: zoe\u0301@bücher.example\r\n\r\n".encode()),
        parse("zoe\u0301@xn--bcher-kva.example", utf8=True),
    )


def test_the_search_for_loops_is_bounded() -> None:
    many = b"Delivered-To: x@example.org\r\n" * final.MAX_DELIVERED
    assert final.loops(in_memory(many + b"\r\n"), ALICE), "nobody is delivered to so often"
    far = b"A: " + b"x" * final.MAX_HEADER + b"\r\nDelivered-To: alice@example.org\r\n\r\n"
    assert not final.loops(in_memory(far[: final.MAX_HEADER] + far[final.MAX_HEADER + CHUNK :]), ALICE)


def test_the_line_of_an_mbox() -> None:
    assert final.from_line(ALICE, 86400.0) == b"From alice@example.org Fri Jan  2 00:00:00 1970\n"
    assert final.from_line(None, 0.0).startswith(b"From MAILER-DAEMON Thu")
    assert final.from_line(parse('"a b"@example.org'), 0.0).startswith(b'From "a_b"@example.org Thu')
