"""What an address becomes when mail goes out."""

from __future__ import annotations

import pytest

from mether.address import Address, parse
from mether.routing.rewrite import Masquerade, Rewrite, domain
from mether.routing.source import TableError


class Table:
    """A Source made of a dictionary."""

    name = "table generic"

    def __init__(self, **values: str) -> None:
        self.values = values

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    async def learn(self, key: str) -> None:
        pass


def table(text: str) -> Table:
    return Table(**dict(line.split(" ", 1) for line in text.split("; ")))


def changed(rewrite: Rewrite, text: str, *, envelope_recipient: bool = False) -> str:
    address = parse(text, utf8=True) if "@" in text else Address(text, "")
    found = rewrite.change(address, envelope_recipient=envelope_recipient)
    return "" if found is None else str(found)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ann@host.example.org", "ann@example.org"),
        ("Ann@a.b.EXAMPLE.org", "Ann@example.org"),
        ("ann@example.org", ""),
        ("ann@notexample.org", ""),
        ("ann@example.net", ""),
        ("root@host.example.org", ""),
        ("ROOT@host.example.org", ""),
        ("ann@lists.example.org", ""),
        ("ann@x.lists.example.org", ""),
        ("ann@[192.0.2.1]", ""),
        ('"a b"@host.example.org', '"a b"@example.org'),
        ("ann@host.bücher.example", "ann@xn--bcher-kva.example"),
    ],
)
def test_masquerading_takes_the_host_out(address: str, shown: str) -> None:
    """Postfix's masquerade_domains and masquerade_exceptions."""
    rewrite = Rewrite(
        Masquerade(["!lists.example.org", "Example.org", "bücher.example"], ["root"]), None, "host"
    )
    assert changed(rewrite, address) == shown


def test_the_first_domain_that_fits_decides() -> None:
    rewrite = Rewrite(Masquerade(["b.example.org", "example.org"]), None, "host")
    assert changed(rewrite, "x@a.b.example.org") == "x@b.example.org"
    assert changed(rewrite, "x@b.example.org") == ""
    assert changed(rewrite, "x@c.example.org") == "x@example.org"


def test_a_recipient_of_the_envelope_keeps_its_host() -> None:
    rewrite = Rewrite(Masquerade(["example.org"]), None, "host")
    assert changed(rewrite, "ann@host.example.org", envelope_recipient=True) == ""


@pytest.mark.parametrize(
    ("address", "becomes"),
    [
        ("ann@laptop.local", "ann.smith@example.net"),
        ("ANN@Laptop.Local", "ann.smith@example.net"),
        ("root@laptop.local", "admin@example.net"),
        ("root", "admin@example.net"),
        ("root@other.example", ""),
        ("eve@laptop.local", "eve@example.net"),
        ("eve", ""),
        ("joe@other.example", "joseph@other.example"),
        ('"joe"@other.example', "joseph@other.example"),
    ],
)
def test_the_map_has_addresses_users_and_domains(address: str, becomes: str) -> None:
    """Postfix's generic(5)."""
    generic = table(
        "ann@laptop.local ann.smith@example.net; root admin@example.net; @laptop.local @example.net; "
        "joe@other.example joseph"
    )
    rewrite = Rewrite(None, generic, "laptop.local")
    assert changed(rewrite, address) == becomes
    assert changed(rewrite, address, envelope_recipient=True) == becomes


def test_the_map_comes_before_masquerading_and_is_final() -> None:
    generic = table("ann@a.example.org ann@b.example.org; root@a.example.org root@a.example.org")
    rewrite = Rewrite(Masquerade(["example.org"]), generic, "host")
    assert changed(rewrite, "ann@a.example.org") == "ann@b.example.org"
    assert changed(rewrite, "root@a.example.org") == "", "it maps to itself, and so stays"
    assert changed(rewrite, "eve@a.example.org") == "eve@example.org"


@pytest.mark.parametrize(
    "value", ["two@example.org, three@example.org", "@", "@-x-", "a b@example.org", "nobody at x", "a..b", ""]
)
def test_what_is_no_address_makes_mail_wait(value: str) -> None:
    rewrite = Rewrite(None, Table(**{"ann@example.org": value}), "host")
    if value == "":
        return
    with pytest.raises(TableError, match=r"table generic has .* expected an address"):
        changed(rewrite, "ann@example.org")


@pytest.mark.parametrize(
    ("value", "becomes"), [("ann.smith", "ann.smith@a.example"), ('"a b"', '"a b"@a.example')]
)
def test_a_local_part_stands_in_a_map_as_before_an_at(value: str, becomes: str) -> None:
    assert changed(Rewrite(None, Table(**{"@a.example": value}), "host"), "x@a.example") == becomes


@pytest.mark.parametrize("written", ["", "!", "exa mple", "[192.0.2.1]", "!!a.example"])
def test_what_is_no_domain_is_an_error(written: str) -> None:
    with pytest.raises(ValueError, match="expected a domain"):
        domain(written)
