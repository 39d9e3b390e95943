"""``[[table]]``, and what a route's lists refer to: from texts to the tables that answer (`routing.source`).

======================  ====================================================================
``table:NAME``          the ``[[table]]`` of that name
``file:PATH``           the list or the map in a file (`routing.tables_file`)
``passwd``              the users of this host, among ``users`` only
``callahead``           whoever the route's own target takes mail for, among ``users`` only
anything else           itself: a user, a pattern; in ``aliases`` the path of an alias file
======================  ====================================================================

A `Tables` belongs to one configuration: a file or a table to which several routes refer is one `Source`, read
once.  Nothing is opened before it is asked for; `troubles` asks for all of it, and says what cannot be read.
What is wrong with a text is a ValueError, in words for a person.
"""

from __future__ import annotations

import os
import time

from mether.routing.source import TableError
from mether.routing.tables_file import Reread, normal_key
from mether.routing.tables_file import Table as FileTable
from mether.setup import decode
from mether.setup.spelling import nearest
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Final, Protocol

    from mether.outcome import Route
    from mether.routing.callahead import Open
    from mether.routing.source import Condition, Source
    from mether.setup.config import Config
    from mether.setup.decode import Document, Shape

    class Checked(Source, Protocol):
        """A source that can be looked at before anybody asks."""

        def check(self) -> None:
            """Read it, or find out that it can be.  Raises TableError."""


CACHE: Final = 5.0
"""Seconds for which what a database said is kept."""
KINDS: Final = ("file", "sqlite", "postgres", "passwd")
REFERRING: Final = ("domains", "recipient", "sender", "authenticated", "aliases", "users", "rewrite")
"""The keys of a route in which a table may stand."""


class Table(Struct):
    """``[[table]]``: its `name`, and where it is: exactly one of `file` (in `format` "map" or "aliases"),
    `sqlite` (a path) and `postgres` (a URL) with their `query`, and `passwd`.  `cache` is for how many
    seconds an answer of a database is kept."""

    name: str
    file: str | None = None
    format: str = "map"
    sqlite: str | None = None
    postgres: str | None = None
    query: str | None = None
    passwd: bool | None = None
    cache: float = CACHE


def _name(value: object) -> str:
    name = decode.text(value)
    if not all(char.isalnum() or char in "-_." for char in name):
        raise ValueError('expected a name of letters, digits, "-", "_" and ".", such as "users"')
    return name


def _postgres(value: object) -> str:
    url = decode.text(value)
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError('expected a URL such as "postgresql://mether@db.example.org/mail"')
    return url


