"""The router: which rule takes mail, and its next hop.

Rules are asked in order and the first that takes the mail wins (`routing.rule`); one whose action is ``hold``
holds the message, and the next ones say where it goes.  What no rule takes is relayed by the MX of its
domain. A local-part such as ``a%b``, ``"a@b"`` or ``c!d`` is only a name at its domain, so no address can
ask to be passed on to somewhere else (RFC 5321 section 3.6, RFC 2505 section 2.1).

The bare ``postmaster`` (RFC 5321 section 4.5.1) is taken from anybody: it goes to `Router.postmaster`, else
to the first local rule.  That is the service's postmaster; but where this is at our own name and no rule
delivers our own name, MX would bring its mail back to ourselves, and it is postmaster at the first domain
that is delivered here.

Mail for an address that was made here by SRS (`routing.srs`) comes before all rules: it is forwarded to whom
the address is for, from anybody, and what only looks like one is refused.

A `Router` refuses two rules that the queue could not tell apart with a ValueError; routing itself fails only
as a table does (`routing.source`).  A look-up costs much the same with one rule or a thousand
(`routing.index`), and where the first rule for a domain asks for nothing else, what it says is remembered.
"""

from __future__ import annotations

from mether.address import Address
from mether.outcome import Route
from mether.routing.index import Index
from mether.routing.request import Request, domain_key
from mether.routing.rule import Rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mether.routing.srs_file import SrsFile

REMEMBERED: Final = 4096
"""Domains whose rules are kept."""


class Decision:
    """What becomes of a recipient's mail: the `rule` that takes it (None: none does), the next hop `route`
    (None where the rule has none) and why the message is to be held (`hold`), None when it is not."""

    __slots__ = ("hold", "route", "rule")

    def __init__(self, rule: Rule | None, route: Route | None, hold: str | None = None) -> None:
        self.rule = rule
        self.route = route
        self.hold = hold

    @property
    def open(self) -> bool:
        """Whether anybody may send it."""
        return self.rule is not None and self.rule.open

    def __repr__(self) -> str:
        return f"Decision({self.rule!r}, {self.route!r}, {self.hold!r})"


def is_postmaster(path: Address, decision: Decision, hostname: str) -> bool:
    """Whether mail for it is for the service's postmaster (RFC 5321 section 4.5.1): it has no domain,
    or is the postmaster's at our own name, which nobody is said to read here."""
    if not path.domain:
        return True
    named = path.local_part.lower() == "postmaster" and path.domain.lower() == hostname.lower()
    return named and not decision.open


