"""``mether route``: where mail for an address goes, and why.

It asks the same functions as the service does, for mail from whoever the options name: which rule takes it,
what aliases and users make of it, and for each next hop its hosts in order, TLS and the login.  The DNS is
asked for the hosts, and never with --no-dns; what a table or the DNS cannot say now is told in its place.
A name without a domain is at `origin`, as sendmail has it, but for postmaster.  The exit status is 67 where
an address is refused, or on the suppression list, as of ``sendmail -bv``, and 75 where that may be otherwise
later.
"""

from __future__ import annotations

import sys

from mether.programs.addressing import NOUSER
from mether.programs.errors import TEMPFAIL, USAGE, Failure, complain
from mether.programs.options import UsageError
from mether.programs.route_lines import lines, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.address import Address, ReversePath
    from mether.outcome import Route
    from mether.programs.options import Parsed
    from mether.routing.request import Request
    from mether.routing.resolution import Resolution
    from mether.routing.router import Router
    from mether.setup.config import Config
    from mether.setup.facts import Facts

OPTIONS = ("sender", "client", "login", "listener", "no-dns")
"""The options that are for route alone."""


def work(options: Parsed, operands: list[str], load: Callable[[], Config]) -> int:
    """Tell of each address by the configuration that `load` gives; the exit status."""
    if not operands:
        raise UsageError("route needs an address")
    config = load()
    addresses, wrong = _addresses(operands, config.service.origin)
    request = _request(options, config)
    router = config.router()
    later = refused = False
    for number, address in enumerate(addresses):
        facts = told(request(address), config, router, options.text("sender") is None)
        if not options.flag("no-dns"):
            _ask(facts, config, router)
        later, refused = later or _answer(facts) == "4", refused or _answer(facts) == "5"
        if options.flag("json"):
            import json

            print(json.dumps(_plain(facts)))
        else:
            sys.stdout.writelines(f"{line}\n" for line in ([""] if number else []) + list(lines(facts)))
    if wrong:
        complain("mether", "; ".join(wrong))
    return USAGE if wrong else TEMPFAIL if later else NOUSER if refused else 0


def _answer(facts: Facts) -> str:
    """How mail for an address is answered now: "2", "4" or "5"; "5", too, where no mail is sent to it, unless
    it is an alias."""
    stopped = any(one["how"] == "direct" and "suppressed" in one for one in tables(facts, "deliveries"))
    return "5" if stopped else str(facts.get("reply") or "2")[:1]


def verify(config: Config, requests: list[Request]) -> int:
    """``sendmail -bv``: tell of each as with ``--no-dns``; 0, 67 where one is refused, 75 where one cannot be
    told of now."""
    router = config.router()
    later = refused = False
    for number, request in enumerate(requests):
        facts = told(request, config, router)
        later, refused = later or _answer(facts) == "4", refused or _answer(facts) == "5"
        sys.stdout.writelines(f"{line}\n" for line in ([""] if number else []) + list(lines(facts)))
    return TEMPFAIL if later else NOUSER if refused else 0


def _addresses(operands: list[str], origin: str) -> tuple[list[Address], list[str]]:
    """The addresses, names alone at `origin`, and a line for each thing that is none."""
    from mether.address import AddressError

    addresses, wrong = [], []
    for text in operands:
        try:
            address = _address(text, origin)
        except AddressError as error:
            wrong.append(f"{text!r} is not an address: {error}")
            continue
        if address is None:
            wrong.append("the null reverse-path is nobody's address")
        else:
            addresses.append(address)
    return addresses, list(dict.fromkeys(wrong))


def _address(text: str, origin: str) -> ReversePath:
    """An address, or a name alone, which is at `origin`.  Raises AddressError."""
    from mether.address import Address, parse_argument, quote

    if text and "@" not in text and quote(text) == text and text.lower() != "postmaster":
        return Address(text, origin)
    return parse_argument(text)


def _request(options: Parsed, config: Config) -> Callable[[Address], Request]:
    """A function from recipients to requests, with what the options say of the message."""
    import ipaddress

    from mether.address import AddressError
    from mether.routing.request import Request

    sender: ReversePath = None
    given = options.text("sender")
    if given is not None:
        try:
            sender = _address(given, config.service.origin)
        except AddressError as error:
            raise Failure(USAGE, f"{given!r} is not an address: {error}") from None
    client = options.text("client") or ""
    try:
        client = client and str(ipaddress.ip_address(client))
    except ValueError:
        raise Failure(USAGE, f"--client: {client[:80]!r} is no IP address") from None
    listener = options.text("listener") or ""
    names = [one.label for one in config.listen]
    if listener and listener not in names:
        from mether.setup.spelling import nearest

        meant = nearest(listener, names)
        guess = f" (did you mean {meant}?)" if meant else f"; expected {' or '.join(names)}"
        raise Failure(USAGE, f"--listener: no [[listen]] has the name {listener[:80]!r}{guess}")
    login = options.text("login") or ""

    def request(recipient: Address) -> Request:
        return Request(recipient, sender=sender, client=client, login=login, listener=listener)

    return request