def _query(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('expected a statement in quotes, such as "SELECT 1 FROM users WHERE name = ?"')
    return value


TABLE: Final[Shape] = {
    "name": _name,
    "file": decode.text,
    "format": decode.one_of("map", "aliases"),
    "sqlite": decode.text,
    "postgres": _postgres,
    "query": _query,
    "passwd": decode.true,
    "cache": decode.duration,
}


def check(
    document: Document,
    number: int,
    values: dict[str, Any],
    before: Sequence[Mapping[str, Any]],
    path: str | None,
) -> None:
    """Complete the values of one ``[[table]]``, of which `before` are the earlier ones.  Raises ConfigError.

    Files are relative to the directory of the configuration at `path`.
    """
    at = ("table", number)
    if "name" not in values:
        raise document.wrong((*at, "name"), 'missing; expected one, for routes to say "table:NAME"')
    for earlier, other in enumerate(before):
        if other["name"] == values["name"]:
            line = document.line(("table", earlier))
            raise document.wrong((*at, "name"), f"there is a table {values['name']} already, on line {line}")
    kinds = [kind for kind in KINDS if kind in values]
    if len(kinds) != 1:
        raise document.wrong(
            (*at, kinds[1]) if kinds else at,
            f"contradicts {kinds[0]}: a table has one of {', '.join(KINDS)}"
            if kinds
            else f"expected one of {', '.join(KINDS)} beside name",
        )
    kind = kinds[0]
    database = kind in ("sqlite", "postgres")
    if database and "query" not in values:
        mark = "?" if kind == "sqlite" else "$1"
        raise document.wrong(
            (*at, "query"),
            f'missing; expected one such as "SELECT mailbox FROM users WHERE address = {mark}"',
        )
    for key, owners in (
        ("query", "sqlite and postgres"),
        ("format", "file"),
        ("cache", "sqlite and postgres"),
    ):
        if key in values and (kind != "file" if key == "format" else not database):
            raise document.wrong((*at, key), f"is for {owners} only, and this table has {kind}")
    if kind == "postgres":
        from mether.routing import tables_postgres

        if missing := tables_postgres.missing():
            raise document.wrong((*at, "postgres"), missing)
    for key in ("file", "sqlite"):
        if key in values:
            values[key] = _absolute(values[key], path)


_NO_PLACES: Final[Mapping[str, str]] = {}


class Tables:
    """The tables of a configuration.  `path` is its file, `open` how a session for a call-ahead is begun, and
    `places` has where each ``[[table]]`` stands, by its name, for its errors."""

    def __init__(
        self,
        tables: Iterable[Table] = (),
        path: str | None = None,
        *,
        open: Open | None = None,
        clock: Callable[[], float] = time.monotonic,
        places: Mapping[str, str] = _NO_PLACES,
    ) -> None:
        self._places = places
        self._tables = {table.name: table for table in tables}
        self._path = path
        self._open = open
        self._clock = clock
        self._made: dict[str, Checked] = {}

    def source(self, text: str) -> Source | None:
        """The table that a text refers to, None when it refers to none.  Raises ValueError."""
        kind, colon, rest = text.partition(":")
        if not colon or kind not in ("table", "file"):
            return None
        if not rest:
            raise ValueError(
                f'expected "{kind}:" and {"the name of a table" if kind == "table" else "a path"}'
            )
        if kind == "file":
            place = _absolute(rest, self._path)
            return self._once(f"file:{place}", lambda: FileTable(place, f"file:{place}", clock=self._clock))
        table = self._tables.get(rest)
        if table is None:
            meant = nearest(rest, self._tables)
            guess = f' (did you mean "table:{meant}"?)' if meant else ""
            raise ValueError(f"there is no [[table]] of the name {rest[:80]!r}{guess}")
        return self._of(table)

    def patterns(self, texts: Iterable[str]) -> tuple[str | Source, ...]:
        """Patterns of domains or addresses, with the tables among them.  Raises ValueError."""
        return tuple(self.source(text) or text for text in texts)

    def users(self, texts: Iterable[str], route: Callable[[str], Route] | None = None) -> tuple[Source, ...]:
        """Who is here.  `route` gives the next hop for a domain, for a call-ahead; None where there is nobody
        to be asked.  Raises ValueError."""
        found: list[Source] = []
        plain: list[str] = []
        for text in texts:
            source = self.source(text)
            if source is not None:
                found.append(source)
            elif text == "passwd":
                found.append(self._passwd())
            elif text == "callahead":
                found.append(self._callahead(route))
            else:
                plain.append(_user(text))
        return (Inline(plain), *found) if plain else tuple(found)

    def aliases(self, texts: Iterable[str]) -> tuple[Source, ...]:
        """Aliases: tables, and the files of those in sendmail's syntax.  Raises ValueError."""
        return tuple(self.source(text) or self._aliases(_absolute(text, self._path)) for text in texts)

    def all(self) -> list[Checked]:
        """Every table: those of the configuration, and the files that routes refer to."""
        for table in self._tables.values():
            self._of(table)
        return list(self._made.values())

    def _of(self, table: Table) -> Checked:
        name = f"table:{table.name}"
        if table.passwd:
            return self._passwd()
        if table.file is not None and table.format == "aliases":
            made = self._aliases(table.file)
        else:
            made = self._once(name, lambda: self._make(table, name))
        where = self._places.get(table.name)
        condition: Condition | None = getattr(made, "condition", None)
        if condition is not None:
            condition.place = f"{name} at {where}: " if where else f"{name}: "
        return made

    def _make(self, table: Table, name: str) -> Checked:
        if table.sqlite is not None:
            from mether.routing.tables_sqlite import Sqlite

            return Sqlite(table.sqlite, table.query or "", name, keep=table.cache, clock=self._clock)
        if table.postgres is not None:
            from mether.routing.tables_postgres import Postgres

            return Postgres(table.postgres, table.query or "", name, keep=table.cache, clock=self._clock)
        return FileTable(table.file or "", name, clock=self._clock)

    def _passwd(self) -> Checked:
        from mether.routing.tables_passwd import Passwd

        return self._once("passwd", lambda: Passwd(clock=self._clock))

    def _aliases(self, place: str) -> Checked:
        from mether.routing import aliases

        name = f"aliases:{place}"
        return self._once(name, lambda: Reread(place, aliases.parse, place, clock=self._clock))

    def _callahead(self, route: Callable[[str], Route] | None) -> Source:
        if route is None or self._open is None:
            raise ValueError('"callahead" asks the target of smtp, lmtp or mx, and this route has none')
        from mether.routing.callahead import CallAhead

        return CallAhead(route, self._open, clock=self._clock)

    def _once(self, name: str, make: Callable[[], Checked]) -> Checked:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


class Inline:
    """A list that stands in the configuration itself."""

    __slots__ = ("_keys",)

    name = "the list"

    def __init__(self, texts: Iterable[str]) -> None:
        self._keys = frozenset(map(normal_key, texts))

    def get(self, key: str) -> str | None:
        """Nothing more than whether it is there."""
        return "" if key in self._keys else None

    async def learn(self, key: str) -> None:
        """Everything is known."""


def troubles(config: Config) -> Iterator[str]:
    """A line for each table that cannot be read, with its place: mail that it decides about would wait."""
    known = config.tables()
    config.router(known)  # knows of the files that routes refer to
    for route in config.route:
        if isinstance(route.rewrite, str):
            known.source(route.rewrite)
    places = _places(config)
    for source in known.all():
        try:
            source.check()
        except TableError as error:
            whole = places.get(source.name, config.path)
            yield f"{places.get(f'{source.name} {error.part}', whole)}: {error.plain}"


def _places(config: Config) -> dict[str, str]:
    """Where each table stands: "FILE:LINE: KEY"."""
    places: dict[str, str] = {}
    for number, route in enumerate(config.route):
        for key in REFERRING:
            value = getattr(route, key)
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str):
                    where = config.origins.get(f"route[{number}].{key}", config.path)
                    places.setdefault(text, f"{where}: route.{key}")
    for number, table in enumerate(config.table):
        kind = next(kind for kind in KINDS if getattr(table, kind) is not None)
        where = f"{config.origins.get(f'table[{number}].{kind}', config.path)}: table.{kind}"
        places[f"table:{table.name}"] = where
        if table.query is not None:
            origin = config.origins.get(f"table[{number}].query", config.path)
            places[f"table:{table.name} query"] = f"{origin}: table.query"
        if table.file is not None:
            places.setdefault(table.file, where)
    return places


def _user(text: str) -> str:
    kind, colon, rest = text.partition(":")
    if colon:
        meant = nearest(kind, ("table", "file"))
        guess = f' (did you mean "{meant}:{rest[:60]}"?)' if meant else ""
        raise ValueError(
            f"{text[:80]!r} is no user{guess}; expected table:NAME, file:PATH, passwd, callahead or a user"
        )
    normal_key(text)
    return text


def _absolute(place: str, path: str | None) -> str:
    if path is None:
        return os.path.abspath(place)
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), place))