class Router:
    """The rules in order.  `hostname` is our own name, `postmaster` who gets mail for the bare postmaster,
    `srs` the addresses made here for mail that was forwarded."""

    __slots__ = (
        "_candidates",
        "_first_local",
        "_index",
        "_known",
        "_named",
        "_routes",
        "hostname",
        "postmaster",
        "rules",
        "srs",
    )

    def __init__(
        self,
        rules: Iterable[Rule],
        hostname: str,
        postmaster: Address | None = None,
        srs: SrsFile | None = None,
    ) -> None:
        self.srs = srs
        self.rules = tuple(rules)
        self.hostname = hostname
        self.postmaster: Address | None = None
        self._index = Index(self.rules)
        self._candidates: dict[str, int] = {}
        self._known: dict[str, Decision] = {}
        self._routes: dict[Route, Rule] = {}
        self._named: dict[str, Rule] = {}
        self._first_local = next((rule for rule in self.rules if rule.is_local and rule.certain), None)
        for rule in self.rules:
            route = rule.route("") if rule.action != "smtp" or rule.argument is not None else None
            if route is not None:
                before = self._routes.setdefault(route, rule)
                if before.action in ("maildir", "pipe") and before.argument != rule.argument:
                    raise ValueError(f"two {rule.action} routes have the name {rule.name!r}")
            if rule.apart:
                if rule.name in self._named:
                    raise ValueError(f"two routes have the name {rule.name!r}")
                self._named[rule.name] = rule
        if postmaster is not None and postmaster.domain:
            self.postmaster = self._reached(postmaster)

    def decide(self, request: Request) -> Decision:
        """What becomes of the mail.  Raises TableError or Needs."""
        domain = request.domain
        if not domain:
            if self.postmaster is None:
                rule = self._first_local
                return Decision(rule, None if rule is None else rule.route("")) if rule else self._by_mx("")
            request = request.to(self.postmaster)
            domain = request.domain
        if self.srs is not None and domain == self.srs.domain:
            back = self._back(self.srs, request.recipient)
            if back is not None:
                return back
        known = self._known.get(domain)
        if known is not None:
            return known
        candidates = self._candidates.get(domain)
        if candidates is None:
            candidates = self._remember(domain)
            known = self._known.get(domain)
            if known is not None:
                return known
        hold: str | None = None
        for rule in self._index.meets(request, candidates):
            if rule.action == "hold":
                hold = hold if hold is not None else str(rule.argument)
                continue
            return Decision(rule, rule.route(domain), hold)
        return self._by_mx(domain, hold)

    def route(self, request: Request) -> Route:
        """A next hop in any case: that of the rule, else by MX.  Raises TableError or Needs."""
        return self.decide(request).route or Route("smtp", request.domain or self.hostname.lower())

    def is_open(self, address: Address) -> bool:
        """Whether anybody may send to the address: it ends here, or is the bare postmaster.

        Raises TableError or Needs.
        """
        return not address.domain or self.decide(Request(address)).open

    def rule(self, route: Route) -> Rule | None:
        """The rule behind a Route of the queue, None when there is none (any more)."""
        if route.via:
            return self._named.get(route.via)
        if route.helo:
            route = Route(route.transport, route.next_hop)
        return self._routes.get(route)

    def sending(self, route: Route) -> Rule | None:
        """The rule by which mail goes out to a Route of the queue: that of its name or target, or the first
        for its domain by MX."""
        rule = self.rule(route)
        if rule is not None or route.via or route.transport != "smtp":
            return rule
        for one in self.rules:
            if one.certain and one.action != "hold" and one.domains.static(route.next_hop):
                return one if one.action == "smtp" and one.argument is None else None
        return None

    def _remember(self, domain: str) -> int:
        """The rules that mail for the domain can meet; what becomes of it is remembered where the first of
        them is sure to take it."""
        found = self._index.domain(domain)
        if len(self._candidates) >= REMEMBERED:
            self._candidates.clear()
            self._known.clear()
        self._candidates[domain] = found
        if found:
            first = self.rules[(found & -found).bit_length() - 1]
            if first.certain and first.action != "hold" and first.domains.static(domain):
                self._known[domain] = Decision(first, first.route(domain))
        return found

    def _back(self, srs: SrsFile, recipient: Address) -> Decision | None:
        """What becomes of mail for an address of SRS, None: it is no such address.  Raises TableError."""
        from mether.routing.srs import SrsError

        try:
            author = srs.reverse(recipient)
        except SrsError as error:
            return Decision(Rule([srs.domain], "refuse", error.reply, "srs", where="[srs]"), None)
        if author is None:
            return None
        return Decision(Rule([srs.domain], "forward", (str(author),), "srs", where="[srs]"), None)

    def _by_mx(self, domain: str, hold: str | None = None) -> Decision:
        return Decision(None, Route("smtp", domain or self.hostname.lower()), hold)

    def _reached(self, postmaster: Address) -> Address:
        """Who reads the postmaster's mail."""
        if postmaster.domain.lower() != self.hostname.lower():
            return postmaster
        domain = domain_key(postmaster)
        for rule in self.rules:
            if rule.is_local and (rule.domains.static(domain) or rule.domains.sources):
                return postmaster
        domains = [one for rule in self.rules if rule.is_local for one in rule.domains.patterns]
        concrete = [one for one in domains if one[0] != "." and "*" not in one and "?" not in one]
        return Address("postmaster", concrete[0]) if concrete else postmaster
