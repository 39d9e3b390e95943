"""A client sees the same replies, up to the same fault, however the octets are cut, and closed is closed."""

from __future__ import annotations

from mether.smtp import state
from mether.smtp.client import MAX_LINE, ClientProtocol, LocalError, ProtocolFault

GROUPS = (
    ("EHLO",),
    ("MAIL", "RCPT", "RCPT", "DATA"),
    ("NOOP", "RSET", "QUIT"),
    ("AUTH",),
    ("STARTTLS",),
    ("MAIL", "RCPT", "BDAT", "BDAT LAST"),
)


def session(data: bytes, group: tuple[str, ...], cuts: bytes) -> list[str]:
    """The replies as text, and "fault" where there was one."""
    protocol = ClientProtocol()
    out: list[str] = []
    sizes = iter(cuts)
    while True:
        try:
            event = protocol.next_event()
        except ProtocolFault as error:
            assert str(error).isprintable()
            return [*out, "fault"]
        if not isinstance(event, tuple):
            if not data:
                return out
            size = next(sizes, len(data)) or 1
            protocol.receive(data[:size])
            data = data[size:]
            continue
        verb, reply = event
        out.append(f"{verb} {reply!r} {protocol.state}")
        assert all(line.isprintable() and len(line) <= MAX_LINE for line in reply.lines)
        if protocol.state == state.CLOSED:
            try:
                protocol.send("NOOP", b"NOOP\r\n")
            except LocalError:
                pass
            else:
                raise AssertionError("a closed session takes a command")
        elif verb == state.GREETING:
            for each in group:
                protocol.send(each, b"")
        elif protocol.state == state.AUTH:
            protocol.send(state.RESPONSE, b"")


def check(data: bytes) -> None:
    """The first octet says what the client asks, the second how many octets of cuts follow."""
    if len(data) < 2:
        return
    group, count = GROUPS[data[0] % len(GROUPS)], data[1] % 32
    cuts, said = data[2 : 2 + count], data[2 + count :]
    whole = session(said, group, b"")
    assert session(said, group, cuts) == whole
    assert session(said, group, b"\1" * len(said)) == whole
