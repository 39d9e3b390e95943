"""Addresses in a header, found and replaced octet for octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content.rewrite import AUTHORS, RECIPIENTS, addresses, replaced

CHANGE = {"ann@host.example.org": "ann@example.org", "root": "root@example.org"}


def from_(value: str) -> bytes:
    return f"From: {value}\r\n".encode()


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("ann@host.example.org", "ann@example.org"),
        ("<ann@host.example.org>", "<ann@example.org>"),
        ("Ann <ann@host.example.org>", "Ann <ann@example.org>"),
        ('"Ann, of host" <ann@host.example.org>', '"Ann, of host" <ann@example.org>'),
        (r'"a \" <b" <ann@host.example.org>', r'"a \" <b" <ann@example.org>'),
        ("ann@host.example.org (Ann (the first))", "ann@example.org (Ann (the first))"),
        (r"(a \) ann@host.example.org) ann@host.example.org", r"(a \) ann@host.example.org) ann@example.org"),
        ("root (Cron Daemon)", "root@example.org (Cron Daemon)"),
        ('"ann@host.example.org" <eve@e.example>', '"ann@host.example.org" <eve@e.example>'),
        ("=?utf-8?q?J=C3=B6rg?= <ann@host.example.org>", "=?utf-8?q?J=C3=B6rg?= <ann@example.org>"),
        ("Jörg <ann@host.example.org>", "Jörg <ann@example.org>"),
        ("a@b.example,\r\n\tann@host.example.org", "a@b.example,\r\n\tann@example.org"),
        ("Ann\r\n <ann@host.example.org>\r\n ", "Ann\r\n <ann@example.org>\r\n "),
        ("Us: Ann <ann@host.example.org>, root;", "Us: Ann <ann@example.org>, root@example.org;"),
        ("Nobody:;, ann@host.example.org", "Nobody:;, ann@example.org"),
        ("ann @ host . example.org", "ann@example.org"),
        ("<@a.example,@b.example:ann@host.example.org>", "<@a.example,@b.example:ann@example.org>"),
        (", ,ann@host.example.org,", ", ,ann@example.org,"),
        ("J. R. Ann <ann@host.example.org>", "J. R. Ann <ann@example.org>"),
        ("", ""),
    ],
)
def test_nothing_but_the_address_changes(value: str, becomes: str) -> None:
    assert replaced(from_(value), AUTHORS, CHANGE) == from_(becomes)


@pytest.mark.parametrize(
    "value",
    [
        "Ann ann@host.example.org",
        '"Ann <ann@host.example.org>',
        "(Ann <ann@host.example.org>",
        "<ann@host.example.org",
        "ann@host.example.org>",
        "<ann@host.example.org> <ann@host.example.org>",
        "<ann@host.example.org> Ann",
        "Us: ann@host.example.org",
        "ann@host.example.org;",
        "a: b: ann@host.example.org;",
        "ann@host.example.org, @b.example",
        "ann@host.example.org, a@b@c",
        "ann@host.example.org, [x]",
        "ann@host.example.org\x00",
        "ann@host.example.org\nTo: eve",
        "<@a.example ann@host.example.org>",
        "<ann@host.example.org>, \\",
    ],
)
def test_a_field_that_cannot_be_read_is_left_alone(value: str) -> None:
    assert replaced(from_(value), AUTHORS, CHANGE) == from_(value)
    assert addresses(from_(value), AUTHORS) == []


def test_octets_that_are_no_utf8_stay() -> None:
    section = b"From: J\xf6rg <ann@host.example.org>, <\xf6@host.example.org>\r\n"
    assert replaced(section, AUTHORS, CHANGE) == section.replace(b"ann@host.", b"ann@")


def test_only_the_fields_that_are_asked_for() -> None:
    fields = (
        "From",
        "SENDER ",
        "reply-to",
        "Resent-From",
        "To",
        "Cc",
        "Resent-Cc",
        "Subject",
        "X-From",
        "Received",
    )
    section = b"".join(f"{name}: ann@host.example.org\r\n".encode() for name in fields)
    assert replaced(section, AUTHORS, CHANGE).count(b"ann@example.org") == 4
    assert replaced(section, RECIPIENTS, CHANGE).count(b"ann@example.org") == 3
    assert replaced(section, AUTHORS | RECIPIENTS, {}) is section


def test_each_address_is_found_once() -> None:
    section = b'From: "x y"@a.example\r\nTo: root, eve@b.example, ROOT,\r\n root\r\n'
    assert addresses(section, AUTHORS | RECIPIENTS) == ['"x y"@a.example', "root", "eve@b.example", "ROOT"]


def test_a_line_that_would_be_too_long_is_folded() -> None:
    """RFC 5322 section 2.1.1"""
    section = b"To: " + b", ".join([b"root"] * 100) + b"\r\n"
    out = replaced(section, RECIPIENTS, CHANGE)
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert addresses(out, RECIPIENTS) == ["root@example.org"]
    assert out.count(b"root@example.org") == 100


def test_a_hostile_header_takes_no_time() -> None:
    for hostile in (
        b"(" * 200_000,
        b'"' * 200_001,
        b"<" * 200_000,
        b"a:" * 100_000,
        b"\\" * 200_000,
        b"[" * 200_000,
    ):
        assert addresses(b"From: " + hostile + b"\r\n", AUTHORS) == []


@given(
    st.lists(
        st.sampled_from(
            ['"', "\\", "(", ")", "<", ">", ":", ";", ",", "@", "a", ".", " ", "\r\n ", "ö", "[", "]"]
        )
    )
)
def test_what_is_not_asked_for_never_changes(parts: list[str]) -> None:
    """Replacing each address by itself gives what was there, but for white space inside the address."""
    section = from_("".join(parts))
    same = {one: one for one in addresses(section, AUTHORS)}
    out = replaced(section, AUTHORS, same)
    if not any(char in "".join(parts) for char in " ("):
        assert out == section
    assert addresses(out, AUTHORS) == list(same)
