"""How mail is sent to others: ``[[login]]``, the TLS of routes, and the parts made of them.

`check_login` and `check_route` raise ConfigError for what contradicts itself, such as a name to verify where
nothing is verified: an option that would do nothing is an error.  `client_tls`, `logins`, `policies` and
`manners` make what `relay.nexthop` takes; `troubles` and `complaints` look at the files now, for
``mether config --check``.
"""

from __future__ import annotations

import os

from mether.address import AddressError
from mether.address import parse as parse_address
from mether.net.level import LEVELS, fingerprint
from mether.relay.credentials import bare
from mether.reply import Reply
from mether.routing import target
from mether.setup import decode
from mether.setup.spelling import nearest
from mether.setup.struct import Struct
from mether.smtp.sasl import MECHANISMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final

    from mether.net.tls import ClientTls
    from mether.outcome import Route
    from mether.relay import credentials
    from mether.relay.credentials import Logins
    from mether.relay.manner import Manner
    from mether.relay.tlspolicy import Policy
    from mether.routing.router import Router
    from mether.routing.rule import Rule
    from mether.setup.config import Config
    from mether.setup.decode import Document, Shape
    from mether.setup.position import Path

SECRETS: Final = ("password_file", "password_command", "password_env", "password_credential", "token_command")
SEND: Final = LEVELS[:-1]
"""The levels that may hold for all next hops: a fingerprint is one server's."""


class Login(Struct):
    """``[[login]]``: who we are at the next hops and for the senders that fit the patterns.

    Exactly one of the five sources of the secret is given, none only for EXTERNAL alone; `token_command`
    prints a bearer token.  `mechanisms` None means all.
    """

    next_hop: str = "*"
    sender: str = "*"
    user: str = ""
    password_file: str | None = None
    password_command: tuple[str, ...] | None = None
    password_env: str | None = None
    password_credential: str | None = None
    token_command: tuple[str, ...] | None = None
    mechanisms: tuple[str, ...] | None = None


def _name(value: object) -> str:
    name = decode.text(value)
    try:
        return name if name.startswith(".") else target.parse(f"[{name}]").host
    except target.TargetError as error:
        raise ValueError(
            f'expected a host name, ".domain" for every name below it, or an address: {error}'
        ) from None


def _fingerprint(value: object) -> str:
    return fingerprint(decode.text(value))


def _next_hop(value: object) -> str:
    """A pattern of next hops; without ``*`` and ``?``, written as the target's own text would be."""
    text = decode.text(value)
    expected = (
        'expected a host or domain as smtp names it, such as "smtp.example.net:587", or a pattern with *'
    )
    if "*" in text or "?" in text:
        name = bare(text)
        if not name.isascii() or any(char in "[] @" for char in name) or "//" in name:
            raise ValueError(f"{expected}: no next hop is like this")
        return name.lower()
    try:
        found = target.parse(text)
    except target.TargetError as error:
        raise ValueError(f"{expected}: {error}") from None
    if found.kind == "unix":
        return f"unix:{found.host}"
    six = ":" in found.host
    host = f"[{found.host}]" if six else found.host
    # Without a port the pattern is for any, while a target would have that of its protocol.
    written = text.rpartition(":")[2].isdigit() and (not six or "]:" in text)
    return f"{host}:{found.port}" if written else host


def _sender(value: object) -> str:
    text = decode.text(value)
    expected = 'expected an address such as "ann@example.org", or a pattern such as "*@example.org"'
    if "*" in text or "?" in text:
        if any(char in "<> " for char in text):
            raise ValueError(f"{expected}: no address is like this")
        return text
    try:
        found = parse_address(text, utf8=True)
    except AddressError as error:
        raise ValueError(f"{expected}: {error}") from None
    return str(found)


def _plain_name(value: object) -> str:
    name = decode.text(value)
    if "/" in name or name.startswith("."):
        raise ValueError("expected the credential's name, as LoadCredential= has it, without a path")
    return name


LOGIN: Final[Shape] = {
    "next_hop": _next_hop,
    "sender": _sender,
    "user": decode.text,
    "password_file": decode.text,
    "password_command": decode.argv,
    "password_env": decode.text,
    "password_credential": _plain_name,
    "token_command": decode.argv,
    "mechanisms": decode.list_of(decode.mechanism(MECHANISMS), "SASL mechanisms"),
}
ROUTE_TLS: Final[Shape] = {
    "tls": decode.one_of(*LEVELS),
    "tls_names": decode.list_of(_name, "names"),
    "tls_fingerprints": decode.list_of(_fingerprint, "SHA-256 fingerprints"),
}


