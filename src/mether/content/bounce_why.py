"""Why a recipient failed, as far as a bounce tells.

What a server said is judged by `content.classify`, and so are the words of the mailer that reports, by rules
of their own (`bounces.txt` beside this module).  The diagnostic decides.  Where that says nothing it is what
the notice says of this recipient, then the replies quoted in it, then the notice as a whole, then the status
alone.

Nothing here fails.
"""

from __future__ import annotations

from itertools import chain

from mether.content import bounce_prose, bounce_text, classify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from mether.content.bounce_found import Failed

_VAGUE: Final = (".0.0", ".3.0", ".5.0")
"""Statuses that are given for want of a better one."""

_CERTAIN: Final = (".1.1", ".1.2", ".1.6", ".1.10", ".2.2", ".2.3", ".3.4")
"""Statuses that say more than the words of a mailer around them."""

_rules: classify.Rules | None = None


class Why:
    """The judge of a notice: the lines of it, and the subject of the report."""

    __slots__ = ("_judged", "_texts", "about", "notice", "subject")

    def __init__(self, notice: Sequence[str], subject: str) -> None:
        self.notice = notice
        self.subject = subject
        self.about = bounce_prose.About(notice)
        self._texts: tuple[str, str] | None = None
        self._judged: dict[tuple[str, str], classify.Verdict] = {}

    def explain(self, one: Failed) -> None:
        """Say why, from the diagnostic or else from what the notice says, and complete what is missing."""
        quoted = bool(one.diagnostic)
        if not quoted:
            one.diagnostic = self.about(one.recipient)
        one.status = one.status or bounce_text.status(one.diagnostic)
        if one.action in ("delivered", "relayed", "expanded"):
            one.status = one.status or "2.0.0"
            return
        given = one.status if one.status[:1] in ("4", "5") else ""
        digit = "4" if one.action == "delayed" else "5"
        words, verdict = "", self._verdict("", given or f"{digit}.0.0")
        if not quoted and given[1:] in _CERTAIN and not bounce_text.reply_at(one.diagnostic):
            pass  # what stands around it may as well be a footer
        elif one.diagnostic or given.endswith(_VAGUE) or not given or verdict.kind == "other":
            for text in chain((one.diagnostic,), self._more(one)):
                found = self._verdict(text, given or f"{digit}.0.0") if text else verdict
                if text and found.kind != "other":
                    words, verdict = text, found
                    break
        one.kind = verdict.kind if words or not given.endswith(_VAGUE) else "other"
        if not given or given.endswith(".0.0"):
            one.status = _detailed(words, verdict) or given or f"{digit}.0.0"

    def _verdict(self, words: str, status: str) -> classify.Verdict:
        found = self._judged.get((words, status))
        if found is None:
            found = self._judged[words, status] = _judged(words, status)
        return found

    def _more(self, one: Failed) -> Iterable[str]:
        """What else may tell why; without the whole notice where a server said something to the point."""
        yield from filter(None, one.more)
        own = self.about(one.recipient)
        yield own
        said = max(one.diagnostic, own, key=len)
        if bounce_text.reply_at(said) or bounce_text.is_reply(said):
            return
        if self._texts is None:
            whole = bounce_text.joined(self.notice)[: 2 * bounce_prose.MAX_DIAGNOSTIC]
            self._texts = (bounce_prose.replies(self.notice), whole)
        yield from self._texts
        yield self.subject


def explain(one: Failed, notice: Sequence[str], subject: str) -> None:
    """Say of one recipient why it failed."""
    Why(notice, subject).explain(one)


def _judged(words: str, status: str) -> classify.Verdict:
    """What some words mean: the reply in them, or else the words around it."""
    at = bounce_text.reply_at(words)
    if bounce_text.is_reply(words[at:]):
        verdict = classify.text(words[at:], status)
        if verdict.kind != "other":
            return verdict
    return classify.text(words, status, _prose_rules())


def _prose_rules() -> classify.Rules:
    """The rules for what mailers say themselves, before those for what servers answer."""
    global _rules
    if _rules is None:
        with open(__file__.removesuffix("bounce_why.py") + "bounces.txt", encoding="utf-8") as file:
            _rules = classify.parse(file.read()).before(classify.built_in())
    return _rules


def _detailed(words: str, verdict: classify.Verdict) -> str:
    """The status that the words come to where the report's own says nothing."""
    if not verdict.status.endswith(".0.0"):
        return verdict.status
    at = bounce_text.reply_at(words)
    for text, rules in ((words[at:], None), (words, _prose_rules())):
        again = classify.text(text, verdict.status[0], rules)
        if again.kind == verdict.kind and not again.status.endswith(".0.0"):
            return again.status
    return ""
