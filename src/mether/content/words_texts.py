"""The texts of reports: how their files read, and which is used.  Pure.

`parse` makes languages of a file's text, `Texts` finds the text of a key in the languages of a report: the
administrator's own, else ours in that language, else ours in the language without its region, else English.
`texts/en.txt` beside this module says at its top how such a file reads.  Ours are read when the first report
is written.  A file that cannot be read is a `TextsError` with its line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    Language = Mapping[str, str]

LANGUAGES: Final = ("en",)
"""Those that come with mether."""

USUAL: Final = "en"

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
        return any(tag in LANGUAGES or tag in self._own for tag in _broader(language))

    def find(self, language: str, key: str) -> str:
        """The text of a key; the language is one of `languages`, or any."""
        for tag in (*_broader(language), USUAL):
            text = self._own.get(tag, {}).get(key)
            if text is None and tag in LANGUAGES:
                text = built_in(tag).get(key)
            if text is not None:
                return text
        raise KeyError(key)


def _broader(language: str) -> list[str]:
    """The language, and what it is called without its regions and scripts."""
    parts = language.lower().split("-")
    return ["-".join(parts[:end]) for end in range(len(parts), 0, -1)]


def built_in(language: str) -> Mapping[str, str]:
    """The texts of a language that comes with mether, read when they are first asked for."""
    if language not in _built_in:
        path = __file__.removesuffix("words_texts.py") + f"texts/{language}.txt"
        with open(path, encoding="utf-8") as file:
            _built_in.update(parse(file.read()))
    return _built_in[language]


def parse(text: str) -> dict[str, dict[str, str]]:
    """The texts of each language of a file.

    Raises TextsError.
    """
    found: dict[str, dict[str, str]] = {}
    return found
