"""What is known of a recipient, and in which form it is compared."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.routing.request import Request, address_key, domain_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ('"Ann"@example.org', "ann@example.org"),
        ('"a b"@example.org', "a b@example.org"),
        ("ann@münchen.example", "ann@xn--mnchen-3ya.example"),
        ("Postmaster", "postmaster"),
    ],
)
def test_the_key_of_an_address(address: str, key: str) -> None:
    assert address_key(parse(address, utf8=True)) == key


def test_a_domain_without_a_labels_is_itself() -> None:
    class Odd:
        domain = "ODD"

        @property
        def ascii_domain(self) -> str:
            from mether.address import AddressError

            raise AddressError("none")

    assert domain_key(Odd()) == "odd"  # type: ignore[arg-type]


def test_a_request_and_another_recipient_of_it() -> None:
    request = Request(parse("Ann@A.test"), client="192.0.2.1", login="bob", listener="inner")
    assert (request.domain, request.key, request.sender_key) == ("a.test", "ann@a.test", "<>")
    other = request.to(parse("carl@b.test"))
    assert (other.domain, other.key, other.client, other.login, other.listener, other.sender) == (
        "b.test",
        "carl@b.test",
        "192.0.2.1",
        "bob",
        "inner",
        None,
    )
    assert Request(parse("a@b.test"), sender=parse("X@Y.test")).sender_key == "x@y.test"
