"""Content in chunks arrives as it was sent or is refused, goes on as one message, and is never a command."""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import server_events, wire
from mether.smtp.command import Command, Grammar
from mether.smtp.server import ServerProtocol

OFFERED = ["PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "BINARYMIME"]
GRAMMAR = Grammar(OFFERED)
OK = Reply(250, "2.0.0", "ok")


def check(data: bytes) -> None:
    """Two octets: how it is sent; up to 7 sizes of chunks; the content."""
    if len(data) < 2:
        return
    flags, count = data[0], data[1] % 8
    sizes, content = data[2 : 2 + count], data[2 + count :]
    binary, normalize = bool(flags & 1), bool(flags & 2)
    body = b" BODY=BINARYMIME" if binary else b""
    said = b"EHLO c\r\nMAIL FROM:<>" + body + b"\r\nRCPT TO:<b@x.test>\r\n"
    rest = content
    for size in sizes:
        piece, rest = rest[:size], rest[size:]
        said += b"BDAT %d\r\n" % len(piece) + piece
    said += b"BDAT %d LAST\r\n" % len(rest) + rest + b"NOOP behind\r\n"
    protocol = ServerProtocol(GRAMMAR, batch=True, normalize=normalize)
    protocol.reply(Reply(220, None, "mx"))
    cut = flags >> 2 or len(said)
    got, seen, taken, refused = b"", [], False, False
    while True:
        event = protocol.next_event()
        if isinstance(event, server_events.NeedData):
            if not said:
                break
            protocol.receive(said[:cut])
            said = said[cut:]
        elif isinstance(event, server_events.Content):
            got += event.data
        elif isinstance(event, Command):
            seen.append(f"{event.verb} {event.argument}")
            protocol.reply(Reply(250, None, "mx", *OFFERED) if event.verb == "EHLO" else OK)
        elif isinstance(event, server_events.Invalid):
            assert refused, event.reply
            protocol.reply(event.reply)
        else:
            assert isinstance(event, server_events.EndOfChunk | server_events.EndOfContent)
            got += event.data
            refused = refused or event.fault is not None
            taken = isinstance(event, server_events.EndOfContent) and event.fault is None
            protocol.reply(event.fault or OK)
    assert seen[-1] == "NOOP behind" and len(seen) == 4
    clean = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    bare, nul = clean != content, b"\0" in content
    assert taken == (not refused) == (binary or not (nul or (bare and not normalize)))
    if taken:
        assert got == (clean if normalize and not binary else content)
        if not binary:
            sent = wire.stuff(got)
            sent += b".\r\n" if sent.endswith(b"\r\n") or not sent else wire.END
            assert (b"\r\n" + sent).find(wire.END) == len(sent) + 2 - len(wire.END)
