"""Delivery status notifications: the report that tells a sender what became of a message.

`report` writes an RFC 3464 report in an RFC 6522 multipart/report: a part for people, one for programs,
and the message reported on or its header.  `notice` writes the same for the postmaster about a message
with a null reverse-path, for which nobody may be sent a report (RFC 5321 section 6.1).  `envelope` is
what either is sent with, `wants_content` says how much of the original to hand over.

The content that comes back is in CRLF lines of at most 998 octets and, with one exception, in 7 bits, so that
it goes wherever a message goes:

- The original is returned as message/rfc822 only when it is complete, asked for and itself 7-bit text;
  otherwise its header alone, as text/rfc822-headers, in quoted-printable where it is not plain ASCII
  (RFC 6522 section 4 allows that).  Nothing is re-encoded inside a returned message: it may be signed.
- An address outside ASCII stands in the report for programs as ``utf-8;`` with the 7-bit
  utf-8-addr-xtext form of RFC 6533 section 3, so message/global-delivery-status is not needed.
- The exception: a report *to* an address outside ASCII has that address in its To field in UTF-8
  (RFC 6532), and its envelope asks for SMTPUTF8.

Which recipients a report is about (NOTIFY) is decided by the caller.  What other servers said is quoted
without control characters and cut to a bounded length.  Nothing here fails.
"""

from __future__ import annotations

from mether.address import Address
from mether.content import header as header_section
from mether.content import lines, status, trace
from mether.content.status import MAX_QUOTED, Item
from mether.envelope import Envelope, Recipient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_RETURNED: Final = 64 * 1024
"""Octets of original up to which it is returned whole; above it only the header is (RFC 3461 section 6.2)."""

MAX_HEADER: Final = 32 * 1024
"""Octets of the original's header section that are returned."""


def envelope(to: Address) -> Envelope:
    """The envelope of a report: null reverse-path, one recipient, NOTIFY=NEVER (RFC 3461 section 6.1)."""
    utf8 = not to.is_ascii
    return Envelope(None, [Recipient(to, notify="NEVER")], body="8BITMIME" if utf8 else "7BIT", smtputf8=utf8)


def wants_content(about: Envelope, items: Sequence[Item], size: int, limit: int = MAX_RETURNED) -> bool:
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


def report(
    *,
    reporting_mta: str,
    ident: str,
    boundary: str,
    to: Address,
    postmaster: Address,
    arrival: float,
    at: float,
    about: Envelope,
    items: Sequence[Item],
    original: bytes,
    complete: bool,
    original_ident: str = "",
    offset: int = 0,
) -> bytes:
    """The content of a report to the sender of a message.

    `reporting_mta` is our name, `ident` the report's queue id (its Message-ID is made of both),
    `boundary` a random token of letters and digits, `to` the reverse-path of the original, `postmaster` whom
    the report is from.  `arrival` is when the original came and `at` is now, in Unix seconds; `offset` is
    local time's lead over UTC in seconds.  `about` is the original's envelope; only its parameters are
    read.  `original` is trace and content from the start; `complete` tells whether that is all of it
    (when not, the header is returned).  `original_ident` is the original's queue id.
    """
    actions: set[str] = {item.outcome.action for item in items}
    if "failed" in actions:
        subject = "Undelivered mail returned to sender"
    elif "delayed" in actions:
        subject = "Mail delivery is delayed"
    else:
        subject = "Mail delivery report"
    return _compose(
        reporting_mta=reporting_mta,
        ident=ident,
        boundary=boundary,
        to=to,
        postmaster=postmaster,
        subject=subject,
        opening=_opening(actions),
        arrival=arrival,
        at=at,
        about=about,
        items=items,
        original=original,
        complete=complete and wants_content(about, items, len(original)),
        original_ident=original_ident,
        offset=offset,
    )


def notice(
    *,
    reporting_mta: str,
    ident: str,
    boundary: str,
    postmaster: Address,
    arrival: float,
    at: float,
    about: Envelope,
    items: Sequence[Item],
    original: bytes,
    complete: bool,
    original_ident: str = "",
    offset: int = 0,
) -> bytes:
    """The content of a note to the postmaster: a message without a sender could not be delivered.

    The arguments are those of `report`.  It is sent with `envelope(postmaster)`; when it cannot be
    delivered either, it is to be dropped with a line in the log, for there is no one left to tell.
    """
    opening = (
        "A message with the null reverse-path, most likely a report itself, could not be\n"
        "delivered to the recipients below.  No sender may be told of that, so it comes to\n"
        "the postmaster.  Nothing more will be tried."
    )
    return _compose(
        reporting_mta=reporting_mta,
        ident=ident,
        boundary=boundary,
        to=postmaster,
        postmaster=postmaster,
        subject="Postmaster notice: undeliverable report",
        opening=opening,
        arrival=arrival,
        at=at,
        about=about,
        items=items,
        original=original,
        complete=complete and wants_content(about, items, len(original)),
        original_ident=original_ident,
        offset=offset,
    )


