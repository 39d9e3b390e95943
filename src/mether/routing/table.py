"""The routing table: which rule takes mail for an address.

Rules are asked in order and the first that matches wins.  A rule names domains: ``example.org`` exactly,
``.example.org`` every name below it, ``*`` everything.  Nothing but the domain decides, in any case and
with U-labels as A-labels: a local-part such as ``a%b``, ``"a@b"`` or ``c!d`` is only a name at its
domain, so no address can ask to be passed on to somewhere else (RFC 5321 section 3.6, RFC 2505
section 2.1).

What no rule takes is relayed by the MX of its domain.  An address is local when its rule delivers here
(Maildir, program, LMTP); a rule that relays makes nothing local.  The bare ``postmaster`` (RFC 5321
section 4.5.1) is always local: it goes to `Table.postmaster`, else to the first local rule.  That is the
service's postmaster; but where this is at our own name and no rule delivers our own name, MX would bring its
mail back to ourselves, and it is postmaster at the first domain that is delivered here.

A `Rule` refuses what can match nothing, and a `Table` two local rules of one name, under which the queue
could not tell them apart, with a ValueError; routing itself never fails.  The table is
indexed by domain: a look-up costs the same with one rule or a thousand.
"""

from __future__ import annotations

from mether.address import Address, AddressError, ascii_domain, check_domain
from mether.outcome import Route
from mether.routing.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

LOCAL: Final = frozenset(("maildir", "pipe", "lmtp"))
"""Transports that deliver here."""

TRANSPORTS: Final = ("smtp", "lmtp", "maildir", "pipe")


REMEMBERED: Final = 4096
"""Domains whose answers are kept."""


class Rule:
    """One rule: its `name`, the `domains` it takes, the `transport`, and the transport's `argument`.

    `argument` is a Target for smtp and lmtp (for smtp None too: by the MX of each domain), the template of
    a path for maildir, an argument vector for pipe.  Raises ValueError when a domain is none.
    """

    __slots__ = ("_route", "argument", "domains", "name", "transport")

    def __init__(
        self,
        domains: Iterable[str],
        transport: str,
        argument: Target | str | tuple[str, ...] | None = None,
        name: str = "",
    ) -> None:
        self.domains = tuple(normalize(domain) for domain in domains)
        self.name = name or (self.domains[0] if self.domains else transport)
        self.argument = argument
        if isinstance(argument, Target):
            # unix: is LMTP whatever the rule calls it, and a Target knows best how it is spoken to.
            self._route: Route | None = argument.route()
            self.transport = self._route.transport
        else:
            self._route = None if transport == "smtp" else Route(transport, self.name)
            self.transport = transport
        if self.transport not in TRANSPORTS:
            raise ValueError(f"{transport!r} is no transport; expected one of {', '.join(TRANSPORTS)}")
        if self.transport == "lmtp" and not isinstance(argument, Target):
            raise ValueError("an lmtp route needs a target, such as unix:/run/lmtp or lmtp:host:port")
        if self.transport in ("maildir", "pipe") and not argument:
            raise ValueError(f"a {self.transport} route needs what to deliver to")

    @property
    def is_local(self) -> bool:
        """Whether it delivers here."""
        return self.transport in LOCAL

    def route(self, domain: str) -> Route:
        """The next hop for mail to `domain`, in lower case with A-labels."""
        return self._route or Route("smtp", domain)

    def __repr__(self) -> str:
        return f"Rule({self.name!r}: {', '.join(self.domains)} -> {self.transport} {self.argument})"


