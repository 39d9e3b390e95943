"""Rules that can never take mail, since earlier ones take all that they would.

Told by the texts of what they ask for: a rule is covered where an earlier one asks for no more of anything.
That is sure where it is said; where several earlier rules take together what one would, but for its domains,
or where only the contents of tables could tell, nothing is said.  Pure; nothing here fails.
"""

from __future__ import annotations

import ipaddress

from mether.routing.match import Addresses, Logins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mether.routing.networks import Networks
    from mether.routing.rule import Rule


class Covered:
    """A `rule` that never takes mail, or never for `domain` ("": for none at all), as the rules `by` take it
    before; none of them where what the rule itself asks for contradicts itself."""

    __slots__ = ("by", "domain", "rule")

    def __init__(self, rule: Rule, by: Sequence[Rule], domain: str = "") -> None:
        self.rule = rule
        self.by = by
        self.domain = domain


def covered(rules: Sequence[Rule]) -> Iterator[Covered]:
    """What the rules in order never take."""
    for number, rule in enumerate(rules):
        if _contradicts_itself(rule):
            yield Covered(rule, ())
            continue
        before = [one for one in rules[:number] if one.action != "hold" and _asks_no_more(one, rule)]
        if not before:
            continue
        taken: dict[str, Rule] = {}
        for domain in rule.domains.patterns:
            by = next((one for one in before if one.domains.covers(domain)), None)
            if by is not None:
                taken[domain] = by
        tables = [
            next((one for one in before if one.domains.everything or source in one.domains.sources), None)
            for source in rule.domains.sources
        ]
        if len(taken) == len(rule.domains.patterns) and None not in tables:
            takers = [*taken.values(), *(one for one in tables if one is not None)]
            yield Covered(rule, list(dict.fromkeys(takers)))
        else:
            yield from (Covered(rule, [by], domain) for domain, by in taken.items())


def _contradicts_itself(rule: Rule) -> bool:
    """Whether none of its recipients can be in one of its domains."""
    if rule.recipients is None or rule.recipients.sources or rule.domains.sources:
        return False
    domains = [text.rpartition("@")[2] for text in rule.recipients.patterns]
    return not any(
        one[:1] == "." or "*" in one or "?" in one or rule.domains.static(one)
        for one in (*domains, *(() if rule.recipients.domains is None else rule.recipients.domains.patterns))
    )


def _asks_no_more(earlier: Rule, later: Rule) -> bool:
    """Whether the earlier rule takes whatever the later one takes, the domain aside."""
    if earlier.listeners is not None and not (
        later.listeners is not None and set(later.listeners) <= set(earlier.listeners)
    ):
        return False
    return (
        _clients(earlier, later)
        and _logins(earlier.authenticated, later.authenticated)
        and _addresses(earlier.senders, later.senders)
        and _addresses(earlier.recipients, later.recipients)
    )


def _clients(earlier: Rule, later: Rule) -> bool:
    if earlier.clients is None and not earlier.programs:
        return True
    if (later.clients is None and not later.programs) or (later.programs and not earlier.programs):
        return False
    return all(
        _inside(one, earlier.clients) for one in (() if later.clients is None else later.clients.networks)
    )


def _inside(network: str, networks: Networks | None) -> bool:
    one = ipaddress.ip_network(network)
    return networks is not None and any(
        one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]
        for other in map(ipaddress.ip_network, networks.networks)
    )


def _logins(earlier: bool | Logins | None, later: bool | Logins | None) -> bool:
    if earlier is None:
        return True
    if isinstance(earlier, bool) or not isinstance(later, Logins):
        return earlier == later or (earlier is True and isinstance(later, Logins))
    return set(later.sources) <= set(earlier.sources) and all(map(earlier.covers, later.patterns))


def _addresses(earlier: Addresses | None, later: Addresses | None) -> bool:
    if earlier is None or earlier.everything:
        return True
    if later is None:
        return False
    return set(later.sources) <= set(earlier.sources) and all(map(earlier.covers, later.patterns))
