"""Bounces that only people were meant to read.

Before RFC 1894 (1996) every mailer had its own form, and many still do.  They come down to a few shapes,
which are read here whoever wrote them:

headed
    ``<ann@example.net>:`` and why below it or behind it: qmail, Postfix, Yahoo, GMX, OpenSMTPD.
labelled
    ``Failed Recipient: ann@example.net`` and perhaps ``Reason: ...``: IMail, MailMarshal, PMDF, GroupWise.
listed
    a line that begins with an address, below words of failure: Exim, sendmail, Gmail, Exchange 5.5, MDaemon.
replied
    ``RCPT TO:<ann@example.net>`` and a server's 550, or a 550 that names an address: transcripts of sendmail,
    Postfix, InterScan, EZweb.
told
    ``Unable to deliver your message to <ann@example.net>``: a sentence, as of the DragonFly agent.
alone
    the only address in a notice that could have failed, wherever it stands.

`read` takes the first of these that a notice has.  Nothing here fails.
"""

from __future__ import annotations

import re

from mether.content import bounce_text
from mether.content.bounce_found import Failed
from mether.content.bounce_text import ADDRESS, FAILURE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Final

MAX_RECIPIENTS: Final = 1000
"""Recipients of one notice that are read."""

MAX_DIAGNOSTIC: Final = 2000
"""Characters of a notice that are taken for one recipient."""

MAX_GAP: Final = 5
"""Empty lines, or nearly so, between an address and what is said of it."""