def told(request: Request, config: Config, router: Router, anybody: bool = False) -> Facts:
    """Everything that is known of an address without asking the DNS; `anybody`: whoever the mail is from."""
    from mether.routing.expand import resolve
    from mether.routing.router import is_postmaster
    from mether.routing.source import TableError, settled
    from mether.setup.facts import of_next_hop, of_recipient
    from mether.setup.rewriting import rewritings
    from mether.setup.suppress import shown

    suppressed = shown(config, router)
    facts: Facts = {"address": str(request.recipient)}
    rewriting = rewritings(config, router)
    other = router.postmaster
    try:
        decision = settled(lambda: router.decide(request))
        if (
            other is not None
            and other != request.recipient
            and is_postmaster(request.recipient, decision, router.hostname)
        ):
            facts["postmaster"] = str(other)
            request = request.to(other)
        resolution = settled(lambda: resolve(router, request))
        held_by = settled(lambda: _holds(router, request, decision.hold))
        if anybody:
            _own(resolution, settled(lambda: resolve(router, _from_somebody(request, router))))
    except TableError as error:
        return {**facts, "trouble": str(error), "reply": str(TableError.reply)}
    rule = resolution.decision.rule
    facts |= {
        "rule": None if rule is None else rule.name,
        "where": None if rule is None else rule.where,
        "open": resolution.open or "postmaster" in facts or not request.domain,
        "hold": resolution.decision.hold,
        "held_by": held_by,
        "reply": None if resolution.reply is None else str(resolution.reply),
        "discard": resolution.discard,
        "deliveries": [
            {
                "address": str(one.address),
                "how": one.how,
                "owner": None if one.owner is None else str(one.owner),
                "hold": one.hold,
                **of_next_hop(one.route, config, router, one.owner or request.sender, anybody=anybody),
                **of_recipient(
                    one.route,
                    config,
                    router,
                    rewriting(one.route),
                    one.owner or request.sender,
                    one.address,
                    anybody=anybody and one.owner is None,
                ),
                **suppressed(one.address, one.route),
                "place": None,
            }
            for one in resolution.deliveries
        ],
        "refused": [{"address": str(one.address), "reply": str(one.reply)} for one in resolution.refused],
        "problems": list(resolution.problems),
    }
    for one, delivery in zip(tables(facts, "deliveries"), resolution.deliveries, strict=True):
        one["place"] = _place(delivery.route, delivery.address, config, router, one.get("user"))
    return facts


def _holds(router: Router, request: Request, hold: str | None) -> str | None:
    """The rule that holds mail, and where it stands; None for none.  Raises TableError or Needs."""
    if hold is None:
        return None
    for rule in router.rules:
        if rule.action == "hold" and str(rule.argument) == hold and rule.takes(request):
            return f"{rule.name}, at {rule.where or 'no file'}"
    return None


def _from_somebody(request: Request, router: Router) -> Request:
    """The same of mail that has a sender, and so a list's owner."""
    from mether.address import Address
    from mether.routing.request import Request

    return Request(
        request.recipient,
        sender=Address("postmaster", router.hostname),
        client=request.client,
        login=request.login,
        listener=request.listener,
    )


def _own(resolution: Resolution, other: Resolution) -> None:
    """Give the deliveries the owners of lists that those of mail with a sender have."""
    owners = {(one.address, one.route): one.owner for one in other.deliveries}
    for one in resolution.deliveries:
        one.owner = one.owner or owners.get((one.address, one.route))


def _place(route: Route, address: Address, config: Config, router: Router, user: object) -> str | None:
    """Where mail lies or who reads it, None where it is sent on; `user` is as whom it is delivered."""
    if route.transport in ("smtp", "lmtp"):
        return None
    rule = router.rule(route)
    if rule is None:
        return route.next_hop
    if rule.action == "pipe":
        return " ".join(rule.argument if isinstance(rule.argument, tuple) else ())
    from mether.relay.letter import Person
    from mether.relay.maildir import NoMailbox, directory

    reader = router.postmaster or address if not address.domain else address
    person = None
    if isinstance(user, dict) and "home" in user:
        person = Person(user["name"], user["uid"], 0, user["home"], "")
    try:
        return directory(str(rule.argument), reader, config.service.hostname, rule.delimiter, person)
    except NoMailbox as error:
        return f"no mailbox: {error}"


def _ask(facts: Facts, config: Config, router: Router) -> None:
    """Add the hosts that the DNS knows to the targets."""
    from mether.outcome import Route
    from mether.setup.facts import look_up

    known: dict[object, list[Facts]] = {}
    for one in tables(facts, "deliveries"):
        if one.get("targets"):
            route = Route(str(one["transport"]), str(one["next_hop"]), via=str(one["via"] or ""))
            if route not in known:
                known[route] = look_up(route, config, router)
            for target, found in zip(tables(one, "targets"), known[route], strict=True):
                target |= found


def _plain(facts: Facts) -> Facts:
    """The facts, and at the top those of the first delivery, which is mostly the only one."""
    first = (tables(facts, "deliveries") or [{}])[0]
    target = (tables(first, "targets") or [{}])[0]
    return {
        **facts,
        **{key: first[key] for key in ("transport", "next_hop", "route", "place") if key in first},
        **{key: target[key] for key in ("tls", "tls_names", "tls_fingerprints", "login") if key in target},
    }
