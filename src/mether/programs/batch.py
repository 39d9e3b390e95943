"""Queued messages as batch SMTP (RFC 2442): a dialogue's client side, in one stream.

``smtpq export --all | in.smtpd`` gives the same messages again, to the recipients that wait.  There is nobody
to ask what is offered, so every parameter that the envelope has is written: `in.smtpd` offers them all to a
batch.  Times are those that are left: a message that was to be held for an hour (RFC 4865) is held until that
hour has passed since it came, and BY (RFC 2852) has what is left of its time; where it has passed already,
the message is returned a second after it was read.  Binary content goes by BDAT, octet for octet (RFC 3030),
all other by DATA.

Foreign readers offer less, and nothing before they are asked: for them a batch can be `plain`, HELO and
commands without parameters.  What its sender asked of reports, of delays and of priority is then lost; a
message for which that would be wrong is not written (`unfit`).

Content is streamed, never held whole.  Raises ValueError for an address that cannot stand in a command, and
what reading the content raises.
"""

from __future__ import annotations

import math

from mether.content.trace import civil
from mether.envelope import By
from mether.programs.listing import mail_parameters, rcpt_parameters
from mether.smtp import command
from mether.smtp.wire import Stuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.queue.content import Content
    from mether.queue.message import Entry, Message

MOST_SECONDS: Final = 999_999_999
"""What BY can say (RFC 2852 section 4)."""


def opening(hostname: str, *, plain: bool = False) -> bytes:
    """What stands before the first message."""
    return command.hello("HELO" if plain else "EHLO", hostname)


def unfit(entry: Entry, now: float) -> str | None:
    """Why a message cannot go into a plain batch at `now` (Unix seconds); None when it can."""
    message, envelope = entry.message, entry.message.envelope
    if envelope.requiretls:
        return "its sender demands REQUIRETLS (RFC 8689)"
    if envelope.body == "BINARYMIME":
        return "its content is binary (RFC 3030)"
    if envelope.smtputf8 or any(not row.recipient.forward_path.is_ascii for row in entry.rows):
        return "it needs SMTPUTF8 (RFC 6531)"
    if message.release_at > now:
        return "its sender wants it to be released later (RFC 4865)"
    if envelope.by is not None and envelope.by.mode == "R":
        return "its sender wants it back if it is not delivered in time (RFC 2852)"
    return None


def transaction(entry: Entry, content: Content, now: float, *, plain: bool = False) -> Iterator[bytes]:
    """One message to its recipients that wait, in pieces; `now` is Unix time in seconds."""
    message = entry.message
    if plain:
        lines = [command.mail(message.envelope.reverse_path)]
        lines += [command.rcpt(row.recipient.forward_path) for row in entry.rows]
    else:
        lines = [command.mail(message.envelope.reverse_path, _mail(entry, now))]
        lines += [command.rcpt(row.recipient.forward_path, rcpt_parameters(row)) for row in entry.rows]
    if message.envelope.body == "BINARYMIME":
        lines.append(command.chunk(len(message.trace) + content.size))
        yield b"".join(lines)
        yield message.trace
        yield from content.chunks()
        return
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


def _mail(entry: Entry, now: float) -> Iterator[str]:
    """The parameters of MAIL, in times that count from `now`."""
    message = entry.message
    yield f"SIZE={message.size}"
    for word in mail_parameters(entry):
        name = word.partition("=")[0]
        if name == "BY":
            yield f"BY={_left(message, now)}"
        elif name == "HOLDFOR":
            yield f"HOLDUNTIL={_moment(message.release_at)}"
        else:
            yield word


def _left(message: Message, now: float) -> By:
    by = message.envelope.by
    assert by is not None
    left = math.ceil(message.arrival.at + by.seconds - now)
    least = 1 if by.mode == "R" else -MOST_SECONDS  # R needs a time above 0 (RFC 2852 section 4)
    return By(max(least, min(left, MOST_SECONDS)), by.mode, by.trace)


def _moment(at: float) -> str:
    """A time as RFC 3339 writes it, not before `at`."""
    second, fraction = divmod(math.ceil(at * 1000), 1000)
    year, month, day = civil(second // 86400)
    hour, rest = divmod(second % 86400, 3600)
    clock = f"{hour:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{year:04d}-{month:02d}-{day:02d}T{clock}{f'.{fraction:03d}' if fraction else ''}Z"
