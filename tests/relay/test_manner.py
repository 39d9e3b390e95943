"""From which address a host is connected to."""

from __future__ import annotations

from mether.relay.hosts import Host
from mether.relay.manner import PLAIN, Manner

BOTH = Manner(sources=["192.0.2.7", "2001:db8::7"])
FOUR = Manner(sources=["192.0.2.7"])


def test_the_source_is_of_the_family_that_is_connected_to() -> None:
    assert BOTH.source("198.51.100.1") == "192.0.2.7"
    assert BOTH.source("2001:db8:1::1") == "2001:db8::7"
    assert FOUR.source("2001:db8:1::1") == ""
    assert PLAIN.source("198.51.100.1") == ""


def test_what_no_source_reaches() -> None:
    """Mail must not go out from an address that nobody chose."""
    host = Host("mx.test", "198.51.100.1", 25, ["2001:db8:1::1"])
    assert FOUR.unreachable(host) == ["2001:db8:1::1"]
    assert BOTH.unreachable(host) == PLAIN.unreachable(host) == []
    assert FOUR.unreachable(Host("/run/lmtp", "/run/lmtp", 0)) == []
