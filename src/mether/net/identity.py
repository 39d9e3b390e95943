"""Whether a certificate is the one of the server that was meant (RFC 9525).

Pure: `presented(reference, certificate)` compares one reference identity, a name or IP address that came from
configuration or from another source that nobody on the wire could change, with what the certificate
presents.  Only subjectAltName counts: a name is compared with dNSName entries (DNS-ID), an address with
iPAddress entries (IP-ID), and the subject's common name with nothing.

A ``*`` is a wildcard only as the whole left-most label, and stands for exactly one label.  Names are compared
as A-labels without regard to case.  A reference that begins with a dot, ``.example.net``, takes every name
below it: that is this program's, for next hops whose hosts' names are not known beforehand.
"""

from __future__ import annotations

import _socket

from mether.address import AddressError, ascii_domain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mether.net.certificate import Certificate


def presented(reference: str, certificate: Certificate) -> bool:
    """Whether the certificate is one for the reference identity."""
    octets = address_octets(reference)
    if octets is not None:
        return octets in certificate.addresses
    wanted = _normal(reference)
    return wanted != "" and any(_matches(wanted, name) for name in certificate.dns_names)


def first_presented(references: Iterable[str], certificate: Certificate) -> str:
    """The first of the references that the certificate is for; "" when there is none."""
    return next((one for one in references if presented(one, certificate)), "")


def names_found(certificate: Certificate, most: int = 5) -> str:
    """The identities of a certificate for an error's text, at most so many."""
    found = [*certificate.dns_names, *map(_written, certificate.addresses)]
    if not found:
        return "none"
    return ", ".join(name[:80] for name in found[:most]) + (" ..." if len(found) > most else "")


def address_octets(text: str) -> bytes | None:
    """The octets of an IP address, with or without brackets; None when it is none."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if text[:5].lower() == "ipv6:":
        text = text[5:]
    if "\0" in text or not text.isascii():
        return None
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_pton(family, text)
        except OSError:
            pass
    return None


def _normal(reference: str) -> str:
    dot, name = ("." if reference.startswith(".") else ""), reference.removeprefix(".").removesuffix(".")
    try:
        return dot + ascii_domain(name).lower() if name else ""
    except AddressError:
        return ""


def _matches(reference: str, name: str) -> bool:
    """Whether a dNSName matches a reference in lower case."""
    name = name.lower()
    if "*" in name:
        # Not *.example: no certificate is for all names of a whole top-level domain.
        if name[:2] != "*." or "*" in name[1:] or "." not in name[2:]:
            return False
        if reference.startswith("."):
            return name[1:] == reference or name.endswith(reference)
        first, _, rest = reference.partition(".")
        return first != "" and rest == name[2:]
    if reference.startswith("."):
        return name.endswith(reference) and len(name) > len(reference) and not name.startswith(".")
    return name == reference


def _written(octets: bytes) -> str:
    family = {4: _socket.AF_INET, 16: _socket.AF_INET6}.get(len(octets))
    return _socket.inet_ntop(family, octets) if family is not None else octets[:20].hex()
