"""What is read from a certificate, held against another reader's answers."""

from __future__ import annotations

import datetime
import hashlib

import certificates
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from mether.net.certificate import Certificate

NAMES = ("mx.example.com", "*.example.com", "192.0.2.7", "2001:db8::7", "ann@example.com")


def signed(key: object, digest: hashes.HashAlgorithm | None, **how: object) -> bytes:
    """A certificate that its own key signed in the given way."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bühne")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, begin, begin.replace(year=2030))
    return builder.sign(key, digest, **how).public_bytes(serialization.Encoding.DER)


def test_its_names_and_fingerprints():
    """TLS-8: dNSName and iPAddress entries, and both kinds of fingerprint."""
    der = certificates.der(*NAMES, common_name="cn.example.com")
    found = Certificate(der)
    assert found.dns_names == ("mx.example.com", "*.example.com")
    assert found.addresses == (bytes((192, 0, 2, 7)), bytes.fromhex("20010db8000000000000000000000007"))
    assert found.emails == ("ann@example.com",)
    assert found.common_name == "cn.example.com"
    assert found.fingerprint == hashlib.sha256(der).hexdigest()
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert found.key == spki
    assert found.key_fingerprint == hashlib.sha256(spki).hexdigest()


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda d: d.name)
def test_channel_binding_is_hashed_as_the_signature(digest: hashes.HashAlgorithm):
    """AUT: tls-server-end-point (RFC 5929 section 4.1) is what the certificate's own hash gives."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    for der in (
        signed(ec.generate_private_key(ec.SECP256R1()), digest),
        signed(rsa_key, digest),
        signed(rsa_key, digest, rsa_padding=padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH)),
    ):
        assert Certificate(der).end_point == hashlib.new(digest.name, der).digest()


def test_no_channel_binding_without_a_hash_of_the_signature():
    """RFC 5929 leaves it undefined there, as with Ed25519."""
    found = Certificate(signed(ed25519.Ed25519PrivateKey.generate(), None))
    assert found.end_point == b""
    assert found.dns_names == ()
    assert found.common_name == "bühne"


@pytest.mark.parametrize(
    "octets", [b"", b"\x30", b"\x30\x80", b"\x30\x03\x02\x01\x00", b"\x30\x84\xff\xff\xff\xff", b"x" * 99]
)
def test_what_is_no_certificate(octets: bytes):
    with pytest.raises(ValueError, match="not a certificate"):
        Certificate(octets)


@given(st.integers(0, 400), st.integers(0, 255))
def test_damage_is_an_error_of_one_kind_or_none(at: int, octet: int):
    """A hostile certificate is read, or is a ValueError; nothing else comes of it."""
    der = bytearray(certificates.der(*NAMES))
    der[at] = octet
    try:
        found = Certificate(bytes(der))
        assert all(name.isprintable() for name in found.dns_names)
        _ = found.end_point
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("begin", "end"), [((1960, 3, 1, 7), (2049, 12, 31, 23)), ((2026, 2, 28, 0), (2050, 1, 1, 0))]
)
def test_from_when_and_until_when_it_holds(begin: tuple[int, ...], end: tuple[int, ...]):
    """RFC 5280 section 4.1.2.5: UTCTime to 2049 with two digits of the year, GeneralizedTime from 2050."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    times = [datetime.datetime(*one, tzinfo=datetime.UTC) for one in (begin, end)]
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, *times)
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert Certificate(der).validity == tuple(one.timestamp() for one in times)
