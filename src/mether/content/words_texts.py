"""The texts of reports: how their files read, and which is used.  Pure.

`parse` makes languages of a file's text, `Texts` finds the text of a key in the languages of a report: the
administrator's own, else ours in that language, else the same for the language without its region, else
English.  `texts/en.txt` beside this module says at its top how such a file reads.  Ours are read when the
first report is written.

A file that cannot be read is a `TextsError` with its line: a key or a placeholder that there is not, a
control character, a text that is too long.  So no text can break a report, or ask for what is not known.
"""

from __future__ import annotations

from mether.content.language import broader, is_language
from mether.content.words_kind import ALL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    Language = Mapping[str, str]

LANGUAGES: Final = ("en", "de", "fr", "es", "nl", "it", "pt", "pl")
"""Those that come with mether."""

USUAL: Final = "en"

MAX_TEXT: Final = 4000
"""Characters of a text."""

MAX_LINE: Final = 200
"""Characters of a text that is one line: a subject, what stands above a quotation, a name."""

LINES: Final = (
    "name",
    "subject: failed",
    "subject: delayed",
    "subject: done",
    "subject: notice",
    "subject: merged",
    "in short: failed",
    "in short: delayed",
    "in short: delivered",
    "in short: relayed",
    "in short: expanded",
    "said",
    "ours",
    "original",
    "remark",
)
"""The keys of texts that are one line."""

ADVICE: Final = tuple(f"{kind}: advice" for kind in ALL)

KEYS: Final = (
    *LINES,
    "opening",
    "failed",
    "delayed",
    "failed: uncertain",
    "delayed: uncertain",
    "delivered",
    "relayed",
    "expanded",
    "notice",
    "merged",
    "more",
    "tries",
    "final",
    "expired",
    "waits",
    "full",
    "header",
    "id",
    *ALL,
    *ADVICE,
)
"""The keys of all texts."""

EVERYWHERE: Final = ("mta", "id", "arrival", "postmaster")
"""The placeholders of all texts but those in MANY."""

OF_ONE: Final = ("id", "arrival")
"""Those that say something of one message."""

MANY: Final = ("merged", "subject: merged")
"""The keys of texts that stand over reports on many messages."""

MORE: Final[Mapping[str, tuple[str, ...]]] = {
    "said": ("server",),
    "merged": ("count",),
    "more": ("count",),
    "subject: merged": ("count",),
    "tries": ("tries", "last"),
    "waits": ("until",),
}
"""Those of single ones."""

_SPACES: Final = " \t"
_UNSEEN: Final = "\u00a0\u202f\u3000\u200c\u200d\u200e\u200f"
"""Characters that are not printable by themselves, and that languages need."""

_built_in: dict[str, dict[str, str]] = {}


class TextsError(Exception):
    """A file of texts that cannot be read: `line` (from 1) and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"line {line}: {what}")
        self.line = line
        self.what = what


class Texts:
    """The `languages` of a report in their order, with an administrator's `own`, as `parse` gives them."""

    __slots__ = ("_own", "languages")

    def __init__(
        self, languages: Sequence[str] = (USUAL,), own: Mapping[str, Language] | None = None
    ) -> None:
        self.languages = tuple(languages) or (USUAL,)
        self._own = own or {}

    def knows(self, language: str) -> bool:
        """Whether there is any text in this language."""
        return any(tag in LANGUAGES or tag in self._own for tag in broader(language))

    def find(self, language: str, key: str, *, of_many: bool = False) -> str:
        """The text of one of KEYS in a language: its paragraphs, a line each.

        Where it stands over reports on many messages (`of_many`), an administrator's own that speaks of one
        is passed over.
        """
        for tag in (*broader(language), USUAL):
            text = self._own.get(tag, {}).get(key)
            if of_many and text is not None and any(f"{{{one}}}" in text for one in OF_ONE):
                text = None
            if text is None and tag in LANGUAGES:
                text = built_in(tag).get(key)
            if text is not None:
                return text
        raise KeyError(key)


