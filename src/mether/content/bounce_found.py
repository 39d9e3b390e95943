"""What is read from a bounce: values, which the readers of `content.bounce` make.

Nothing here fails.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mether.content.classify import Kind


class Failed:
    """What a report says of one recipient.

    `recipient` is the address that failed, and `original` the one the sender wrote, where that was another;
    `action` one of RFC 3464 section 2.3.3 (failed, delayed, delivered, relayed, expanded); `status` an
    enhanced status code (RFC 3463) or "" where the report has none; `diagnostic` the words of the
    server that refused, or else of the reporter; `remote` that server's name, or "".  `kind` is why.  `more`
    is text that may tell why where the diagnostic does not.
    """

    __slots__ = ("action", "diagnostic", "kind", "more", "original", "recipient", "remote", "status")

    def __init__(
        self,
        recipient: str,
        *,
        action: str = "",
        status: str = "",
        diagnostic: str = "",
        original: str = "",
        remote: str = "",
        more: Sequence[str] = (),
    ) -> None:
        self.recipient = recipient
        self.action = action
        self.status = status
        self.diagnostic = diagnostic
        self.original = original
        self.remote = remote
        self.more = tuple(more)
        self.kind: Kind | str = "other"

    def __repr__(self) -> str:
        said = (self.recipient, self.action, self.status, self.kind, self.diagnostic)
        return f"Failed({', '.join(map(repr, said))})"


class Bounce:
    """One report: what became of a message at some of its recipients.

    `recipients` is never empty.  `envid` is the envelope id that the sender gave (RFC 3461 section 4.4),
    `message_id` the Message-ID of the message that came back, without angle brackets, and `subject` its
    subject; `reporting_mta` who reports, and `date` when (ISO 8601, in UTC).  `queue_id` is ours, and
    `sent_to` whom we sent it to, when the message was sent with VERP.  Each is "" where nothing says it.
    """

    __slots__ = (
        "date",
        "envid",
        "message_id",
        "queue_id",
        "recipients",
        "reporting_mta",
        "sent_to",
        "subject",
    )

    def __init__(
        self,
        recipients: list[Failed],
        *,
        envid: str = "",
        message_id: str = "",
        reporting_mta: str = "",
        queue_id: str = "",
        sent_to: str = "",
        subject: str = "",
        date: str = "",
    ) -> None:
        self.recipients = recipients
        self.envid = envid
        self.message_id = message_id
        self.reporting_mta = reporting_mta
        self.queue_id = queue_id
        self.sent_to = sent_to
        self.subject = subject
        self.date = date

    def __repr__(self) -> str:
        return f"Bounce({self.recipients!r}, message_id={self.message_id!r}, queue_id={self.queue_id!r})"
