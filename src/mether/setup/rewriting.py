"""How addresses are written anew as mail goes out: ``[srs]``, and the keys of ``[[route]]`` that say it.

``masquerade`` and ``masquerade_exceptions``, ``rewrite``, ``srs`` and ``verp`` of a route are for the mail
that it sends: `rewritings` makes what `relay.settings` takes.  `check` raises ConfigError for what
contradicts itself; `troubles` looks at the file of secrets, for ``mether config --check``.
"""

from __future__ import annotations

import time

from mether.address import AddressError
from mether.routing.rewrite import domain, meant
from mether.routing.srs import HASH, MAX_AGE
from mether.routing.tables_file import normal_key
from mether.setup import decode, endpoint
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Final

    from mether.address import Address
    from mether.outcome import Route
    from mether.relay.rewriting import Rewriting
    from mether.routing.router import Router
    from mether.routing.source import Source
    from mether.routing.srs_file import SrsFile
    from mether.setup.config import Config
    from mether.setup.decode import Document, Shape
    from mether.setup.routes import Route as Configured
    from mether.setup.tables import Tables


class Srs(Struct):
    """``[srs]``: the `domain` of the addresses, the file of the secrets that sign them, the seconds for which
    one is good, and the characters of its hash."""

    domain: str
    secret_file: str
    max_age: float = MAX_AGE
    hash_length: int = HASH


def _domain(value: object) -> str:
    return endpoint.parse_hostname(decode.text(value))


SRS: Final[Shape] = {
    "domain": _domain,
    "secret_file": decode.text,
    "max_age": decode.duration,
    "hash_length": decode.whole(4, 27),
}
MOST: Final = 1000 * 86400.0
"""Seconds after which the day in an address comes again."""


def masqueraded(value: object) -> str:
    """A domain of ``masquerade``, or one with ! that stays."""
    text = decode.text(value)
    return f"!{domain(text)}" if text.startswith("!") else domain(text)


def sender_domain(value: object) -> str:
    """A domain of ``verp``."""
    text = decode.text(value)
    if text.startswith("!"):
        raise ValueError("expected a domain such as example.org")
    return domain(text)


def pairs(value: dict[str, Any]) -> dict[str, str]:
    """A map that stands in ``rewrite`` itself.  Raises ValueError."""
    found = {}
    for key, text in value.items():
        if not isinstance(text, str):
            raise decode.Value(key, "expected an address, @domain or local-part")
        try:
            key_of = f"@{domain(key[1:])}" if key[:1] == "@" else normal_key(key)
            meant(text)
        except AddressError as error:
            raise decode.Value(
                key, f"expected an address, @domain or local-part, and {text[:80]!r} is none: {error}"
            ) from None
        except ValueError as error:
            raise decode.Value(key, str(error)) from None
        found[key_of] = text
    if not found:
        raise ValueError('expected an address for another, such as { "@host.example" = "ann@example.org" }')
    return found


class Pairs:
    """That map, as a table."""

    __slots__ = ("_pairs", "name")

    def __init__(self, pairs: dict[str, str], name: str) -> None:
        self._pairs = pairs
        self.name = name

    def get(self, key: str) -> str | None:
        """What it has for the key."""
        return self._pairs.get(key)

    async def learn(self, key: str) -> None:
        """Everything is known."""


def check(
    document: Document, values: dict[str, Any], routes: Sequence[Configured], find: Callable[[str], str]
) -> Srs | None:
    """The checked values of ``[srs]``, None without it; `find` makes a path absolute.  Raises ConfigError."""
    for number, route in enumerate(routes):
        at = ("route", number)
        if route.srs and "srs" not in document.root:
            raise document.wrong((*at, "srs"), "needs an [srs] that names a domain and a secret_file")
        if route.masquerade_exceptions and not route.masquerade:
            raise document.wrong((*at, "masquerade_exceptions"), "does nothing without masquerade")
    if "srs" not in document.root:
        return None
    for key, such in (("domain", "a domain of ours, whose mail comes here"), ("secret_file", "a file")):
        if key not in values:
            raise document.wrong(("srs", key), f"missing; expected {such}")
    if values.get("max_age", 0.0) > MOST:
        raise document.wrong(("srs", "max_age"), 'expected 1000 days at most: "1000d"')
    return Srs(**{**values, "secret_file": find(values["secret_file"])})


def srs(one: Srs | None) -> SrsFile | None:
    """The addresses made here, where there are such."""
    if one is None:
        return None
    from mether.routing.srs_file import SrsFile

    return SrsFile(one.domain, one.secret_file, time.time, max_age=one.max_age, length=one.hash_length)


def troubles(config: Config) -> Iterator[str]:
    """A line where the file of secrets cannot be used: mail would have to wait for it."""
    from mether.routing.source import TableError

    made = srs(config.srs)
    if made is not None:
        try:
            made.check()
        except TableError as error:
            yield f"{config.origins['srs.secret_file']}: srs.secret_file: {error}"


def rewritings(config: Config, router: Router) -> Callable[[Route], Rewriting | None]:
    """How the mail of each next hop has its addresses written anew: by the route that leads there."""
    if not any(route.masquerade or route.rewrite or route.srs or route.verp for route in config.route):
        return lambda route: None
    from mether.relay.rewriting import Rewriting
    from mether.routing.rewrite import Masquerade, Rewrite

    tables = config.tables()
    by_rule = {}
    for number, (rule, route) in enumerate(zip(router.rules, config.route, strict=True)):
        rewrite = None
        if route.masquerade or route.rewrite:
            rewrite = Rewrite(
                Masquerade(route.masquerade, route.masquerade_exceptions or ()) if route.masquerade else None,
                _map(route.rewrite, tables, config.origins.get(f"route[{number}].rewrite", "")),
                config.service.hostname,
            )
        if rewrite is not None or route.srs or route.verp:
            forward = router.srs.forward if route.srs and router.srs is not None else None
            by_rule[rule] = Rewriting(
                rewrite, forward, lambda address: _ours(router, address), frozenset(route.verp or ())
            )

    def found(route: Route) -> Rewriting | None:
        rule = router.sending(route)
        return None if rule is None else by_rule.get(rule)

    return found


def _map(written: str | dict[str, str] | None, tables: Tables, where: str) -> Source | None:
    if isinstance(written, dict):
        return Pairs(written, f"{where}: rewrite")
    return tables.source(written) if written else None


def _ours(router: Router, address: Address) -> bool:
    """Whether mail for the address is taken from anybody: its domain is ours, and so lists this host.

    Raises TableError or Needs.
    """
    from mether.routing.request import Request

    decision = router.decide(Request(address))
    rule = decision.rule
    return rule is not None and decision.open and rule.action not in ("refuse", "discard")
