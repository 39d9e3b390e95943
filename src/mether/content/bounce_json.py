"""Bounces in JSON: the notifications of Amazon SES, which SNS sends as mail, or to a program.

`read` looks for an object in a text and gives what it tells of; None where it is no such notification.  A
complaint is no bounce.  Nothing here fails, however deep or broken the text is.
"""

from __future__ import annotations

from mether.content import bounce_dsn, bounce_mime, bounce_text
from mether.content.bounce_found import Bounce, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_TEXT: Final = 256 * 1024
"""Characters of a notification that are read."""


def read(text: str) -> Bounce | None:
    """The bounce, or the delivery, that a notification tells of."""
    start = text.find("{")
    if start < 0 or len(text) > MAX_TEXT or ("otificationType" not in text and "eventType" not in text):
        return None
    found = _object(text[start:])
    inner = found.get("Message")
    if isinstance(inner, str):
        found = _object(inner)
    mail = _dict(found.get("mail"))
    out: list[Failed] = []
    host = at = ""
    kind = found.get("notificationType", found.get("eventType"))
    if kind == "Bounce":
        bounce = _dict(found.get("bounce"))
        host, at = _text(bounce.get("reportingMTA")), _text(bounce.get("timestamp"))
        hint = f"{_text(bounce.get('bounceType'))} {_text(bounce.get('bounceSubType'))}"
        for each in _list(bounce.get("bouncedRecipients")):
            one = _dict(each)
            recipient = bounce_text.clean(_text(one.get("emailAddress")))
            status = bounce_text.status(_text(one.get("status")))
            if recipient:
                diagnostic = bounce_dsn.typed(_text(one.get("diagnosticCode")))
                out.append(
                    Failed(
                        recipient,
                        action=bounce_dsn.action(_text(one.get("action")), status),
                        status=status,
                        diagnostic=diagnostic,
                        more=[_SUBTYPES.get(_text(bounce.get("bounceSubType")), ""), hint],
                    )
                )
    elif kind in ("Delivery", "DeliveryDelay"):
        told = _dict(found.get("delivery", found.get("deliveryDelay")))
        host, at = _text(told.get("reportingMTA")), _text(told.get("timestamp"))
        for each in _list(told.get("recipients", told.get("delayedRecipients"))):
            recipient = bounce_text.clean(_text(each) or _text(_dict(each).get("emailAddress")))
            if recipient:
                words = _text(told.get("smtpResponse")) or _text(_dict(each).get("diagnosticCode"))
                out.append(
                    Failed(
                        recipient,
                        action="delivered" if kind == "Delivery" else "delayed",
                        diagnostic=bounce_dsn.typed(words),
                        status=bounce_text.status(words),
                    )
                )
    if not out:
        return None
    common = _dict(mail.get("commonHeaders"))
    ident = _text(common.get("messageId")) or _text(mail.get("messageId"))
    return Bounce(
        out[: bounce_dsn.MAX_RECIPIENTS],
        message_id=ident.strip("<> "),
        reporting_mta=bounce_dsn.mta(host),
        subject=_text(common.get("subject")),
        date=bounce_mime.date(at),
    )


_SUBTYPES: Final = {
    "NoEmail": "no such user",
    "General": "",
    "Suppressed": "recipient address is on the suppression list",
    "OnAccountSuppressionList": "recipient address is on the suppression list",
    "MailboxFull": "mailbox full",
    "MessageTooLarge": "message too large",
    "ContentRejected": "content rejected",
    "AttachmentRejected": "attachment rejected",
}
"""What the subtypes of a bounce mean, in words that mailers use."""


def _object(text: str) -> dict[object, object]:
    """The object that a text begins with, whatever stands behind it; {} where there is none."""
    import json

    # A mailer may have broken long lines, and put a "!" at the end of each.
    for attempt in (text, text.replace("!\n ", "").replace("\n ", ""), text.replace("\n", "")):
        try:
            found, _ = json.JSONDecoder(strict=False).raw_decode(attempt)
        except (ValueError, RecursionError):
            continue
        return _dict(found)
    return {}


def _dict(value: object) -> dict[object, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value[:8000] if isinstance(value, str) else ""
