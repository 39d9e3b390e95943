"""Trace fields: no client can forge one through what it says, and every mail reader can read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, parse
from mether.content import header, trace

AT = 1772529164.75  # Tue, 03 Mar 2026 09:12:44 UTC


def received(**changes: object) -> bytes:
    given: dict[str, object] = {
        "helo": "mail.example.org",
        "address": "192.0.2.1",
        "host": "host.example.org",
        "by": "mx.example.net",
        "protocol": "ESMTP",
        "ident": "ABC123",
        "recipient": parse("bob@example.net"),
        "at": AT,
    }
    return trace.received(**{**given, **changes})  # type: ignore[arg-type]


def test_the_whole_field() -> None:
    """TRC-2, TRC-3, TRC-4."""
    assert received(offset=3600) == (
        b"Received: from mail.example.org (host.example.org [192.0.2.1])\r\n"
        b"\tby mx.example.net with ESMTP id ABC123\r\n"
        b"\tfor <bob@example.net>;\r\n"
        b"\tTue, 03 Mar 2026 10:12:44 +0100\r\n"
    )


def test_tls_and_priority_have_their_clauses() -> None:
    """TRC-5; RFC 8314 section 4.3, RFC 6710 section 7."""
    field = received(tls="TLS_AES_128_GCM_SHA256", priority=3)
    assert field.endswith(
        b"\tfor <bob@example.net>\r\n"
        b"\ttls TLS_AES_128_GCM_SHA256 PRIORITY 3;\r\n"
        b"\tTue, 03 Mar 2026 09:12:44 +0000\r\n"
    )
    assert b" PRIORITY -9;" in received(priority=-9).replace(b"\t", b" ")


def test_without_a_verified_name_the_address_stands_alone() -> None:
    """TRC-2."""
    assert b"from mail.example.org ([192.0.2.1])\r\n" in received(host="")


def test_ipv6_is_an_address_literal_and_its_zone_is_left_out() -> None:
    """TRC-2."""
    assert b"(host.example.org [IPv6:fe80::1])" in received(address="fe80::1%eth0")
    assert b"from [IPv6:2001:db8::1] (" in received(helo="[IPv6:2001:db8::1]")


def test_several_recipients_are_not_told_of_each_other() -> None:
    """TRC-2, TRC-7: the caller gives no recipient then."""
    assert b"for" not in received(recipient=None)


def test_local_mail_came_from_no_host_and_by_no_protocol() -> None:
    field = received(protocol="local", helo="", host="", address="")
    assert field.startswith(b"Received: by mx.example.net (local) id ABC123\r\n")
    assert b"with" not in field


def test_utf8_only_where_the_message_may_hold_it() -> None:
    """TRC-4, EAI-8: RFC 6531 section 3.7.3."""
    recipient = parse("jürgen@example.net", utf8=True)
    assert received(recipient=recipient, helo="bücher.example").isascii()
    assert b"for" not in received(recipient=recipient)
    field = received(recipient=recipient, helo="bücher.example", protocol="UTF8SMTP", smtputf8=True)
    assert "from bücher.example (" in field.decode()
    assert "for <jürgen@example.net>" in field.decode()


@pytest.mark.parametrize("smtputf8", [True, False])
def test_a_domain_alone_does_not_make_the_field_utf8(smtputf8: bool) -> None:
    """EAI-8, EAI-5: our own field does not keep a message from a server without SMTPUTF8."""
    field = received(recipient=parse("bob@bücher.example", utf8=True), smtputf8=smtputf8)
    assert b"for <bob@xn--bcher-kva.example>" in field and field.isascii()


@given(
    helo=st.text(max_size=600), host=st.text(max_size=300), address=st.text(max_size=60), utf8=st.booleans()
)
def test_nothing_the_client_says_makes_another_field(helo: str, host: str, address: str, utf8: bool) -> None:
    """TRC-2, SEC: an EHLO argument with CR, LF, parentheses, semicolons or anything else."""
    field = received(helo=helo, host=host, address=address, smtputf8=utf8)
    [(name, value)] = header.fields(field)
    assert name == b"Received"
    assert field.endswith(b"\r\n")
    assert all(len(line) <= 998 for line in field.split(b"\r\n"))
    assert field.count(b"\r") == field.count(b"\n") == field.count(b"\r\n")
    assert value.count(b"(") <= 1
    assert value.count(b";") == 1
    assert value.endswith(b";\r\n\tTue, 03 Mar 2026 09:12:44 +0000")
    assert utf8 or field.isascii()


@given(
    st.integers(min_value=-2_000_000_000, max_value=200_000_000_000),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_dates_are_those_of_the_calendar(at: int, minutes: int) -> None:
    """TRC-3."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    text = trace.date(at, minutes * 60)
    assert text == format_datetime(local)
    assert parsedate_to_datetime(text) == moment


