"""From a TOML text to plain values, with one line for a person when something in it is wrong.

`read` parses the text; `table` reads one of its tables by a `Shape`: a function for each key that turns
the raw value into the one that is kept, or raises ValueError with what it expected.  Everything else is
this module's: unknown keys with their nearest spelling, wrong kinds of tables, and the position,
``FILE:LINE: key: what was expected``, which every ConfigError carries.

The functions here that make such functions (`text`, `whole`, `one_of` ...) check types strictly: TOML's
``"5"`` is never a number, and ``1`` is never true.
"""

from __future__ import annotations

import tomllib

from mether.address import AddressError
from mether.address import parse as parse_address
from mether.setup import units
from mether.setup.locate import ConfigError
from mether.setup.position import positions
from mether.setup.spelling import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from mether.setup.position import Path

    Convert = Callable[[Any], Any]
    Shape = Mapping[str, Convert]

MAX_FILE: Final = 1 << 20
"""Octets of a configuration file."""


class Document:
    """A configuration file that is TOML: its `path`, its `root` table, and where each key stands."""

    def __init__(self, path: str, text: str, root: dict[str, Any]) -> None:
        self.path = path
        self.root = root
        self._text = text
        self._lines: dict[Path, int] | None = None

    def line(self, path: Path) -> int:
        """The line of a key path, or of the nearest thing around it that has one."""
        if self._lines is None:
            self._lines = positions(self._text)
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def wrong(self, path: Path, what: str) -> ConfigError:
        """The error for what is wrong at a key path."""
        return ConfigError(f"{self.path}:{self.line(path)}: {dotted(path)}: {what}")


class Value(ValueError):
    """What a converter raises for one element of a list or table: `index` says which."""

    def __init__(self, index: int | str, what: str) -> None:
        super().__init__(what)
        self.index = index


