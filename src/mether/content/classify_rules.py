"""The rules by which replies are classified: how their file reads, and how one is found.  Pure.

`parse` makes `Rules` of a file's text, `built_in` those of the file that comes with mether; `replies.txt`
says at its top how lines read.  `Rules.find` gives the first rule that fits.  A file that cannot be read is a
`RulesError` with its line.

Each rule stands in an index under a few letters of its words, those that the fewest others have, so that of
hundreds of rules only those are tried that some letters of the reply call for.
"""

from __future__ import annotations

from mether.reply import is_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, Literal

    Kind = Literal[
        "no such user",
        "mailbox full",
        "policy",
        "reputation",
        "rate limited",
        "greylisted",
        "content",
        "size",
        "auth",
        "tls",
        "dns",
        "connection",
        "protocol",
        "other",
    ]

KINDS: Final[tuple[Kind, ...]] = (
    "no such user",
    "mailbox full",
    "policy",
    "reputation",
    "rate limited",
    "greylisted",
    "content",
    "size",
    "auth",
    "tls",
    "dns",
    "connection",
    "protocol",
    "other",
)

MAX_RULES: Final = 5000
"""Rules of a file."""

_GRAM: Final = 4
"""Letters under which rules stand in the index."""

_STAGES: Final = ("connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "end-of-message")

_rules: Rules | None = None


class RulesError(Exception):
    """A file of rules that cannot be read: `line` (from 1) and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


class Verdict:
    """What a reply means: `kind`, one of KINDS, and `status`, an enhanced status code (RFC 3463)."""

    __slots__ = ("kind", "status")

    def __init__(self, status: str, kind: Kind) -> None:
        self.status = status
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verdict) and (self.status, self.kind) == (other.status, other.kind)

    def __hash__(self) -> int:
        return hash((self.status, self.kind))

    def __repr__(self) -> str:
        return f"Verdict({self.status!r}, {self.kind!r})"


class Rule:
    """One line: `words` in this order, where a digit, a code, a detail (``1.1``) and a stage of these were
    given; each set is empty where any will do.  `detail` is of the status that a report carries."""

    __slots__ = ("codes", "detail", "details", "digits", "kind", "stages", "words")

    def __init__(self, kind: Kind, detail: str) -> None:
        self.kind: Kind = kind
        self.detail = detail
        self.digits: set[str] = set()
        self.codes: set[int] = set()
        self.details: set[str] = set()
        self.stages: set[str] = set()
        self.words: tuple[str, ...] = ()


class Rules:
    """Rules in their order."""

    __slots__ = ("_always", "_index", "_rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        grams = [_grams(max(rule.words, key=len, default="")) for rule in self._rules]
        counts: dict[str, int] = {}
        for some in grams:
            for gram in some:
                counts[gram] = counts.get(gram, 0) + 1
        self._index: dict[str, list[int]] = {}
        self._always: list[int] = []
        for number, some in enumerate(grams):
            if some:
                rarest = min(sorted(some), key=counts.__getitem__)
                self._index.setdefault(rarest, []).append(number)
            else:
                self._always.append(number)

    def __len__(self) -> int:
        return len(self._rules)

    def before(self, others: Rules) -> Rules:
        """These rules, and then the others."""
        return Rules(self._rules + others._rules)

    def find(self, digit: str, code: int, detail: str, stage: str, folded: str) -> Rule | None:
        """The first rule that fits: `code` 0 and `detail` "" where there is none, `folded` as `classify.fold`
        makes it."""
        numbers = self._always.copy()
        for gram in _grams(folded) & self._index.keys():
            numbers += self._index[gram]
        numbers.sort()
        for number in numbers:
            rule = self._rules[number]
            if _fits(rule, digit, code, detail, stage) and _says(folded, rule.words):
                return rule
        return None


def _grams(text: str) -> set[str]:
    return {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}


def _fits(rule: Rule, digit: str, code: int, detail: str, stage: str) -> bool:
    return (
        (not rule.digits or digit in rule.digits)
        and (not rule.codes or code in rule.codes)
        and (not rule.details or detail in rule.details)
        and (not rule.stages or stage in rule.stages)
    )


def _says(folded: str, words: tuple[str, ...]) -> bool:
    at = 0
    for word in words:
        at = folded.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def built_in() -> Rules:
    """The rules that come with mether, read when they are first asked for."""
    global _rules
    if _rules is None:
        with open(__file__.removesuffix("classify_rules.py") + "replies.txt", encoding="utf-8") as file:
            _rules = parse(file.read())
    return _rules


def parse(text: str) -> Rules:
    """The rules of a file.

    Raises RulesError at a line that is neither a section, a rule, a remark nor empty, and beyond MAX_RULES.
    """
    rules: list[Rule] = []
    section: tuple[Kind, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]") and ":" not in line and " " in line:
            section = _section(line, number)
            continue
        if section is None:
            raise RulesError(number, "expected a section such as [policy x.7.1] before the first rule")
        if len(rules) >= MAX_RULES:
            raise RulesError(number, f"more than {MAX_RULES} rules")
        rules.append(_rule(line, number, *section))
    return Rules(rules)


def _section(line: str, number: int) -> tuple[Kind, str]:
    name, _, status = line[1:-1].strip().rpartition(" ")
    for kind in KINDS:
        if kind == name.strip():
            if status[:2] == "x." and is_status(f"5{status[1:]}"):
                return kind, status[2:]
            raise RulesError(number, f"expected a status such as x.7.1 after the class, not {status!r}")
    raise RulesError(number, f"no class {name!r}; expected one of: {', '.join(KINDS)}")


def _rule(line: str, number: int, kind: Kind, detail: str) -> Rule:
    rule = Rule(kind, detail)
    when, colon, words = line.partition(":")
    if not colon or not _when(rule, when):
        if colon and not words.strip():
            raise RulesError(number, f"{when!r} is no code, status or command")
        rule = Rule(kind, detail)
        words = line
    parts = []
    for part in words.split("*"):
        word = " ".join(part.split()).lower()
        if len(word) > 2 and word[0] == word[-1] == '"':
            word = word[1:-1]
        if word:
            parts.append(word)
    rule.words = tuple(parts)
    if not (parts or rule.digits or rule.codes or rule.details or rule.stages):
        raise RulesError(number, "a rule needs words, or a code, status or command before a colon")
    return rule


def _when(rule: Rule, when: str) -> bool:
    """Fill in what stands before a colon; False where that is no condition."""
    items = when.lower().split()
    for item in items:
        if item in ("4", "5"):
            rule.digits.add(item)
        elif len(item) == 3 and item[0] in "45" and item.isascii() and item.isdigit():
            rule.codes.add(int(item))
        elif item[:2] in ("x.", "4.", "5.") and is_status(f"5{item[1:]}"):
            if item[0] != "x":
                rule.digits.add(item[0])
            rule.details.add(item[2:])
        elif item in _STAGES:
            rule.stages.add(item.upper())
        else:
            return False
    return bool(items)
