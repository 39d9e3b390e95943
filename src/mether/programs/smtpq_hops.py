"""``smtpq suspend``, ``resume`` and ``hops``: let mail wait at next hops, and tell which are in trouble.

A next hop is named by a glob over those that the queue knows or a route of the configuration names, or, where
none is like that, by a name from which a next hop is made: so one can be suspended before any mail waits for
it.  What is in hand goes on; expiry and warnings come all the same.
"""

from __future__ import annotations

import sys

from mether.programs.errors import NOINPUT, Failure
from mether.programs.listing import clean, hop_name, span, stamp
from mether.programs.options import UsageError
from mether.programs.smtpq_change import why
from mether.queue.glob import next_hop_like

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from mether.outcome import Route
    from mether.programs.options import Parsed
    from mether.programs.smtpq import Call
    from mether.queue.claim import Hop

LOCAL: Final = ("maildir", "pipe")
"""The transports whose next hop is the name of a route of ours."""


def suspend(call: Call) -> None:
    """Suspend them in one transaction.  Raises StoreError, ConfigError, Failure, UsageError."""
    end = until(call.options, call.now)
    reason = why(call.options, "no reason was given")
    known: set[Route] = set()
    new: dict[Route, None] = {}
    unknown = []
    routes = configured(call.config)
    for name in call.operands:
        found = [hop.route for hop in call.store.hops(name)]
        found += [route for route in routes if next_hop_like(name, route)]
        if found:
            known.update(found)
        elif "*" in name or "?" in name:
            unknown.append(name)
        else:
            new[route_of(name)] = None
    if known or new:
        call.store.suspend([*known, *new], reason=reason, until=end)
        call.store.wake()
    when = "until smtpq resume" if end is None else f"until {stamp(end)} ({span(end - call.now)})"
    for route in sorted(known, key=str):
        print(clean(f"{_name(route)}: suspended {when}"))
    for route in new:
        print(clean(f"not known yet: suspended as {_name(route)}{_meaning(route)} {when}"))
    _tell(unknown)


def configured(config: str | None) -> list[Route]:
    """The next hops that the routes of a configuration name.  Raises ConfigError."""
    if config is None:
        return []
    from mether.setup.config import load

    rules = load(config).router().rules
    routes = [rule.route("") for rule in rules if rule.action != "smtp" or rule.argument is not None]
    return [route for route in routes if route is not None]


def _meaning(route: Route) -> str:
    """What a next hop that nobody knows is, where its name may be meant for a host."""
    from mether.routing import target

    if route.transport != "smtp" or target.from_route(route).kind != "mx":
        return ""
    return f" (mail for the domain {route.next_hop}, by MX)"


def resume(call: Call) -> None:
    """Resume them in one transaction.  Raises StoreError, Failure."""
    suspended: set[Route] = set()
    over: set[Route] = set()
    unknown, idle = [], []
    for name in call.operands:
        found = call.store.hops(name)
        those = {hop.route for hop in found if hop.suspended_at(call.now)}
        suspended |= those
        over.update(hop.route for hop in found if hop.suspended is not None)
        if not found:
            unknown.append(name)
        elif not those:
            few = f"{_name(found[0].route)}: was not suspended"
            idle.append(few if len(found) == 1 else f"{name}: none of {len(found)} next hops was suspended")
    if over:
        call.store.resume(list(over), now=call.now)
        call.store.wake()
    for route in sorted(suspended, key=str):
        print(clean(f"{_name(route)}: resumed"))
    for line in idle:
        print(clean(line))
    _tell(unknown)


def hops(call: Call) -> None:
    """Those in trouble, or all that are named.  Raises StoreError, Failure."""
    found: dict[Route, Hop] = {}
    unknown = []
    if not call.operands:
        found = {hop.route: hop for hop in call.store.hops() if hop.failures or hop.suspended_at(call.now)}
    for name in call.operands:
        those = call.store.hops(name)
        if not those:
            unknown.append(name)
        found.update((hop.route, hop) for hop in those)
    as_json = call.options.flag("json")
    if as_json:
        import json
    for hop in sorted(found.values(), key=lambda hop: str(hop.route)):
        if as_json:
            sys.stdout.write(json.dumps(record(hop, call.now)) + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in lines(hop, call.now))
    if not found and not unknown and not as_json:
        print("no next hop is in trouble")
    _tell(unknown)


def lines(hop: Hop, now: float) -> Iterator[str]:
    """A next hop for a person: its name, and under it what keeps mail from it."""
    yield clean(_name(hop.route))
    if hop.suspended_at(now):
        until = hop.suspended_until
        when = "" if until is None else f" until {stamp(until)} ({span(until - now)})"
        yield clean(f"    suspended{when}: {hop.suspended}")
    if hop.failures:
        times = f"failed {hop.failures} time{'s' if hop.failures > 1 else ''} in a row"
        again = f"tried again {stamp(hop.not_before)} ({span(hop.not_before - now)})"
        if hop.not_before <= now:
            again = "tried again when mail for it is due"
        yield clean(f"    {times}, {again}{f': {hop.last}' if hop.last else ''}")
    elif not hop.suspended_at(now):
        yield "    in order"


def record(hop: Hop, now: float) -> dict[str, Any]:
    """A next hop as what `json.dumps` takes."""
    suspended = hop.suspended_at(now)
    return {
        "transport": hop.route.transport,
        "next_hop": hop.route.next_hop,
        "helo": hop.route.helo or None,
        "via": hop.route.via or None,
        "failures": hop.failures,
        "not_before": hop.not_before or None,
        "last": clean(hop.last) or None,
        "suspended": clean(hop.suspended or "") if suspended else None,
        "suspended_until": hop.suspended_until if suspended else None,
    }


def route_of(name: str) -> Route:
    """The next hop of a name, written as `smtpq show` prints it or as a targethost.  Raises UsageError."""
    from mether.outcome import Route
    from mether.routing import target

    transport, colon, rest = name.partition(":")
    if colon and transport.lower() in LOCAL and rest:
        return Route(transport.lower(), rest)
    try:
        return target.parse_list(rest if colon and transport.lower() == "smtp" else name).route()
    except target.TargetError as error:
        raise UsageError(str(error)) from None


def until(options: Parsed, now: float) -> float | None:
    """When the suspension ends, None where nothing says it.  Raises UsageError."""
    end, length = options.text("until"), options.text("for")
    if length is not None:
        from mether.setup.units import duration

        try:
            return now + duration(length)
        except ValueError as error:
            raise UsageError(f"--for: {error}") from None
    if end is None:
        return None
    from mether.programs.moment import moment

    at = moment(end, now, "--until")
    if at <= now:
        raise UsageError(f"--until: {end[:80]!r} is over already")
    return at


def _name(route: Route) -> str:
    return f"{hop_name(route)}{f' (EHLO {route.helo})' if route.helo else ''}"


def _tell(unknown: list[str]) -> None:
    if unknown:
        raise Failure(NOINPUT, f"no next hop is known that is like {', '.join(unknown)}")
