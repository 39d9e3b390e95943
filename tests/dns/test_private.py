"""Which addresses of the DNS are believed."""

from __future__ import annotations

import pytest

from mether.dns.private import why_not

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.dns.private import Level

NEVER = ["0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "250.0.0.1", "::", "ff02::1", "::ffff:0.0.0.0"]
HERE = ["127.0.0.1", "127.9.9.9", "169.254.1.1", "::1", "fe80::1", "::ffff:127.0.0.1"]
SITE = ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"]
PUBLIC = ["192.0.2.1", "172.32.0.1", "8.8.8.8", "2001:db8::1", "2600::1"]


@pytest.mark.parametrize(
    ("level", "good"),
    [("allow", HERE + SITE + PUBLIC), ("site", SITE + PUBLIC), ("refuse", PUBLIC)],
)
def test_levels(level: Level, good: list[str]) -> None:
    for address in NEVER + HERE + SITE + PUBLIC:
        assert (why_not(address, level) == "") == (address in good), address


def test_it_says_why() -> None:
    assert why_not("127.0.0.1") == "127.0.0.1 is a loopback address"
    assert why_not("10.0.0.1", "refuse") == "10.0.0.1 is an address of a private network"
    assert why_not("0.0.0.0", "allow") == "0.0.0.0 means this host"
    assert why_not("nonsense") == "nonsense is no IP address"
