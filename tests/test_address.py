"""Mailboxes and paths: what is one, what is not, and which are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import address
from mether.address import Address, AddressError, parse

LONG_LOCAL = "l" * 64
LONG_DOMAIN = ".".join(["d" * 63, "d" * 63, "d" * 63, "d" * 61, "x"])


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("bob@example.test", "bob", "example.test"),
        ("Bob.B+tag@Example.TEST", "Bob.B+tag", "Example.TEST"),
        ("!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x"),
        ('"a b"@example.test', '"a b"', "example.test"),
        ('"a@b"@example.test', '"a@b"', "example.test"),
        ('"a\\"b\\\\"@example.test', '"a\\"b\\\\"', "example.test"),
        ('">"@example.test', '">"', "example.test"),
        ("bob@[192.0.2.1]", "bob", "[192.0.2.1]"),
        ("bob@[IPv6:2001:db8::1]", "bob", "[IPv6:2001:db8::1]"),
        ("bob@[IPv6:::ffff:192.0.2.1]", "bob", "[IPv6:::ffff:192.0.2.1]"),
        ("bob@xn--bcher-kva.example", "bob", "xn--bcher-kva.example"),
        (f"{LONG_LOCAL}@x", LONG_LOCAL, "x"),
        (f"b@{LONG_DOMAIN}", "b", LONG_DOMAIN),
        ("@a.example,@b.example:bob@example.test", "bob", "example.test"),
        ("@[IPv6:2001:db8::1],@b.example:bob@example.test", "bob", "example.test"),
        ('@a.example:"x:y"@example.test', '"x:y"', "example.test"),
        ("postmaster", "postmaster", ""),
        ("PostMaster", "PostMaster", ""),
    ],
)
def test_what_is_a_mailbox(text: str, local: str, domain: str) -> None:
    """CMD-15, CMD-16, CMD-22: the case of a local-part is kept, a source route is dropped."""
    found = parse(text)
    assert (found.local_part, found.domain) == (local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "bob",
        "bob@",
        "@example.test",
        "bob@example..test",
        "bob@.example.test",
        "bob@example.test.",
        "bob@-example.test",
        "bob@example-.test",
        "bob@exa_mple.test",
        "bob@exa mple.test",
        "bob@example.test\r\nRSET",
        "bob@example.test>",
        ".bob@example.test",
        "bob.@example.test",
        "b..b@example.test",
        "bo b@example.test",
        "bo\tb@example.test",
        "bo\0b@example.test",
        "bo\nb@example.test",
        "b<ob@example.test",
        "bo>b@example.test",
        "bob@two@example.test",
        '""@example.test',
        '"bob@example.test',
        '"bob"x@example.test',
        '"bo\nb"@example.test',
        '"bo\\',
        '"bo\\\n"@example.test',
        '"bob"',
        "bücher@example.test",
        "bob@bücher.example",
        "bob@[192.0.2.256]",
        "bob@[192.0.2]",
        "bob@[2001:db8::1]",
        "bob@[IPv6:2001:db8:::1]",
        "bob@[IPv6:1:2:3:4:5:6:7:8:9]",
        "bob@[IPv6:1:2:3:4:5:6:7]",
        "bob@[192.0.2.1",
        "bob@[tag:content]",
        f"{LONG_LOCAL}l@x",
        f"b@{LONG_DOMAIN}x",
        f"b@{'d' * 64}.test",
        "@a.example",
        "@a.example,b.example:bob@example.test",
        "@a_b.example:bob@example.test",
        "@a.example:",
    ],
)
def test_what_is_not(text: str) -> None:
    """CMD-22, LIM, erratum 5414: and the error says something a person can read."""
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_the_same_mailbox() -> None:
    """CMD-2, CMD-23: domains without case, local-parts with, quotes mean nothing, postmaster is special."""
    assert parse("bob@example.test") == parse("bob@EXAMPLE.test") == parse('"bob"@example.test')
    assert parse('"b\\ob"@example.test') == parse("bob@example.test")
    assert parse("bob@example.test") != parse("Bob@example.test")
    assert parse("Postmaster@x.test") == parse("postmaster@x.test") == parse('"POSTMASTER"@x.test')
    assert parse("POSTMASTER") == parse("postmaster") != parse("postmaster@x.test")
    assert len({parse('"bob"@x.test'), parse("bob@X.TEST")}) == 1
    assert parse("bob@x.test") != "bob@x.test"


def test_what_is_written_is_what_was_given() -> None:
    assert str(parse('"b ob"@Example.Test')) == '"b ob"@Example.Test'
    assert str(parse("postmaster")) == "postmaster"
    assert address.path_text(None) == ""
    assert address.path_text(parse("bob@x.test")) == "bob@x.test"


def test_internationalized_only_when_asked_for() -> None:
    """EAI: U-labels and UTF-8 local-parts, and the ASCII that they stand for."""
    found = parse("dörte@bücher.example", utf8=True)
    assert (found.is_ascii, found.ascii_domain) == (False, "xn--bcher-kva.example")
    assert found == parse("dörte@XN--BCHER-KVA.example", utf8=True)
    with pytest.raises(AddressError):
        parse("d\u0085rte@bücher.example", utf8=True)
    with pytest.raises(AddressError):
        parse("ö" * 33 + "@x.example", utf8=True)  # 66 octets
    with pytest.raises(AddressError):
        parse("x@\u2028.example", utf8=True)


def test_arguments_as_people_give_them() -> None:
    assert address.parse_argument("<>") is None
    assert address.parse_argument("") is None
    assert address.parse_argument("<bob@x.test>") == parse("bob@x.test")
    assert address.parse_argument("dörte@x.test").local_part == "dörte"  # type: ignore[union-attr]
    with pytest.raises(AddressError):
        address.parse_argument("<bob@x.test")


@pytest.mark.parametrize(
    ("domain", "ip"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:::1]", "::1"),
        ("[ipv6:2001:DB8::1]", "2001:DB8::1"),
        ("[192.0.2.1", None),
        ("192.0.2.1", None),
        ("[x]", None),
        ("[IPv6:x]", None),
        ("[IPv6:]", None),
        ("[1.2.3.४]", None),
    ],
)
def test_address_literals(domain: str, ip: str | None) -> None:
    assert address.literal_ip(domain) == ip


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_quoting_and_unquoting(local: str) -> None:
    """CMD-23: what is quoted means what it meant, and is a local-part wherever it fits in one."""
    written = address.quote(local)
    assert address.unquote(written) == local
    assert parse(f"{written}@x.test") == Address(written, "x.test")


@given(st.text(max_size=40))
def test_nothing_dangerous_is_ever_an_address(text: str) -> None:
    """What parse returns can stand between brackets in a command and means the same there."""
    try:
        found = parse(text)
    except AddressError:
        return
    written = str(found)
    assert written.isascii() and written.isprintable()
    assert parse(written) == found
    if not found.local_part.startswith('"'):
        assert not set(written) & set('<> ()"\\')
