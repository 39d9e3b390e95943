"""Aliases held against what their rules allow, and their lists and programs against what is there.

`complaints` and `troubles` are for ``mether config --check``, for smtpd when it starts, and for newaliases.
Only files are looked at: what a database has for a name is known when it is asked.  What is wrong with a file
itself is told by `setup.tables`, and who comes to nobody by `setup.alias_reach`.
"""

from __future__ import annotations

import os

from mether.routing import aliases, include
from mether.routing.source import TableError, settled
from mether.routing.tables_file import Reread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Final

    from mether.routing.rule import Rule

LISTS: Final = 1000
"""Included files that are looked at."""


def complaints(rules: Iterable[Rule], *, root: bool = False) -> Iterator[str]:
    """A line for each member that mail would not reach, with the rule's place; and where the service would be
    `root`, for each rule that lets aliases have its rights."""
    rules = tuple(rules)
    for rule in rules:
        if root and (rule.alias_programs or rule.alias_files):
            what = "programs" if rule.alias_programs else "files"
            yield (
                f"{rule.where or f'route {rule.name}'}: the {what} that aliases name get the rights of root "
                "where the service runs as root; expected service.user, or another user to run it"
            )
    for rule, where, table in _files(rules):
        for line in aliases.unwanted(table, programs=rule.alias_programs, files=rule.alias_files):
            yield f"{where}: {line}"
        if rule.alias_programs:
            yield from (f"{where}: {line}" for line in _programs(table))


def troubles(rules: Iterable[Rule]) -> Iterator[str]:
    """A line for each list that cannot be read: all mail to who includes it waits."""
    for _, where, table in _files(rules):
        yield from (f"{where}: {line}" for line in _lists(table))


def _files(rules: Iterable[Rule]) -> Iterator[tuple[Rule, str, Mapping[str, str]]]:
    """The alias files that can be read, each with its rule and their place."""
    for rule in rules:
        for source in rule.aliases:
            if not isinstance(source, Reread):
                continue
            try:
                table = source.load()
            except TableError:
                continue
            yield rule, f"{rule.where}: {source.path}" if rule.where else source.path, table


def _programs(table: Mapping[str, str]) -> Iterator[str]:
    """A line for each program that cannot be run."""
    from mether.relay import pipe

    for name, text in table.items():
        if "|" not in text:
            continue
        for one in include.members_of(text):
            if one.kind != "program":
                continue
            try:
                path = pipe.words(one.text)[0]
            except ValueError as error:
                yield f"{name}: {error}"
                continue
            if not (os.path.isfile(path) and os.access(path, os.X_OK)):
                yield f"{name}: {path}: expected a program that can be run"


def _lists(table: Mapping[str, str]) -> Iterator[str]:
    """A line for each included file that cannot be read, those that are included in others among them."""
    seen: set[str] = set()
    waiting = [
        one.text
        for text in table.values()
        if ":include:" in text.lower()
        for one in include.members_of(text)
        if one.kind == "include"
    ]
    while waiting and len(seen) < LISTS:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        try:
            found = settled(lambda path=path: include.in_file(path))  # type: ignore[misc]
        except TableError as error:
            yield str(error)
        else:
            waiting += [one.text for one in found if one.kind == "include"]
