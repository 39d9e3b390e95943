"""What a server says is a reply that can be shown and passed on in printable lines, or it is a fault."""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import extension, limits
from mether.smtp.client import ClientProtocol, ProtocolFault


def read(data: bytes) -> Reply | None:
    """The first reply in some octets."""
    protocol = ClientProtocol()
    protocol.receive(data)
    try:
        event = protocol.next_event()
    except ProtocolFault as error:
        assert str(error).isprintable()
        return None
    return event[1] if isinstance(event, tuple) else None


def check(data: bytes) -> None:
    """All of it is what the server said."""
    reply = read(data)
    if reply is None:
        return
    assert 200 <= reply.code <= 599
    assert all(line.isprintable() for line in reply.lines)
    written = reply.encode()
    assert all(len(line) <= 512 for line in written.split(b"\n"))
    again = read(written)
    assert again is not None
    assert (again.code, again.status) == (reply.code, reply.status), (reply, again)
    offer = extension.parse(reply.lines[1:])
    assert offer.size_limit is None or 0 < offer.size_limit < 10**20
    assert all(mechanism == mechanism.upper() for mechanism in offer.mechanisms)
    limits.parse(offer.keywords.get("LIMITS"))