def check_login(
    document: Document, at: Path, values: dict[str, Any], find: Callable[[str], str]
) -> dict[str, Any]:
    """The values of the login at a key path, checked; `find` makes a path absolute.  Raises ConfigError."""
    given = [key for key in SECRETS if key in values]
    mechanisms = values.get("mechanisms", ())
    external = "EXTERNAL" in mechanisms
    if len(given) > 1:
        raise document.wrong((*at, given[1]), f"contradicts {given[0]}: a login has one secret")
    if not given and mechanisms != ("EXTERNAL",):
        raise document.wrong(at, f"expected one of {', '.join(SECRETS)} beside user")
    if given and mechanisms == ("EXTERNAL",):
        raise document.wrong((*at, given[0]), "does nothing: EXTERNAL shows a certificate and no secret")
    if "user" not in values and not external:
        raise document.wrong((*at, "user"), "missing; expected the name to log in with")
    if given == ["token_command"] and not all(one in _TOKENS for one in mechanisms):
        raise document.wrong((*at, "mechanisms"), f"a token is for {' and '.join(_TOKENS)} alone")
    if given and given != ["token_command"] and any(one in _TOKENS for one in mechanisms):
        raise document.wrong((*at, "mechanisms"), f"{' and '.join(_TOKENS)} need token_command")
    if "password_file" in values:
        values["password_file"] = find(values["password_file"])
    for key in ("password_command", "token_command"):
        if key in values and "/" in values[key][0]:
            values[key] = (find(values[key][0]), *values[key][1:])
    return values


def check_route(document: Document, number: int, values: dict[str, Any]) -> None:
    """Check the TLS of one route.  Raises ConfigError."""
    at = ("route", number)
    given = [key for key in ROUTE_TLS if key in values]
    if given and not any(kind in values for kind in ("smtp", "lmtp", "mx")):
        raise document.wrong((*at, given[0]), "is for smtp, lmtp and mx: nothing else goes over a network")
    if given and str(values.get("lmtp", "")).startswith("unix:"):
        raise document.wrong((*at, given[0]), "does nothing: there is no TLS over a Unix socket")
    level = values.get("tls")
    if level == "fingerprint" and "tls_fingerprints" not in values:
        raise document.wrong((*at, "tls"), "expected tls_fingerprints beside it")
    if "tls_fingerprints" in values and level != "fingerprint":
        raise document.wrong((*at, "tls_fingerprints"), 'does nothing without tls = "fingerprint"')
    if "tls_names" in values and level == "fingerprint":
        raise document.wrong((*at, "tls_names"), 'does nothing beside tls = "fingerprint"')


_TOKENS: Final = ("OAUTHBEARER", "XOAUTH2")


def client_tls(config: Config) -> ClientTls:
    """The contexts for connecting to servers; our certificate is shown where a login is EXTERNAL."""
    from mether.net.tls import ClientTls

    external = any("EXTERNAL" in (one.mechanisms or ()) for _, _, one in accounts(config))
    pairs = config.tls.pairs
    return ClientTls(
        ca=config.tls.ca,
        minimum=config.tls.minimum,
        certificate=pairs[0] if external and pairs else None,
    )


def troubles(config: Config) -> Iterator[str]:
    """A line for each file that cannot be used: mail would have to wait for it."""
    from mether.net.tlserror import TlsError
    from mether.relay.credentials import NotOurs
    from mether.setup import certificates

    try:
        client_tls(config).terms("verify")
    except TlsError as error:
        yield certificates.explained(config, str(error))
    for line, trouble in _passwords(config):
        if not isinstance(trouble, NotOurs):
            yield line


def complaints(config: Config) -> Iterator[str]:
    """A line for what may be in order all the same: a secret that is for another user or in another
    environment, a login that is never used, and mail that is from nowhere.

    Programs are not run, and systemd's credentials are for the service alone to see.
    """
    from mether.relay.credentials import NotOurs
    from mether.setup import origin_check

    yield from origin_check.complaints(config)
    for line, trouble in _passwords(config):
        if isinstance(trouble, NotOurs):
            yield line
    for place, name, one in accounts(config):
        if one.password_env is not None and one.password_env not in os.environ:
            where = _where(config, place, "password_env")
            variable = f"the environment variable {one.password_env} is not set here"
            yield f"{where}: {name}.password_env: {variable}"
    yield from unused(config, config.router())


def _passwords(config: Config) -> Iterator[tuple[str, Exception]]:
    """What is wrong with the files of passwords: a line for each, and the error."""
    from mether.relay.credentials import CredentialsError, read_file

    for place, name, one in accounts(config):
        if one.password_file is not None:
            try:
                read_file(one.password_file)
            except CredentialsError as error:
                yield f"{_where(config, place, 'password_file')}: {name}.password_file: {error}", error


