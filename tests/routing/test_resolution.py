"""What `routing.expand` finds, as a value."""

from __future__ import annotations

from mail import HOP, address

from mether.routing.resolution import Delivery, Resolution
from mether.routing.router import Decision


def test_a_resolution_is_held_as_the_first_that_is() -> None:
    ann, bob = (
        Delivery(address("ann@example.com"), HOP),
        Delivery(address("bob@example.com"), HOP, hold="why"),
    )
    assert Resolution(Decision(None, HOP), [ann, bob]).hold == "why"
    assert Resolution(Decision(None, HOP), [ann]).hold is None


def test_what_has_no_delivery_is_no_alias() -> None:
    assert Resolution(Decision(None, HOP)).how == "direct"
    assert not Resolution(Decision(None, HOP)).open
