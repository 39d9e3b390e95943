"""Bounces read back: which recipients of which message failed, and why.

`read` takes a message and says what it reports, or None when it is no report at all.  It understands

- delivery status notifications (RFC 3464), with the faults that are common in them (`content.bounce_dsn`);
- the forms for people that mailers without that standard write (`content.bounce_prose`);
- the notifications of Amazon SES (`content.bounce_json`), in a mail or by themselves, and messages that a
  mailbox refused by a disposition notification (RFC 8098), as Dovecot does.

A report need not be a failure: each recipient has the action of RFC 3464, so a delay and a success are read
too.  What is no report: a complaint (RFC 5965), an answer of somebody who is away (RFC 3834), a receipt, and
other mail, also where it quotes a bounce or has one attached.

Why is decided by `content.bounce_why`.

Pure, and bounded: the first `MAX_SIZE` octets of a message are looked at.  Nothing here fails, whatever the
octets are.
"""

from __future__ import annotations

import re

from mether.content import bounce_dsn, bounce_json, bounce_mime, bounce_prose, bounce_text, bounce_why, verp
from mether.content.bounce_found import Bounce, Failed
from mether.content.bounce_message import AWAY, DAEMON, LISTS, SUBJECT, TITLE, Message
from mether.content.bounce_mime import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_SIZE: Final = 1024 * 1024
"""Octets of a message that are looked at."""

MAX_SUBJECT: Final = 1000
"""Characters of the subject of a message that came back."""

_JSON: Final = b"Content-Type: application/json\n\n"

_IDENT: Final = re.compile(r"<?([^\s<>]{1,400}@[^\s<>]{1,400})>?")
_TEXT_ID: Final = re.compile(
    r"^[\s>]{0,10}(?:original-|x-original-)?message-?id\s*:\s*<?([^\s<>]{1,400}@?[^\s<>]{0,400})>?",
    re.IGNORECASE | re.MULTILINE,
)
_SCREEN_NAME: Final = re.compile(r"^\s{1,20}([A-Za-z0-9._-]{3,64})\s*$")
_NAMED: Final = re.compile(r"^\s{1,20}([A-Za-z0-9._-]{2,64})\s{2,40}\S")


def read(message: bytes, recipient: str = "") -> Bounce | None:
    """What a message reports, or None where it is no report.

    `recipient` is the address that the message was sent to, where the caller knows it: with VERP it tells
    whose message came back.  Else it is looked for in Delivered-To, X-Original-To and To.
    """
    message = message[:MAX_SIZE]
    bare = message.lstrip()[:1] == b"{"  # a notification that no mail brought
    whole = Message(_JSON + message if bare else message)
    date = bounce_mime.date(whole.header.get("date"))
    if _is_complaint(whole):
        return None
    verp_sent = _sent_to(recipient, whole.header)
    bounce = _from_json(whole)
    if bounce is None and not bare:
        bounce = _from_status(whole) or _from_refusal(whole)
    if bounce is None and whole.is_daemon and not whole.is_of_list and _is_report(whole.returned):
        # A filter that sends bounces on in a bounce of its own.
        inner = Message(whole.came_back)
        bounce = _from_status(inner) or _from_prose(inner, None)
        whole = inner if bounce else whole
    if bounce is None and not bare:
        bounce = _from_prose(whole, verp_sent)
    if bounce is None:
        return None
    if verp_sent is not None:
        bounce.queue_id, bounce.sent_to = verp_sent.queue_id, verp_sent.recipient
    bounce.message_id = bounce.message_id or _message_id(whole)
    bounce.subject = (bounce.subject or whole.returned.get("subject"))[:MAX_SUBJECT]
    bounce.date = bounce.date or date
    why = bounce_why.Why(whole.notice, whole.subject)
    for one in bounce.recipients:
        why.explain(one)
    return bounce


def _is_complaint(whole: Message) -> bool:
    return "feedback-report" in whole.parameters.get("report-type", "").lower() or any(
        part.kind == "message/feedback-report" for part in whole.parts
    )


def _is_report(returned: Fields) -> bool:
    """Whether what came back is a report itself."""
    return (
        DAEMON.search(returned.get("from")) is not None
        and SUBJECT.search(returned.get("subject")) is not None
    )


def _from_json(whole: Message) -> Bounce | None:
    for part in whole.parts[:3]:
        if part.kind.startswith(("text/", "application/json")):
            found = bounce_json.read(part.text)
            if found is not None:
                return found
    return None


