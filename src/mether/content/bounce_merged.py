"""Several reports in one message: a digest of them, or bounces that somebody attached.

`read` gives the reports of a message, each with what it says of its own original, so each with that one's
Message-ID.  Mostly it is one (`content.bounce`), or none.

A mailer that has much to report to one reader may send many reports in a multipart/digest, as mether itself
does above its hourly limit (`content.merged`): all of them are read, if nobody but a mailer can have sent it.
A bounce that a person attaches to a letter is that letter's matter, and not read, unless the caller asks for
it with `attached`.

Pure, and bounded: of a digest the first `MAX_SIZE` octets, `MAX_REPORTS` reports and about `MAX_RECIPIENTS`
recipients.  Nothing here fails, whatever the octets are.
"""

from __future__ import annotations

import re

from mether.content import bounce, bounce_mime
from mether.content.bounce_message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.content.bounce_found import Bounce

MAX_SIZE: Final = 4 * 1024 * 1024
"""Octets of a message with many reports that are looked at."""

MAX_REPORTS: Final = 1000
"""Reports of one message that are read."""

MAX_RECIPIENTS: Final = 10_000
"""Recipients after which no further report of a message is read."""

_DIGEST: Final = re.compile(rb"multipart/digest", re.IGNORECASE)
_ATTACHED: Final = re.compile(rb"message/(?:rfc822|global)|multipart/digest", re.IGNORECASE)


def read(message: bytes, recipient: str = "", *, attached: bool = False) -> list[Bounce]:
    """The reports in a message, in order; [] where it is none and has none.

    `recipient` is as for `bounce.read`.  With `attached` those count, too, that are attached to a message of
    anybody, which is no report itself.
    """
    message = message[:MAX_SIZE]
    if _DIGEST.search(message) and _is_of_mailer(Message(message[: bounce.MAX_SIZE])):
        found = _within(message, digest=True)
        if found:
            return found
    one = bounce.read(message, recipient)
    if one is not None:
        return [one]
    return _within(message, digest=False) if attached and _ATTACHED.search(message) else []


def _is_of_mailer(whole: Message) -> bool:
    """Whether a mailer sent it, and no mailing list, whose digest may tell of bounces."""
    return not whole.is_of_list and (whole.is_daemon or whole.has_null_path)


def _within(message: bytes, *, digest: bool) -> list[Bounce]:
    section, body = bounce_mime.split(bounce_mime.unix(message))
    found: list[Bounce] = []
    room = MAX_RECIPIENTS
    for part in bounce_mime.parts(bounce_mime.Fields(section), body, MAX_REPORTS + bounce_mime.MAX_PARTS):
        if not part.is_whole_message or (digest and part.within != "multipart/digest"):
            continue
        one = bounce.read(part.data.lstrip(b"\n"))
        if one is None:
            continue
        found.append(one)
        room -= len(one.recipients)
        if room <= 0 or len(found) >= MAX_REPORTS:
            break
    return found
