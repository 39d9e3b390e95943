"""Addresses of the suppression list: how they are told apart, what is kept, which are meant."""

from __future__ import annotations

import pytest
from mail import address

from mether.address import Address, AddressError
from mether.queue.suppressed_row import MAX_REASON, Chosen, Suppressed, bounded, entry, key


def row(text: str = "bob@example.net", **named: object) -> Suppressed:
    return Suppressed(address(text), **{"source": "delivery", "since": 100.0, **named})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other", ["BOB@example.net", "bob@EXAMPLE.net", '"bob"@example.net', "Bob@Example.Net"]
)
def test_the_same_mailbox_in_other_writings(other: str) -> None:
    assert key(address(other)) == key(address("bob@example.net"))


def test_a_domain_is_the_same_in_both_forms() -> None:
    assert key(Address("bob", "bücher.example")) == key(address("bob@xn--bcher-kva.example"))


def test_a_sub_address_is_an_address_of_its_own() -> None:
    assert key(address("bob+shop@example.net")) != key(address("bob@example.net"))


def test_the_bare_postmaster_is_on_no_list() -> None:
    assert key(Address("postmaster", "")) is None


def test_texts_are_bounded_and_on_one_line() -> None:
    assert bounded("a\r\n\tb  c") == "a b c"
    assert bounded("a\x1bb") == "a?b"
    assert len(row(reason="x" * 10_000_000).reason) == MAX_REASON


def test_what_stops_mail() -> None:
    assert row().stops(1e12)
    assert row(until=200.0).stops(199.0)
    assert not row(until=200.0).stops(200.0)
    assert not row(active=False).stops(150.0)


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (Chosen(), True),
        (Chosen(match="*@example.net"), True),
        (Chosen(match="BOB@*"), True),
        (Chosen(match="*@example.org"), False),
        (Chosen(kind="no such user"), False),
        (Chosen(kind=""), True),
        (Chosen(source="delivery"), True),
        (Chosen(source="person"), False),
        (Chosen(before=100.0), False),
        (Chosen(before=101.0), True),
        (Chosen(after=100.0), True),
        (Chosen(after=101.0), False),
    ],
)
def test_which_are_meant(chosen: Chosen, taken: bool) -> None:
    assert chosen.takes(row(), 150.0) is taken


def test_what_is_over_is_meant_only_with_everything() -> None:
    assert not Chosen().takes(row(until=120.0), 150.0)
    assert Chosen(everything=True).takes(row(until=120.0), 150.0)


def test_a_glob_that_names_a_domain() -> None:
    assert Chosen(match="*@Example.net").domain == "example.net"
    for match in ("bob*", "*@*.net", "*@e?.net", None):
        assert Chosen(match=match).domain is None


def test_narrow() -> None:
    assert not Chosen(everything=True).narrow
    assert Chosen(after=0.0).narrow


@pytest.mark.parametrize(
    ("text", "bare", "meant"),
    [
        ("Ann@Example.net", False, "Ann@Example.net"),
        ("<ann@example.net>", False, "ann@example.net"),
        ("@example.net", False, "@example.net"),
        ("*@example.net", False, "@example.net"),
        ("example.net", True, "@example.net"),
        ('"b*"@example.net', False, '"b*"@example.net'),
        ("example.net", False, None),
        ("postmaster", True, None),
        ("b*@example.net", True, None),
        ("b?b@example.net", True, None),
        ("*@*.net", True, None),
        ("@", True, None),
        ("<>", True, None),
        ("", True, None),
    ],
)
def test_what_a_person_means(text: str, bare: bool, meant: str | None) -> None:
    if meant is not None:
        assert str(entry(text, bare=bare)) == meant
        return
    with pytest.raises(AddressError):
        entry(text, bare=bare)
