"""A PROXY header names one client however its octets are cut, or is refused; no octet behind it is lost."""

from __future__ import annotations

import ipaddress

from mether.net.proxy import LINE, MAX_LENGTH, Header, ProxyError, Source


def read(data: bytes, size: int) -> Source | None:
    """The source in octets that come so many at a time, with all that follows it."""
    header = Header()
    while data:
        source = header.feed(data[:size])
        data = data[size:]
        if source is not None:
            source.rest += data
            return source
        assert header.buffered <= max(LINE, 16 + MAX_LENGTH) + size
    return None


def said(data: bytes, size: int) -> tuple[object, ...]:
    try:
        source = read(data, size)
    except ProxyError as error:
        assert str(error).isprintable()
        return ("refused",)
    if source is None:
        return ("more",)
    for address in (source.address, source.destination):
        assert not address or str(ipaddress.ip_address(address)) == address
    assert 0 <= source.port <= 65535 and 0 <= source.destination_port <= 65535
    assert data.endswith(source.rest)
    return (
        source.address,
        source.port,
        source.destination,
        source.destination_port,
        source.local,
        source.rest,
    )


def check(data: bytes) -> None:
    """The first octet is the size of the pieces."""
    if not data:
        return
    whole = said(data[1:], len(data))
    assert said(data[1:], data[0] or 1) == whole
    assert said(data[1:], 1) == whole
