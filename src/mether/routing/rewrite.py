"""Addresses written anew as mail goes out: masquerading, and a map of addresses.

`Rewrite.change` says what one address becomes, in the envelope and in the header alike.  The map is asked
first, and what it says is final; what it does not know is masqueraded.

The map has one address for another, by these keys (as Postfix's generic(5) has them):

===================  =============================================================
key                  is
===================  =============================================================
``ann@a.example``    that address
``ann``              ann at this host, by its own name or with no domain at all
``@a.example``       every address there
===================  =============================================================

and these values: ``ann@example.net``; ``@example.net``, which keeps the local-part; ``ann.smith``, a
local-part as it stands before an @, which keeps the domain.

Masquerading takes the host out of a domain: with ``example.org`` an address at ``host.example.org``, and at
every name below ``example.org``, becomes one at ``example.org``.  The first domain that fits decides;
``!host.example.org`` leaves that one and what is below it as they are.  Users that are named as exceptions,
such as root, keep their host, by which one knows whose root it was.

Pure.  `Rewrite.change` raises TableError when the map cannot be read or says what is no address, and Needs
when it has to be waited for (`routing.source`).
"""

from __future__ import annotations

from mether.address import Address, AddressError, ascii_domain, check_domain, parse, unquote
from mether.routing.request import address_key, domain_key
from mether.routing.source import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mether.routing.source import Source


class Masquerade:
    """The `domains` to show in place of the hosts below them, and the users (local-parts) in `exceptions`.

    Raises ValueError for what is no domain.
    """

    __slots__ = ("_exceptions", "_rules")

    def __init__(self, domains: Iterable[str], exceptions: Iterable[str] = ()) -> None:
        self._rules = tuple((written[:1] != "!", domain(written)) for written in domains)
        self._exceptions = frozenset(one.lower() for one in exceptions)

    def change(self, address: Address) -> Address | None:
        """What the address becomes; None: it stays."""
        name = domain_key(address)
        for shown, parent in self._rules:
            if name != parent and not name.endswith(f".{parent}"):
                continue
            if not shown or name == parent or unquote(address.local_part).lower() in self._exceptions:
                return None
            return Address(address.local_part, parent)
        return None


class Rewrite:
    """A rule's rewriting, of which either part may be None; `hostname` is this host's own name."""

    __slots__ = ("_here", "_map", "_masquerade")

    def __init__(self, masquerade: Masquerade | None, map: Source | None, hostname: str) -> None:
        self._masquerade = masquerade
        self._map = map
        self._here = hostname.lower()

    def change(self, address: Address, *, envelope_recipient: bool = False) -> Address | None:
        """What the address becomes; None: it stays.

        A recipient in the envelope is not masqueraded: its host is where it is read.  Raises TableError or
        Needs.
        """
        if self._map is not None:
            found = self._mapped(self._map, address)
            if found is not None:
                return None if str(found) == str(address) else found
        if self._masquerade is None or envelope_recipient:
            return None
        return self._masquerade.change(address)

    def _mapped(self, map: Source, address: Address) -> Address | None:
        name = domain_key(address)
        value = map.get(address_key(address))
        if value is None and name == self._here:
            value = map.get(unquote(address.local_part).lower())
        if value is None and name:
            value = map.get(f"@{name}")
        if value is None:
            return None
        text = value.strip()
        try:
            found = meant(text)
        except AddressError as error:
            raise TableError(
                f"{map.name} has {text[:80]!r} for {address}: expected an address ({error})"
            ) from None
        return Address(found.local_part or address.local_part, found.domain or address.domain)


def meant(value: str) -> Address:
    """What a value of the map says: an address, or one whose local-part or domain is "" where that stays.

    Nothing is mended: a local-part that needs quotes has them.  Raises AddressError.
    """
    if value[:1] == "@":
        check_domain(value[1:], utf8=True)
        return Address("", value[1:])
    try:
        if value[:1] == '"' and value[-1:] == '"':
            return Address(parse(f"{value}@example.org", utf8=True).local_part, "")
        if "@" in value:
            return parse(value, utf8=True)
        return Address(parse(f"{value}@example.org", utf8=True).local_part, "")
    except AddressError as error:
        if "@" in value:
            raise
        raise AddressError(f"what has no @ is a local-part, {error}") from None


def domain(written: str) -> str:
    """A domain of `Masquerade`, without its ``!``, in lower case with A-labels.  Raises ValueError."""
    name = written.removeprefix("!")
    try:
        if name.startswith("["):
            raise AddressError("nothing is below an address literal")
        check_domain(name, utf8=True)
        return ascii_domain(name)
    except AddressError as error:
        raise ValueError(
            f"expected a domain such as example.org, or !domain for one that stays: {error}"
        ) from None
