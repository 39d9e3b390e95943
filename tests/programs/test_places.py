"""Where ``smtp`` connects to: the addresses of a targethost."""

from __future__ import annotations

import _socket

import pytest

from mether.net import blocking
from mether.programs import places
from mether.routing import target


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.1", "[192.0.2.1]:25"),
        ("[192.0.2.1]:2525", "[192.0.2.1]:2525"),
        ("lmtp:192.0.2.1", "[192.0.2.1]:24"),
    ],
)
def test_an_address_is_its_own_place(text: str, shown: str) -> None:
    (place,) = places.find(target.parse(text), 1)
    assert (place.address, place.shown) == ("192.0.2.1", shown)


def test_a_socket_has_no_port() -> None:
    (place,) = places.find(target.parse("unix:/run/lmtp"), 1)
    assert (place.address, place.port) == ("/run/lmtp", 0)


def test_only_addresses_that_can_be_reached_from_ours() -> None:
    """Of the families that have a source."""
    ours = {_socket.AF_INET6: "::1"}
    with pytest.raises(places.NoHost, match=r"that can be connected to from ::1"):
        list(places.find(target.parse("192.0.2.1"), 1, ours))
    (place,) = places.find(target.parse("[IPv6:2001:db8::1]"), 1, ours)
    assert place.address == "2001:db8::1"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("host", "'host' is no IP address"),
        ("127.0.0.1,", "'' is no IP address"),
        (
            "127.0.0.1,127.0.0.2",
            "127.0.0.1 and 127.0.0.2 are of the same family; expected one of each at most",
        ),
        ("192.0.2.7", "cannot send from 192.0.2.7: Cannot assign requested address"),
    ],
)
def test_sources_that_cannot_be(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        places.sources(text)
    assert places.sources("127.0.0.2") == {_socket.AF_INET: "127.0.0.2"}


@pytest.mark.parametrize(("error", "status"), [(_socket.EAI_NONAME, "5.1.2"), (_socket.EAI_AGAIN, "4.4.3")])
def test_a_name_without_address(monkeypatch: pytest.MonkeyPatch, error: int, status: str) -> None:
    """MX-2: no such name is for good, a name service that is away is not."""

    def none(host: str, port: int) -> list[tuple[int, str]]:
        raise _socket.gaierror(error, "no")

    monkeypatch.setattr(blocking, "addresses", none)
    with pytest.raises(places.NoHost) as caught:
        list(places.find(target.parse("[host.example]"), 1))
    assert caught.value.reply.status == status