def _compose(
    *,
    reporting_mta: str,
    ident: str,
    boundary: str,
    to: Address,
    postmaster: Address,
    subject: str,
    opening: str,
    arrival: float,
    at: float,
    about: Envelope,
    items: Sequence[Item],
    original: bytes,
    complete: bool,
    original_ident: str,
    offset: int,
) -> bytes:
    if to.is_ascii and not postmaster.is_ascii:
        postmaster = Address("postmaster", "")  # this report goes out without SMTPUTF8
    last = _returned(original, complete)
    people = _people(reporting_mta, opening, items, original_ident, complete=last[1], at=at, offset=offset)
    programs = status.part(reporting_mta, arrival, about, items, offset)
    # A boundary must not occur in what it bounds (RFC 2046 section 5.1.1), whoever wrote that.
    while any(boundary.encode() in part for part in (last[0], people, programs)):
        boundary += "x"
    top = (
        f"From: Mail Delivery System <{_at(postmaster, reporting_mta)}>\r\n"
        f"To: <{_at(to, reporting_mta)}>\r\n"
        f"Subject: {subject}\r\n"
        f"Date: {trace.date(at, offset)}\r\n"
        f"Message-ID: <{ident}@{reporting_mta}>\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'\tboundary="{boundary}"\r\n'
        "\r\n"
        "This is a delivery report in MIME form (RFC 3464).\r\n"
    )
    mark = f"\r\n--{boundary}\r\n".encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    return b"".join((top.encode("utf-8", "replace"), mark, people, mark, programs, mark, last[0], end))


def _opening(actions: set[str]) -> str:
    if "failed" in actions:
        return (
            "Your message could not be delivered to one or more recipients, and nothing more\n"
            "will be tried for those.  What is known about each is below."
        )
    if "delayed" in actions:
        return (
            "THIS IS A WARNING ONLY.  YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN.\n"
            "Your message has not reached one or more recipients yet; it will be tried again."
        )
    return "This is the delivery report that you asked for."


def _people(
    reporting_mta: str,
    opening: str,
    items: Sequence[Item],
    original_ident: str,
    *,
    complete: bool,
    at: float,
    offset: int,
) -> bytes:
    """The part for people: what happened, to whom, and what the other server said."""
    out = [f"This is the mail system at {reporting_mta}.", "", *opening.split("\n"), ""]
    for item in items:
        outcome = item.outcome
        out.append(f"<{lines.clean(str(item.recipient.forward_path))}>:")
        out.append(f"    {_SAID[outcome.action]}")
        if item.will_retry_until is not None and outcome.action == "delayed":
            out.append(f"    It will be tried until {trace.date(item.will_retry_until, offset)}.")
        said = lines.clean(str(outcome.reply))[:MAX_QUOTED]
        who = f"{lines.clean(outcome.remote_mta)} said:" if outcome.said else "Reason:"
        out += lines.wrap(f"{who} {said}", "    ", "        ")
        out.append("")
    out.append("The message is attached in full." if complete else "The header of the message is attached.")
    if original_ident:
        out.append(f"Its queue id was {original_ident}.")
    text = "\r\n".join(out) + "\r\n"
    if text.isascii():
        return f"Content-Type: text/plain; charset=us-ascii\r\n\r\n{text}".encode()
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + lines.quoted_printable(text.encode("utf-8", "replace"))


_SAID = {
    "failed": "Not delivered.",
    "delayed": "Not delivered yet.",
    "delivered": "Delivered.",
    "relayed": "Handed on to a system that sends no reports of its own about delivery.",
    "expanded": "Delivered to an address that stands for several; no more reports will follow.",
}


def _returned(original: bytes, complete: bool) -> tuple[bytes, bool]:
    """The last part, and whether it is the whole message."""
    if complete and lines.is_seven_bit(original):
        return b"Content-Type: message/rfc822\r\n\r\n" + original, True
    fields = original[: header_section.split(original)]
    if len(fields) > MAX_HEADER:
        cut = fields.rfind(b"\r\n", 0, MAX_HEADER)
        fields = fields[: cut + 2 if cut >= 0 else MAX_HEADER]
    head = b"Content-Type: text/rfc822-headers\r\n"
    if not lines.is_seven_bit(fields):
        head += b"Content-Transfer-Encoding: quoted-printable\r\n"
        fields = lines.quoted_printable(fields)
    return head + b"\r\n" + fields, False


def _at(address: Address, host: str) -> str:
    """The address for a header field, where even the postmaster needs a domain."""
    return lines.clean(str(address if address.domain else Address(address.local_part, host)))


__all__ = ["Item", "envelope", "notice", "report", "wants_content"]
