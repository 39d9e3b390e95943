"""Reports to one reader in one message: what is sent of those that had to wait.

A multipart/mixed of a text, which tells how many there are and of whom each tells, and a multipart/digest
with every report whole in a message/rfc822 (RFC 2046 section 5.1.5), so that a person can open each, and a
program finds in each what it would have found alone.

The reports are ours, for the same reader.  Each is in 7 or 8 bits, or has a header in UTF-8 where its
reader's address is not in ASCII (`dsn`); it is then a message/global (RFC 6532 section 3.7).  Whoever merges
sees to it that they are not too many.  Nothing here fails.
"""

from __future__ import annotations

from mether.content import dsn, header, lines, trace

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
    reports: Sequence[bytes], *, hostname: str, ident: str, boundary: str, at: float, offset: int = 0
) -> bytes:
    """The content of these reports (the content of each, at least two) in one message.

    `ident` is the queue id of the first, and of the message; `boundary` a random token of letters and digits,
    `at` now in Unix seconds, `offset` local time's lead over UTC in seconds.
    """
    # One notice among them makes it one: what comes of nothing by it is told to nobody.
    first = next(filter(dsn.is_notice, reports), reports[0])
    over = b"".join(
        name + b":" + value + b"\r\n"
        for name, value in header.fields(first[: header.split(first)])
        if name.lower() in _FIELDS
    )
    seven_bit = all(map(lines.is_seven_bit, reports))
    while any(boundary.encode() in one for one in reports):
        boundary += "x"
    inner = f"{boundary}-d"
    encoding = "" if seven_bit else "Content-Transfer-Encoding: 8bit\r\n"
    top = (
        f"Subject: {len(reports)} delivery reports\r\n"
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
    out = [over, top.encode(), _text(reports, hostname), digest.encode()]
    for one in reports:
        out += (mark, _head(one), b"\r\n", one)
    out.append(f"\r\n--{inner}--\r\n\r\n--{boundary}--\r\n".encode())
    return b"".join(out)


def told(report: bytes) -> list[tuple[str, str, str]]:
    """What one of our reports tells: final recipient, action and status of each."""
    start = report.find(_STATUS)
    if start < 0:
        start = report.find(_GLOBAL_STATUS)
    end = report.find(b"\r\n--", start + 1)
    if start < 0 or end < 0:
        return []
    found: list[tuple[str, str, str]] = []
    recipient = action = ""
    for line in report[start:end].decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(": ")
        if name == "Final-Recipient":
            recipient = value.partition(";")[2].strip()
        elif name == "Action":
            action = value
        elif name == "Status" and recipient:
            found.append((recipient, action, value))
            recipient = ""
    return found


def _head(report: bytes) -> bytes:
    """The header of the part that holds a report; message/rfc822 is what a digest's parts are untold."""
    if lines.is_seven_bit(report):
        return b""
    kind = b"" if report[: header.split(report)].isascii() else b"Content-Type: message/global\r\n"
    return kind + b"Content-Transfer-Encoding: 8bit\r\n"


def _text(reports: Sequence[bytes], hostname: str) -> bytes:
    """The part for people, with its header."""
    text = "\r\n".join(_lines(reports, hostname)) + "\r\n"
    if text.isascii():
        return f"Content-Type: text/plain; charset=us-ascii\r\n\r\n{text}".encode()
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + lines.quoted_printable(text.encode("utf-8", "replace"))


def _lines(reports: Sequence[bytes], hostname: str) -> Iterator[str]:
    yield f"This is the mail system at {hostname}."
    yield ""
    yield f"There was more to report to you in one hour than is reported one by one, so {len(reports)}"
    yield "reports are attached to this message.  Each tells of one message, as follows."
    for number, report in enumerate(reports, 1):
        recipients = told(report)
        yield ""
        for recipient, action, status in recipients[:MAX_LISTED]:
            yield from lines.wrap(f"{number}. <{lines.clean(recipient)}>: {action} ({status})", "", "    ")
        if len(recipients) > MAX_LISTED:
            yield f"    and {len(recipients) - MAX_LISTED} more"