def _from_status(whole: Message) -> Bounce | None:
    """A report in fields: in parts of that type, or in a notice of somebody who does not know the type."""
    texts = [part.text for part in whole.parts if part.kind.endswith("delivery-status")]
    if whole.kind != "multipart/report" and whole.is_answer and not whole.is_daemon:
        return None
    if not any(map(bounce_dsn.present, texts)):
        texts = [
            part.text
            for part in whole.parts
            if not part.is_message
            and part.kind.startswith(("text/", "application/octet", "message/"))
            and part.kind != "message/disposition-notification"
            and bounce_dsn.present(part.text)
        ][:1]
        if not texts or not (whole.is_daemon or (whole.names_failure and _may_be_sent(whole))):
            return None
    found: list[Failed] = []
    out = Bounce(found)
    for text in texts:
        report = bounce_dsn.read(text)
        found += report.recipients
        out.envid = out.envid or report.message.get("original-envelope-id", "")[:1000]
        out.reporting_mta = out.reporting_mta or report.host("reporting-mta")
    unique = {(one.recipient.lower(), one.action): one for one in reversed(found)}
    out.recipients = [one for one in found if unique[one.recipient.lower(), one.action] is one]
    del out.recipients[bounce_dsn.MAX_RECIPIENTS :]
    return out if out.recipients else None


def _may_be_sent(whole: Message) -> bool:
    """Whether fields of a report in the text of somebody are a report, and not shown to somebody else."""
    return whole.kind == "multipart/report" or (
        not whole.is_of_list and (whole.has_null_path or (bool(whole.returned.raw) and not _is_shown(whole)))
    )


def _from_refusal(whole: Message) -> Bounce | None:
    """A mailbox that refused a message and says so by a disposition notification."""
    for part in whole.parts:
        if part.kind == "message/disposition-notification":
            fields = Fields(part.data)
            refused = "reject" in whole.auto or "reject" in whole.subject.lower()
            recipient = bounce_dsn.address(fields.get("final-recipient"))
            if not recipient or not (refused or "failed" in fields.get("disposition").lower()):
                return None
            words = bounce_text.joined(whole.notice)[: bounce_prose.MAX_DIAGNOSTIC]
            one = Failed(recipient, action="failed", diagnostic=words, status=bounce_text.status(words))
            ident = fields.get("original-message-id").strip("<> ")
            return Bounce([one], message_id=ident, reporting_mta=bounce_dsn.mta(fields.get("reporting-ua")))
    return None


def _from_prose(whole: Message, sent: verp.Sent | None) -> Bounce | None:
    """A report in words, if it is one."""
    listed = [
        address
        for name in ("x-failed-recipients", "final-recipient", "original-recipient")
        for value in whole.header.all(name)
        for address in bounce_text.addresses(bounce_dsn.typed(value))
    ]
    text = bounce_text.joined(whole.notice)
    failure, subject = bounce_text.FAILURE.search(text) is not None, whole.names_failure
    if not listed and not _tells(whole, text, failure=failure):
        return None
    if not listed and AWAY.search(whole.subject) and not (failure and subject):
        return None
    own = whole.is_daemon or (whole.has_null_path and subject and failure)
    found = bounce_prose.read(whole.notice, _others(whole), sentences=own or bool(listed))
    if listed:
        if len(found) == len(listed) == 1 and found[0].recipient.lower() in _to(whole):
            listed = [found[0].recipient]
        by_address = {one.recipient.lower(): one for one in found}
        found = [
            by_address.get(address.lower()) or Failed(address, diagnostic=_only(found, listed))
            for address in dict.fromkeys(listed)
        ]
    if not found and own:
        found = _guessed(whole, sent)
    if not found:
        return None
    delayed = _is_delayed(whole, text)
    for one in found:
        one.action = "delayed" if delayed else "failed"
    return Bounce(found[: bounce_prose.MAX_RECIPIENTS], reporting_mta="")


def _tells(whole: Message, text: str, *, failure: bool) -> bool:
    """Whether its words may be a report: by who wrote them, the subject, and the words themselves.

    The less of a mailer there is in the sender and in the subject, the more must be in the rest: a message
    that came back, the reply of a server, the null reverse-path.
    """
    replied = any(bounce_text.is_reply(line) or bounce_text.reply_at(line) for line in whole.notice)
    if whole.is_daemon:
        return whole.names_failure or (
            failure and (whole.is_surely_daemon or whole.has_null_path or replied or bool(whole.returned.raw))
        )
    plain = bounce_text.PLAIN.search(text) is not None
    if not _may_report(whole) or not (failure and (whole.names_failure or plain)):
        return False
    if _is_titled(whole) or (whole.returned.raw and not _is_shown(whole)):
        return True
    return whole.has_null_path and (replied or (plain and whole.names_failure))


