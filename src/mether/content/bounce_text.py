"""What a person would see in a bounce: addresses, where the returned message begins, words of failure.

The readers of bounces (`content.bounce`) share these.  Of a text the first `MAX_TEXT` characters are
looked at, in `MAX_LINES` lines of `MAX_LINE` characters.  Nothing here fails.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_LINES: Final = 1000
"""Lines of a notice that are looked at."""

MAX_LINE: Final = 1000
"""Characters of a line that are looked at."""

MAX_TEXT: Final = 64 * 1024
"""Characters of a text that are looked at."""

_LOCAL: Final = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-]{1,128}|\"[^\"\n@<>]{1,126}\")"
_DOMAIN: Final = (
    r"(?:(?:[A-Za-z0-9\-_\u0080-\uffff]{1,63}\.){1,20}[A-Za-z0-9\-]{1,63}|\[[0-9A-Fa-fIPv.:]{2,60}\])"
)
ADDRESS: Final = rf"{_LOCAL}@{_DOMAIN}"
"""An address in running text."""

_ADDRESS: Final = re.compile(rf"(?<![A-Za-z0-9!#$%&*+/=?^_{{|}}~.\-@]){ADDRESS}(?![@])")
_ANGLE: Final = re.compile(
    r"<(?:mailto:|smtp:)?((?:\"[^\"\n]{1,126}\"|[^\s<>@\"]{1,128})@[^\s<>@]{1,255})>", re.IGNORECASE
)
_ROUTE: Final = re.compile(r"^(?:@[^:@,\s]+,?)+:")
_STATUS: Final = re.compile(r"(?<![0-9.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9]|\.[0-9])")
_CODE: Final = re.compile(
    r"(?<![0-9A-Za-z.\-/:])([45][0-9]{2})(?=[ \-:#,]|$)(?![ ]?(?:KB|MB|bytes|sec|min|hour|day))"
)

_RULE: Final = re.compile(r"^[\s>]*[-=_*#|+~]{2,}.*[A-Za-z\u0080-\uffff]")
_RETURNED: Final = re.compile(
    r"\b(?:copy of|original|returned|return(?:ing)?|unsent|undeliver\w+|forwarded|rejected|failed|your"
    r"|the)?\s*"
    r"\b(?:message|mail|e-?mail|headers?)\b.*\b(?:follows?|following|below|attached|line|headers?|copy"
    r"|message)\b"
    r"|\b(?:original|unsent|returned|undelivered|forwarded|included|rejected)\s+(?:message|mail|headers?"
    r"|e-?mail)"
    r"|\bcopy of\b|\bmessage (?:text|body|header|contents?)|\bbelow th(?:is|e next) line",
    re.IGNORECASE,
)
_NOT_RETURNED: Final = re.compile(
    r"transcript|session|\blog\b|address|recipient|errors?\b|report|diagnos|reason|fatal|warning|problem"
    r"|detail"
    r"|delivered|technical|information|generated|failed to|do not|delay|non.?deliver",
    re.IGNORECASE,
)
_PLAIN_RETURNED: Final = re.compile(
    r"^\s*(?:(?:the |your |an? )?(?:original|unsent|returned|undelivered|failed)\s+(?:message|mail"
    r"|e-?mail)(?:['s]*\s+headers?)?"
    r"(?:\s+(?:follows?|is attached|attached|is below|text|header|body|reads|begins)\b.*|\s*:?\s*)$"
    r"|(?:here is |this is |included is |attached is |below (?:is|this line is|the next line is"
    r"|appears) )?(?:an? |the )?"
    r"copy of (?:the |your |that )?(?:original |returned )?(?:message|mail|e-?mail|headers?)\b.*"
    r"|below (?:is|this line is|the next line is)\b.*(?:message|mail|copy)\b.*"
    r"|(?:the )?(?:message|mail) (?:headers?|text|body|contents?|header and text)s? follows?\b.*"
    r"|(?:the )?(?:headers?|body|text|first \d+ lines)\b.{0,60}\b(?:message|mail)\b.{0,60}\b(?:follows?"
    r"|following|below)\b.*"
    r"|(?:the )?message (?:you sent|that you sent|sent|was|reads)\s*:\s*$"
    r"|your (?:original )?message (?:reads|follows|was)\b.{0,30}:\s*$"
    r"|old message\s*:\s*$"
    r")",
    re.IGNORECASE,
)
_FIELD: Final = re.compile(
    r"^(?:Received|Return-Path|Message-Id|DKIM-Signature|DomainKey-Signature|ARC-[A-Za-z-]+|Delivered-To|"
    r"X-Originating-IP|X-Google-[A-Za-z-]+|X-Received|MIME-Version|X-Mailer|X-Original-To"
    r"|Authentication-Results|"
    r"X-Apparently-To|Received-SPF|X-[A-Za-z][A-Za-z0-9-]{1,40})\s*:",
    re.IGNORECASE,
)
_ANY_FIELD: Final = re.compile(r"^(?:[A-Za-z][A-Za-z0-9-]{0,60}\s*:|[ \t]+\S)")
_NOT_FIELD: Final = re.compile(
    r"^X-(?:Failed-Recipients|Actual-Recipient|Postfix|Supplementary|Display)", re.IGNORECASE
)

FAILURE: Final = re.compile(
    r"\b(?:could ?n[o']t|can ?n[o']t|cannot|was not|not|un|has not been|have not been|wasn't"
    r"|been unable to be|unable to be)"
    r"[\s-]*(?:been |be )?(?:successfully )?(?:deliver|send|sent|reach|accept|process|forward|relay)"
    r"|did not (?:exactly )?match|\b(?:did|does|do|has|have) not (?:yet )?(?:reach|been delivered"
    r"|been sent|accept|like|receive|exist)"
    r"|unable to (?:deliver|send|relay|process|complete|forward|transmit)|un(?:deliver|reach|route)abl"
    r"|undeliver|non[\s-]?deliver|not (?:be |been )?(?:possible to )?deliver"
    r"|(?:error|problem|failure|trouble|difficult\w*)s? (?:\w+ ){0,4}(?:while |in |with |when |of |during )?"
    r"(?:the )?(?:deliver|transmit|sending|processing)"
    r"|deliver(?:y|ing)?\b.{0,80}\b(?:fail|error|problem|abort|rejected|impossible|delay|not possible"
    r"|suspended)"
    r"|fail(?:ed|ure)?\b.{0,60}\bdeliver|fail(?:ed|ure) (?:to |in )?(?:send|recipient|address)"
    r"|(?:permanent|fatal|temporary|transient)[\w ,-]{0,30}(?:error|failure)"
    r"|(?:address|recipient|user|mailbox|account|host|domain|person)[\w\s()<>@.,:;\"'-]{0,80}"
    r"(?:failed|unknown|not found|does ?n[o']t exist|invalid|rejected|full|over\s?quota|not exist|disabled"
    r"|refused|no longer)"
    r"|(?:unknown|invalid|no such|bad|non-?existent) (?:user|recipient|address|mailbox|local|host|domain"
    r"|final delivery|destination)"
    r"|not a member of|not member article"
    r"|not a (?:valid|known) (?:user|recipient|mailbox|address)|(?:has|have) (?:failed|been postponed)\b"
    r"|no (?:valid recipients|mailbox here)|quota (?:exceeded|violation)|over\s?quota"
    r"|mailbox (?:is )?full|over (?:disk )?quota"
    r"|(?:message|mail)\b.{0,60}\b(?:rejected|refused|returned|bounced|blocked|delayed|expired"
    r"|not accepted|timed? ?out)"
    r"|returned (?:mail|to sender|message)|returning (?:message|mail)|not accepting mail"
    r"|(?:is|been) (?:queued|delayed)|will (?:be retried|keep trying|try again)|still being retried"
    r"|said: ?[45]\d\d|<<< [45]\d\d|remote host said|SMTP error"
    # German, French, Spanish, Portuguese, Italian, Dutch, Swedish and other Nordic, Polish, Czech
    r"|nicht (?:zugestellt|zustell|ausgeliefert|erreich|gesendet|zugestellt werden)|unzustellbar"
    r"|zustellung|fehlgeschlagen"
    r"|n'a pas (?:pu|\S+) |n'ont pas |non remis|pas (?:\S+ )?(?:remis|distribu|livr)|[ée]chec de|impossible d"
    r"|no (?:se )?(?:ha |pudo |puede |fue |han )|no entregad|no se entreg|n[ãa]o (?:foi|p[oô]de|pode"
    r"|entreg)|falha|mensagem n"
    r"|non (?:[eè]|\S+ stat[oa]|recapitat|consegn|pu[oò])|impossibile|niet (?:bezorg|afgelever|worden)"
    r"|onbestelbaar"
    r"|mislukt|kon niet|error de entrega|teslim edilemedi|iletilemedi|nem (?:siker|lehet)"
    r"|kunde inte|kunne ikke|ei voitu|nie (?:mo[żz]na|zosta|dostarcz|mog)|nedoru[čc]|nebyl|nelze"
    # Russian, Ukrainian, Greek, Japanese, Chinese, Korean
    r"|не (?:может|удалось|доставлен|была?|было)|недостав|невозможно|не вдалося|δεν (?:ήταν|μπόρεσε"
    r"|παραδόθηκε)"
    r"|送信でき|配信でき|配送でき|届け|配達でき|エラー|見つかりません|送れません|リストにありません|存在しません|拒否"
    r"|无法|未能|退信|無法|失败|失敗|被退回|전송|배달|실패|보낼 수 없",
    re.IGNORECASE,
)
"""Words of a failure, or of a delay, in a notice."""

DELAYED: Final = re.compile(
    r"this is (?:only )?a warning|warning message only|warning only|do not need to re-?send"
    r"|no need to re-?send|has been delayed"
    r"|(?:is|was|being) delayed|delivery (?:status notification )?\(?delay|delivery delayed|delayed mail"
    r"|(?:could|has) not (?:yet )?be(?:en)? (?:delivered )?(?:yet|for more than|for the last)"
    r"|not yet (?:been )?delivered"
    r"|still being retried|will (?:be retried|keep trying|continue (?:to )?(?:try|attempt))"
    r"|attempts to deliver .{0,60} will continue|delivery attempts will continue|has been postponed"
    r"|advisory-only"
    r"|we will continue to (?:try|attempt)|no action is required on your part|transient non-fatal"
    r"|warning: could not send|warning: message .{0,60} delayed|temporarily deferred",
    re.IGNORECASE,
)
"""Words of a delay; where `GIVEN_UP` is found as well it was a failure after all."""

GIVEN_UP: Final = re.compile(
    r"permanent(?:ly)? (?:error|fail|fatal)|failed permanently|i've given up|giving up\."
    r"|not going to try again"
    r"|has been (?:returned|removed|deleted)|queue too long|retry timeout exceeded"
    r"|permanent delivery failure",
    re.IGNORECASE,
)


PLAIN: Final = re.compile(
    r"(?:could not|cannot|can't|couldn't|was not|wasn't|has not been|not) be(?:en)? (?:successfully )?"
    r"delivered"
    r"|(?:was not|wasn't|not) delivered to|unable to deliver|undeliverable|wasn't able to deliver"
    r"|deliver(?:y|ing) (?:of .{0,60} )?(?:to .{0,60} )?(?:has |was )?(?:failed|aborted|delayed)"
    r"|did not reach the following|following address(?:es|\(es\))? (?:failed|had )|unzustellbar"
    r"|nicht zugestellt",
    re.IGNORECASE,
)
"""Words of a failure that hardly anybody uses for another thing than mail."""


def lines(text: str, size: int = MAX_TEXT, count: int = MAX_LINES) -> list[str]:
    """The lines of a text without its control characters, as far as they are looked at."""
    out = []
    for line in text[:size].split("\n", count)[:count]:
        line = line[:MAX_LINE].rstrip()
        if not line.isprintable():
            line = "".join(char if char.isprintable() or char == "\t" else " " for char in line).rstrip()
        out.append(line)
    return out


def addresses(text: str) -> list[str]:
    """The addresses in a line or two, each once, in order: in angle brackets if there are any there."""
    if "@" not in text:
        return []
    found = [clean(match[1]) for match in _ANGLE.finditer(text)] or [
        clean(match[0]) for match in _ADDRESS.finditer(text)
    ]
    return list(dict.fromkeys(one for one in found if one))


def clean(text: str) -> str:
    """One address as it is written in reports, without brackets, route and quotes around it; "" for none."""
    text = text.strip().strip("<>").strip().removesuffix(".")
    text = re.sub(
        r"^(?:.*;)?(?:dda:)?(?:rfc-?822|smtp|mailto|utf-8)\s*[;:=]\s*", "", text, flags=re.IGNORECASE
    )
    text = _ROUTE.sub("", text).strip("<> \t'`,;:")
    if text.count('"') == 2 and text.startswith('"') and text.endswith('"'):
        text = text.strip('"').strip()
    local, sign, domain = text.rpartition("@")
    domain = domain.rstrip(".")
    if not sign or not local or local.startswith("//") or not domain or len(text) > 320:
        return ""
    if not text.isprintable():
        return ""
    if any(char.isspace() for char in domain):
        return ""
    if any(char in domain for char in "<>()\"',;/\\|"):
        return ""
    if not local.startswith('"') and any(char.isspace() or char in "<>()" for char in local):
        return ""
    return f"{local}@{domain}"


def status(text: str) -> str:
    """The first enhanced status code in it (RFC 3463), or ""; 4 and 5 come before 2, and x.0.0 comes last."""
    found: list[str] = _STATUS.findall(text)
    for each in found:
        if each[0] != "2" and not each.endswith(".0.0"):
            return each
    return next((each for each in found if each[0] != "2"), found[0] if found else "")


def reply_at(text: str) -> int:
    """Where in a text the first reply of a server begins, with its code; 0 where there is none."""
    match = _CODE.search(text)
    return match.start() if match else 0


def is_reply(text: str) -> bool:
    """Whether a text begins with a reply's code."""
    return _CODE.match(text) is not None


def notice(text: Sequence[str]) -> int:
    """How many of the lines are the notice: where the message that came back begins, or all of them."""
    for at, line in enumerate(text):
        if at and _FIELD.match(line) and not _NOT_FIELD.match(line) and _header_follows(text, at):
            return at
        if _PLAIN_RETURNED.match(line) and not addresses(line):
            return at
        if _RULE.match(line) and _RETURNED.search(line) and not _NOT_RETURNED.search(line):
            return at
    return len(text)


def _header_follows(text: Sequence[str], at: int) -> bool:
    """Whether the lines from there on look like a header: fields and continuation lines for a while."""
    after = [line for line in text[at + 1 : at + 4] if line]
    return all(_ANY_FIELD.match(line) for line in after) if after else True


def joined(text: Sequence[str]) -> str:
    """Lines as one, with single spaces."""
    return " ".join(" ".join(text).split())
