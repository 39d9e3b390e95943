"""Patterns of domains and of addresses, as rules and tables are written with them.

====================  =============================  ===========================
pattern               as a domain                    as an address
====================  =============================  ===========================
``*``                 every one                      every one, and ``<>``
``example.org``       exactly that                   everybody there
``.example.org``      every name below it            everybody there
``*.example.org``     the same                       everybody there
``mx*.example.org``   a glob: ``*`` and ``?``        everybody there
``ann@example.org``   none                           exactly that
``@example.org``      none                           everybody there
``abuse@*``           none                           a glob
``<>``                none                           the null reverse-path
a `Source`            what `found` finds there       what `found` finds there
====================  =============================  ===========================

Everything is compared without case, domains as A-labels.  A pattern that can match nothing is a ValueError
when it is made; matching itself fails only as a `Source` does.
"""

from __future__ import annotations

from functools import lru_cache

from mether.address import AddressError, ascii_domain, check_domain, parse
from mether.routing.request import address_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final

    from mether.routing.source import Source

REMEMBERED: Final = 4096
"""Domains of which those above are kept."""


class Domains:
    """A set of domains: `patterns` are the texts in canonical form, `sources` the tables among them.

    `exact`, `below` (a dot in front) and `globs` are the patterns by their kind, `everything` is ``*``.
    """

    __slots__ = ("_search", "_tables", "below", "everything", "exact", "globs", "patterns", "sources")

    def __init__(self, patterns: Iterable[str | Source]) -> None:
        texts, sources = _parted(patterns)
        self.sources = sources
        self._tables = tuple(map(_first, sources))
        self.patterns = tuple(_simple(normalize(text)) for text in texts)
        self.everything = "*" in self.patterns
        self.exact = frozenset(one for one in self.patterns if one[0] != "." and not _is_glob(one))
        self.below = frozenset(one for one in self.patterns if one[0] == "." and not _is_glob(one))
        self.globs = tuple(one for one in self.patterns if _is_glob(one) and one != "*")
        self._search = compiled(self.globs)

    def static(self, domain: str) -> bool:
        """Whether one of the patterns that are no tables takes it: this never changes."""
        if self.everything or domain in self.exact:
            return True
        if self.below and any(parent in self.below for parent in parents(domain)):
            return True
        return self._search is not None and self._search(domain) is not None

    def matches(self, domain: str) -> bool:
        """Whether it takes the domain.  Raises TableError or Needs."""
        if self.static(domain):
            return True
        there = None
        for first in self._tables:
            there = first(names(domain))
            if there is not None:
                break
        return there is not None

    def covers(self, pattern: str) -> bool:
        """Whether it takes whatever the pattern takes, by the texts alone."""
        if not _is_glob(pattern) and pattern[0] != ".":
            return self.static(pattern)
        if self.everything or pattern in self.below or any(one in self.below for one in parents(pattern[1:])):
            return True
        return any(covers(one, pattern) for one in (*self.globs, *(self.below if _is_glob(pattern) else ())))


class Addresses:
    """A set of addresses, by `address_key`; the null reverse-path has the key ``<>``.

    `exact`, `domains` and `globs` are the patterns by their kind, `everything` is ``*``.
    """

    __slots__ = ("_search", "domains", "everything", "exact", "globs", "patterns", "sources")

    def __init__(self, patterns: Iterable[str | Source]) -> None:
        texts, self.sources = _parted(patterns)
        exact, domains, globs, self.patterns = set(), [], [], texts
        self.everything = "*" in texts
        for text in texts:
            local, at, domain = text.lower().rpartition("@")
            if text == "<>":
                exact.add(text)
            elif text == "*":
                continue
            elif not at or not local or local == "*":
                domains.append(domain)
            elif _is_glob(text):
                globs.append(f"{local}@{domain if _is_glob(domain) else normalize(domain)}")
            else:
                exact.add(_exact_key(text))
        self.exact = frozenset(exact)
        self.domains = Domains(domains) if domains else None
        self.globs = tuple(globs)
        self._search = compiled(self.globs)

    def matches(self, key: str) -> bool:
        """Whether it takes the address.  Raises TableError or Needs."""
        if self.everything or key in self.exact:
            return True
        if self.domains is not None and key != "<>" and self.domains.static(key.rpartition("@")[2]):
            return True
        if self._search is not None and self._search(key) is not None:
            return True
        return any(found(source, (key,) if key == "<>" else keys(key)) is not None for source in self.sources)

    def covers(self, pattern: str) -> bool:
        """Whether it takes whatever the pattern takes, by the texts alone."""
        if self.everything or pattern in self.patterns:
            return True
        local, at, domain = pattern.lower().rpartition("@")
        if pattern in ("*", "<>") or (at and not local and not domain):
            return False
        local = local or "*"
        if not _is_glob(local) and not _is_glob(domain) and domain[0] != ".":
            key = _exact_key(pattern)
            return (
                key in self.exact
                or (self.domains is not None and self.domains.static(key.rpartition("@")[2]))
                or (self._search is not None and self._search(key) is not None)
            )
        name = normalize(domain)
        if self.domains is not None and self.domains.covers(name):
            return True
        for one in self.globs:
            mine, _, where = one.rpartition("@")
            if (mine in ("*", local) or (not _is_glob(local) and _takes(mine, local))) and covers(
                where, name
            ):
                return True
        return False


