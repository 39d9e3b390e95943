"""What a server's refusal means: a class, and the status that a report carries (RFC 3463, RFC 5248). Pure.

`classify` reads a reply, `text` what a report quotes of one.  Both give a `Verdict`: one of KINDS and an
enhanced status.  The rules are lines of `replies.txt` beside this module, which says how they read; an
administrator's own file in the same form goes before them (`parse`).

The status is the reply's own when its first digit is that of the code (RFC 2034 section 4), for the server
knows best; else the one of the rule that fits; else X.0.0.  The class is that of the first rule that fits,
whatever the status is: many servers say 5.1.1 or 5.7.1 for everything.

Nothing here is asked on the way of a message that is accepted, and the rules are read when the first refusal
is.  Of a reply at most MAX_TEXT characters are searched for plain words, so that a hostile one costs no more
than a long one.  Nothing here fails, but `parse`.
"""

from __future__ import annotations

from mether.content import classify_rules
from mether.content.classify_rules import KINDS, RulesError, Verdict, parse
from mether.reply import from_lines, is_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.content.classify_rules import Kind, Rules
    from mether.outcome import Outcome
    from mether.reply import Reply

__all__ = [
    "KINDS",
    "MAX_TEXT",
    "Kind",
    "Rules",
    "RulesError",
    "Verdict",
    "built_in",
    "classify",
    "judge",
    "parse",
    "text",
]

MAX_TEXT: Final = 1200
"""Characters of a reply, white space folded, that are looked at."""

_MAX_RAW: Final = 4 * MAX_TEXT
"""Characters of it that are folded."""

_IN_ADDRESS: Final = "abcdefghijklmnopqrstuvwxyz0123456789.+_=-"

_COMMANDS: Final = {
    "rcpt to": "RCPT",
    "mail from": "MAIL",
    "end of data": "END-OF-MESSAGE",
    "end-of-data": "END-OF-MESSAGE",
    "data": "DATA",
    "ehlo": "EHLO",
    "helo": "EHLO",
    "starttls": "STARTTLS",
    "auth": "AUTH",
}
"""What reports call the command that was answered, and what stages are called here."""

_STAGES: Final = {
    "LHLO": "EHLO",
    "HELO": "EHLO",
    ".": "END-OF-MESSAGE",
    "BDAT LAST": "END-OF-MESSAGE",
    "BDAT": "DATA",
}


def classify(reply: Reply, stage: str = "", rules: Rules | None = None) -> Verdict:
    """What `reply` means, as the answer to `stage`.

    The stage is a verb in upper case, "CONNECT", "END-OF-MESSAGE", or "" where it is not known.  `rules` are
    those of `parse`, or by default the built-in ones.
    """
    return _judge(str(reply.code // 100), reply.code, reply.status, _bounded(reply.lines), stage, rules)


def judge(outcome: Outcome, rules: Rules | None = None) -> Verdict:
    """What the reply of an outcome means: of one recipient, it answered RCPT."""
    return classify(outcome.reply, "RCPT" if outcome.scope == "recipient" else "", rules)


def text(diagnostic: str, status: str = "", rules: Rules | None = None) -> Verdict:
    """What the reply that a report quotes means (``Diagnostic-Code``): all that is known is this text.

    `status` is the report's own field.  The code, the status and the command are taken from the text where it
    has them, as in Postfix's ``host mx[..] said: 550 5.1.1 ... (in reply to RCPT TO command)``.
    """
    words = diagnostic[:_MAX_RAW]
    stage = ""
    head, found, tail = words.partition("(in reply to ")
    if found:
        stage = _COMMANDS.get(tail.partition(")")[0].removesuffix(" command").strip().lower(), "")
        words = head
    for mark in (" said: ", " refused to talk to me: "):
        if mark in words:
            words = words.partition(mark)[2]
    first = words.lstrip()
    if ";" in first[:16] and first[:1].isalpha():
        first = first.partition(";")[2].lstrip()
    code, own = 0, None
    if (
        first[:1] in ("4", "5")
        and first[:3].isascii()
        and first[:3].isdigit()
        and first[3:4] in ("", " ", "-")
    ):
        code = int(first[:3])
        reply = from_lines(code, [first[4:].lstrip()])
        own, first = reply.status, reply.text
    elif is_status(first.partition(" ")[0]):
        own = first.partition(" ")[0]
    if own is None:
        own = next((one for one in map(_hashed, first[:MAX_TEXT].split()) if is_status(one)), None)
    if own is None and is_status(status):
        own = status
    digit = str(code)[0] if code else (own or status or "5")[0]
    return _judge(digit if digit in "245" else "5", code, own, first, stage, rules)


def _hashed(word: str) -> str:
    """The status in a word such as ``(#5.1.1)``, as qmail and others write it; "" for another word."""
    return word.strip("()[].,;")[1:] if word.lstrip("([")[:1] == "#" else ""


def _without_addresses(word: str) -> str:
    """What is left of a word in lower case, of a language that writes without spaces."""
    kept = []
    head, sign, rest = word.partition("@")
    while sign:
        kept.append(head.rstrip(_IN_ADDRESS))
        head, sign, rest = rest.lstrip(_IN_ADDRESS).partition("@")
    return "".join([*kept, head])


def built_in() -> Rules:
    """The rules that come with mether."""
    return classify_rules.built_in()


def _judge(digit: str, code: int, status: str | None, words: str, stage: str, rules: Rules | None) -> Verdict:
    if digit == "2":
        return Verdict("2.0.0", "other")
    if digit not in "45":
        # Neither done nor refused: the peer does not keep to the protocol (RFC 5321 section 4.2.1).
        return Verdict("4.5.0", "protocol")
    detail = ""
    if status is not None and is_status(status):
        detail = ".".join(str(int(part)) for part in status.split(".")[1:])
    own = detail if status is not None and status[:1] == digit else ""
    found = (rules or built_in()).find(digit, code, detail, _STAGES.get(stage, stage), fold(words))
    if found is None:
        return Verdict(f"{digit}.{own or '0.0'}", "other")
    return Verdict(f"{digit}.{own or found.detail}", found.kind)


def _bounded(lines: tuple[str, ...]) -> str:
    """The text of the first lines, up to as much as is looked at."""
    if len(lines) == 1:
        return lines[0]
    taken, room = [], _MAX_RAW
    for line in lines:
        taken.append(line)
        room -= len(line) + 1
        if room <= 0:
            break
    return " ".join(taken)


def fold(words: str) -> str:
    """A reply's text as rules are matched with it, with a space at either end.

    In lower case, white space folded; codes at the beginning of its lines, a status, and addresses are left
    out: an address may hold any word.
    """
    kept, room = [], MAX_TEXT
    for word in words[:_MAX_RAW].lower().split():
        if "@" in word and "://" not in word:
            # Sendmail writes <ann@example.net>...User unknown, and some languages have no spaces.
            word = word.partition("...")[2] if word.isascii() else _without_addresses(word)
            if not word:
                continue
        if word[0] in "245":
            if word[:3].isdigit() and word[3:4] in ("", "-"):
                word = word[4:]
            if not word or is_status(word):
                continue
        kept.append(word)
        room -= len(word) + 1
        if room <= 0:
            break
    return f" {' '.join(kept)[:MAX_TEXT]} "