def read(path: str) -> Document:
    """Read a configuration file.  Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise ConfigError(f"{path}: longer than {MAX_FILE // 1024} KiB; is this a configuration file?")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: an octet that is not UTF-8") from None
    return parse(path, text)


def parse(path: str, text: str) -> Document:
    """Parse the text of a configuration file.  Raises ConfigError."""
    try:
        return Document(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        # The position is at the message's end: "... (at line 3, column 7)" or "(at end of document)".
        what, at, where = str(error).rpartition(" (at ")
        line = text.rstrip("\n").count("\n") + 1
        if at and where.startswith("line "):
            line = int(where.removeprefix("line ").partition(",")[0])
        raise ConfigError(f"{path}:{line}: this is not TOML: {what or error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError:  # Python reads no more than 4300 digits
        raise ConfigError(f"{path}: a number has too many digits") from None


def sections(
    document: Document,
    single: Sequence[str],
    many: Sequence[str],
    shapes: Mapping[str, Shape] = {},
) -> None:
    """Check the tables at the top: those in `single` once, those in `many` as arrays of tables.

    `shapes` has the keys of each: one of them that stands above all tables belongs into its own.
    """
    for name, value in document.root.items():
        if name in single:
            if not isinstance(value, dict):
                raise document.wrong((name,), f"expected a table: [{name}]")
        elif name in many:
            if not (value == [] or _tables(value)):
                raise document.wrong((name,), f"expected [[{name}]] with two brackets: there may be several")
        else:
            owners = [each for each in (*single, *many) if name in shapes.get(each, ())]
            if owners and not (isinstance(value, dict) or _tables(value)):
                shown = " or ".join(f"[[{each}]]" if each in many else f"[{each}]" for each in owners)
                raise document.wrong((name,), f"belongs into {shown}: write it below that line")
            meant = nearest(name, (*single, *many))
            shown = f"[[{meant}]]" if meant in many else f"[{meant}]"
            raise document.wrong((name,), f"unknown{f' (did you mean {shown}?)' if meant else ''}")


def _tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def table(document: Document, path: Path, raw: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """The values of one table by its shape; absent keys are absent.  Raises ConfigError."""
    values = {}
    for key, value in raw.items():
        convert = shape.get(key)
        if convert is None:
            raise document.wrong((*path, key), _unknown(key, shape))
        try:
            values[key] = convert(value)
        except Value as error:
            raise document.wrong((*path, key, error.index), str(error)) from None
        except ValueError as error:
            raise document.wrong((*path, key), str(error)) from None
    return values


def _unknown(key: str, shape: Shape) -> str:
    """What is told of a key that there is not."""
    if key in _SECRETS and "password_file" in shape:
        return (
            "unknown key: a secret does not belong into the configuration; write it into a file that its "
            "owner alone can read (mode 0600), and name that in password_file"
        )
    meant = nearest(key, shape)
    return f"unknown key{f' (did you mean {meant}?)' if meant else ''}"


_SECRETS: Final = ("password", "passwd", "pass", "secret", "token")


def dotted(path: Path) -> str:
    """The keys of a path without its indices: ``route.maildir``."""
    return ".".join(str(key) for key in path if isinstance(key, str))


# Converters.


def text(value: object) -> str:
    """Text that is not empty and holds no control character."""
    if not isinstance(value, str):
        raise ValueError("expected text in quotes")
    if not value:
        raise ValueError("is empty; expected text, or nothing written at all")
    if not value.isprintable():
        raise ValueError("expected text in quotes, without a control character")
    return value


def boolean(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def true(value: object) -> bool:
    """True: a key that is there or is not."""
    if value is not True:
        raise ValueError("expected true, or no such key")
    return True


def mailbox(such: str) -> Convert:
    """An address with a domain, such as this one."""

    def convert(value: object) -> str:
        try:
            address = parse_address(text(value), utf8=True)
        except AddressError as error:
            raise ValueError(f"expected an address such as {such}: {error}") from None
        if not address.domain:
            raise ValueError(f"expected an address with a domain, such as {such}")
        return str(address)

    return convert


def one_of(*choices: str) -> Convert:
    """One of the words."""

    def convert(value: object) -> str:
        if value in choices and isinstance(value, str):
            return value
        expected = " or ".join(f'"{choice}"' for choice in choices)
        # A number is not misspelled: the nearest one is another one.
        word = isinstance(value, str) and any(map(str.isalpha, value))
        meant = nearest(str(value), choices) if word else ""
        raise ValueError(f"expected {expected}" + (f' (did you mean "{meant}"?)' if meant else ""))

    return convert


def mechanism(known: Sequence[str]) -> Convert:
    """The name of a SASL mechanism, in upper case."""

    def convert(value: object) -> str:
        name = text(value).upper()
        if name in known:
            return name
        meant = nearest(name, [each.lower() for each in known]).upper()
        guess = f' (did you mean "{meant}"?)' if meant else ""
        raise ValueError(f"expected a SASL mechanism: {', '.join(known)}{guess}")

    return convert


def whole(least: int, most: int) -> Convert:
    """A whole number in that range."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return value

    return convert


def fraction(value: object) -> float:
    """A number of at least 0 and below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError("expected a number of at least 0 and below 1, such as 0.2")
    return float(value)


def duration(value: object) -> float:
    """Seconds, from text such as "5m"."""
    try:
        return units.duration(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ValueError(f"{error}; {str(value)[:80]!r} is none") from None


def size(value: object) -> int:
    """Octets, from text such as "50MiB" or a number."""
    return units.size(value if isinstance(value, str | int) else "")


def list_of(convert: Convert, what: str, *, empty: bool = False) -> Convert:
    """A list, which may be empty only if so said; `what` names its elements."""

    def convert_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"expected a list of {what}, in brackets")
        if not value and not empty:
            raise ValueError(f"is an empty list; expected {what}, one at least")
        out = []
        for index, each in enumerate(value):
            try:
                out.append(convert(each))
            except ValueError as error:
                raise Value(index, str(error)) from None
        return tuple(out)

    return convert_all


argv: Final = list_of(text, "a program and its arguments")


def inline(shape: Shape, such: str) -> Convert:
    """An inline table of these keys; `such` shows one."""

    def convert(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"expected a table in braces, such as {such}")
        values = {}
        for key, each in value.items():
            if key not in shape:
                raise Value(key, _unknown(key, shape))
            try:
                values[key] = shape[key](each)
            except ValueError as error:
                raise Value(key, str(error)) from None
        return values

    return convert