_ANY: Final = rf"(?:<[^<>\s]{{1,320}}@[^<>\s]{{1,255}}>|\"{ADDRESS}\"|'{ADDRESS}'|{ADDRESS})"
_HEADED: Final = re.compile(
    rf"^[\s*>]{{0,10}}({_ANY})\s{{0,3}}(\((?:expanded|generated|originally|reason"
    rf"|alias)[^()]{{0,400}}\))?\s{{0,3}}:(?!\d)\s*(.*)$"
)
_LABEL: Final = re.compile(
    r"^[\s*>|\-]{0,10}(?:undeliver\w+ (?:address|to|recipient)|(?:failed|final|bad|invalid|original"
    r"|intended|affected|problem)?\s?"
    r"(?:recipient|addressee|address|rcpt)s?(?:\(s\))?(?:['s]* (?:address|name|e-?mail))?(?:\(es\))?"
    r"|(?:unknown|invalid|bad) (?:local )?(?:user|address|host)"
    r"|invalid final delivery userid|(?:delivery|message|mail) (?:to the following \w+ )?(?:failed"
    r"|undeliverable)(?: to)?|failed (?:to|address)"
    r"|(?:account|mailbox|user)(?: (?:is )?(?:full|unknown|disabled))|(?:could not be |un)delivered to"
    r"|e-?mail address|user mailbox exceeds allowed size"
    r"|not delivered to|error[- ]for|destination|empf[äa]nger|destinataire|destinatario"
    r"|送信先|宛先|受信者|收件人)"
    rf"\s*[:=]\s*(.{{0,60}}?)({_ANY})(.*)$",
    re.IGNORECASE,
)
_LISTED: Final = re.compile(
    rf"^[\s>*•·|\-–\[(]{{0,20}}({_ANY})"
    rf"(\s*$|\s*[.,;:>)\]]\s*$|\s+<{ADDRESS}>\s*$|\s*(?:\.\.\.|[(\[\-–,]|on |error|smtp|host |was |is |:"
    rf"|\(|(?:for|has|had|have|because|due|did|does|could|cannot|not|no|user|unknown|invalid|failed|reason|account"
    rf"|mailbox)\b).*$)",
    re.IGNORECASE,
)
_RCPT: Final = re.compile(rf"\bRCPT TO:\s?({_ANY})", re.IGNORECASE)
_REPLY: Final = re.compile(
    r"^[\s>|]{0,10}(?:<<<|<<-|<--+|<-|<|>>>|Received\s*>>>|Out:|S:|<S<|\[?remote\]?:?|reply:|response:"
    r"|reason:)?\s{0,5}"
    r"(?:[A-Za-z0-9.\-]{3,80}\s(?:said|says|replied|responded):?\s*)?([45]\d\d[ \-#].{2,})$",
    re.IGNORECASE,
)
_VAGUE: Final = re.compile(r"remote protocol error|service unavailable", re.IGNORECASE)
"""What sendmail makes of a server's reply, which stands above."""
_COMMAND: Final = re.compile(
    r"^[\s|]{0,10}(?:>>>|Sent <<<|In:|C:|-->|->)?\s*(?:HELO|EHLO|MAIL FROM|RCPT TO|DATA|QUIT|RSET)\b",
    re.IGNORECASE,
)
_FROM: Final = re.compile(
    rf"(?:expanded|generated|originally|alias\w*|forwarded) (?:from|to|by)?:?\s*({_ANY})", re.IGNORECASE
)
_EXTRA: Final = re.compile(
    r"^[\s>*|\-=]{0,40}(?:reason|diagnostic(?:[ -]code)?|error(?: (?:text|code|message|type))?|status"
    r"|explanation|details?|remote (?:system|host said)"
    r"|technical details?|for the following reason|because|the (?:reason|error|response|message|problem"
    r"|following)|smtp error|said|cause)\b",
    re.IGNORECASE,
)
_SENTENCE: Final = re.compile(
    rf"\b(?:deliver\w*|sen[dt]\w*|message|mail|transmi\w+|forward\w*)\b[^.:;@]{{0,60}}\b(?:to|for"
    rf"|address\w*|recipient|user)\b[\s:,]{{1,3}}"
    rf"(?:the |following |e-?mail |address |recipient |user ){{0,3}}({_ANY})",
    re.IGNORECASE,
)
_SENDER: Final = re.compile(rf"\b(?:from|by|sender|contact|please \w+)\b:?\s{{0,3}}{_ANY}", re.IGNORECASE)
_ASIDE: Final = re.compile(
    r"^[\s>|]{0,10}(?:from|sender|reply-to|return-path|message-?id|in-reply-to|references|contact|cc)\s*:"
    r"|https?://|mailto:",
    re.IGNORECASE,
)
"""A line of a notice with an address of somebody else."""
_ERROR: Final = re.compile(r"^[\s>]{0,10}(?:[45]\d\d[ -]\S|error\b)", re.IGNORECASE)
_NOISE: Final = re.compile(r"^[\s\-=*_#+|~.>]*$")
_NOT_FAILED: Final = re.compile(
    r"^(?:postmaster|mailer-daemon|mailerdaemon|mail-daemon|abuse|hostmaster|noc|support|helpdesk|admin"
    r"|administrator|webmaster|info)@",
    re.IGNORECASE,
)


def read(notice: Sequence[str], others: Collection[str], *, sentences: bool = True) -> list[Failed]:
    """The recipients that a notice tells of; [] where it tells of none.

    `notice` is its lines without the message that came back; `others` are addresses (lower case) that it may
    mention and that did not fail, as the sender's.  Without `sentences` only the clearer shapes count.
    """
    shapes: tuple[Callable[[Sequence[str]], list[Failed]], ...] = (
        _headed,
        _labelled,
        _listed,
        _sentence,
        _replied,
        _told,
        _alone,
    )
    for shape in shapes:
        if not sentences and shape in _LOOSE:
            continue
        found: dict[str, Failed] = {}
        for one in shape(notice):
            if len(found) < MAX_RECIPIENTS:
                found.setdefault(one.recipient.lower(), one)
        # People write to themselves, so in a clear place these may be meant nevertheless.
        kept = {key: one for key, one in found.items() if key not in others}
        loose = shape in (_told, _alone)
        found = kept if kept or loose else found
        if len(found) > 1 or loose:
            # A notice says whom to ask, too.
            found = {key: one for key, one in found.items() if not _NOT_FAILED.match(key)} or (
                {} if loose else found
            )
        if shape is _alone and len(found) > 1:
            return []
        if found:
            return list(found.values())
    return []


