"""Networks: who a listener or a rule means."""

from __future__ import annotations

import pytest

from mether.routing import networks as networks_module
from mether.routing.networks import Networks


@pytest.mark.parametrize(
    ("client", "inside"),
    [
        ("192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::9", True),
        ("2001:db9::9", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:192.0.3.7", False),
        ("10.1.2.3", True),
        ("10.1.2.4", False),
        ("", False),
        ("unix", False),
        ("192.0.2.7.example", False),
    ],
)
def test_networks(client: str, inside: bool) -> None:
    """SEC-1: IPv4, IPv6, an IPv4 client of an IPv6 socket, and what is no address at all."""
    networks = Networks(["192.0.2.0/24", "2001:db8::/32", "10.1.2.3"])
    assert (client in networks) is inside
    assert (client in networks) is inside, "asked again it says the same"


def test_an_ipv4_network_opens_nothing_to_ipv6() -> None:
    assert "::1" not in Networks(["0.0.0.0/0"])
    assert "127.0.0.1" not in Networks(["::/0"])


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks_module, "_REMEMBERED", 10)
    networks = Networks(["192.0.2.0/25"])
    assert [f"192.0.2.{n}" in networks for n in range(256)] == [n < 128 for n in range(256)]
    assert len(networks._prefixes._known) <= 10


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Networks(["nonsense"])
