"""``smtpq reroute``: move queued recipients to another next hop, pinned there, or let the rules decide again.

The next hop is the name of a rule, else ``mx`` or a targethost, which may be a list of relays; what looks
like a rule's name and is meant for a host has ``smtp:`` in front, and so has a name without a dot that is in
no hosts file: more often than not it is a rule's, misspelled.  Of each message only the recipients that
match are moved, and none whose next hop is a file or a program that an alias names: no other next hop is
right for the address that stands behind it.  What is being tried is marked, and goes there when that attempt
has ended.
"""

from __future__ import annotations

from mether.programs.choice import messages, pages
from mether.programs.listing import clean, hop_name
from mether.programs.options import UsageError
from mether.queue.selection import Filter, Move, moves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.address import Address
    from mether.outcome import Route
    from mether.programs.smtpq import Call
    from mether.routing.router import Router
    from mether.setup.config import Config

BY_MX = "mx"


def reroute(call: Call) -> None:
    """Do it, and say of how many.  Raises StoreError, ConfigError, UsageError."""
    move, where = Move(), "by the rules, pinned no more"
    if call.target is not None:
        move, where = meant(call.target, call)
    store = call.store
    if call.options.flag("dry-run"):
        count = sum(
            any(moves(call.filter, move, row) for row in one.rows) for one in pages(store, call.filter)
        )
        print(clean(f"{messages(count)} would go {where}"))
        return
    count = store.change(call.filter, "move", now=call.now, move=move)
    later = 0
    if count:
        later = sum(any(row.mark == "move" for row in one.rows) for one in pages(store, _being_tried(call)))
        store.wake()
    wait = f", {later} of them as soon as the present attempt can end" if later else ""
    print(clean(f"{messages(count)} {'goes' if count == 1 else 'go'} {where}{wait}"))


def _being_tried(call: Call) -> Filter:
    """What was chosen, as far as it is being tried."""
    return Filter(
        idents=call.filter.idents,
        sender=call.filter.sender,
        recipient=call.filter.recipient,
        next_hop=call.filter.next_hop,
        before=call.filter.before,
        status="active",
        reason=call.filter.reason,
    )


def meant(name: str, call: Call) -> tuple[Move, str]:
    """What a person means by a next hop: the move, and where that is in words.

    Raises ConfigError, UsageError.
    """
    from mether.programs.smtpq_hops import LOCAL, route_of

    router = _router(call)
    if name.lower() == BY_MX:
        return Move(each=_by_mx(router, "")), "by the MX of each recipient's domain"
    rule = next((one for one in router.rules if one.name == name), None)
    if rule is None:
        route = route_of(name)
        _looks_right(name, route, router, call)
        if route.transport in LOCAL and router.rule(route) is None:
            raise UsageError(f"{name[:80]!r}: the configuration has no such {route.transport} route")
        return Move(route), f"to {hop_name(route)}"
    where = f" (route {rule.name!r}{f' at {rule.where}' if rule.where else ''})"
    if rule.action == "smtp" and rule.argument is None:
        via = rule.name if rule.apart else ""
        return Move(each=_by_mx(router, via)), f"by the MX of each recipient's domain{where}"
    found = rule.route("")
    if found is None:
        raise UsageError(f"the route {rule.name!r} sends nothing on: its action is {rule.action}")
    return Move(found), f"to {hop_name(found)}{where}"


def _looks_right(name: str, route: Route, router: Router, call: Call) -> None:
    """Raise UsageError for a bare name that is no host's, as far as this host knows."""
    bare = name.replace("-", "").replace("_", "")
    if route.transport != "smtp" or not bare.isalnum() or bare.isdigit() or name.lower() == "localhost":
        return
    from mether.setup import resolving
    from mether.setup.spelling import nearest

    known = resolving.hosts(resolving.Dns() if call.config is None else _config(call.config).dns)
    if known is not None and name in known:
        return
    meant = nearest(name, [rule.name for rule in router.rules])
    guess = f" (did you mean {meant}?)" if meant else ", and no host in the hosts file"
    raise UsageError(f"no route has the name {name[:80]!r}{guess}; a host of that name is smtp:{name[:80]}")


def _by_mx(router: Router, via: str) -> Callable[[Address], Route]:
    from mether.outcome import Route
    from mether.routing.request import domain_key

    def route(address: Address) -> Route:
        return Route("smtp", domain_key(address) or router.hostname.lower(), via=via)

    return route


def _router(call: Call) -> Router:
    """The rules of the configuration.  Raises ConfigError."""
    from mether.routing.router import Router

    return Router((), call.hostname) if call.config is None else _config(call.config).router()


def _config(path: str) -> Config:
    """The configuration.  Raises ConfigError."""
    from mether.setup.config import load

    return load(path)
