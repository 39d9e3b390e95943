"""``[dns]``: how names are looked up, and the one resolver of a process that all its parts ask.

`resolver` makes it, and gives the same one again as long as the event loop and what ``[dns]`` says are the
same: what it knows outlives a reload.  With `enabled` off it asks nobody, and dnspython is not loaded.
`complaints` tells of what waits then.
"""

from __future__ import annotations

from mether.dns import private
from mether.setup import decode, endpoint
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from typing import Final

    from mether.dns.answer import Resolver
    from mether.dns.hosts import Hosts
    from mether.dns.private import Level
    from mether.receive.domains import Domains
    from mether.setup.config import Config, Listen
    from mether.setup.decode import Shape
    from mether.setup.routes import Route

PATIENCE: Final = 4.0
"""All servers together are waited for so many times as long as one."""


class Dns(Struct):
    """``[dns]``: whether the DNS is asked at all, name servers as ``ADDRESS:PORT`` (none: the system's), the
    seconds one is waited for, whether the hosts file is asked too, which `private` addresses an MX may point
    at (`dns.private`), and whether the AD bit of servers on other hosts is believed."""

    enabled: bool = True
    servers: tuple[str, ...] = ()
    timeout: float = 5.0
    hosts: bool = True
    private: str = private.USUAL
    trust_ad: bool = False

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """The servers as (IP address, port)."""
        return tuple(map(endpoint.parse_server, self.servers))

    @property
    def level(self) -> Level:
        """`private` as `dns.private` takes it."""
        return self.private  # type: ignore[return-value]  # one of them: SHAPE has checked it


def _server(value: object) -> str:
    return endpoint.written(*endpoint.parse_server(decode.text(value)))


SHAPE: Final[Shape] = {
    "enabled": decode.boolean,
    "servers": decode.list_of(_server, "IP addresses", empty=True),
    "timeout": decode.duration,
    "hosts": decode.boolean,
    "private": decode.one_of(*private.LEVELS),
    "trust_ad": decode.boolean,
}

KEPT: Final = 2
"""Resolvers that are kept: sessions that began before a reload still ask by what held then."""

_known: list[tuple[Dns, asyncio.AbstractEventLoop, Resolver]] = []


def resolver(dns: Dns, loop: asyncio.AbstractEventLoop) -> Resolver:
    """The resolver of this process."""
    for one in _known:
        if one[0] == dns and one[1] is loop:
            return one[2]
    made = _make(dns)
    _known[:] = [(dns, loop, made), *(one for one in _known if one[1] is loop)][:KEPT]
    return made


def running(dns: Dns) -> Resolver:
    """The resolver of the running event loop."""
    import asyncio

    return resolver(dns, asyncio.get_running_loop())


def _make(dns: Dns) -> Resolver:
    if not dns.enabled:
        from mether.dns.off import Off

        return Off()
    from mether.dns.resolver import Resolver

    return Resolver(
        dns.endpoints, timeout=dns.timeout, lifetime=PATIENCE * dns.timeout, trust_ad=dns.trust_ad
    )


def hosts(dns: Dns) -> Hosts | None:
    """The hosts file, None where it is not asked."""
    from mether.dns.hosts import Hosts

    return Hosts() if dns.hosts else None


def domains(config: Config, listen: Listen) -> Domains | None:
    """What a listener asks the DNS about whom its clients name, None where it does not want to know."""
    if not (listen.check_sender_domain or listen.check_recipient_domain):
        return None
    import random
    import time

    from mether.net.own import At
    from mether.receive.domains import Domains
    from mether.routing.target import SMTP_PORT
    from mether.setup import finding

    known = hosts(config.dns)
    return Domains(
        lambda: running(config.dns),
        random.random,
        time.monotonic,
        senders=listen.check_sender_domain,
        recipients=listen.check_recipient_domain,
        ourselves={config.service.hostname.lower()},
        own_addresses=At(finding.own_endpoints(config), SMTP_PORT),
        level=config.dns.level,
        in_hosts=lambda name: known is not None and name in known,
    )


def complaints(config: Config, *, known: Hosts | None = None) -> Iterator[str]:
    """A line for each route whose mail waits because the DNS is switched off; `known` is the hosts file."""
    if config.dns.enabled:
        return
    known = known or hosts(config.dns)
    everything = False
    for number, route in enumerate(config.route):
        key, lost = _lost(route, known)
        if lost:
            where = config.origins.get(f"route[{number}].{key}", config.path)
            yield f"{where}: route.{key}: {lost}, and [dns] enabled = false: its mail waits"
        everything = everything or ("*" in route.domains and not route.narrowed)
    if not everything:
        where = config.origins.get("dns.enabled", config.path)
        yield f"{where}: dns.enabled: mail that no route takes needs an MX: it waits; add a route for it"


def _lost(route: Route, known: Hosts | None) -> tuple[str, str]:
    """The key of a route that needs the DNS, and why; "" for none."""
    from mether.routing import target

    if route.mx:
        return "mx", "an MX is looked up in the DNS"
    for key, written in (("smtp", route.smtp), ("lmtp", route.lmtp)):
        for each in (written,) if isinstance(written, str) else written or ():
            for one in target.parse_list(each).targets:
                if one.kind != "unix" and not one.is_ip and (known is None or one.host not in known):
                    return key, f"{one.host} is in no hosts file"
    return "", ""