class Table:
    """The rules in order.  `hostname` is our own name, `postmaster` who gets mail for the bare postmaster."""

    __slots__ = (
        "_all",
        "_below",
        "_exact",
        "_first_local",
        "_found",
        "_routes",
        "hostname",
        "postmaster",
        "rules",
    )

    def __init__(self, rules: Iterable[Rule], hostname: str, postmaster: Address | None = None) -> None:
        self.rules = tuple(rules)
        self.hostname = hostname
        self.postmaster: Address | None = None
        self._exact: dict[str, int] = {}
        self._below: dict[str, int] = {}
        self._all: int | None = None
        self._first_local: Rule | None = None
        self._routes: dict[Route, Rule] = {}
        self._found: dict[str, tuple[bool, Route]] = {}
        for number, rule in enumerate(self.rules):
            for domain in rule.domains:
                if domain == "*":
                    self._all = number if self._all is None else self._all
                elif domain.startswith("."):
                    self._below.setdefault(domain[1:], number)
                else:
                    self._exact.setdefault(domain, number)
            if rule.is_local and self._first_local is None:
                self._first_local = rule
            if rule._route is not None:
                before = self._routes.setdefault(rule._route, rule)
                if before.transport in ("maildir", "pipe") and before.argument != rule.argument:
                    raise ValueError(f"two {rule.transport} routes have the name {rule.name!r}")
        if postmaster is not None and postmaster.domain:
            self.postmaster = self._reached(postmaster)

    def match(self, address: Address) -> Rule | None:
        """The rule that takes the address, or None: it is relayed by MX."""
        if not address.domain:
            return self._first_local if self.postmaster is None else self.match(self.postmaster)
        try:
            domain = address.ascii_domain
        except AddressError:
            return None
        return self._rule(domain)

    def route(self, address: Address) -> Route:
        """The next hop for the address."""
        if not address.domain and self.postmaster is not None:
            address = self.postmaster
        rule = self.match(address)
        try:
            domain = address.ascii_domain or self.hostname.lower()
        except AddressError:
            domain = address.domain.lower()  # no look-up will find it, and the failure will say so
        return rule.route(domain) if rule is not None else Route("smtp", domain)

    def find(self, address: Address) -> tuple[bool, Route]:
        """`is_local` and `route` in one; the answers for the last few thousand domains are kept."""
        domain = address.domain
        if not domain:
            return True, self.route(address)
        found = self._found.get(domain)
        if found is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            found = self._found[domain] = (self.is_local(address), self.route(address))
        return found

    def is_local(self, address: Address) -> bool:
        """Whether anybody may send to the address: it is delivered here, or is the bare postmaster."""
        if not address.domain:
            return True
        rule = self.match(address)
        return rule is not None and rule.is_local

    def rule(self, route: Route) -> Rule | None:
        """The rule behind a Route of the queue, None when there is none (any more)."""
        if route.helo:
            route = Route(route.transport, route.next_hop)
        return self._routes.get(route)

    def sending(self, route: Route) -> Rule | None:
        """The rule by which mail goes out to a Route of the queue: that of its target, or of its domain by
        MX.
        """
        rule = self.rule(route)
        if rule is None and route.transport == "smtp":
            rule = self._rule(route.next_hop)
            if rule is not None and (rule.transport != "smtp" or rule.argument is not None):
                return None
        return rule

    def _reached(self, postmaster: Address) -> Address:
        """Who reads the postmaster's mail."""
        if self.is_local(postmaster) or postmaster.domain.lower() != self.hostname.lower():
            return postmaster
        domains = [domain for rule in self.rules if rule.is_local for domain in rule.domains]
        concrete = [domain for domain in domains if domain[:1] not in "*."]
        return Address("postmaster", concrete[0]) if concrete else postmaster

    def _rule(self, domain: str) -> Rule | None:
        best = self._all
        found = self._exact.get(domain)
        if found is not None and (best is None or found < best):
            best = found
        if self._below:
            dot = domain.find(".")
            while dot >= 0:
                found = self._below.get(domain[dot + 1 :])
                if found is not None and (best is None or found < best):
                    best = found
                dot = domain.find(".", dot + 1)
        return None if best is None else self.rules[best]


def normalize(domain: str) -> str:
    """A rule's domain in lower case with A-labels.  Raises ValueError when it can match nothing."""
    if domain == "*":
        return domain
    dot, name = ("." if domain.startswith(".") else ""), domain.removeprefix(".")
    try:
        check_domain(name, utf8=True)
        if dot and name.startswith("["):
            raise AddressError("nothing is below an address literal")
        return dot + ascii_domain(name)
    except AddressError as error:
        raise ValueError(f"{domain[:80]!r} is no domain, .domain or *: {error}") from None
