"""Final delivery: the message as a mailbox or a program gets it (RFC 5321 section 4.4).

Return-Path with the envelope's reverse-path comes on top, exactly once: one that the message brought is
removed.  Delivered-To follows with the address it is delivered to (RFC 9228), and Original-Recipient when the
sender gave ORCPT (RFC 8098 section 2.3), then the trace field and the content.  Lines end in LF, as Unix
mailboxes and programs have them.  Where a program or mailbox wants the line of V7 mail that begins with
``From`` and a space, `from_line` is it.

Delivered-To fields are never removed: `loops` tells by them that the message was delivered to the very same
address before, and came back; it is returned with LOOP, 5.4.6, and not delivered again and again.

Large content passes through in pieces; a CRLF that lies across two of them is still one line end.
"""

from __future__ import annotations

import time

from mether.address import AddressError, parse
from mether.content import header, trace
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from mether.address import Address, ReversePath
    from mether.queue.content import Content

MAX_HEADER: Final = 1024 * 1024
"""Octets of content searched for the end of its header section."""

MAX_DELIVERED: Final = 1000
"""Delivered-To fields that are looked at; each 100th Received ends a message before."""

LOOP: Final = Reply(554, "5.4.6", "the message was delivered to this address before: mail is in a loop")


def octets(
    reverse_path: ReversePath,
    prefix: bytes,
    content: Content,
    orcpt: str | None = None,
    *,
    utf8: bool = False,
    delivered_to: Address | None = None,
) -> Iterator[bytes]:
    """The message in pieces, with LF line ends.

    `prefix` is the trace prefix; `orcpt` and `delivered_to` are given when there is only one recipient;
    `utf8` tells that the message came with SMTPUTF8.  Raises OSError when the content cannot be read.
    """
    top = trace.return_path(reverse_path)
    if delivered_to is not None:
        top += f"Delivered-To: {_line(str(delivered_to))}\r\n".encode("utf-8", "replace")
    if orcpt:
        top += trace.original_recipient(orcpt, utf8=utf8)
    return unix_lines(_whole(top + prefix, content))


def loops(content: Content, address: Address) -> bool:
    """Whether the content's header has a Delivered-To field with this address.  Raises OSError.

    Local-parts are compared without case, as Maildirs are found.  At most MAX_HEADER octets are searched.
    """
    head = b"".join(_head(content.chunks()))
    head = head[: header.split(head)]
    if b"delivered-to" not in head.lower():
        return False
    key = _key(address)
    seen = 0
    for name, value in header.fields(head):
        if name.lower() == b"delivered-to":
            seen += 1
            try:
                found = parse(value.decode("utf-8", "replace").strip(" \t\r\n<>"), utf8=True)
                if _key(found) == key:
                    return True
            except AddressError:
                pass
            if seen >= MAX_DELIVERED:
                return True
    return False


def from_line(reverse_path: ReversePath, now: float) -> bytes:
    """The line that begins a message in an mbox file: ``From``, the sender, the time `now` in UTC."""
    sender = "MAILER-DAEMON" if reverse_path is None else _line(str(reverse_path)).replace(" ", "_")
    return f"From {sender} {time.asctime(time.gmtime(now))}\n".encode("utf-8", "replace")


def unix_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets with each CRLF as LF."""
    held = b""
    for piece in pieces:
        if held:
            piece = held + piece
            held = b""
        if piece.endswith(b"\r"):
            piece, held = piece[:-1], b"\r"
        if piece:
            yield piece.replace(b"\r\n", b"\n")
    if held:
        yield held


def _whole(top: bytes, content: Content) -> Iterator[bytes]:
    pieces = content.chunks()
    first = b"".join(_head(pieces))
    end = header.split(first)
    yield top + header.remove(first[:end], b"return-path") + first[end:]
    yield from pieces


def _head(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The first pieces, as many as the header takes."""
    first = b""
    for piece in pieces:
        yield piece
        first += piece
        if b"\r\n\r\n" in first or first.startswith(b"\r\n") or len(first) >= MAX_HEADER:
            return


def _key(address: Address) -> tuple[str, str]:
    try:
        local, domain = address.key
    except AddressError:
        local, domain = address.local_part, address.domain
    return local.casefold(), domain.casefold()


def _line(text: str) -> str:
    """The text on one line: a control character would begin a field of its own."""
    return "".join(char if char.isprintable() else "?" for char in text)
