"""Which reverse-paths a login may use (RFC 6409 section 6.1).

A table, a line for each login:

    ann@example.org    ann@example.org  @ann.example.org
    scanner            scanner-*@example.org
    newsletter         *
    *                  {login}

Behind the login stand patterns: an address; ``@domain``, all of a domain; ``*`` in place of any characters;
``{login}``, the login itself.  A line for the login ``*`` is for all who have no line of their own; without
one they may use any.  The null reverse-path may always be used (it is that of every report and receipt).
Patterns are compared without case, domains as A-labels.

    table = read("/etc/mether/senders")
    if not table.may(login, reverse_path): ...      # 550 5.7.1

`Senders.may` is pure.  `read` raises `SendersError`, one line with file and line.
"""

from __future__ import annotations

from mether.address import Address, AddressError, ascii_domain
from mether.auth import textfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from mether.address import ReversePath

_LOGIN: Final = "{login}"


class SendersError(Exception):
    """A pattern or a table that cannot be used; str() says where and why."""


class Senders:
    """The table: patterns by login, and by ``*`` for all others."""

    __slots__ = ("_by_login",)

    def __init__(self, by_login: Mapping[str, Sequence[str]]) -> None:
        for patterns in by_login.values():
            for pattern in patterns:
                check_pattern(pattern)
        self._by_login = {login: tuple(patterns) for login, patterns in by_login.items()}

    def may(self, login: str, reverse_path: ReversePath, tied: Sequence[str] | None = None) -> bool:
        """Whether the login may use the reverse-path.

        `tied` are patterns known from elsewhere (the password file's third field); they then decide,
        and not the table."""
        if reverse_path is None:
            return True
        patterns = tied
        if patterns is None:
            patterns = self._by_login.get(login)
        if patterns is None:
            patterns = self._by_login.get("*")
        return patterns is None or any(matches(pattern, login, reverse_path) for pattern in patterns)


def matches(pattern: str, login: str, address: Address) -> bool:
    """Whether the pattern, used for this login, takes the address."""
    local, domain = address.key
    text = f"{local}@{domain}".lower() if domain else local.lower()
    # The login goes in as a piece of its own, so that a * in it is only a *.
    return _glob([_fold(piece) for piece in _pieces(pattern, login)], text)


def check_pattern(pattern: str) -> None:
    """Raise SendersError unless it is a pattern."""
    if not pattern or any(char.isspace() or not char.isprintable() for char in pattern):
        raise SendersError(f"{pattern!r} is not a pattern of addresses")
    if "@" not in pattern and "*" not in pattern and pattern not in (_LOGIN, "postmaster"):
        raise SendersError(
            f"{pattern!r} is not a pattern: expected ADDRESS, @DOMAIN, {_LOGIN}, or one with *"
        )


def parse_lines(text: str, name: str) -> Senders:
    """The table in the text; `name` is the file in errors.  Raises SendersError."""
    table: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        login = words[0].removesuffix(":")
        try:
            if login in table:
                raise SendersError(f"{login} has a line already")
            for pattern in words[1:]:
                check_pattern(pattern)
        except SendersError as error:
            raise SendersError(f"{name}:{number}: {error}") from None
        table[login] = tuple(words[1:])
    return Senders(table)


def read(path: str) -> Senders:
    """The table in a file.  Raises SendersError."""
    try:
        with open(path, "rb") as file:
            text = textfile.read(file, path, SendersError)
    except OSError as error:
        raise SendersError(f"{path}: {error.strerror or error}") from None
    return parse_lines(text, path)


def _pieces(pattern: str, login: str) -> list[str]:
    """The pattern between its stars: text that must stand there, the login in its place."""
    if pattern.startswith("@"):
        pattern = "*" + pattern
    return [piece.replace(_LOGIN, login) for piece in pattern.split("*")]


def _fold(piece: str) -> str:
    """A piece in the form in which addresses are compared: lower case, its domain as A-labels."""
    local, at, domain = piece.rpartition("@")
    if at and not domain.isascii():
        try:
            domain = ascii_domain(domain)
        except AddressError:
            pass  # matches nothing, as it should
    return f"{local}{at}{domain}".lower()


def _glob(pieces: list[str], text: str) -> bool:
    """Whether the text is the pieces in order with anything in between."""
    first, *rest = pieces
    if not rest:
        return text == first
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in rest[:-1]:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(rest[-1]) and text.endswith(rest[-1])
