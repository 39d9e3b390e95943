"""An SMTP (or LMTP) server on loopback that does as it is told, on the test's own event loop.

It accepts everything, unless `replies` has something else to say: it maps a verb ("MAIL"), a whole command
line ("RCPT TO:<x@y.example>"), "greeting" or "." (the end of the content) to a list of replies, used up in
order; the last one is repeated when it is followed by `FOR_EVER`.  A reply is text without CRLF, or `CLOSE`
(the connection ends instead) or `SILENCE`.  A reply that begins with 421 ends the connection too.  Over the
end of each content it takes so many `seconds`.

What came is in `sessions`: a list of the lines of each connection, in `clients`, the addresses it came from,
and in `messages`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from clock import VirtualLoop

CLOSE: Final = "close"
SILENCE: Final = "silence"
FOR_EVER: Final = "for ever"


class Received:
    """A message that was accepted for somebody: `sender`, `recipients`, `content` (dots removed)."""

    def __init__(self, sender: str, recipients: list[str], content: bytes) -> None:
        self.sender = sender
        self.recipients = recipients
        self.content = content


class ScriptServer:
    """Start it with `start`, end it with `close`."""

    def __init__(
        self,
        *,
        lmtp: bool = False,
        offer: tuple[str, ...] = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 1000000"),
        seconds: float = 0.0,
        **replies: list[str],
    ) -> None:
        self.lmtp = lmtp
        self.offer = offer
        self.seconds = seconds
        self.replies: dict[str, list[str]] = dict(replies)
        self.sessions: list[list[str]] = []
        self.clients: list[str] = []
        self.messages: list[Received] = []
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> ScriptServer:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.at_end.append(self.close)
        return self

    async def close(self) -> None:
        """Listen no more, and end every connection."""
        assert self._server is not None
        self._server.close()
        self.drop()
        await asyncio.sleep(0)

    def drop(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.close()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._writers)

    def said(self, session: int = 0) -> list[str]:
        """The verbs of a session in order."""
        return [line.split(" ")[0].upper() for line in self.sessions[session]]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        lines: list[str] = []
        self.sessions.append(lines)
        self.clients.append(writer.get_extra_info("peername")[0])
        try:
            await self._session(reader, writer, lines)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # as told, or the test is over
        finally:
            self._writers.discard(writer)
            writer.close()

    def _reply(self, line: str, default: str) -> str:
        for key in (line, line.split(" ")[0].upper()):
            told = self.replies.get(key)
            if told:
                return told[0] if told[1:] == [FOR_EVER] else told.pop(0)
        return default

    async def _session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: list[str]
    ) -> None:
        async def say(line: str, default: str) -> str:
            reply = self._reply(line, default)
            if reply == SILENCE:
                await asyncio.get_running_loop().create_future()
            if reply == CLOSE:
                raise ConnectionAbortedError
            writer.write(reply.encode().replace(b"\n", b"\r\n") + b"\r\n")
            if reply.startswith("421"):
                raise ConnectionAbortedError
            return reply

        await say("greeting", "220 script ESMTP")
        sender, recipients = "", []
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].decode()
            lines.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                await say(line, "\n".join(f"250-{word}" for word in ("script", *self.offer)) + "\n250 HELP")
            elif verb == "MAIL":
                if (await say(line, "250 2.1.0 ok")).startswith("2"):
                    sender, recipients = line[len("MAIL FROM:<") : line.index(">")], []
            elif verb == "RCPT":
                if (await say(line, "250 2.1.5 ok")).startswith("2"):
                    recipients.append(line[len("RCPT TO:<") : line.index(">")])
            elif verb == "DATA":
                if (await say(line, "354 go on" if recipients else "503 5.5.1 no")).startswith("354"):
                    content = b""
                    while (text := await reader.readuntil(b"\r\n")) != b".\r\n":
                        content += text.removeprefix(b".")
                    if self.seconds:
                        await asyncio.sleep(self.seconds)
                    for group in [[one] for one in recipients] if self.lmtp else [recipients]:
                        if (await say(".", "250 2.0.0 taken")).startswith("2"):
                            self.messages.append(Received(sender, group, content))
                    sender, recipients = "", []
            elif verb == "RSET":
                sender, recipients = "", []
                await say(line, "250 2.0.0 reset")
            elif verb == "QUIT":
                await say(line, "221 2.0.0 bye")
                return
            else:
                await say(line, "250 2.0.0 ok")
