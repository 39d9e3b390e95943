"""Queued messages as batch SMTP (RFC 2442): a dialogue's client side, in one stream.

Any SMTP server that reads a file reads it: ``smtpq export --all | in.smtpd``.  Content is streamed, never
held whole.  Raises ValueError for an address that cannot stand in a command, and what reading the
content raises.
"""

from __future__ import annotations

from mether.programs.listing import mail_parameters, rcpt_parameters
from mether.smtp import command
from mether.smtp.wire import Stuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mether.queue.content import Content
    from mether.queue.store import Entry


def opening(hostname: str) -> bytes:
    """What stands before the first message."""
    return command.hello("EHLO", hostname)


def transaction(entry: Entry, content: Content) -> Iterator[bytes]:
    """One message to its recipients that wait, in pieces."""
    message = entry.message
    parameters = [f"SIZE={message.size}", *mail_parameters(entry)]
    lines = [command.mail(message.envelope.reverse_path, parameters)]
    lines += [command.rcpt(row.recipient.forward_path, rcpt_parameters(row)) for row in entry.rows]
    lines.append(command.plain("DATA"))
    yield b"".join(lines)
    stuffer = Stuffer()
    yield stuffer.feed(message.trace)
    for piece in content.chunks():
        yield stuffer.feed(piece)
    yield stuffer.end()


def closing() -> bytes:
    """What stands after the last message."""
    return command.plain("QUIT")
