"""What the routes of a configuration say of delivery on this host, as `relay.way` takes it."""

from __future__ import annotations

import os

from mether.relay import way
from mether.relay.local import Members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.routing.router import Router
    from mether.setup.config import Config
    from mether.setup.routes import Route


GIVEN: Final = ("--spool", "$METHER_SPOOL")
"""Where a queue is named that the configuration does not name."""


def terms(config: Config, router: Router) -> dict[str, way.Terms]:
    """The terms of each rule that delivers here, by its name."""
    return {
        rule.name: _terms(route)
        for rule, route in zip(router.rules, config.route, strict=True)
        if rule.action in ("maildir", "pipe")
    }


def members(router: Router) -> Members:
    """What aliases may name: what any rule lets its own name."""
    return Members(
        programs=any(rule.alias_programs for rule in router.rules),
        files=any(rule.alias_files for rule in router.rules),
    )


def ways(config: Config, router: Router) -> dict[str, way.Way]:
    """How each rule that delivers as its users does so, by its name."""
    known = terms(config, router)
    found = {}
    for rule in router.rules:
        one = way.of_rule(rule.action, rule.argument, rule.delimiter, known, rule.name)
        if one is not None and one.terms.as_user:
            found[rule.name] = one
    return found


def variables(config: Config) -> dict[str, str]:
    """What programs that deliver find in their environment, so that our own among them work with this
    configuration and this queue: where these are, where a file or the command line says so."""
    found = {}
    if config.path is not None:
        found["METHER_CONFIG"] = os.path.abspath(config.path)
    if config.origins.get("queue.spool") in GIVEN and config.queue.spool != "memory:":
        scheme, _, place = config.queue.spool.partition(":")
        found["METHER_SPOOL"] = f"{scheme}:{os.path.abspath(place)}"
    return found


def _terms(route: Route) -> way.Terms:
    return way.Terms(
        route.timeout, as_user=route.as_user, from_line=route.from_line, delivered_to=route.delivered_to
    )
