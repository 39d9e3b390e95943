"""What a certificate says of itself: its names, its key, and its channel binding (RFC 5280).

`Certificate(der)` reads the few fields that SMTP needs from the DER octets.  Python's ssl module tells the
names of a peer only where it has verified the chain itself, of our own certificate nothing at all, and never
the key: fingerprints of keys, SNI by the names in our own files and tls-server-end-point (RFC 5929) need all
three.

Nothing here verifies anything.  Octets that are no certificate raise ValueError, whoever sent them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

MAX_NAMES: Final = 1000
"""Names read from one certificate; what comes behind them matches nothing."""

_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_OID: Final = 0x06
_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_SET: Final = 0x31
_EXTENSIONS: Final = 0xA3
_EMAIL: Final = 0x81
_DNS: Final = 0x82
_IP: Final = 0x87
_ALT_NAME: Final = bytes.fromhex("551d11")
_COMMON_NAME: Final = bytes.fromhex("550403")
_PSS: Final = bytes.fromhex("2a864886f70d01010a")
_HASHES: Final = {
    "2a864886f70d010104": "sha256",  # MD5 and SHA-1 stand for SHA-256 here (RFC 5929 section 4.1)
    "2a864886f70d010105": "sha256",
    "2a864886f70d01010b": "sha256",
    "2a864886f70d01010c": "sha384",
    "2a864886f70d01010d": "sha512",
    "2a864886f70d01010e": "sha224",
    "2a8648ce3d0401": "sha256",
    "2a8648ce3d040301": "sha224",
    "2a8648ce3d040302": "sha256",
    "2a8648ce3d040303": "sha384",
    "2a8648ce3d040304": "sha512",
    # The hashes themselves, as RSASSA-PSS names them.
    "2b0e03021a": "sha256",
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
    "608648016503040204": "sha224",
}


class Certificate:
    """One certificate.

    `der` are its octets; `dns_names` its dNSName entries as written; `addresses` its iPAddress entries as
    octets; `emails` its rfc822Name entries; `common_name` the subject's last CN, "" for none; `key` its
    SubjectPublicKeyInfo.  Raises ValueError.
    """

    __slots__ = ("_algorithm", "_dates", "addresses", "common_name", "der", "dns_names", "emails", "key")

    def __init__(self, der: bytes) -> None:
        self.der = der
        self.dns_names: tuple[str, ...] = ()
        self.addresses: tuple[bytes, ...] = ()
        self.emails: tuple[str, ...] = ()
        outer = list(_parts(_only(der, 0, len(der), _SEQUENCE)))
        if len(outer) != 3:
            raise ValueError("not a certificate")
        self._algorithm = outer[1][1]
        fields = [part for part in _parts(outer[0][1]) if part[0] != 0xA0]
        if len(fields) < 6 or fields[0][0] != _INTEGER:
            raise ValueError("not a certificate")
        self.common_name = _common_name(fields[4][1])
        self.key = fields[5][2]
        self._dates = fields[3][1]
        for tag, inner, _ in fields[6:]:
            if tag == _EXTENSIONS:
                self._extensions(_only(inner, 0, len(inner), _SEQUENCE))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in lower-case hexadecimal digits."""
        return _sha256(self.der)

    @property
    def key_fingerprint(self) -> str:
        """SHA-256 of the public key (SubjectPublicKeyInfo), in lower-case hexadecimal digits."""
        return _sha256(self.key)

    @property
    def validity(self) -> tuple[float, float]:
        """From when and until when it holds, in Unix seconds (RFC 5280 section 4.1.2.5).

        Raises ValueError.
        """
        import calendar

        times = []
        for tag, inner, _ in _parts(self._dates):
            text = inner.decode("ascii", "replace").removesuffix("Z")
            if tag == _UTC_TIME:
                text = ("19" if text >= "5" else "20") + text
            if len(text) != 14 or not (text.isascii() and text.isdigit()):
                raise ValueError("not a time of a certificate")
            parts = (int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2)))
            times.append(float(calendar.timegm(parts)))
        if len(times) != 2:
            raise ValueError("not the validity of a certificate")
        return times[0], times[1]

    @property
    def end_point(self) -> bytes:
        """The channel binding tls-server-end-point of this certificate (RFC 5929 section 4).

        b"" where its signature has no hash of its own (Ed25519): there is no such binding then.
        """
        import hashlib

        parts = list(_parts(self._algorithm))
        oid = parts[0][1] if parts and parts[0][0] == _OID else b""
        if oid == _PSS:
            oid = _pss_hash(parts[1][1]) if len(parts) > 1 else b""
        name = _HASHES.get(oid.hex())
        return hashlib.new(name, self.der).digest() if name else b""

    def _extensions(self, data: bytes) -> None:
        for tag, inner, _ in _parts(data):
            parts = list(_parts(inner)) if tag == _SEQUENCE else []
            if len(parts) >= 2 and parts[0][1] == _ALT_NAME and parts[-1][0] == _OCTETS:
                value = parts[-1][1]
                self._names(_only(value, 0, len(value), _SEQUENCE))

    def _names(self, data: bytes) -> None:
        found: dict[int, list[bytes]] = {_EMAIL: [], _DNS: [], _IP: []}
        for number, (tag, inner, _) in enumerate(_parts(data)):
            if number >= MAX_NAMES:
                break
            if tag in found:
                found[tag].append(inner)
        # A name with other octets than printable ASCII is none, and must not look like one in a log.
        self.dns_names = _texts(found[_DNS])
        self.emails = _texts(found[_EMAIL])
        self.addresses = tuple(found[_IP])


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _texts(found: list[bytes]) -> tuple[str, ...]:
    return tuple(
        one.decode("ascii") for one in found if one.isascii() and one.decode("ascii").isprintable() and one
    )


