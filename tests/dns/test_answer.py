"""The values."""

from __future__ import annotations

from mether.dns.answer import Addresses, Answer


def test_addresses_are_a_tuple_that_knows_whether_it_is_authenticated() -> None:
    found = Addresses.of(["192.0.2.1"], authenticated=True)
    assert found == ("192.0.2.1",)
    assert found.authenticated
    assert not Addresses().authenticated
    assert not Answer("example.org").authenticated
