"""What next hops share when nothing else is said."""

from __future__ import annotations

from typing import Any

from mail import HOP

from mether.client.session import Timeouts
from mether.relay.settings import IDLE, Settings
from mether.relay.slots import MOST


def made() -> Settings:
    nothing: Any = None
    return Settings(
        loop=nothing,
        find=nothing,
        content=nothing,
        hostname="us.example.com",
        timeouts=Timeouts(),
        clock=nothing,
        done=nothing,
        returned=nothing,
    )


def test_limits_hold_for_each_next_hop_and_for_all() -> None:
    settings = made()
    limits = settings.limits(HOP)
    assert (limits.connections, limits.messages, limits.rate) == (20, 1000, 0.0)
    assert (settings.slots.total, settings.idle) == (MOST, IDLE)
    assert made().slots is not settings.slots, "each pool has connections of its own"
