"""What the header of a message says of it, for a report on it: which it was (RFC 3834 section 3.1.6).

`named` finds its Message-ID, for the References of the report, and its subject and date, for people.  All
three are another's words: the Message-ID is taken only where it can stand in a header as it is, and the
others are one line each, decoded (RFC 2047), without control characters, cut.  Nothing here fails.
"""

from __future__ import annotations

import re

from mether.content import header, lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_ID: Final = 250
"""Octets of a Message-ID; a longer one is left out."""

MAX_SHOWN: Final = 200
"""Characters of the subject, and of the date."""

MAX_FIELD: Final = 4000
"""Octets of a field that are looked at."""

_PART: Final = rb"[!#-'*+\-/-9=?A-Z^-~.]{1,200}"
_ID: Final = re.compile(rb"<" + _PART + rb"@(?:" + _PART + rb"|\[[!-;=?-Z^-~]{1,200}\])>")
_WANTED: Final = (b"message-id", b"subject", b"date")


class Named:
    """The `message_id` with its angle brackets, the `subject` and the `date`; "" for what is not there."""

    __slots__ = ("date", "message_id", "subject")

    def __init__(self, message_id: str = "", subject: str = "", date: str = "") -> None:
        self.message_id = message_id
        self.subject = subject
        self.date = date

    @property
    def shown(self) -> list[str]:
        """The lines that people are shown."""
        return [
            f"{name}: {value}" for name, value in (("Subject", self.subject), ("Date", self.date)) if value
        ]


def named(content: bytes) -> Named:
    """What the beginning of a message, trace included, says of it: of several fields of a name the first."""
    found: dict[bytes, bytes] = {}
    for name, value in header.fields(content[: header.split(content)]):
        name = name.lower()
        if name in _WANTED and name not in found:
            found[name] = value[:MAX_FIELD]
            if len(found) == len(_WANTED):
                break
    ident = found.get(b"message-id", b"").strip()
    return Named(
        ident.decode("ascii") if len(ident) <= MAX_ID and _ID.fullmatch(ident) else "",
        _shown(found.get(b"subject", b"")),
        _shown(found.get(b"date", b"")),
    )


def _shown(value: bytes) -> str:
    if not value.strip():
        return ""
    from mether.content.bounce_mime import decoded, words

    text = " ".join(lines.clean(words(decoded(value.replace(b"\r\n", b"")))).split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