def _common_name(subject: bytes) -> str:
    name = ""
    for tag, inner, _ in _parts(subject):
        for kind, pair, _ in _parts(inner) if tag == _SET else ():
            parts = list(_parts(pair)) if kind == _SEQUENCE else []
            if len(parts) == 2 and parts[0][1] == _COMMON_NAME:
                text = parts[1][1].decode("utf-8", "replace")[:255]
                name = text if text.isprintable() else ""
    return name


def _pss_hash(parameters: bytes) -> bytes:
    """The hash that RSASSA-PSS was used with; SHA-1 unless named (RFC 4055 section 3.1)."""
    for tag, inner, _ in _parts(parameters):
        if tag == 0xA0:
            parts = list(_parts(_only(inner, 0, len(inner), _SEQUENCE)))
            return parts[0][1] if parts else b""
    return bytes.fromhex("2b0e03021a")


def _only(data: bytes, at: int, end: int, tag: int) -> bytes:
    """What is inside the one element that `data` consists of."""
    found, start, stop = _element(data, at, end)
    if found != tag or stop != end:
        raise ValueError("not a certificate")
    return data[start:stop]


def _parts(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The elements in a row: the tag, what is inside, and the element as a whole."""
    at, end = 0, len(data)
    while at < end:
        tag, start, stop = _element(data, at, end)
        yield tag, data[start:stop], data[at:stop]
        at = stop


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The tag of the DER element at `at`, where its content starts and where it ends (X.690 section 8.1)."""
    if end - at < 2:
        raise ValueError("not a certificate")
    tag, length = data[at], data[at + 1]
    start = at + 2
    if length >= 0x80:
        count = length - 0x80
        if not 1 <= count <= 4 or end - start < count:
            raise ValueError("not a certificate")
        length = int.from_bytes(data[start : start + count])
        start += count
    if tag & 0x1F == 0x1F or length > end - start:
        raise ValueError("not a certificate")
    return tag, start, start + length
