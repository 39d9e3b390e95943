"""Aliases that lead to nobody: loops, and members that are no users where it is known who is here.

`complaints` resolves the names of each alias file as mail for them is resolved (`routing.expand`), so that
what it tells is what would be refused.  Nobody is asked: names of which another host has to say something are
passed over, and so are tables that cannot be read, which `setup.tables` tells of.  It is for
``mether config --check``, newaliases and smtpd when it starts.

Limits: NAMES of a configuration are looked at.
"""

from __future__ import annotations

from mether.address import AddressError, parse, quote
from mether.routing.expand import resolve
from mether.routing.request import Request
from mether.routing.resolution import LOOP, UNKNOWN
from mether.routing.source import Needs, TableError
from mether.routing.tables_file import Reread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.address import Address
    from mether.routing.resolution import Resolution
    from mether.routing.router import Router
    from mether.routing.rule import Rule

NAMES: Final = 2000


def complaints(router: Router) -> Iterator[str]:
    """A line for each alias that is a loop, and for each member who is nobody, with the rule's place."""
    left = NAMES
    told: set[tuple[str, Address]] = set()
    for rule in router.rules:
        for source in rule.aliases:
            if not isinstance(source, Reread):
                continue
            try:
                names = list(source.load())
            except TableError:
                continue
            for name in names[: max(0, left)]:
                found = _resolved(router, rule, name)
                if found is None:
                    continue
                where = f"{rule.where}: {source.path}: {name}"
                if found.reply is LOOP:
                    yield f"{where}: the alias is a loop: mail to it is refused"
                elif found.reply is UNKNOWN:
                    yield f"{where}: nobody whom it names is a user here: mail to it is refused"
                for one in found.refused:
                    if one.reply is UNKNOWN and (source.path, one.address) not in told:
                        told.add((source.path, one.address))
                        yield f"{where}: there is no user {one.address} here: mail to this member is refused"
            left -= len(names)


def _resolved(router: Router, rule: Rule, name: str) -> Resolution | None:
    """What mail to a name comes to, None where the rule does not get it or that cannot be told."""
    if name[:1] in ("@", "*"):
        return None
    try:
        address = parse(name if "@" in name else f"{quote(name)}@{_domain(router, rule)}", utf8=True)
        request = Request(address)
        decision = router.decide(request)
        return resolve(router, request, decision) if decision.rule is rule else None
    except (AddressError, Needs, TableError):
        return None


def _domain(router: Router, rule: Rule) -> str:
    """A domain for which the rule has the aliases."""
    own = router.hostname.lower()
    if rule.domains.static(own):
        return own
    return next((one for one in rule.domains.patterns if one[0] != "." and not set(one) & set("*?")), own)
