"""The last part of a report: the message reported on, or its header (RFC 3464 section 2, RFC 6522 section 3).

`wanted` says whether the whole message is to be returned, `part` writes it.  Nothing is re-encoded inside
a returned message: it may be signed.  And it must go wherever a message goes, for nobody is told of a report
that could not:

- What is itself 7-bit text is returned as message/rfc822, or its header as text/rfc822-headers.
- 8-bit text goes as message/rfc822 in 8 bits, declared or not, provided that `content.convert` can make 7
  bits of it for a host that takes no others.
- An SMTPUTF8 message of which that can't be made, as its header is in UTF-8, goes as message/global in
  base64, or its header as message/global-headers in quoted-printable (RFC 6533 section 4.5); in a report with
  SMTPUTF8, which only a sender outside ASCII gets, both are left in 8 bits.
- Of what is left (binary, long lines, bare CR or LF, eight bits in a header or in what is signed) the header
  alone is returned, in quoted-printable where it is not plain ASCII (RFC 6522 section 4 allows that).

Nothing here fails.
"""

from __future__ import annotations

import binascii

from mether.content import header, lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.content.status import About, Item
    from mether.envelope import Envelope

MAX_RETURNED: Final = 64 * 1024
"""Octets of original up to which it is returned whole; above it only the header is (RFC 3461 section 6.2)."""

MAX_HEADER: Final = 32 * 1024
"""Octets of the original's header section that are returned."""

_MESSAGE: Final = b"Content-Type: message/rfc822\r\n"
_BASE64_LINE: Final = 57
"""Octets that make a line of 76 characters."""
_DOWN: Final = bytes(range(128)) + b"x" * 128
"""Each octet above 127 as a letter, for `bytes.translate`."""


def wanted(about: Envelope, items: Sequence[Item], size: int, limit: int = MAX_RETURNED) -> bool:
    """Whether the whole original of `size` octets goes into the report (RFC 3461 sections 4.3 and 6.2).

    Not when the sender asked for the header alone, not in a report that tells of no failure, not when it
    is larger than `limit`, and never for a message under REQUIRETLS (RFC 8689 section 5).
    """
    return (
        about.ret != "HDRS"
        and not about.requiretls
        and size <= limit
        and any(item.outcome.action == "failed" for item in items)
    )


def part(about: About, *, whole: bool, utf8: bool = False) -> tuple[bytes, bool]:
    """The part with its header, and whether it holds the whole message.

    `whole` asks for that; `utf8` tells that the report goes with SMTPUTF8.
    """
    original = about.original
    if whole and about.complete:
        if lines.is_seven_bit(original):
            return _MESSAGE + b"\r\n" + original, True
        if _is_convertible(original):
            return _MESSAGE + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + original, True
        if about.envelope.smtputf8:
            head = b"Content-Type: message/global\r\nContent-Transfer-Encoding: "
            if utf8 and _is_eight_bit(original):
                return head + b"8bit\r\n\r\n" + original, True
            return head + b"base64\r\n\r\n" + _base64(original), True
    fields = original[: header.split(original)]
    if len(fields) > MAX_HEADER:
        cut = fields.rfind(b"\r\n", 0, MAX_HEADER)
        fields = fields[: cut + 2 if cut >= 0 else MAX_HEADER]
    plain = lines.is_seven_bit(fields)
    head = b"Content-Type: text/rfc822-headers\r\n"
    if about.envelope.smtputf8 and not plain:
        head = b"Content-Type: message/global-headers\r\n"
        if utf8 and _is_eight_bit(fields):
            return head + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + fields, False
    if not plain:
        head += b"Content-Transfer-Encoding: quoted-printable\r\n"
        fields = lines.quoted_printable(fields)
    return head + b"\r\n" + fields, False


def _is_eight_bit(data: bytes) -> bool:
    """Whether this is UTF-8 and "8bit" of RFC 2045 section 2.8: 7-bit text but for octets above 127."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return lines.is_seven_bit(data.translate(_DOWN))


def _is_convertible(original: bytes) -> bool:
    """Whether this message is "8bit", and "7bit" can be made of it where it lies in a report."""
    if not lines.is_seven_bit(original.translate(_DOWN)):
        return False
    from mether.content import convert

    try:
        convert.plan((_MESSAGE + b"\r\n" + _MESSAGE + b"\r\n", original), "7bit")
    except convert.Unconvertible:
        return False
    return True


def _base64(data: bytes) -> bytes:
    return b"\r\n".join(
        binascii.b2a_base64(data[start : start + _BASE64_LINE], newline=False)
        for start in range(0, len(data), _BASE64_LINE)
    )