def accounts(config: Config) -> Iterator[tuple[str, str, Login]]:
    """Every login, those of routes too: its place in `Config.origins`, how a person calls it, and itself."""
    for number, one in enumerate(config.login):
        yield f"login[{number}]", "login", one
    for number, route in enumerate(config.route):
        if route.login is not None:
            yield f"route[{number}].login", "route.login", route.login


def _where(config: Config, place: str, key: str) -> str:
    """The file and line of a key of a login."""
    return config.origins.get(f"{place}.{key}") or config.origins[place]


def logins(config: Config) -> Logins:
    """The logins, with the keepers of their secrets."""
    from mether.relay import credentials

    return credentials.Logins(map(login, config.login), environ=os.environ)


def login(one: Login) -> credentials.Login:
    """One login as it is used."""
    from mether.relay import credentials

    source: Any = "none"
    where: str | tuple[str, ...] = ""
    for key, named in zip(SECRETS, ("file", "command", "env", "credential", "command"), strict=True):
        value = getattr(one, key)
        if value is not None:
            source, where = named, value
    return credentials.Login(
        one.user,
        source,
        where,
        next_hop=one.next_hop,
        sender=one.sender,
        token=one.token_command is not None,
        mechanisms=one.mechanisms,
    )


def unused(config: Config, router: Router) -> Iterator[str]:
    """A line for each login that no mail can go by: its next hop is none that a route names.

    Those with ``*`` or ``?`` say themselves that they may be for nothing; and where mail goes by MX, any
    domain may be a next hop, though only on port 25.
    """
    targets = [
        one
        for rule in router.rules
        if isinstance(rule.argument, (target.Target, target.Targets))
        for one in rule.argument.targets
    ]
    by_mx = not any(rule.domains.everything for rule in router.rules) or any(
        rule.action == "smtp" and rule.argument is None for rule in router.rules
    )
    for number, one in enumerate(config.login):
        if "*" in one.next_hop or "?" in one.next_hop or any(map(login(one).leads, targets)):
            continue
        meant = target.parse(one.next_hop)
        if by_mx and meant.kind != "unix" and meant.port == target.SMTP_PORT:
            continue
        near = nearest(one.next_hop, [each.next_hop for each in targets])
        guess = f" (did you mean {near}?)" if near else ""
        where = config.origins[f"login[{number}].next_hop"]
        yield f"{where}: login.next_hop: no route leads to {one.next_hop}{guess}: this login is never used"


def policies(config: Config, router: Router) -> Callable[[Route], Policy]:
    """What TLS each next hop is to have: the route's that leads there, else that for all."""
    from mether.relay.tlspolicy import Policy

    usual = Policy(config.tls.send)
    by_rule = {}
    for rule, route in zip(router.rules, config.route, strict=True):
        if route.tls is not None or route.tls_names:
            by_rule[rule] = Policy(
                route.tls or config.tls.send,
                names=route.tls_names or (),
                fingerprints=route.tls_fingerprints or (),
                given=route.tls is not None,
            )

    def policy(route: Route) -> Policy:
        rule = router.sending(route)
        return usual if rule is None else by_rule.get(rule, usual)

    return policy if by_rule else lambda route: usual


def manners(config: Config, router: Router) -> Callable[[Route], Manner]:
    """How mail of each next hop goes out: as the route says by which it goes.

    Mail of a named route that is not there any more, or that leads to somewhere else now, goes out in no way:
    no host must be shown a login that is another's.
    """
    from mether.relay.failover import Failover
    from mether.relay.manner import PLAIN, Manner

    by_rule = {}
    for rule, route in zip(router.rules, config.route, strict=True):
        if route.helo or route.source or route.login or route.failover:
            by_rule[rule] = Manner(
                helo=route.helo or "",
                sources=route.source or (),
                login=None if route.login is None else login(route.login),
                failover=Failover(route.failover) if route.failover else None,
            )

    def manner(route: Route) -> Manner:
        rule = router.sending(route)
        if route.via and (rule is None or not _leads(rule, route)):
            what = "has no route of that name" if rule is None else "has the route lead elsewhere now"
            return Manner(
                trouble=Reply(451, "4.3.5", f"next hop of the route {route.via}: the configuration {what}")
            )
        return PLAIN if rule is None else by_rule.get(rule, PLAIN)

    return manner


def _leads(rule: Rule, route: Route) -> bool:
    """Whether a rule sends mail to this next hop."""
    made = rule.route(route.next_hop)
    return made is not None and (made.transport, made.next_hop) == (route.transport, route.next_hop)