def built_in(language: str) -> Language:
    """The texts of one of LANGUAGES, read when they are first asked for."""
    if language not in _built_in:
        path = __file__.removesuffix("words_texts.py") + f"texts/{language}.txt"
        with open(path, encoding="utf-8") as file:
            _built_in.update(parse(file.read()))
    return _built_in[language]


def parse(text: str) -> dict[str, dict[str, str]]:
    """The texts of each language in a file, by their keys.  Raises TextsError."""
    reading = _Reading()
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reading.take(number, line.removesuffix("\r"))
    reading.end()
    return reading.found


class _Reading:
    """A file, line by line."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, str]] = {}
        self._language: dict[str, str] | None = None
        self._key = ""
        self._at = 0
        self._paragraphs: list[list[str]] = []

    def take(self, number: int, line: str) -> None:
        if line.startswith("#"):
            return
        for char in line:
            if not (char.isprintable() or char == "\t" or char in _UNSEEN):
                raise TextsError(number, f"a control character (U+{ord(char):04X}) may not stand in a text")
        line = line.strip(_SPACES)
        if line.startswith("[") and line.endswith("]"):
            self.end()
            self._head(number, " ".join(line[1:-1].split()))
        elif self._key:
            if not line:
                self._paragraphs.append([])
            else:
                _check(number, line, self._key)
                self._paragraphs[-1].append(line)
        elif line:
            raise TextsError(number, "expected [language TAG] and then a [key] before the first text")

    def _head(self, number: int, name: str) -> None:
        word, _, tag = name.partition(" ")
        self._key = ""
        if word == "language" and tag:
            if not is_language(tag):
                raise TextsError(number, f'{tag[:80]!r} is no language tag, such as "en" or "pt-br"')
            self._language = self.found.setdefault(tag.lower(), {})
            return
        if self._language is None:
            raise TextsError(number, "expected [language TAG] before the first key")
        if name not in KEYS:
            raise TextsError(number, f"there is no text of the name {name[:80]!r}{_meant(name, KEYS)}")
        if name in self._language:
            raise TextsError(number, f"[{name}] is there twice in this language")
        self._key, self._at, self._paragraphs = name, number, [[]]

    def end(self) -> None:
        """The text before this line is whole."""
        key = self._key
        if not key:
            return
        assert self._language is not None
        text = "\n".join(" ".join(lines) for lines in self._paragraphs if lines)
        most = MAX_LINE if key in LINES else MAX_TEXT
        if len(text) > most:
            raise TextsError(self._at, f"[{key}] is longer than {most} characters")
        if key in LINES and "\n" in text:
            raise TextsError(self._at, f"[{key}] is one line, and has no paragraphs")
        if not text and key not in ADVICE:
            raise TextsError(self._at, f"[{key}] has no text; only an advice may be empty")
        self._language[key] = text
        self._key = ""


def _check(number: int, line: str, key: str) -> None:
    """Raises TextsError for a placeholder that is none of this key's."""
    known = tuple(one for one in EVERYWHERE if one not in OF_ONE or key not in MANY) + MORE.get(key, ())
    at = 0
    while at < len(line):
        char = line[at]
        if char in "{}" and line[at + 1 : at + 2] == char:
            at += 2
            continue
        if char == "}":
            raise TextsError(number, "a } without its {; a brace itself is written }}")
        if char == "{":
            end = line.find("}", at)
            name = line[at + 1 : end]
            if end < 0 or "{" in name:
                raise TextsError(number, "a { without its }; a brace itself is written {{")
            if name not in known:
                have = ", ".join(f"{{{one}}}" for one in known)
                raise TextsError(number, f"there is no {{{name[:40]}}} in [{key}]; expected one of {have}")
            at = end
        at += 1


def _meant(name: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name[:80].lower(), known, 1)
    return f" (did you mean [{close[0]}]?)" if close else ""
