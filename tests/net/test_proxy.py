"""The PROXY protocol's header: read in any pieces, and nothing that is none passes for one."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.net.proxy import LINE, MAX_LENGTH, SIGNATURE, Header, ProxyError, Source

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"


def v2(command: int = 1, family: int = 0x11, body: bytes = b"", *, version: int = 2) -> bytes:
    return SIGNATURE + bytes((version << 4 | command, family)) + struct.pack("!H", len(body)) + body


def inet(tail: bytes = b"") -> bytes:
    return b"\xc0\x00\x02\x01" + b"\xc6\x33\x64\x07" + struct.pack("!HH", 56324, 25) + tail


def inet6(source: str = "2001:db8::1", tail: bytes = b"") -> bytes:
    packed = [ipaddress.ip_address(text).packed for text in (source, "2001:db8::7")]
    return b"".join(packed) + struct.pack("!HH", 56324, 465) + tail


def read(data: bytes) -> Source | None:
    return Header().feed(data)


def drip(data: bytes) -> None:
    header = Header()
    for i in range(len(data)):
        assert header.feed(data[i : i + 1]) is None


def said(source: Source | None) -> tuple[object, ...]:
    assert source is not None
    return (
        source.address,
        source.port,
        source.destination,
        source.destination_port,
        source.local,
        source.rest,
    )


GOOD = {
    "v1 IPv4": (V1, ("192.0.2.1", 56324, "198.51.100.7", 25, False)),
    "v1 IPv6": (
        b"PROXY TCP6 2001:db8::1 2001:DB8:0::7 0 65535\r\n",
        ("2001:db8::1", 0, "2001:db8::7", 65535, False),
    ),
    "v1 longest IPv6": (
        b"PROXY TCP6 " + b" ".join([b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] * 2) + b" 65535 65535\r\n",
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535) * 2 + (False,),
    ),
    "v1 IPv4 in IPv6": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", ("192.0.2.1", 1, "::1", 2, False)),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", ("", 0, "", 0, False)),
    "v1 unknown, with more": (b"PROXY UNKNOWN 192.0.2.1 whatever\r\n", ("", 0, "", 0, False)),
    "v1 unknown, as long as can be": (
        b"PROXY UNKNOWN " + b"f" * (LINE - 16) + b"\r\n",
        ("", 0, "", 0, False),
    ),
    "v2 IPv4": (v2(body=inet()), ("192.0.2.1", 56324, "198.51.100.7", 25, False)),
    "v2 IPv6": (v2(1, 0x21, inet6()), ("2001:db8::1", 56324, "2001:db8::7", 465, False)),
    "v2 IPv4 in IPv6": (
        v2(1, 0x21, inet6("::ffff:192.0.2.1")),
        ("192.0.2.1", 56324, "2001:db8::7", 465, False),
    ),
    "v2 with values": (
        v2(body=inet(b"\x01\0\x02h2" + b"\x20\0\x05\x01\0\0\0\0" + b"\x04\0\0")),
        ("192.0.2.1", 56324, "198.51.100.7", 25, False),
    ),
    "v2 local": (v2(0, 0, b""), ("", 0, "", 0, True)),
    "v2 local, with what is to be ignored": (v2(0, 0xFF, b"\x01garbage"), ("", 0, "", 0, True)),
    "v2 unspecified": (v2(1, 0x00, b"abc"), ("", 0, "", 0, False)),
    "v2 Unix": (v2(1, 0x31, b"/run/a".ljust(108, b"\0") * 2), ("", 0, "", 0, False)),
}

BAD = {
    "no header": b"EHLO client.example\r\n",
    "in lower case": b"proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "no family": b"PROXY \r\n",
    "another family": b"PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
    "the wrong family": b"PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
    "the wrong family for IPv6": b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    "two spaces": b"PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n",
    "a tab": b"PROXY TCP4\t192.0.2.1 198.51.100.7 1 2\r\n",
    "a word more": b"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n",
    "a word less": b"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
    "leading zeros": b"PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n",
    "a name": b"PROXY TCP4 localhost 198.51.100.7 1 2\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
    "a bad octet": b"PROXY TCP4 192.0.2.\xb2 198.51.100.7 1 2\r\n",
    "a port too high": b"PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n",
    "a port with a zero": b"PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n",
    "a negative port": b"PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n",
    "a bare LF": b"PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n",
    "too long": b"PROXY UNKNOWN " + b"f" * (LINE - 15) + b"\r\n",
    "no end": b"PROXY UNKNOWN " + b"f" * 1000,
    "version 1 in binary": v2(body=inet(), version=1),
    "version 3": v2(body=inet(), version=3),
    "another command": v2(2, 0x11, inet()),
    "another family, binary": v2(1, 0x41, inet()),
    "another transport": v2(1, 0x13, inet()),
    "datagrams": v2(1, 0x12, inet()),
    "too short for IPv4": v2(1, 0x11, inet()[:-1]),
    "too short for IPv6": v2(1, 0x21, inet6()[:-1]),
    "too short for Unix": v2(1, 0x31, b"x" * 215),
    "a value too long": v2(body=inet(b"\x01\0\x03h2")),
    "a value without its length": v2(body=inet(b"\x01\0")),
    "longer than is taken": v2(1, 0x11, inet(b"\x04" + struct.pack("!H", MAX_LENGTH) + bytes(MAX_LENGTH))),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_header_in_any_pieces(name: str) -> None:
    data, expected = GOOD[name]
    for rest in (b"", b"EHLO x\r\n", b"\x16\x03\x01"):
        assert said(read(data + rest)) == (*expected, rest)
    for cut in range(1, len(data)):
        header = Header()
        assert header.feed(data[:cut]) is None
        assert said(header.feed(data[cut:] + b"rest")) == (*expected, b"rest")


@pytest.mark.parametrize("name", GOOD)
def test_a_good_header_octet_by_octet(name: str) -> None:
    data, expected = GOOD[name]
    header = Header()
    answers = [header.feed(data[i : i + 1]) for i in range(len(data))]
    assert answers[:-1] == [None] * (len(data) - 1)
    assert said(answers[-1]) == (*expected, b"")


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_an_error_however_it_is_cut(name: str) -> None:
    with pytest.raises(ProxyError):
        read(BAD[name])
    with pytest.raises(ProxyError):
        drip(BAD[name])


def test_what_is_none_is_known_at_the_first_octet() -> None:
    """A client that speaks SMTP at once to a listener that awaits a header is not waited for."""
    with pytest.raises(ProxyError):
        read(b"E")


def test_the_longest_header_that_is_taken() -> None:
    filler = MAX_LENGTH - len(inet()) - 3
    data = v2(body=inet(b"\x04" + struct.pack("!H", filler) + bytes(filler)))
    assert said(read(data))[0] == "192.0.2.1"


@given(
    st.lists(st.binary(max_size=40), max_size=200),
    st.sampled_from((b"", b"PROXY ", b"PROXY UNKNOWN", SIGNATURE)),
)
def test_garbage_gives_an_answer_or_an_error_and_little_is_held(pieces: list[bytes], start: bytes) -> None:
    header = Header()
    try:
        source = header.feed(start)
        for piece in pieces:
            assert source is None
            source = header.feed(piece)
            assert header.buffered <= 16 + MAX_LENGTH
            if source is not None:
                assert source.address == "" or ipaddress.ip_address(source.address)
                break
    except ProxyError:
        pass


@given(st.ip_addresses(), st.integers(0, 65535), st.ip_addresses(), st.integers(0, 65535), st.data())
def test_every_address_is_read_back(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    destination: ipaddress.IPv4Address | ipaddress.IPv6Address,
    other: int,
    data: st.DataObject,
) -> None:
    if source.version != destination.version:
        destination = source
    family = "TCP4" if source.version == 4 else "TCP6"
    wire = f"PROXY {family} {source} {destination} {port} {other}\r\n".encode()
    if data.draw(st.booleans()):
        wire = v2(
            1,
            0x11 if source.version == 4 else 0x21,
            source.packed + destination.packed + struct.pack("!HH", port, other),
        )
    cut = data.draw(st.integers(0, len(wire)))
    header = Header()
    found = header.feed(wire[:cut]) or header.feed(wire[cut:])
    plain = getattr(source, "ipv4_mapped", None) or source
    assert found is not None
    assert (found.address, found.port, found.destination_port) == (str(plain), port, other)
