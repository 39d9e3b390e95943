"""Bounces read back: which recipients of which message failed, and why.

`read` takes a message and says what it reports, or None when it is no report at all.  It understands

- delivery status notifications (RFC 3464), with the faults that are common in them (`content.bounce_dsn`);
- the forms for people that mailers without that standard write (`content.bounce_prose`);
- the notifications of Amazon SES (`content.bounce_json`), and messages that a mailbox refused by a
  disposition notification (RFC 8098), as Dovecot does.

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
from mether.content.bounce_mime import Fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_SIZE: Final = 1024 * 1024
"""Octets of a message that are looked at."""

_DAEMON: Final = re.compile(
    r"mailer.?d[ae]+mon|mail.?daemon|mail(?:er)? deliver|post.?master|mdaemon|maildelivery"
    r"|delivery (?:sub)?system"
    r"|mail (?:system|server|administrator|admin)|system administrator|internet mail (?:delivery"
    r"|service)|interscan"
    r"|mail.?router|mail.?gateway|mta.?admin|no-?reply@sns\.amazonaws|exchange server|message router"
    r"|mailsweeper",
    re.IGNORECASE,
)
_SUBJECT: Final = re.compile(
    r"undeliver|deliver(?:y|ed)?\b.{0,40}\b(?:status|fail|problem|notif|report|error|delay|impossible"
    r"|incomplete|subsystem)"
    r"|(?:fail(?:ed|ure)?|error|problem|unable|could not|not|warning|non).{0,30}\b(?:deliver"
    r"|be delivered|send message|be sent)"
    r"|(?:failure|delivery|bounce) notice|failure notification|returned (?:e-?)?mail|returned to sender"
    r"|mail (?:failed|failure|error|returned)"
    r"|returning (?:to|message)|rejected mail|rejected message|automatically rejected|mail system error"
    r"|warning: (?:could|message)|message (?:status|delayed)"
    r"|nondeliver|non.?deliver|undelivered|bounced mail|errors? from|bounce|failed mail|mail error"
    r"|unzustellbar|nicht zugestellt|zustellung|non remis|[ée]chec|no entregad|no se pudo entregar"
    r"|n[ãa]o entreg|n[ãa]o foi"
    r"|mancata consegna|non consegnat|onbestelbaar|nicht übermittelt|недостав|не доставлен"
    r"|не может быть доставлено"
    r"|エラー|配信でき|送信でき|届きません|不達|退信|退回|无法|無法|실패|반송",
    re.IGNORECASE,
)
_TITLE: Final = re.compile(
    r"^[\W_]*(?:non-?delivery|undeliver\w+|mail delivery|delivery (?:status|failure))[\w ]{0,20}"
    r"(?:report|notification|notice|message)",
    re.IGNORECASE,
)
"""A heading that only reports have."""
_AWAY: Final = re.compile(
    r"out of (?:the )?office|auto(?:matic(?:ally)?|mated)?[ -]?(?:reply|response|respond|answer)"
    r"|autoresponse|vacation|away from|on leave|abwesen"
    r"|r[ée]ponse automatique|respuesta autom"
    r"|risposta automatica|automatische antwort|自動応答|自動返信|不在",
    re.IGNORECASE,
)
_ANSWER: Final = re.compile(r"^\s*(?:re|aw|sv|fw|fwd|antw|tr)\s*(?:\[\d+\])?:", re.IGNORECASE)
_IDENT: Final = re.compile(r"<?([^\s<>]{1,400}@[^\s<>]{1,400})>?")
_TEXT_ID: Final = re.compile(
    r"^[\s>]{0,10}(?:original-|x-original-)?message-?id\s*:\s*<?([^\s<>]{1,400}@?[^\s<>]{0,400})>?",
    re.IGNORECASE | re.MULTILINE,
)
_SCREEN_NAME: Final = re.compile(r"^\s{1,20}([A-Za-z0-9._-]{3,64})\s*$")


class _Message:
    """A message taken apart: its header, its parts, and the notice that it holds."""

    __slots__ = (
        "auto",
        "came_back",
        "header",
        "kind",
        "notice",
        "parameters",
        "parts",
        "returned",
        "sender",
        "subject",
    )

    def __init__(self, data: bytes) -> None:
        section, body = bounce_mime.split(bounce_mime.unix(data[:MAX_SIZE]))
        self.header = Fields(section)
        self.kind, self.parameters = bounce_mime.content_type(self.header.get("content-type"))
        self.parts = bounce_mime.parts(self.header, body)
        self.sender = self.header.get("from")
        self.subject = self.header.get("subject")
        self.auto = self.header.get("auto-submitted").lower()
        self.notice: list[str] = []
        self.came_back = b""
        self.returned = Fields(b"")
        self._find()

    def _find(self) -> None:
        """Where the notice ends and what came back begins."""
        seen = False
        left = bounce_text.MAX_TEXT
        for part in self.parts:
            if part.is_message:
                if not self.returned.raw:
                    self.came_back = part.data.lstrip(b"\n")
                    header, _ = bounce_mime.split(self.came_back)
                    self.returned = Fields(header)
                seen = True
            elif part is not self.parts[0] and "received" in part.fields and "from" in part.fields:
                # It stands there as a part without a header of that part's own.
                self.returned, seen = part.fields, True
            elif part.kind.startswith("text/") and not seen and left > 0:
                if part.within == "multipart/alternative" and self.notice and part.kind == "text/html":
                    continue
                text = bounce_text.lines(part.text, left)
                left -= len(part.text)
                end = bounce_text.notice(text)
                self.notice += ["", *text[:end]]
                if end < len(text) and not self.returned.raw:
                    self.returned = _fields_within(text[end:])
                    seen = bool(self.returned.raw)


def read(message: bytes, recipient: str = "") -> Bounce | None:
    """What a message reports, or None where it is no report.

    `recipient` is the address that the message was sent to, where the caller knows it: with VERP it tells
    whose message came back.  Else it is looked for in Delivered-To, X-Original-To and To.
    """
    whole = _Message(message)
    if _is_complaint(whole):
        return None
    verp_sent = _sent_to(recipient, whole.header)
    bounce = _from_json(whole) or _from_status(whole) or _from_refusal(whole)
    if bounce is None and _is_daemon(whole) and _is_report(whole.returned):
        # A filter that sends bounces on in a bounce of its own.
        inner = _Message(whole.came_back)
        bounce = _from_status(inner) or _from_prose(inner, None)
        whole = inner if bounce else whole
    bounce = bounce or _from_prose(whole, verp_sent)
    if bounce is None:
        return None
    if verp_sent is not None:
        bounce.queue_id = verp_sent.queue_id
    bounce.message_id = bounce.message_id or _message_id(whole)
    for one in bounce.recipients:
        bounce_why.explain(one, whole.notice, whole.subject)
    return bounce


def _is_complaint(whole: _Message) -> bool:
    return "feedback-report" in whole.parameters.get("report-type", "").lower() or any(
        part.kind == "message/feedback-report" for part in whole.parts
    )


def _is_report(returned: Fields) -> bool:
    """Whether what came back is a report itself."""
    return (
        _DAEMON.search(returned.get("from")) is not None
        and _SUBJECT.search(returned.get("subject")) is not None
    )


def _from_json(whole: _Message) -> Bounce | None:
    for part in whole.parts[:3]:
        if part.kind.startswith(("text/", "application/json")):
            found = bounce_json.read(part.text)
            if found is not None:
                return found
    return None


def _from_status(whole: _Message) -> Bounce | None:
    """A report in fields: in parts of that type, or in a notice of somebody who does not know the type."""
    texts = [part.text for part in whole.parts if part.kind.endswith("delivery-status")]
    if whole.kind != "multipart/report" and _ANSWER.match(whole.subject) and not _is_daemon(whole):
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
        if not texts or not (_is_daemon(whole) or _SUBJECT.search(whole.subject)):
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


def _from_refusal(whole: _Message) -> Bounce | None:
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


def _from_prose(whole: _Message, sent: verp.Sent | None) -> Bounce | None:
    """A report in words, if it is one."""
    header = whole.header
    listed = [
        address for value in header.all("x-failed-recipients") for address in bounce_text.addresses(value)
    ]
    text = bounce_text.joined(whole.notice)
    failure = bounce_text.FAILURE.search(text) is not None
    daemon, subject = _is_daemon(whole), _SUBJECT.search(whole.subject) is not None
    if not listed and not ((failure or subject) if daemon else (failure and subject and _may_report(whole))):
        return None
    if not listed and _AWAY.search(whole.subject) and not (failure and subject):
        return None
    found = bounce_prose.read(whole.notice, _others(whole), sentences=daemon or bool(listed))
    if listed:
        if len(found) == len(listed) == 1 and found[0].recipient.lower() in _to(whole):
            listed = [found[0].recipient]
        by_address = {one.recipient.lower(): one for one in found}
        found = [
            by_address.get(address.lower()) or Failed(address, diagnostic=_only(found, listed))
            for address in dict.fromkeys(listed)
        ]
    if not found:
        null = header.get("return-path").strip() == "<>"
        found = _guessed(whole, sent) if daemon or (null and subject and failure) else []
    if not found:
        return None
    delayed = _is_delayed(whole, text)
    for one in found:
        one.action = "delayed" if delayed else "failed"
    return Bounce(found[: bounce_prose.MAX_RECIPIENTS], reporting_mta="")


def _only(found: Sequence[Failed], listed: Sequence[str]) -> str:
    """The diagnostic that must be that of a recipient which a notice names otherwise than its header."""
    return found[0].diagnostic if len(found) == len(listed) == 1 else ""


def _guessed(whole: _Message, sent: verp.Sent | None) -> list[Failed]:
    """The recipient where the notice names none: that of the VERP, or the only one the message had."""
    if sent is not None and sent.recipient:
        return [Failed(sent.recipient)]
    to = _to(whole)
    if len(to) == 1 and not any(name in whole.returned for name in _LISTS):
        return [Failed(next(iter(to.values())))]
    domain = next(iter(bounce_text.addresses(whole.sender)), "").rpartition("@")[2]
    names = [match[1] for line in whole.notice[1:] if (match := _SCREEN_NAME.match(line))]
    if domain and names and _is_daemon(whole):
        return [Failed(f"{name}@{domain}") for name in dict.fromkeys(names)]
    return []


_LISTS: Final = ("list-id", "list-post", "list-unsubscribe", "x-beenthere", "x-mailing-list", "mailing-list")
"""Fields of mail that went to more than its To field says."""


def _to(whole: _Message) -> dict[str, str]:
    """Whom the message that came back was for, by the address in lower case."""
    return {
        address.lower(): address
        for name in ("x-original-to", "to", "cc", "envelope-to", "x-envelope-to")
        for address in bounce_text.addresses(whole.returned.get(name))
    }


def _others(whole: _Message) -> frozenset[str]:
    """Addresses that a notice mentions without saying that they failed: the sender's, the reporter's."""
    values = [whole.header.get(name) for name in ("to", "from", "delivered-to", "x-original-to", "reply-to")]
    values += [whole.returned.get(name) for name in ("from", "return-path", "sender", "message-id")]
    return frozenset(address.lower() for value in values for address in bounce_text.addresses(value))


def _is_daemon(whole: _Message) -> bool:
    """Whether a mailer wrote it, by its From."""
    return _DAEMON.search(whole.sender) is not None or not bounce_text.addresses(whole.sender)


def _may_report(whole: _Message) -> bool:
    """Whether it may be a report though nobody with such a name wrote it: no answer, and nothing that was
    said on a mailing list."""
    if _ANSWER.match(whole.subject) or "disposition" in whole.parameters.get("report-type", ""):
        return False
    if any(name in whole.header for name in _LISTS):
        first = next((line for line in whole.notice if line.strip()), "")
        return _TITLE.match(first) is not None
    return True


def _is_delayed(whole: _Message, text: str) -> bool:
    if bounce_text.GIVEN_UP.search(text):
        return False
    return bounce_text.DELAYED.search(f"{whole.subject}\n{text}") is not None


def _message_id(whole: _Message) -> str:
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


def _fields_within(lines: Sequence[str]) -> Fields:
    """The header of a message that came back within a text."""
    start = next(
        (at for at, line in enumerate(lines[:12]) if re.match(r"[A-Za-z][A-Za-z0-9-]*\s*:", line)), len(lines)
    )
    end = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    return Fields("\n".join(lines[start:end]).encode("utf-8", "replace"))


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