class About:
    """What a notice says of each recipient; each shape is looked for once, however many they are."""

    __slots__ = ("_found", "_left", "_notice")

    def __init__(self, notice: Sequence[str]) -> None:
        self._notice = notice
        self._found: dict[str, str] = {}
        self._left = [_headed, _labelled, _listed, _sentence, _replied, _told]

    def __call__(self, recipient: str) -> str:
        """What it says of that one, "" for nothing."""
        key = recipient.lower()
        while key not in self._found and self._left:
            for one in self._left.pop(0)(self._notice):
                if one.diagnostic:
                    self._found.setdefault(one.recipient.lower(), one.diagnostic)
                    if one.original:
                        self._found.setdefault(one.original.lower(), one.diagnostic)
        return self._found.get(key, "")


def about(recipient: str, notice: Sequence[str]) -> str:
    """What a notice says of that recipient, "" for nothing."""
    return About(notice)(recipient)


def replies(notice: Sequence[str]) -> str:
    """The replies of servers that stand in a notice, as one line."""
    return bounce_text.joined([match[1] for line in notice if (match := _REPLY.match(line))])[:MAX_DIAGNOSTIC]


def _headed(notice: Sequence[str]) -> list[Failed]:
    out = []
    for at, line in enumerate(notice):
        if "@" not in line:
            continue
        match = _HEADED.match(line)
        if match is None:
            continue
        recipient = bounce_text.clean(match[1])
        if not recipient or _is_field(line):
            continue
        below = _below(notice, at + 1, lambda text: _HEADED.match(text) is not None)
        out.append(_made(recipient, [match[3], *below], match[2] or ""))
    return out


def _is_field(line: str) -> bool:
    return line.lower().startswith(("mailto:", "http"))


def _labelled(notice: Sequence[str]) -> list[Failed]:
    out = []
    for at, line in enumerate(notice):
        if "@" not in line:
            continue
        match = _LABEL.match(line)
        if match is None:
            continue
        recipient = bounce_text.clean(match[2])
        if not recipient:
            continue
        below = _below(notice, at + 1, lambda text: _LABEL.match(text) is not None, extra=True)
        label = line[: match.start(2)]
        out.append(_made(recipient, [*([label] if FAILURE.search(label) else []), match[3], *below]))
    return out


def _listed(notice: Sequence[str]) -> list[Failed]:
    out = []
    failure = False
    for at, line in enumerate(notice):
        if "@" in line and failure:
            match = _LISTED.match(line)
            recipient = bounce_text.clean(match[1]) if match else ""
            if match and recipient:
                rest = match[2] if bounce_text.clean(match[2].strip()) == "" else ""
                below = _below(notice, at + 1, lambda text: _LISTED.match(text) is not None, extra=True)
                out.append(_made(recipient, [rest, *below]))
                continue
        if not failure:
            above = notice[max(0, at - 2) : at + 1]
            failure = FAILURE.search(bounce_text.joined(above)) is not None
    if not out:
        hidden = _FROM.search(bounce_text.joined(notice[:100])) if failure else None
        recipient = bounce_text.clean(hidden[1]) if hidden else ""
        if recipient:
            out.append(_made(recipient, notice[:60]))
    return out