def test_a_date_asked_for_twice_and_then_elsewhere() -> None:
    """The last date is remembered: a second later, or in another zone, it is another one."""
    assert trace.date(AT) == trace.date(AT + 0.2) == "Tue, 03 Mar 2026 09:12:44 +0000"
    assert trace.date(AT + 1) == "Tue, 03 Mar 2026 09:12:45 +0000"
    assert trace.date(AT + 1, -19800) == "Tue, 03 Mar 2026 03:42:45 -0530"


def test_return_path() -> None:
    """TRC-6."""
    assert trace.return_path(None) == b"Return-Path: <>\r\n"
    assert trace.return_path(parse("alice@example.org")) == b"Return-Path: <alice@example.org>\r\n"


@pytest.mark.parametrize(
    ("orcpt", "field"),
    [
        ("rfc822;Bob+2Bx@example.com", b"Original-Recipient: rfc822;Bob+x@example.com\r\n"),
        ("rfc822;a+0D+0AX:y@b", b"Original-Recipient: rfc822;a??X:y@b\r\n"),
        ("rfc822;a+C3+A9@b", b"Original-Recipient: rfc822;a+C3+A9@b\r\n"),
        ("utf-8;a\\x{E9}@b", b"Original-Recipient: utf-8;a\\x{E9}@b\r\n"),
        ("utf-8;aé@b", b"Original-Recipient: utf-8;a\\x{E9}@b\r\n"),
        ("utf-8;a\r\nX: y@b", b"Original-Recipient: utf-8;a??X: y@b\r\n"),
        ("rfc822;" + "a" * 700, b"Original-Recipient: rfc822;" + b"a" * 593 + b"\r\n"),
        ("nothing", b""),
        ("a b;c", b""),
        (";c", b""),
    ],
)
def test_original_recipient(orcpt: str, field: bytes) -> None:
    """TRC-8."""
    assert trace.original_recipient(orcpt) == field


@pytest.mark.parametrize(
    ("orcpt", "field"),
    [
        ("utf-8;a\\x{E9}@b", "Original-Recipient: utf-8;aé@b\r\n"),
        ("UTF-8;aé@b", "Original-Recipient: UTF-8;aé@b\r\n"),
        ("utf-8;a\\x{0D}\\x{0A}X:\\x{20}y", "Original-Recipient: utf-8;a\\x{0D}\\x{0A}X:\\x{20}y\r\n"),
        ("rfc822;Bob+2Bx@example.com", "Original-Recipient: rfc822;Bob+x@example.com\r\n"),
    ],
)
def test_original_recipient_of_a_message_in_utf8(orcpt: str, field: str) -> None:
    """TRC-8: RFC 6533 section 5 has the address as it is there, and no escape begins a line."""
    assert trace.original_recipient(orcpt, utf8=True) == field.encode()


def test_the_standard_library_reads_it_without_complaint() -> None:
    message = message_from_bytes(received() + b"\r\n", policy=policy.default)
    assert not message.defects
    assert message.keys() == ["Received"]


def test_the_bare_postmaster_is_no_path() -> None:
    """TRC-2: the for clause holds a path, and <postmaster> is none."""
    assert b"for" not in received(recipient=Address("postmaster", ""))


def test_no_field_takes_anything_from_another_session() -> None:
    """TRC-2: what is kept of a session's fields is that session's alone, and bounded."""
    differing: list[dict[str, object]] = [
        {},
        {"helo": "other.example.org"},
        {"address": "192.0.2.2"},
        {"host": ""},
        {"by": "mx2.example.net"},
        {"protocol": "ESMTPS"},
        {"protocol": "local"},
        {"helo": "b\u00fccher.example"},
        {"helo": "b\u00fccher.example", "smtputf8": True},
    ]
    first = [received(**one) for one in differing]
    assert len(set(first)) == len(first)
    for number in range(trace.REMEMBERED + 10):
        received(helo=f"h{number}.example")
    assert len(trace._fronts) <= trace.REMEMBERED
    assert [received(**one) for one in differing] == first
    assert b"id OTHER\r\n" in received(ident="OTHER")


def test_a_client_that_nobody_knows_has_no_address_literal() -> None:
    """TRC-2: what a front end calls an unknown client is no address."""
    assert trace.client("c.example", "unknown") == "c.example"
    assert trace.client("c.example", "192.0.2.1") == "c.example ([192.0.2.1])"
