"""Reports to one reader in one message: what is sent of those that had to wait.

A multipart/mixed of a text, which tells how many there are and of whom each tells, and a multipart/digest
with every report whole in a message/rfc822 (RFC 2046 section 5.1.5), so that a person can open each, and a
program finds in each what it would have found alone.

The reports are ours, for the same reader.  Each is in 7 or 8 bits, or has a header in UTF-8 where its
reader's address is not in ASCII (`dsn`); it is then a message/global (RFC 6532 section 3.7).  Whoever merges
sees to it that they are not too many.  Nothing here fails.
"""

from __future__ import annotations

import binascii

from mether.content import dsn, header, lines, trace, words
from mether.content.words_texts import Texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

MAX_LISTED: Final = 20
"""Recipients of one report that are listed in the text."""

_FIELDS: Final = (b"from", b"to", b"auto-submitted")
"""Fields of the first report, or the first notice, that stand over all of them."""
_STATUS: Final = b"\r\nContent-Type: message/delivery-status"
_GLOBAL_STATUS: Final = b"\r\nContent-Type: message/global-delivery-status"


def merge(
    reports: Sequence[bytes],
    *,
    hostname: str,
    postmaster: str,
    ident: str,
    boundary: str,
    at: float,
    offset: int = 0,
    texts: Texts | None = None,
) -> bytes:
    """The content of these reports (the content of each, at least two) in one message.

    `hostname` is our name and `postmaster` whom people may ask; `ident` is the queue id of the first, and of
    the message; `boundary` a random token of letters and digits, `at` now in Unix seconds, `offset` local
    time's lead over UTC in seconds; `texts` are what people read, None for those that come with mether.
    """
    texts = texts or Texts()
    facts = words.Facts(mta=hostname, postmaster=postmaster, ident=ident, arrival=at, offset=offset)
    subject = words.merged_subject(len(reports), texts, facts)
    people = words.merged(len(reports), list(_lines(reports)), texts, facts)
    # One notice among them makes it one: what comes of nothing by it is told to nobody.
    first = next(filter(dsn.is_notice, reports), reports[0])
    over = b"".join(
        name + b":" + value + b"\r\n"
        for name, value in header.fields(first[: header.split(first)])
        if name.lower() in _FIELDS
    )
    seven_bit = all(map(lines.is_seven_bit, reports))
    while any(boundary.encode() in one for one in (people, *reports)):
        boundary += "x"
    inner = f"{boundary}-d"
    encoding = "" if seven_bit else "Content-Transfer-Encoding: 8bit\r\n"
    top = (
        f"Subject: {lines.encoded(subject, len('Subject: '))}\r\n"
        f"Date: {trace.date(at, offset)}\r\n"
        f"Message-ID: <{ident}.{len(reports)}@{hostname}>\r\n"
        "MIME-Version: 1.0\r\n"
        f'Content-Type: multipart/mixed;\r\n\tboundary="{boundary}"\r\n{encoding}'
        "\r\nThese are delivery reports in a MIME digest.\r\n"
        f"\r\n--{boundary}\r\n"
    )
    digest = (
        f"\r\n--{boundary}\r\n"
        f'Content-Type: multipart/digest;\r\n\tboundary="{inner}"\r\n{encoding}\r\n'
        "One report after the other.\r\n"
    )
    mark = f"\r\n--{inner}\r\n".encode()
    out = [over, top.encode(), people, digest.encode()]
    for one in reports:
        out += (mark, _head(one), b"\r\n", one)
    out.append(f"\r\n--{inner}--\r\n\r\n--{boundary}--\r\n".encode())
    return b"".join(out)


def told(report: bytes) -> list[tuple[str, str, str, str]]:
    """What one of our reports tells: of each the final recipient, the action, the status, and the original
    recipient with its type, "" where none is named."""
    start = report.find(_STATUS)
    if start < 0:
        start = report.find(_GLOBAL_STATUS)
    end = report.find(b"\r\n--", start + 1)
    if start < 0 or end < 0:
        return []
    head, _, fields = report[start + 2 : end].partition(b"\r\n\r\n")
    if b"quoted-printable" in head:
        fields = binascii.a2b_qp(fields)
    found: list[tuple[str, str, str, str]] = []
    recipient = action = original = ""
    for line in fields.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "Final-Recipient":
            recipient = value.partition(";")[2].strip()
        elif name == "Original-Recipient":
            original = value.strip()
        elif name == "Action":
            action = value
        elif name == "Status" and recipient:
            found.append((recipient, action, value, original))
            recipient = original = ""
    return found


def _head(report: bytes) -> bytes:
    """The header of the part that holds a report; message/rfc822 is what a digest's parts are untold."""
    if lines.is_seven_bit(report):
        return b""
    kind = b"" if report[: header.split(report)].isascii() else b"Content-Type: message/global\r\n"
    return kind + b"Content-Transfer-Encoding: 8bit\r\n"


def _lines(reports: Sequence[bytes]) -> Iterator[words.Told | str]:
    """Of whom each report tells and what."""
    for number, report in enumerate(reports, 1):
        recipients = told(report)
        for recipient, action, status, original in recipients[:MAX_LISTED]:
            same = original.partition(";")[2].strip().casefold() == recipient.casefold()
            yield words.Told(number, recipient, action, status, "" if same else original)
        if len(recipients) > MAX_LISTED:
            yield f"    ... (+{len(recipients) - MAX_LISTED})"