class Logins:
    """A set of names that people log in with, by patterns: exactly that, a glob, or a `Source`."""

    __slots__ = ("_search", "exact", "globs", "patterns", "sources")

    def __init__(self, patterns: Iterable[str | Source]) -> None:
        texts, self.sources = _parted(patterns)
        self.patterns = tuple(text.lower() for text in texts)
        self.exact = frozenset(one for one in self.patterns if not _is_glob(one))
        self.globs = tuple(one for one in self.patterns if _is_glob(one))
        self._search = compiled(self.globs)

    def matches(self, login: str) -> bool:
        """Whether it takes the login, in lower case.  Raises TableError or Needs."""
        if login in self.exact or (self._search is not None and self._search(login) is not None):
            return True
        return any(source.get(login) is not None for source in self.sources)

    def covers(self, pattern: str) -> bool:
        """Whether it takes whatever the pattern takes, by the texts alone."""
        return (
            pattern in self.patterns or "*" in self.globs or (not _is_glob(pattern) and self.matches(pattern))
        )


def keys(key: str) -> tuple[str, ...]:
    """What a table may have for an address, the most particular first: ``ann@a.example.org``,
    ``@a.example.org``, ``a.example.org``, ``.example.org``, ``.org``."""
    domain = key.rpartition("@")[2]
    return (key, f"@{domain}", domain, *parents(domain)) if domain != key else (key,)


def found(source: Source, keys: Sequence[str]) -> str | None:
    """What the source has for the first of the keys that it knows.  Raises TableError or Needs."""
    return _first(source)(keys)


def _first(source: Source) -> Callable[[Sequence[str]], str | None]:
    """How to ask for the first of several keys: a source that can tell at once has a method for it."""

    def first(keys: Sequence[str]) -> str | None:
        for key in keys:
            value = source.get(key)
            if value is not None:
                return value
        return None

    return getattr(source, "first", first)


@lru_cache(REMEMBERED)
def names(domain: str) -> tuple[str, ...]:
    """What a table may have for a domain: itself, and the patterns of `parents`."""
    return (domain, *parents(domain))


@lru_cache(REMEMBERED)
def parents(domain: str) -> tuple[str, ...]:
    """The patterns of the domains above one: ``.example.org`` and ``.org`` for ``a.example.org``."""
    out = []
    dot = -1 if domain[:1] == "[" else domain.find(".")
    while dot >= 0:
        out.append(domain[dot:])
        dot = domain.find(".", dot + 1)
    return tuple(out)


def covers(pattern: str, other: str) -> bool:
    """Whether a pattern of domains takes whatever the other takes, both as `normalize` gives them.

    False where that cannot be told from their texts.
    """
    if pattern in ("*", other):
        return True
    if pattern[0] == ".":
        return other.endswith(pattern)
    if pattern[0] == "*" and not _is_glob(pattern[1:]):
        return other.endswith(pattern[1:])
    if _is_glob(other) or other[0] == ".":
        return False
    return Domains((pattern,)).static(other)


def _takes(glob: str, text: str) -> bool:
    search = compiled((glob,))
    return search is not None and search(text) is not None


def normalize(domain: str) -> str:
    """A domain pattern in lower case with A-labels.  Raises ValueError when it can match nothing."""
    if _is_glob(domain):
        if not domain.isascii() or any(char in ' @<>"/:' for char in domain):
            raise ValueError(f"{domain[:80]!r} is no pattern of domains")
        return domain.lower()
    dot, name = ("." if domain.startswith(".") else ""), domain.removeprefix(".")
    try:
        check_domain(name, utf8=True)
        if dot and name.startswith("["):
            raise AddressError("nothing is below an address literal")
        return dot + ascii_domain(name)
    except AddressError as error:
        raise ValueError(f"{domain[:80]!r} is no domain, .domain or *: {error}") from None


def _exact_key(text: str) -> str:
    try:
        return address_key(parse(text, utf8=True))
    except AddressError as error:
        raise ValueError(f"{text[:80]!r} is no address: {error}") from None


def _simple(pattern: str) -> str:
    """``*.example.org`` is ``.example.org``, which is found without a search."""
    return pattern[1:] if pattern[:2] == "*." and not _is_glob(pattern[1:]) else pattern


def _is_glob(text: str) -> bool:
    return "*" in text or "?" in text


def _parted(patterns: Iterable[str | Source]) -> tuple[tuple[str, ...], tuple[Source, ...]]:
    both = tuple(patterns)
    return tuple(one for one in both if isinstance(one, str)), tuple(
        one for one in both if not isinstance(one, str)
    )


def compiled(globs: Iterable[str], *, groups: bool = False) -> Callable[[str], re.Match[str] | None] | None:
    """One search for all the globs, None where there are none; with `groups` its `lastindex` is the number of
    the first that matches, from 1.  re is loaded only where there are some."""
    each = tuple(globs)
    if not each:
        return None
    import re

    escaped = (re.escape(one).replace(r"\*", ".*").replace(r"\?", ".") for one in each)
    opening = "(" if groups else "(?:"
    return re.compile("|".join(f"{opening}{one})" for one in escaped), re.DOTALL).fullmatch