def _only(found: Sequence[Failed], listed: Sequence[str]) -> str:
    """The diagnostic that must be that of a recipient which a notice names otherwise than its header."""
    return found[0].diagnostic if len(found) == len(listed) == 1 else ""


def _guessed(whole: Message, sent: verp.Sent | None) -> list[Failed]:
    """The recipient where the notice names none: that of the VERP, or the only one the message had."""
    if sent is not None and sent.recipient:
        return [Failed(sent.recipient)]
    to = _to(whole)
    if len(to) == 1 and not any(name in whole.returned for name in LISTS):
        return [Failed(next(iter(to.values())))]
    domain = next(iter(bounce_text.addresses(whole.sender)), "").rpartition("@")[2]
    names = [match[1] for line in whole.notice[1:] if (match := _SCREEN_NAME.match(line))] or _named(whole)
    if domain and names and whole.is_daemon:
        return [Failed(f"{name}@{domain}") for name in dict.fromkeys(names)]
    return []


def _named(whole: Message) -> list[str]:
    """Names of users below a line that says they failed, with a reason behind each or none."""
    for at, line in enumerate(whole.notice[:100]):
        if line.endswith(":") and bounce_text.FAILURE.search(line):
            below = [each for each in whole.notice[at + 1 : at + 8] if each.strip()]
            return [match[1] for each in below if (match := _NAMED.match(each))]
    return []


def _to(whole: Message) -> dict[str, str]:
    """Whom the message that came back was for, by the address in lower case."""
    return {
        address.lower(): address
        for name in ("x-original-to", "to", "cc", "envelope-to", "x-envelope-to")
        for address in bounce_text.addresses(whole.returned.get(name))
    }


def _others(whole: Message) -> frozenset[str]:
    """Addresses that a notice mentions without saying that they failed: the sender's, the reporter's."""
    values = [whole.header.get(name) for name in ("to", "from", "delivered-to", "x-original-to", "reply-to")]
    values += [whole.returned.get(name) for name in ("from", "return-path", "sender", "message-id")]
    return frozenset(address.lower() for value in values for address in bounce_text.addresses(value))


def _may_report(whole: Message) -> bool:
    """Whether it may be a report though nobody with such a name wrote it: no answer, and nothing that was
    said on a mailing list."""
    if whole.is_answer or "disposition" in whole.parameters.get("report-type", ""):
        return False
    return not whole.is_of_list or _is_titled(whole)


def _is_shown(whole: Message) -> bool:
    """Whether what seems to have come back is shown: it is a report, or whoever writes wrote it, too."""
    own = bounce_text.addresses(whole.sender.lower())
    return _is_report(whole.returned) or any(
        address in own for address in bounce_text.addresses(whole.returned.get("from").lower())
    )


def _is_titled(whole: Message) -> bool:
    """Whether its first line is a heading that only reports have."""
    return TITLE.match(next((line for line in whole.notice if line.strip()), "")) is not None


def _is_delayed(whole: Message, text: str) -> bool:
    if bounce_text.GIVEN_UP.search(text):
        return False
    return bounce_text.DELAYED.search(f"{whole.subject}\n{text}") is not None


def _message_id(whole: Message) -> str:
    """The Message-ID of the message that came back."""
    match = _IDENT.search(whole.returned.get("message-id"))
    if match:
        return match[1]
    tails = (part.data.decode("latin-1") for part in whole.parts if part.kind.endswith("delivery-status"))
    for text in ("\n".join(whole.notice), *tails):
        match = _TEXT_ID.search(text)
        if match:
            return match[1]
    for name in ("x-original-message-id", "original-message-id", "in-reply-to", "references"):
        found = _IDENT.findall(whole.header.get(name))
        if found:
            return str(found[-1])
    return ""


def _sent_to(recipient: str, header: Fields) -> verp.Sent | None:
    """What the reverse-path says by which the message was sent: where the report has gone to."""
    candidates = [recipient] if recipient else []
    for name in ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to"):
        candidates += [address for value in header.all(name) for address in bounce_text.addresses(value)]
    for each in candidates[:50]:
        sent = verp.decode(each)
        if sent is not None:
            return sent
    return None


__all__ = ["Bounce", "Failed", "read"]
