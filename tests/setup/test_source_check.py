"""Addresses to connect from that this host may not have."""

from __future__ import annotations

from mether.setup import source_check
from mether.setup.config import loads


def test_an_address_that_this_host_lacks_is_told() -> None:
    config = loads(
        '[[route]]\nsmtp = "h.test"\nsource = ["127.0.0.1", "2001:db8::7"]\n', "/etc/m.toml", environ={}
    )
    assert list(source_check.complaints(config, has=lambda one: one == "127.0.0.1")) == [
        "/etc/m.toml:3: route.source: this host does not have the address 2001:db8::7: mail waits"
    ]
    assert list(source_check.complaints(config, has=lambda one: True)) == []


def test_which_addresses_this_host_has() -> None:
    assert source_check.has("127.0.0.1")
    assert not source_check.has("192.0.2.7")
