"""Whose certificate it is (RFC 9525)."""

from __future__ import annotations

import certificates
import pytest

from mether.net import identity
from mether.net.certificate import Certificate


def made(*names: str) -> Certificate:
    return Certificate(certificates.der(*names, common_name="cn.example.com"))


@pytest.mark.parametrize(
    ("reference", "names", "expected"),
    [
        ("mx.example.com", ["mx.example.com"], True),
        ("MX.Example.COM.", ["mx.example.com"], True),
        ("mx.example.com", ["mail.example.com", "MX.example.com"], True),
        ("mx.example.com", ["example.com"], False),
        ("mx.example.com", ["*.example.com"], True),
        ("example.com", ["*.example.com"], False),
        ("a.mx.example.com", ["*.example.com"], False),
        ("mx1.example.com", ["mx*.example.com"], False),
        ("mx.a.example.com", ["mx.*.example.com"], False),
        ("example.com", ["*.com"], False),
        ("com", ["*"], False),
        ("bücher.example.com", ["xn--bcher-kva.example.com"], True),
        ("cn.example.com", ["mx.example.com"], False),
        ("", ["mx.example.com"], False),
        (".example.com", ["mx.example.com"], True),
        (".example.com", ["a.mx.example.com"], True),
        (".example.com", ["*.example.com"], True),
        (".example.com", ["*.mx.example.com"], True),
        (".example.com", ["example.com"], False),
        (".example.com", ["badexample.com"], False),
        ("192.0.2.7", ["192.0.2.7"], True),
        ("[IPv6:2001:DB8::7]", ["2001:db8:0::7"], True),
        ("192.0.2.7", ["mx.example.com"], False),
        ("192.0.2.8", ["192.0.2.7"], False),
    ],
)
def test_matching(reference: str, names: list[str], expected: bool):
    """TLS-8: DNS-ID, whole-label wildcard, IP-ID; never the common name."""
    real = [name for name in names if name.count("*") != 1 or name.startswith("*.")]
    if real == names and "*" not in "".join(names):
        certificate = made(*names)
    else:
        certificate = made("placeholder.example")
        certificate.dns_names = tuple(names)
    assert identity.presented(reference, certificate) is expected


def test_an_address_is_never_compared_with_a_name():
    certificate = made("placeholder.example")
    certificate.dns_names = ("192.0.2.7",)
    assert not identity.presented("192.0.2.7", certificate)


def test_the_first_of_several_references():
    certificate = made("mx.example.com", "example.net")
    wanted = ["other.example", "example.net", "mx.example.com"]
    assert identity.first_presented(wanted, certificate) == "example.net"
    assert identity.first_presented(["other.example"], certificate) == ""


def test_the_names_in_an_error_are_few():
    assert identity.names_found(made("mx.example.com", "192.0.2.7")) == "mx.example.com, 192.0.2.7"
    many = made(*[f"n{number}.example.com" for number in range(9)])
    assert identity.names_found(many).endswith("n4.example.com ...")
    certificate = made("placeholder.example")
    certificate.dns_names = ()
    assert identity.names_found(certificate) == "none"
