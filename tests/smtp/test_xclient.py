"""XCLIENT's attributes: what a trusted front end says of its client, and nothing that it may not say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import xtext
from mether.smtp import xclient
from mether.smtp.command import BadCommand
from mether.smtp.xclient import Override


def said(override: Override) -> dict[str, object]:
    return {
        name: getattr(override, name) for name in Override.__slots__ if getattr(override, name) is not None
    }


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("NAME=spike.example ADDR=192.0.2.1", {"name": "spike.example", "address": "192.0.2.1"}),
        ("name=spike.example addr=192.0.2.1", {"name": "spike.example", "address": "192.0.2.1"}),
        ("ADDR=IPV6:2001:db8::1 PORT=1025", {"address": "2001:db8::1", "port": 1025}),
        ("ADDR=ipv6:::1", {"address": "::1"}),
        ("ADDR=IPV6:::ffff:192.0.2.1", {"address": "192.0.2.1"}),
        ("NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE]", {"name": "", "address": "", "port": 0}),
        ("NAME=[TEMPUNAVAIL]", {"name": ""}),
        ("PROTO=esmtp HELO=client.example", {"protocol": "ESMTP", "helo": "client.example"}),
        (
            "HELO=[192.0.2.1] LOGIN=joe+20doe+40x.example",
            {"helo": "[192.0.2.1]", "login": "joe doe@x.example"},
        ),
        ("LOGIN=J+C3+BCrgen", {"login": "Jürgen"}),
        ("DESTADDR=198.51.100.7  DESTPORT=25", {"destination": "198.51.100.7", "destination_port": 25}),
        ("LOGIN=[UNAVAILABLE]", {"login": ""}),
    ],
)
def test_attributes(argument: str, expected: dict[str, object]) -> None:
    assert said(xclient.parse(argument)) == expected


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("", "syntax"),
        ("COLOUR=red", "COLOUR is not known"),
        ("NAME", "NAME needs a value"),
        ("NAME=", "NAME needs a value"),
        ("PORT=1 PORT=1", "PORT is given twice"),
        ("NAME=a+2", "no xtext"),
        ("NAME=a+0A", "cannot be used"),
        ("LOGIN=a+00", "cannot be used"),
        ("LOGIN=a+0D+0ARCPT", "cannot be used"),
        ("LOGIN=" + "a" * 256, "cannot be used"),
        ("NAME=-.example", "cannot be understood"),
        ("ADDR=2001:db8::1", "cannot be understood"),
        ("ADDR=IPV6:192.0.2.1", "cannot be understood"),
        ("ADDR=192.0.2.256", "cannot be understood"),
        ("ADDR=[192.0.2.1]", "cannot be understood"),
        ("PORT=65536", "cannot be understood"),
        ("PORT=-1", "cannot be understood"),
        ("PROTO=LMTP", "cannot be understood"),
        ("HELO=a+28b", "cannot be understood"),
    ],
)
def test_what_cannot_be_is_501(argument: str, why: str) -> None:
    with pytest.raises(BadCommand, match=why) as caught:
        xclient.parse(argument)
    assert (caught.value.reply.code, caught.value.reply.status) == (501, "5.5.4")
    assert caught.value.verb == "XCLIENT"


def test_the_keyword_lists_every_attribute() -> None:
    assert xclient.KEYWORD == "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"


@given(st.text(max_size=300))
def test_anything_is_read_or_501(argument: str) -> None:
    try:
        xclient.parse(argument)
    except BadCommand as error:
        error.reply.encode()


@given(
    st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=60).filter(str.isprintable)
)
def test_every_login_comes_through(login: str) -> None:
    assert xclient.parse(f"LOGIN={xtext.encode(login)}").login == login
