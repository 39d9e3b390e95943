"""Tables for rules: of names that are known at once, later, or never, and a router that asks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mail import address

from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.routing.source import Needs, TableError


class Names:
    """A table; with `slow` it has to be asked first, and `broken` it cannot be read."""

    name = "names"

    def __init__(self, known: Mapping[str, str], *, slow: bool = False, broken: bool = False) -> None:
        self.known = dict(known)
        self.slow = slow
        self.broken = broken
        self.learned: set[str] = set()

    def get(self, key: str) -> str | None:
        if self.slow and key not in self.learned:
            raise Needs(self, key)
        if self.broken:
            raise TableError("names: no")
        return self.known.get(key)

    async def learn(self, key: str) -> None:
        self.learned.add(key)


def users(*names: str, **options: bool) -> list[Names]:
    """Who is here."""
    return [Names(dict.fromkeys(names, ""), **options)]


def aliased(known: Mapping[str, str] | Names, *more: Rule, **options: Any) -> Router:
    """example.com is delivered here, with these aliases; `more` rules come before."""
    names = known if isinstance(known, Names) else Names(known)
    here = Rule(["example.com"], "maildir", "/nowhere/{user}", "here", aliases=[names], **options)
    return Router([*more, here], "mx.example.com", address("postmaster@example.com"))
