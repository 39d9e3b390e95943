"""What both clients share: time-outs, the ways a session is lost, and content as it goes out.

The asynchronous client (`client.stream`) and its synchronous twin (`client.blocking`) drive the same
`smtp.client` and `smtp.transaction`; they differ in how they wait.  Neither decides what a failure
means: they raise `Lost`, and `relay.failure` judges.
"""

from __future__ import annotations

from mether.smtp import state, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, Protocol

    class Source(Protocol):
        """Content to be sent: its `size` in octets, and `data` when all of it is in memory."""

        @property
        def data(self) -> bytes | None:
            """The octets, None when they lie in a file."""

        @property
        def size(self) -> int:
            """How many octets there are."""

        def chunks(self, size: int) -> Iterator[bytes]:
            """The octets in pieces.  Raises OSError."""


class Timeouts:
    """Seconds to wait (RFC 5321 section 4.5.3.2): for the connection, for each reply, for a TLS handshake.

    They are per command, never one over the transaction (checklist TMO-1).
    """

    __slots__ = ("_replies", "block", "command", "connect", "data", "end", "greeting", "quit", "tls")

    def __init__(
        self,
        *,
        connect: float = 30.0,
        greeting: float = 300.0,
        command: float = 300.0,
        data: float = 120.0,
        block: float = 180.0,
        end: float = 600.0,
        quit: float = 5.0,
        tls: float = 60.0,
    ) -> None:
        self.connect = connect
        self.greeting = greeting
        self.command = command
        self.data = data
        self.block = block
        self.end = end
        self.quit = quit
        self.tls = tls
        self._replies = {
            state.GREETING: greeting,
            "DATA": data,
            state.END_OF_CONTENT: end,
            state.LAST_CHUNK: end,
            "QUIT": quit,
        }

    def reply_to(self, verb: str) -> float:
        """How long to wait for the reply to this command."""
        return self._replies.get(verb, self.command)


class Lost(Exception):
    """The session is over: `kind` is "connect", "timeout", "closed", "protocol", "tls", "shortage" when we
    lack what a connection takes, "source" when we have not the address to connect from, or "withdrawn" when
    we ended it; `stage` the verb whose reply was awaited,
    "" for none; str() says what happened, for a person.  `tls` is the TlsError's kind where a handshake
    failed."""

    def __init__(self, kind: str, stage: str, text: str, tls: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.stage = stage
        self.tls = tls


def own_name(hostname: str, local: str) -> str:
    """What to say in EHLO: our name when it is a full one, else the address literal of our end.

    `local` is the IP address of our end of the connection, "" where there is none (checklist CLI-1).
    """
    if "." in hostname or not local:
        return hostname
    return f"[IPv6:{local}]" if ":" in local else f"[{local}]"


CONTENT_CHUNK: Final = 256 * 1024


def small(trace: bytes, content: Source, *, chunked: bool) -> bytes | None:
    """Content in memory as it goes on the wire, end included; None when it lies in a file.

    `chunked` content goes by BDAT, as it is and without an end.
    """
    if content.data is None:
        return None
    if chunked:
        return trace + content.data
    data = wire.stuff(trace + content.data)
    return data + (b".\r\n" if data.endswith(b"\r\n") or not data else wire.END)


def pieces(trace: bytes, content: Source, *, chunked: bool) -> Iterator[bytes]:
    """Content as `small` has it, in pieces.  Raises OSError."""
    if chunked:
        yield trace
        yield from content.chunks(CONTENT_CHUNK)
        return
    stuffer = wire.Stuffer()
    yield stuffer.feed(trace)
    for chunk in content.chunks(CONTENT_CHUNK):
        yield stuffer.feed(chunk)
    yield stuffer.end()
