"""The hosts of the soak: one small SMTP or LMTP server, that misbehaves in the way of its address.

`Ledger` has what they took: who, where, from whom, of which message (its X-Soak field says which), and the
reports that came.  They know of SMTP what they need, and run in the loop of the soak.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from collections import defaultdict
from collections.abc import Callable

from expect import HOSTS

PAUSE = 2.0
"""Seconds for which the mute host is mute, in place of the minutes that a client would wait."""
SLOW = 0.5

_ID = re.compile(rb"^X-Soak: (\d+)\r?$", re.M)
_PATH = re.compile(r"<([^>]*)>")
_NEVER = ("dead", "us")


class Ledger:
    """`taken`: message -> recipient -> (place, reverse-path) of each time it came.  `reports`: message ->
    (reader, address, action) -> Message-ID of the report -> status.  `stray` is what has no number."""

    def __init__(self) -> None:
        self.taken: dict[int, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
        self.reports: dict[int, dict[tuple[str, str, str], dict[str, str]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self.stray: list[str] = []

    def take(self, place: str, reverse_path: str, recipient: str, content: bytes) -> None:
        """A message came to a recipient."""
        found = _ID.search(content)
        if found is None:
            self.stray.append(f"{place}: {recipient} from <{reverse_path}>: {content[:500]!r}")
            return
        self.taken[int(found[1])][recipient].append((place, reverse_path))

    def report(self, reader: str, reverse_path: str, content: bytes) -> None:
        """A report came to its reader."""
        message = email.message_from_bytes(content, policy=email.policy.compat32)
        numbered = _ID.search(content)
        # Not those of a report that is reported on.
        parts = message.get_payload() if message.is_multipart() else []
        blocks = [
            block
            for part in parts
            if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status")
            for block in part.get_payload()
        ]
        about = [block for block in blocks if not isinstance(block, str) and block["Final-Recipient"]]
        if reverse_path or not about:
            self.stray.append(f"{reader}: no report, from <{reverse_path}>: {content[:500]!r}")
            return
        for block in about:
            address = block["Final-Recipient"].partition(";")[2].strip()
            address = re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: chr(int(found[1], 16)), address)
            action, status = block["Action"].strip().lower(), block["Status"].strip()
            # A notice about a report that was refused has its reader's number.
            mine = re.match(r"s(\d+)@refusing", address)
            number = int(mine[1]) if mine else int(numbered[1]) if numbered else -1
            if number < 0:
                self.stray.append(f"{reader}: a report of no message of ours: {content[:1000]!r}")
            self.reports[number][reader, address, action][message["Message-ID"]] = status


class Host:
    """One host: `name` says how it misbehaves."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
        self.ledger = ledger
        self.seen: set[str] = set()
        self.asked = 0

    def first(self, what: str) -> bool:
        """Whether this is the first time."""
        new = what not in self.seen
        self.seen.add(what)
        return new

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = {
            "busy": "421 4.3.2 come back later",
            "closed": "554 5.3.2 no mail here",
            "garbage": "HTTP/1.1 400 Bad Request\r\n\r\n<html>",
        }.get(self.name, "220 soak ESMTP")
        if self.name in ("mute", "slow"):
            await asyncio.sleep(PAUSE if self.name == "mute" else SLOW)
            if self.name == "mute":
                return
        writer.write(f"{greeting}\r\n".encode())
        if not greeting.startswith("220"):
            return
        sender, recipients = "", []
        while line := (await reader.readline()).decode():
            verb = line[:4].upper()
            reply = "250 2.0.0 ok"
            if verb in ("EHLO", "LHLO"):
                more = "250-DSN\r\n" if self.name == "dsn" else ""
                reply = f"250-soak\r\n250-ENHANCEDSTATUSCODES\r\n{more}250-PIPELINING\r\n250 8BITMIME"
            elif verb == "MAIL":
                sender, recipients = _path(line), []
                if self.name == "hangs":
                    return
                if self.name == "leaves":
                    reply = "421 4.3.2 leaving"
            elif verb == "RCPT":
                recipient = _path(line)
                reply = self.recipient(sender, recipient, recipients)
                if reply.startswith("250"):
                    recipients.append(recipient)
            elif verb == "RSET":
                sender, recipients = "", []
            elif verb == "DATA":
                if recipients:
                    writer.write(b"354 go on\r\n")
                    if self.name == "drops" and self.first(f"{sender} {recipients}"):
                        await reader.readline()
                        writer.transport.abort()
                        return
                    content = await _content(reader)
                    if self.name == "doubtful" and self.first(f"{sender} {recipients}"):
                        return
                    reply = self.content(sender, recipients, content)
                else:
                    reply = "554 5.5.1 no valid recipients"
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            writer.write(f"{reply}\r\n".encode())
            if reply.startswith("421"):
                return

    def recipient(self, sender: str, recipient: str, before: list[str]) -> str:
        """The reply to RCPT."""
        name = self.name
        if name == "grey" and self.first(f"{sender} {recipient}"):
            return "451 4.7.1 greylisted"
        self.asked += 1
        if name == "moody" and self.asked % 3 == 1:
            return "421 4.3.2 leaving"
        if name == "few" and before:
            return "452 4.5.3 too many recipients"
        if name in ("unknown", "refusing") or (name in ("half", "lmtp") and recipient.startswith("bad")):
            return "550 5.1.1 no such user"
        return {"strict": "451 4.7.1 never", "full": "452 4.2.2 mailbox full"}.get(name, "250 2.1.5 ok")

    def content(self, sender: str, recipients: list[str], content: bytes) -> str:
        """The reply, or replies, to the content."""
        if self.name == "censor":
            return "554 5.6.0 not such a thing"
        replies = []
        for one in recipients:
            if self.name == "lmtp" and one.startswith("late"):
                replies.append("552 5.2.2 mailbox full")
                continue
            if self.name == "senders":
                self.ledger.report(one, sender, content)
            else:
                self.ledger.take(self.name, sender, one, content)
            replies.append("250 2.0.0 taken")
        return "\r\n".join(replies if self.name == "lmtp" else replies[:1])


def _path(line: str) -> str:
    found = _PATH.search(line)
    return found[1] if found else ""


async def _content(reader: asyncio.StreamReader) -> bytes:
    lines = []
    while (line := await reader.readline()) != b".\r\n":
        if not line:
            raise ConnectionError("closed in the content")
        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    return b"".join(lines)


async def start(ledger: Ledger) -> list[asyncio.Server]:
    """Listen as all of them.  Raises OSError where port 25 may not be bound."""
    servers = []
    for name, address in HOSTS.items():
        if name not in _NEVER:
            serve: Callable[..., object] = Host(name, ledger).serve
            port = 24 if name == "lmtp" else 25
            servers.append(await asyncio.start_server(serve, address, port, limit=1 << 20))  # type: ignore[arg-type]
    return servers
