"""Queued messages as batch SMTP (RFC 2442): a dialogue's client side, in one stream.

Any SMTP server that reads a file reads it: ``smtpq export --all | in.smtpd``.  There is nobody to ask what
it offers, so only the parameters that `in.smtpd` takes are written (`TAKEN`), and `left_out` names the
others: a parameter that is not known would cost the recipient (RFC 5321 section 4.1.1.11).  Content is
streamed, never held whole.  Raises ValueError for an address that cannot stand in a command, and what
reading the content raises.
"""

from __future__ import annotations

from mether.programs.listing import mail_parameters, rcpt_parameters
from mether.smtp import command
from mether.smtp.wire import Stuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from mether.queue.content import Content
    from mether.queue.store import Entry

TAKEN: Final = frozenset(("SIZE", "BODY"))
"""The parameters of MAIL and RCPT that `in.smtpd` takes."""


def opening(hostname: str) -> bytes:
    """What stands before the first message."""
    return command.hello("EHLO", hostname)


def transaction(entry: Entry, content: Content) -> Iterator[bytes]:
    """One message to its recipients that wait, in pieces."""
    message = entry.message
    parameters = [f"SIZE={message.size}", *_taken(mail_parameters(entry))]
    lines = [command.mail(message.envelope.reverse_path, parameters)]
    lines += [command.rcpt(row.recipient.forward_path, _taken(rcpt_parameters(row))) for row in entry.rows]
    lines.append(command.plain("DATA"))
    yield b"".join(lines)
    stuffer = Stuffer()
    yield stuffer.feed(message.trace)
    for piece in content.chunks():
        yield stuffer.feed(piece)
    yield stuffer.end()


def left_out(entry: Entry) -> set[str]:
    """The names of the entry's parameters that `transaction` does not write."""
    words = mail_parameters(entry)
    for row in entry.rows:
        words += rcpt_parameters(row)
    return {_name(word) for word in words} - TAKEN


def closing() -> bytes:
    """What stands after the last message."""
    return command.plain("QUIT")


def _taken(words: Iterable[str]) -> list[str]:
    return [word for word in words if _name(word) in TAKEN]


def _name(word: str) -> str:
    return word.partition("=")[0]
