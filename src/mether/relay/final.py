"""Final delivery: the message as a mailbox or a program gets it (RFC 5321 section 4.4).

Return-Path with the envelope's reverse-path comes on top, exactly once: one that the message brought is
removed.  Original-Recipient follows when the sender gave ORCPT (RFC 8098 section 2.3), then the trace
field and the content.  Lines end in LF, as Unix mailboxes and programs have them.

Large content passes through in pieces; a CRLF that lies across two of them is still one line end.
"""

from __future__ import annotations

from mether.content import header, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from mether.address import ReversePath
    from mether.queue.content import Content

MAX_HEADER: Final = 1024 * 1024
"""Octets of content searched for the end of its header section."""


def octets(
    reverse_path: ReversePath,
    prefix: bytes,
    content: Content,
    orcpt: str | None = None,
    *,
    utf8: bool = False,
) -> Iterator[bytes]:
    """The message in pieces, with LF line ends.

    `prefix` is the trace prefix; `orcpt` is given when there is only one recipient; `utf8` tells that the
    message came with SMTPUTF8.  Raises OSError when the content cannot be read.
    """
    top = trace.return_path(reverse_path)
    if orcpt:
        top += trace.original_recipient(orcpt, utf8=utf8)
    return unix_lines(_whole(top + prefix, content))


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
    first = b""
    for piece in pieces:
        first += piece
        if b"\r\n\r\n" in first or first.startswith(b"\r\n") or len(first) >= MAX_HEADER:
            break
    end = header.split(first)
    yield top + header.remove(first[:end], b"return-path") + first[end:]
    yield from pieces
