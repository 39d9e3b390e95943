"""Where we are ourselves."""

from __future__ import annotations

import pytest

from mether.net import own
from mether.net.own import ELSEWHERE, At, Own, is_local


def test_pairs_and_every_address_of_this_host() -> None:
    """MX-6."""
    ours = Own([("192.0.2.1", 25), ("/run/lmtp", 0)], [2525], is_local=lambda address: address == "192.0.2.7")
    assert ("192.0.2.1", 25) in ours
    assert ("/run/lmtp", 0) in ours
    assert ("192.0.2.1", 2525) not in ours
    assert ("192.0.2.7", 2525) in ours
    assert ("192.0.2.7", 25) not in ours
    assert "192.0.2.1" not in ours


def test_addresses_at_a_port() -> None:
    """MX-6."""
    assert "192.0.2.1" in At({("192.0.2.1", 25)}, 25)
    assert "192.0.2.1" not in At({("192.0.2.1", 25)}, 26)
    assert 25 not in At({("192.0.2.1", 25)}, 25)


def test_what_this_host_has() -> None:
    assert is_local("127.0.0.1")
    assert not is_local("198.51.100.77")
    assert not is_local("2001:db8::1")
    assert not is_local("nonsense")


def test_where_any_address_can_be_bound_to_none_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_can_bind", lambda address: True)
    assert not is_local("127.0.0.1")
    monkeypatch.setattr(own, "_can_bind", lambda address: address not in ELSEWHERE.values())
    assert is_local("127.0.0.1")
