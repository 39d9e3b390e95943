"""Logins held against the TLS of the routes by which they are used, for ``mether config --check``.

A password or a token is shown to no server that was not verified, but on this host (`client.login`).  Where
the configuration has TLS verify nobody, a login is left with SCRAM, which shows no password: where the server
does not offer that, mail waits (4.7.0).  `complaints` tells of each such route, `bars` of one next hop.
"""

from __future__ import annotations

from mether.client.login import stays_here
from mether.smtp.sasl import SCRAM, SCRAM_PLUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

    from mether.relay import credentials
    from mether.routing.target import Target
    from mether.setup.config import Config

VERIFYING: Final = ("verify", "fingerprint")
"""The levels of TLS that say who the server is."""
_SCRAM: Final = (SCRAM, SCRAM_PLUS)


def bars(level: str, where: Target, mechanisms: Iterable[str] | None) -> bool:
    """Whether TLS of this level at a target leaves a login, which may use these mechanisms (None: all), with
    less than them."""
    if level in VERIFYING or where.kind == "unix" or stays_here(where.host) or where.host == "localhost":
        return False
    return mechanisms is None or any(one not in _SCRAM for one in mechanisms)


def complaints(config: Config) -> Iterator[str]:
    """A line for each route that has a login and verifies no server."""
    from mether.relay import tlspolicy
    from mether.setup import sending
    from mether.setup.routes import hosts

    router = config.router()
    policies = sending.policies(config, router)
    shared = [sending.login(one) for one in config.login]
    for number, (rule, route) in enumerate(zip(router.rules, config.route, strict=True)):
        made = rule.route("") if route.hosts else None
        if made is None:
            continue
        for where in hosts(route).targets:
            login = _login([sending.login(route.login)] if route.login is not None else shared, where)
            level = tlspolicy.need(policies(made), where, where.host, where.port, login=True).level
            if login is not None and bars(level, where, login.mechanisms):
                given = route.tls is not None
                place = config.origins.get(f"route[{number}].tls" if given else "tls.send", config.path)
                key = "route.tls" if given else "tls.send"
                who = f" as {login.user}" if login.user else ""
                what = "needs SCRAM there, or mail waits" if _scram(login) else "cannot work, and mail waits"
                yield (
                    f'{place}: {key}: "{level}" verifies no server, and no password is shown to such a one: '
                    f'the login{who} at {where.next_hop} {what}; expected "verify" or "fingerprint"'
                )
                break


def _scram(login: credentials.Login) -> bool:
    """Whether it may log in by SCRAM."""
    return not login.token and (login.mechanisms is None or any(one in _SCRAM for one in login.mechanisms))


def _login(logins: list[credentials.Login], where: Target) -> credentials.Login | None:
    """The first login that is used there for some sender."""
    return next((one for one in logins if one.leads(where)), None)
