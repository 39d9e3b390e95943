"""A server sees the same events however the octets of a session are cut, and holds no more than a line."""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import server_events, state, wire
from mether.smtp.command import Command, Grammar
from mether.smtp.server import ServerProtocol

OFFERED = [
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "CHUNKING",
    "BINARYMIME",
    "SMTPUTF8",
    "DSN",
    "STARTTLS",
    "AUTH PLAIN",
]
GRAMMAR = Grammar(OFFERED)
OK = Reply(250, "2.0.0", "ok")
BEGIN = b"LO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"


def answer(event: server_events.Event, count: int) -> Reply:
    """A reply that depends on what was said alone."""
    if isinstance(event, server_events.Invalid):
        return event.reply
    if isinstance(event, server_events.EndOfChunk | server_events.EndOfContent):
        return event.fault or OK
    assert isinstance(event, Command)
    if event.verb in ("EHLO", "LHLO"):
        return Reply(250, None, "mx", *OFFERED[: 1 + len(event.argument) % len(OFFERED)])
    if event.verb == "DATA":
        return Reply(354, None, "go ahead")
    if event.verb in ("AUTH", "RESPONSE"):
        return Reply(334 if count % 3 else 235, None, "")
    if event.verb in ("STARTTLS", "XCLIENT"):
        return Reply(454, "4.7.0", "not now")
    return Reply(221, "2.0.0", "bye") if event.verb == "QUIT" else OK


def session(data: bytes, flags: int, cuts: bytes) -> list[str]:
    """What is seen of the octets, as text."""
    protocol = ServerProtocol(
        GRAMMAR,
        max_size=(0, 30)[flags >> 1 & 1],
        batch=True,
        lmtp=bool(flags & 4),
        normalize=bool(flags & 8),
    )
    protocol.reply(Reply(220, None, "mx"))
    out: list[str] = []
    content = b""
    sizes = iter(cuts)
    count = 0
    while protocol.state != state.CLOSED:
        event = protocol.next_event()
        if isinstance(event, server_events.NeedData):
            assert protocol.buffered < wire.MAX_AUTH_LINE
            size = next(sizes, len(data)) or 1
            protocol.receive(data[:size])
            data = data[size:]
        elif isinstance(event, server_events.Content):
            assert event.data
            content += event.data
        elif isinstance(event, server_events.EndOfInput):
            break
        elif isinstance(event, server_events.Broken):
            out.append(f"broken {event.reply}")
            break
        else:
            reply = answer(event, count)
            count += 1
            if isinstance(event, Command):
                out.append(f"{event.verb} {event.argument}")
                content = b"" if event.verb in ("MAIL", "RSET", "EHLO") else content
            elif isinstance(event, server_events.Invalid):
                out.append(f"invalid {event.verb} {event.reply}")
            elif isinstance(event, server_events.EndOfChunk):
                content += event.data
                out.append(f"chunk {event.fault}")
            else:
                assert isinstance(event, server_events.EndOfContent)
                if event.fault is None:
                    content += event.data
                    assert event.size == len(content)
                    out.append(f"content {content!r}")
                else:
                    out.append(f"content {event.size} {event.fault}")
                content = b""
            written = protocol.reply(reply)
            assert written.endswith(b"\r\n")
    return out


def check(data: bytes) -> None:
    """The first octet sets the server up, the second says how many octets of cuts follow."""
    if len(data) < 2:
        return
    flags, count = data[0], data[1] % 32
    cuts, said = data[2 : 2 + count], data[2 + count :]
    if flags & 1:
        said = (b"LH" if flags & 4 else b"EH") + BEGIN + said
    whole = session(said, flags, b"")
    assert session(said, flags, cuts) == whole
    assert session(said, flags, b"\1" * len(said)) == whole