def _replied(notice: Sequence[str]) -> list[Failed]:
    out = []
    said = ""
    asked: list[str] = []
    for line in notice:
        match = _RCPT.search(line)
        if match:
            asked.append(bounce_text.clean(match[1]))
            continue
        if _COMMAND.match(line):
            continue
        reply = _REPLY.match(line)
        if reply is None:
            continue
        named = bounce_text.addresses(reply[1])
        if named and _VAGUE.search(reply[1]):
            out.append(_made(named[0], [said, reply[1]]))
        elif named:
            out.append(_made(named[0], [reply[1]]))
        elif asked and asked[-1]:
            out.append(_made(asked[-1], [reply[1]]))
        said = reply[1]
    if not out and said and len(asked) == 1 and asked[0]:
        out.append(_made(asked[0], [said]))  # told the other way round
    if not out and not said and len(asked) == 1 and asked[0] and FAILURE.search(bounce_text.joined(notice)):
        out.append(_made(asked[0], notice[:20]))
    return out


def _sentence(notice: Sequence[str]) -> list[Failed]:
    out = []
    for at, line in enumerate(notice):
        if "@" not in line:
            continue
        match = _SENTENCE.search(line)
        recipient = bounce_text.clean(match[1]) if match else ""
        if recipient and FAILURE.search(bounce_text.joined(notice[max(0, at - 1) : at + 2])):
            below = []
            if not bounce_text.reply_at(line):
                below = _below(notice, at + 1, lambda text: _SENTENCE.search(text) is not None, extra=True)
            out.append(_made(recipient, [line, *below]))
    return out


def _told(notice: Sequence[str]) -> list[Failed]:
    out = []
    at = 0
    while at < len(notice):
        end = at
        while end < len(notice) and notice[end].strip() and end - at < 30:
            end += 1
        paragraph = bounce_text.joined(notice[at:end])[: 2 * MAX_DIAGNOSTIC]
        if "@" in paragraph and FAILURE.search(paragraph):
            below = []
            if end - at < 3 and not bounce_text.reply_at(paragraph):
                below = _below(notice, end + 1, lambda text: False, extra=True)
            named = bounce_text.addresses(_SENDER.sub(" ", paragraph))
            out += [_made(each, [paragraph, *below]) for each in named[:20]]
        at = max(end, at + 1)
    return out


def _alone(notice: Sequence[str]) -> list[Failed]:
    out: list[Failed] = []
    if not (FAILURE.search(bounce_text.joined(notice)) or any(map(_ERROR.match, notice))):
        return out
    for at, line in enumerate(notice):
        if "@" in line and not _ASIDE.search(line):
            below = _below(notice, at + 1, lambda text: "@" in text, extra=True)
            out += [
                _made(each, [line, *below]) for each in bounce_text.addresses(_SENDER.sub(" ", line))[:20]
            ]
    return out


_LOOSE: Final = (_sentence, _told, _alone)
"""Shapes that only a mailer's own words are searched for."""


def _made(recipient: str, why: Sequence[str], origin: str = "") -> Failed:
    diagnostic = bounce_text.joined([line for line in why if not _NOISE.match(line)])[:MAX_DIAGNOSTIC]
    source = _FROM.search(f"{origin} {diagnostic}")
    original = bounce_text.clean(source[1]) if source else ""
    return Failed(
        recipient,
        diagnostic=diagnostic,
        status=bounce_text.status(diagnostic),
        original=original if original.lower() != recipient.lower() else "",
    )


def _below(notice: Sequence[str], at: int, stops: Callable[[str], bool], *, extra: bool = False) -> list[str]:
    """What is said below an address: to the end of its paragraph.

    Where that is nothing it is the next paragraph.  With `extra` also the paragraphs after it that say of
    themselves to be a reason.
    """
    out: list[str] = []
    paragraphs = 0
    start = at
    while at < len(notice) and len(out) < 40 and (out or at - start < MAX_GAP):
        line = notice[at]
        at += 1
        if stops(line):
            break
        if line.strip() and not _NOISE.match(line):
            out.append(line)
            continue
        if out and paragraphs >= 2:
            break
        if out:
            following = next((each for each in notice[at : at + 3] if not _NOISE.match(each)), "")
            if not (
                extra
                and (_EXTRA.match(following) or _REPLY.match(following) or out[-1].rstrip().endswith(":"))
            ):
                break
            paragraphs += 1
    return out
