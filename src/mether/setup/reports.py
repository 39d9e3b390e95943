"""``[reports]``: in which languages reports speak, an administrator's own texts for them, and how many go
to one reader.

`texts` gives what `content.dsn` takes.  How a file of texts reads is told in docs/reports.md and at the top
of `mether/content/texts/en.txt`.  It is read when the service starts and when it is reloaded; what is wrong
in it is a ConfigError with its line.
"""

from __future__ import annotations

from mether.content.language import is_language
from mether.setup import decode
from mether.setup.locate import ConfigError, octets
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    from mether.content.classify import Rules
    from mether.content.words_texts import Texts
    from mether.setup.config import Config
    from mether.setup.decode import Document, Shape

MAX_FILE: Final = 1 << 20
"""Octets of the file."""

MAX_LANGUAGES: Final = 8
"""Languages of a report: each tells everything once more."""


class Reports(Struct):
    """``[reports]``: the `languages` in which people read what happened, one after the other, and the file of
    an administrator's own `texts` (None: those that come with mether); the most that go to one address in an
    hour (`hourly`): those beyond wait for the next, and go as one."""

    languages: tuple[str, ...] = ("en",)
    texts: str | None = None
    hourly: int = 100


def _language(value: object) -> str:
    tag: str = decode.text(value).lower()
    if not is_language(tag):
        raise ValueError('expected a language tag, such as "en" or "pt-br"')
    return tag


def _languages(value: object) -> tuple[str, ...]:
    tags: tuple[str, ...] = decode.list_of(_language, "languages")(value)
    if len(tags) > MAX_LANGUAGES:
        raise ValueError(f"expected at most {MAX_LANGUAGES} languages")
    for number, tag in enumerate(tags):
        if tag in tags[:number]:
            raise ValueError(f'"{tag}" is there twice')
    return tags


SHAPE: Final[Shape] = {
    "languages": _languages,
    "texts": decode.text,
    "hourly": decode.whole(1, 1_000_000),
}


def check(document: Document, values: dict[str, Any], find: Callable[[str], str]) -> Reports:
    """The values of ``[reports]``; `find` makes a path absolute."""
    if "texts" in values:
        values["texts"] = find(values["texts"])
    return Reports(**values)


def texts(config: Config) -> Texts:
    """The texts of reports.  Raises ConfigError."""
    from mether.content import words_texts

    path = config.reports.texts
    own = None
    if path is not None:
        try:
            data = octets(path, MAX_FILE + 1)
            if len(data) > MAX_FILE:
                raise ConfigError(f"{path}: expected texts in at most {MAX_FILE} octets")
            own = words_texts.parse(data.decode())
        except words_texts.TextsError as error:
            raise ConfigError(f"{path}:{error.line}: {error.what}") from None
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{path}:{line}: expected UTF-8") from None
        except OSError as error:
            where = config.origins.get("reports.texts", config.path)
            raise ConfigError(f"{where}: reports.texts: {path}: {error.strerror}") from None
    made = words_texts.Texts(config.reports.languages, own)
    for tag in config.reports.languages:
        if not made.knows(tag):
            where = config.origins.get("reports.languages", config.path)
            known = ", ".join(words_texts.LANGUAGES)
            raise ConfigError(
                f'{where}: reports.languages: no texts in "{tag}"; expected one of {known}, '
                "or one that the file of reports.texts has"
            )
    return made


def troubles(config: Config) -> Iterator[str]:
    """A line where the texts cannot be used."""
    try:
        texts(config)
    except ConfigError as error:
        yield str(error)


def at_once(config: Config, complain: Callable[[str], None]) -> tuple[Texts | None, Rules | None]:
    """The texts, and the rules of what replies mean, for a program that has a report to write now.

    A fault in a file of words must not keep anybody's mail, nor a report that is owed: it is complained of,
    and those that come with mether will do.
    """
    from mether.setup import replies

    found: list[Texts | Rules | None] = []
    for read in (texts, replies.rules):
        try:
            found.append(read(config))
        except ConfigError as error:
            complain(str(error))
            found.append(None)
    return found[0], found[1]  # type: ignore[return-value]
