"""A server that does as it is told, in a thread, for programs that block; and a message on descriptor 0.

`Peer` answers SMTP (LMTP with `lmtp`): it accepts everything unless `replies` says otherwise.  That maps a
verb ("MAIL"), a whole command line, "greeting" or "." (the end of content) to a list of replies, used up
in order, the last one for ever.  A reply is text without CRLF (LF between its lines), octets to
be sent as they are, or CLOSE.  `sessions` has the command lines of each connection, `messages` what was
taken.
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

CLOSE: Final = b"\0close"
OFFER: Final = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 100000000")


class Taken:
    """A message that was accepted: `sender`, `recipients` and `content`, its dots unstuffed."""

    def __init__(self, sender: str, recipients: list[str], content: bytes) -> None:
        self.sender = sender
        self.recipients = recipients
        self.content = content


class Peer:
    """Use it with ``with``; `target` is what to give to a program."""

    def __init__(
        self,
        replies: dict[str, list[str | bytes]] | None = None,
        *,
        lmtp: bool = False,
        unix: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        offer: tuple[str, ...] = OFFER,
    ) -> None:
        self.replies = {key: list(told) for key, told in (replies or {}).items()}
        self.lmtp = lmtp or unix is not None
        self.offer = offer
        self.sessions: list[list[str]] = []
        self.messages: list[Taken] = []
        if unix is not None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(unix)
            self._listener.listen()
            self.target = f"unix:{unix}"
            self.port = 0
        else:
            self._listener = socket.create_server((host, port))
            self.port = self._listener.getsockname()[1]
            self.target = f"{'lmtp:' if lmtp else ''}{host}:{self.port}"
        self._took = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listener.close()

    def said(self, session: int = 0) -> list[str]:
        """The verbs of a session in order."""
        return [line.split(" ")[0].upper() for line in self.sessions[session]]

    def wait_for(self, count: int) -> bool:
        """Wait until this many messages were taken."""
        with self._took:
            return self._took.wait_for(lambda: len(self.messages) >= count, 60)

    def _work(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            # The sessions outlive the listener, not the program that is tested.
            threading.Thread(target=self._client, args=(client,), daemon=True).start()

    def _client(self, client: socket.socket) -> None:
        said: list[str] = []
        self.sessions.append(said)
        with client, client.makefile("rb") as lines:
            try:
                self._session(client, lines, said)
            except OSError:
                pass

    def _say(self, client: socket.socket, line: str, default: str) -> str:
        told: list[str | bytes] = []
        for key in (line, line.split(" ")[0].upper()):
            if told := self.replies.get(key, []):
                break
        reply = (told.pop(0) if len(told) > 1 else told[0]) if told else default
        if reply == CLOSE:
            raise ConnectionAbortedError
        if isinstance(reply, bytes):
            client.sendall(reply)
            return ""
        client.sendall(reply.replace("\n", "\r\n").encode() + b"\r\n")
        if reply.startswith("421"):
            raise ConnectionAbortedError
        return reply

    def _session(self, client: socket.socket, lines: BinaryIO, said: list[str]) -> None:
        self._say(client, "greeting", "220 peer ESMTP")
        sender: str | None = None
        recipients: list[str] = []
        for octets in lines:
            line = octets.removesuffix(b"\r\n").decode()
            said.append(line)
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                self._say(
                    client, line, "\n".join(f"250-{word}" for word in ("peer", *self.offer)) + "\n250 HELP"
                )
            elif verb == "MAIL":
                if self._say(client, line, "250 2.1.0 ok").startswith("2"):
                    sender, recipients = line[len("MAIL FROM:<") : line.index(">")], []
            elif verb == "RCPT":
                if self._say(
                    client, line, "503 5.5.1 no MAIL" if sender is None else "250 2.1.5 ok"
                ).startswith("2"):
                    recipients.append(line[len("RCPT TO:<") : line.index(">")])
            elif verb == "DATA":
                if self._say(client, line, "354 go on" if recipients else "503 5.5.1 no").startswith("354"):
                    content = []
                    for text in lines:
                        if text == b".\r\n":
                            break
                        content.append(text.removeprefix(b"."))
                    else:
                        return
                    for group in [[one] for one in recipients] if self.lmtp else [recipients]:
                        if self._say(client, ".", "250 2.0.0 taken").startswith("2"):
                            with self._took:
                                self.messages.append(Taken(sender or "", group, b"".join(content)))
                                self._took.notify_all()
                    sender, recipients = None, []
            elif verb == "RSET":
                sender, recipients = None, []
                self._say(client, line, "250 2.0.0 reset")
            elif verb == "QUIT":
                self._say(client, line, "221 2.0.0 bye")
                return
            else:
                self._say(client, line, "250 2.0.0 ok")


def closed_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def fed(data: bytes) -> Iterator[None]:
    """Descriptor 0 is a file with these octets."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        with standard_input(file.fileno()):
            yield


@contextmanager
def standard_input(fd: int) -> Iterator[None]:
    """Descriptor 0 is this one."""
    kept = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)
