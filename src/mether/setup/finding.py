"""How the hosts of a next hop are found under a configuration: for its mail, for call-aheads, and for whoever
asks where mail would go.  All of them get the same hosts.
"""

from __future__ import annotations

from mether.net.own import Own

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from mether.outcome import Route
    from mether.relay.hosts import Host
    from mether.routing.router import Router
    from mether.routing.target import Target
    from mether.setup.config import Config

    Find = Callable[[Route, Target], Awaitable[list[Host]]]
    """The hosts of a target of a route.  Raises DnsFailure."""


def finder(
    config: Config,
    router: Router,
    loop: asyncio.AbstractEventLoop,
    warn: Callable[[str], None] = lambda line: None,
) -> Find:
    """What finds hosts; `warn` is told a line where a host that the configuration names cannot be right."""
    import random

    from mether.relay import hosts
    from mether.setup import resolving

    resolver, known = resolving.resolver(config.dns, loop), resolving.hosts(config.dns)
    ourselves, own = {config.service.hostname.lower()}, own_endpoints(config)

    def find(route: Route, where: Target) -> Awaitable[list[Host]]:
        rule = router.rule(route)
        return hosts.find(
            where,
            resolver=resolver,
            hosts=known,
            random=random.random,
            ourselves=ourselves,
            own=own,
            named=rule is not None and rule.argument is not None,
            level=config.dns.level,
            warn=warn,
        )

    return find


def own_endpoints(config: Config) -> Own:
    """Where this service itself takes mail."""
    pairs, everywhere = set(), set()
    for listen in config.listen:
        if listen.path:
            pairs.add((listen.path, 0))
        elif listen.host not in ("", "0.0.0.0", "::"):
            pairs.add((listen.host, listen.port))
        else:
            everywhere.add(listen.port)
    return Own(pairs, everywhere)
