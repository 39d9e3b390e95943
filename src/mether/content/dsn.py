"""Delivery status notifications: the report that tells a sender what became of a message.

`report` writes an RFC 3464 report in an RFC 6522 multipart/report: a part for people (`content.words`), one
for programs (`content.status`), and the message reported on or its header (`content.returned`).  Without a
sender to tell, which is so for a message with a null reverse-path (RFC 5321 section 6.1), it writes the
same as a notice for the postmaster.  `envelope` is what either is sent with.

One report tells of all recipients of a message whose time it was at once, whatever became of each: RFC 3464
section 2 has a block for each, with an action of its own, and so the sender hears once of what happened once.

A report is an answer to the message: In-Reply-To and References have its Message-ID, where it has one that
can stand in a header, and its subject and date are quoted (`content.original`).

A notice says what it is in Auto-Submitted, in a comment (RFC 3834 section 5), by which `is_notice` knows it,
whoever's it is: about one that came to nothing nobody is told, on its way over however many hosts.

The content that comes back is in CRLF lines of at most 998 octets, and in 7 bits where it can be, so that it
goes wherever a message goes.  There are two exceptions.  A report *to* an address outside ASCII has that
address in its To field in UTF-8 (RFC 6532), and its envelope asks for SMTPUTF8.  And 8-bit text is returned
as it is where a host that takes 7 bits only can be given it by conversion; the envelope then says so.

Which recipients a report is about (NOTIFY) is decided by the caller.  Nothing here fails.
"""

from __future__ import annotations

from mether.address import Address
from mether.content import header, lines, original, returned, status, trace, words
from mether.content.status import About, Item
from mether.content.words_texts import Texts
from mether.envelope import Envelope, Recipient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.content.classify import Rules


_NOTICE: Final = "(postmaster notice)"
"""What Auto-Submitted says of a notice besides."""


def envelope(to: Address, about: Envelope) -> Envelope:
    """The envelope of a report on a message that had the envelope `about`.

    Null reverse-path, one recipient, NOTIFY=NEVER (RFC 3461 section 6.1); REQUIRETLS as the message had it
    (RFC 8689 section 5), and its priority (RFC 6710 section 4.6).  BODY is for the caller to say, who has the
    content.
    """
    utf8 = not to.is_ascii
    return Envelope(
        None,
        [Recipient(to, notify="NEVER")],
        body="8BITMIME" if utf8 else "7BIT",
        smtputf8=utf8,
        requiretls=about.requiretls,
        priority=about.priority,
    )


def report(
    *,
    reporting_mta: str,
    ident: str,
    boundary: str,
    to: Address | None,
    postmaster: Address,
    at: float,
    about: About,
    items: Sequence[Item],
    offset: int = 0,
    brief: bool = False,
    texts: Texts | None = None,
    rules: Rules | None = None,
    remark: str | None = None,
) -> bytes:
    """The content of a report to the sender of a message, or with `to` None of a notice to the postmaster.

    `reporting_mta` is our name, `ident` the report's queue id (its Message-ID is made of both),
    `boundary` a random token of letters and digits, `to` the reverse-path of the original, `postmaster` whom
    the report is from, `at` now, in Unix seconds; `offset` is local time's lead over UTC in seconds.  `about`
    is the original; a `brief` report has no more of it than the header.  `texts` are what people read and
    `rules` tell what replies mean, None for those alone that come with mether; `remark` is what a person says
    who returns the message, "" for nothing, None where nobody does.

    A notice that cannot be delivered either is to be dropped with a line in the log: there is no one left
    to tell.
    """
    texts = texts or Texts()
    notice = to is None
    comment = f" {_NOTICE}" if notice else ""
    to = to or postmaster
    utf8 = not to.is_ascii
    if not (utf8 or postmaster.is_ascii):
        postmaster = Address("postmaster", "")  # this report goes out without SMTPUTF8
    whole = not brief and returned.wanted(about.envelope, items, len(about.original))
    last, complete = returned.part(about, whole=whole, utf8=utf8)
    facts = words.Facts(
        mta=reporting_mta,
        postmaster=_at(postmaster, reporting_mta),
        ident=about.ident,
        arrival=about.arrival,
        offset=offset,
    )
    subject = words.subject(items, texts, facts, notice=notice)
    which = original.named(about.original)
    people = words.part(
        items,
        texts,
        facts,
        complete=complete,
        notice=notice,
        rules=rules,
        remark=remark,
        original=which.shown,
    )
    programs = status.part(reporting_mta, about, items, offset, utf8=utf8, rules=rules)
    # A boundary must not occur in what it bounds (RFC 2046 section 5.1.1), whoever wrote that.
    while any(boundary.encode() in part for part in (last, people, programs)):
        boundary += "x"
    top = (
        f"From: Mail Delivery System <{_at(postmaster, reporting_mta)}>\r\n"
        f"To: <{_at(to, reporting_mta)}>\r\n"
        f"Subject: {lines.encoded(subject, len('Subject: '))}\r\n"
        f"Date: {trace.date(at, offset)}\r\n"
        f"Message-ID: <{ident}@{reporting_mta}>\r\n"
        f"{_answer(which.message_id)}"
        f"Auto-Submitted: auto-replied{comment}\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        f'\tboundary="{boundary}"\r\n'
    )
    if utf8 or not last.isascii():
        # What a multipart holds in 8 bits it says itself (RFC 2045 section 6.4).
        top += "Content-Transfer-Encoding: 8bit\r\n"
    top += "\r\nThis is a delivery report in MIME form (RFC 3464).\r\n"
    mark = f"\r\n--{boundary}\r\n".encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    return b"".join((top.encode("utf-8", "replace"), mark, people, mark, programs, mark, last, end))


def is_notice(content: bytes) -> bool:
    """Whether a message, given from the beginning of its trace fields on, is a notice to a postmaster.

    Ask it of messages with the null reverse-path.  A stranger may claim as much; it then is not shown to the
    postmaster, and that is all.
    """
    mark = _NOTICE.encode()
    return any(
        name.lower() == b"auto-submitted" and mark in value
        for name, value in header.fields(content[: header.split(content)])
    )


def _answer(message_id: str) -> str:
    """The fields by which a reader of mail puts a report beside the message (RFC 3834 section 3.1.6)."""
    return f"In-Reply-To: {message_id}\r\nReferences: {message_id}\r\n" if message_id else ""


def _at(address: Address, host: str) -> str:
    """The address for a header field, where even the postmaster needs a domain."""
    return lines.clean(str(address if address.domain else Address(address.local_part, host)))


__all__ = ["About", "Item", "envelope", "is_notice", "report"]
