"""What a person is told of a next hop: its rule, its hosts in order, TLS and login, as they would be now.

`of_next_hop` is what the configuration says, and asks nobody; `look_up` asks the DNS and the hosts file as an
attempt would, in the order of this moment (equal MX hosts come by chance).  `of_recipient` is what becomes of
one message there: the addresses under which it leaves, and the Unix user as whom it is delivered.  For
``mether route`` and ``smtpq explain``.  None fails: what cannot be found is said in the facts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.address import Address, ReversePath
    from mether.outcome import Route
    from mether.relay.rewriting import Rewriting
    from mether.routing.router import Router
    from mether.routing.target import Target
    from mether.setup.config import Config

    Facts = dict[str, object]

SOME_ID = "X" * 13
"""What stands for a queue id that nobody knows yet."""


def of_next_hop(
    route: Route, config: Config, router: Router, sender: ReversePath = None, *, anybody: bool = False
) -> Facts:
    """What holds for mail from `sender` to a next hop; with `anybody`, whoever it is from.

    "route" is the next hop's text, "rule" and "where" the rule by which mail goes there (None: none),
    "via" the name of a rule with connections of its own. For SMTP and LMTP "targets" are in order, each
    with its "tls" (a level), "tls_names", "tls_fingerprints" and "login" (a name, None for none), which
    is "login_guarded" where TLS says who the server is, or nothing is shown that it could keep;
    "logins_by_sender" tells that others may have other logins; "helo", "source" and "failover" are there
    where the rule has them.
    """
    rule = router.sending(route)
    facts: Facts = {
        "transport": route.transport,
        "next_hop": route.next_hop,
        "route": str(route),
        "via": route.via or None,
        "rule": None if rule is None else rule.name,
        "where": None if rule is None else rule.where,
    }
    if route.transport not in ("smtp", "lmtp"):
        return facts
    from mether.routing import target
    from mether.setup import sending

    try:
        targets = target.from_route(route).targets
    except target.TargetError as error:
        return {**facts, "targets": [], "trouble": str(error)}
    manner = sending.manners(config, router)(route)
    if manner.trouble is not None:
        return {**facts, "targets": [], "trouble": str(manner.trouble)}
    each = [_target(one, route, config, router, sender) for one in targets]
    logins = [sending.login(one) for one in config.login]
    shared = manner.login is None or not manner.login.shared
    facts |= {
        "targets": each,
        "logins_by_sender": anybody
        and (
            (manner.login is not None and shared)
            or any(login.leads(one) and not login.shared for login in logins for one in targets)
        ),
    }
    weights = getattr(target.from_route(route), "weights", None)
    if weights:
        facts["weights"] = weights
    if manner.helo or route.helo:
        facts["helo"] = manner.helo or route.helo
    if manner.sources:
        facts["source"] = manner.sources
    if manner.failover:
        facts["failover"] = manner.failover.patterns
    return facts


def of_recipient(
    route: Route,
    config: Config,
    router: Router,
    rewriting: Rewriting | None,
    sender: ReversePath,
    recipient: Address,
    *,
    anybody: bool = False,
) -> Facts:
    """What becomes of mail from `sender`, or with `anybody` of whoever's, to `recipient` at its next hop.

    "leaves" is there where the rule rewrites addresses (`rewriting`), with "reverse_path" and "recipient" as
    the server gets them (SOME_ID stands for the queue id where VERP tells it) and "from", what the sender's
    own address in the header becomes; or with "trouble".
    For delivery on this host "user" is the Unix user as whom it is made ("uid", and "home" where it is the
    recipient's own), or why there is none in "trouble".
    """
    facts: Facts = {}
    if rewriting is not None:
        facts["leaves"] = _leaves(rewriting, sender, recipient, anybody=anybody)
    rule = router.sending(route)
    if rule is not None and rule.action in ("maildir", "pipe"):
        user = _user(config, router, rule.name, rule.delimiter, recipient)
        if user is not None:
            facts["user"] = user
    return facts


def _leaves(rewriting: Rewriting, sender: ReversePath, recipient: Address, *, anybody: bool) -> Facts:
    from mether.content import verp
    from mether.routing.source import TableError, settled

    try:
        path = settled(lambda: rewriting.address(recipient, envelope_recipient=True))
        leaves: Facts = {"recipient": str(path or recipient)}
        if anybody:
            return leaves
        if sender is None:
            return {"reverse_path": "", **leaves}
        leaving = settled(lambda: rewriting.reverse_path(sender)) or sender
        return {
            "reverse_path": str(
                verp.encode(leaving, SOME_ID, recipient) if rewriting.tells(leaving) else leaving
            ),
            "from": str(settled(lambda: rewriting.address(sender)) or sender),
            **leaves,
        }
    except TableError as error:
        return {"trouble": str(error)}


def _user(config: Config, router: Router, name: str, delimiter: str, recipient: Address) -> Facts | None:
    from mether.setup import delivering

    if not delivering.terms(config, router)[name].as_user:
        return None if config.service.user is None else {"name": config.service.user}
    from mether.relay import letter
    from mether.setup import deliverer

    reply, person = deliverer.look_up(letter.split(recipient, delimiter)[0])
    if person is None:
        return {"trouble": str(reply)}
    return {"name": person.name, "uid": person.uid, "home": person.home}


def _target(where: Target, route: Route, config: Config, router: Router, sender: ReversePath) -> Facts:
    from mether.relay import tlspolicy
    from mether.setup import login_check, sending

    login = sending.manners(config, router)(route).chooses(sending.logins(config), sender)(where)
    policy = sending.policies(config, router)(route)
    need = tlspolicy.need(policy, where, where.host, where.port, login=login is not None)
    return {
        "target": str(where),
        "tls": need.level,
        "tls_names": need.names if need.level == "verify" else (),
        "tls_fingerprints": need.fingerprints,
        "login": None if login is None else login.user or "by our certificate",
        "login_guarded": login is None or not login_check.bars(need.level, where, login.mechanisms),
    }


def look_up(route: Route, config: Config, router: Router) -> list[Facts]:
    """The hosts of each target of a next hop in order: "hosts" with their "name", "port", "preference" and
    "addresses", or why there are none in "trouble"."""
    import asyncio

    return asyncio.run(_look_up(route, config, router))


async def _look_up(route: Route, config: Config, router: Router) -> list[Facts]:
    import asyncio

    from mether.dns.mx import DnsFailure
    from mether.routing import target
    from mether.setup.finding import finder

    find = finder(config, router, asyncio.get_running_loop())
    found: list[Facts] = []
    try:
        targets = target.from_route(route).targets
    except target.TargetError:
        return found
    for one in targets:
        try:
            there = await find(route, one)
        except DnsFailure as error:
            found.append({"hosts": [], "trouble": str(error.reply)})
            continue
        found.append(
            {
                "hosts": [
                    {
                        "name": host.name,
                        "port": host.port,
                        "preference": host.preference,
                        "addresses": host.addresses,
                    }
                    for host in there
                ]
            }
        )
    return found
