"""The PROXY protocol, versions 1 and 2: who the client is, said by a proxy before anything else.

A `Header` is fed octets as they come, in any pieces, and answers with a `Source` once the header is
whole.  It opens nothing and reads nothing by itself.  Whoever feeds it has made sure that the peer is a proxy
in a listed network: from anybody else these octets are a claim to be someone else, and they are not parsed.
The header stands before TLS and before the greeting.

Rules: HAProxy's ``proxy-protocol.txt`` (2.1, 2.2).  Departures, each towards the safe side:

- UNKNOWN, UNSPEC and Unix sockets give a source without an address (`Source.address` is ``""``), not
  the proxy's own.  A proxy says UNKNOWN also for clients whose address it could not write, and a
  proxy on a trusted network would make them trusted.
- LOCAL (version 2: the proxy itself, such as its health check) sets `Source.local`.
- Type-length-values are checked to fill their room exactly and are otherwise passed over: what they say of
  TLS and of certificates is not believed, and the checksum is not supported.
- A version 2 header may announce MAX_LENGTH octets and no more.

Fails with `ProxyError`; the connection is then to be cut without a word.  No more is ever buffered than
LINE octets (version 1), or 16 and MAX_LENGTH (version 2), and what was given in the last piece.
"""

from __future__ import annotations

import ipaddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LINE: Final = 107
"""Octets of a version 1 header with its CRLF."""

MAX_LENGTH: Final = 4096
"""Octets that may follow the 16 of a version 2 header; real ones are below 1 KiB."""

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_WORD: Final = b"PROXY "
_FIXED: Final = 16

_ADDRESSES: Final = {0: 0, 1: 12, 2: 36, 3: 216}
"""Octets of the two addresses and ports, by family: unspecified, IPv4, IPv6, Unix."""


class ProxyError(Exception):
    """What came is no PROXY header; str() says why, in words for the log."""


class Source:
    """Who connected to the proxy, and `rest`: the octets behind the header.

    `address` (an IP address) and `port` are the client's; ``""`` and 0 where the proxy named none.
    `destination` and `destination_port` are what the client connected to.  With `local` the connection is
    the proxy's own, and the addresses are the connection's.
    """

    __slots__ = ("address", "destination", "destination_port", "local", "port", "rest")

    def __init__(
        self,
        rest: bytes,
        address: str = "",
        port: int = 0,
        destination: str = "",
        destination_port: int = 0,
        *,
        local: bool = False,
    ) -> None:
        self.rest = rest
        self.address = address
        self.port = port
        self.destination = destination
        self.destination_port = destination_port
        self.local = local

    def __repr__(self) -> str:
        return f"Source({self.address!r}, {self.port}, local={self.local})"


class Header:
    """One header in the making."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def buffered(self) -> int:
        """Octets held."""
        return len(self._held)

    def feed(self, data: bytes) -> Source | None:
        """Take octets; returns the source once the header is whole, None while it needs more.

        Raises ProxyError as soon as it can be none.
        """
        data = self._held + data
        self._held = b""
        start = data[: len(SIGNATURE)]
        if SIGNATURE.startswith(start):
            source = _binary(data)
        elif start.startswith(_WORD) or _WORD.startswith(start):
            source = _line(data)
        else:
            raise ProxyError("something else came")
        if source is None:
            self._held = data
        return source


def _line(data: bytes) -> Source | None:
    """Version 1: ``PROXY TCP4 192.0.2.1 192.0.2.2 56324 25`` and CRLF."""
    end = data.find(b"\r\n", 0, LINE)
    if end < 0:
        if len(data) >= LINE:
            raise ProxyError(f"no CRLF within {LINE} octets")
        if b"\n" in data:
            raise ProxyError("a line that does not end in CRLF")
        return None
    if b"\n" in data[:end]:  # refused here too, so that it does not depend on how the octets came
        raise ProxyError("a line that does not end in CRLF")
    rest = data[end + 2 :]
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Source(rest)  # what else the line says is to be ignored
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyError("expected TCP4 or TCP6, two addresses and two ports, or UNKNOWN")
    version = 4 if words[1] == b"TCP4" else 6
    return Source(
        rest,
        _address(words[2], version),
        _port(words[4]),
        _address(words[3], version),
        _port(words[5]),
    )


def _address(word: bytes, version: int) -> str:
    text = word.decode("latin-1")
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        ip = None
    if ip is None or ip.version != version or "%" in text:
        raise ProxyError(f"expected an IPv{version} address, not {text[:45]!r}")
    return _written(ip)


def _written(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address as text; an IPv4 address in IPv6's clothes is that IPv4 address."""
    return str((isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip)


def _port(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= 5 and (word[:1] != b"0" or word == b"0") and int(word) <= 65535):
        raise ProxyError(f"expected a port, not {word.decode('latin-1')[:10]!r}")
    return int(word)


def _binary(data: bytes) -> Source | None:
    """Version 2: 16 octets, then the addresses and the type-length-values."""
    if len(data) > 12 and data[12] >> 4 != 2:
        raise ProxyError(f"version {data[12] >> 4} of the binary header is not known")
    if len(data) > 12 and data[12] & 15 > 1:
        raise ProxyError(f"command {data[12] & 15} is not known")
    if len(data) < _FIXED:
        return None
    length = int.from_bytes(data[14:16], "big")
    if length > MAX_LENGTH:
        raise ProxyError(f"a header of {length} octets; at most {MAX_LENGTH} are taken")
    end = _FIXED + length
    if len(data) < end:
        return None
    rest, body = data[end:], data[_FIXED:end]
    if data[12] & 15 == 0:
        return Source(rest, local=True)  # everything but the length is to be ignored
    family, transport = data[13] >> 4, data[13] & 15
    if family not in _ADDRESSES or transport > 2:
        raise ProxyError(f"family {family} with transport {transport} is not known")
    if transport == 2:
        raise ProxyError("the client came by datagrams")
    if family == 0 or transport == 0:
        return Source(rest)
    if length < _ADDRESSES[family]:
        raise ProxyError(f"{length} octets are too few for its addresses")
    _check_values(body[_ADDRESSES[family] :])
    if family == 3:
        return Source(rest)
    size = 4 if family == 1 else 16
    ports = body[2 * size :]
    return Source(
        rest,
        _written(ipaddress.ip_address(body[:size])),
        int.from_bytes(ports[:2], "big"),
        _written(ipaddress.ip_address(body[size : 2 * size])),
        int.from_bytes(ports[2:4], "big"),
    )


def _check_values(values: bytes) -> None:
    """Type-length-values: one octet, two of length, and so many."""
    at = 0
    while at < len(values):
        end = at + 3 + int.from_bytes(values[at + 1 : at + 3], "big")
        if at + 3 > len(values) or end > len(values):
            raise ProxyError("a type-length-value that goes beyond the header")
        at = end
