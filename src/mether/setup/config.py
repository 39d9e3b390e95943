"""The configuration: its structs, their defaults, and the file that they are read from.

One TOML file has the shape ``[service] [queue] [[listen]] [auth] [tls] [[route]] [[login]] [relay] [retry]
[dns] [log]``; every key may be left out.  `load` gives a `Config` in which every default is filled in and
every value checked, together with where each value came from.  Relative paths in the file (the spool's, a
Maildir's, a program's that has a slash) are relative to the file's own directory, so that a service does not
depend on where it is started; those on a command line and in the environment are relative to the working
directory.

What no route takes goes by MX.  A file without ``[[listen]]`` listens as one without a file would.

Fails with `ConfigError`: ``FILE:LINE: key: what was expected``.  One-shot programs without a configuration
file never import this module: see `locate`.
"""

from __future__ import annotations

import os

import msgspec

from mether.address import parse as parse_address
from mether.routing import target
from mether.routing.match import normalize
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.setup import decode, endpoint, locate, relaying, sending, shape
from mether.setup import listen as listening
from mether.setup.listen import Auth as Auth
from mether.setup.listen import Listen as Listen
from mether.setup.relaying import Relay as Relay
from mether.setup.sending import Login as Login
from mether.setup.units import duration_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from mether.setup.decode import Document, Shape

MIB: Final = 1 << 20


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """``[service]``: who we are.

    `undeliverable_reports` is what becomes of a message with a null reverse-path that can't be
    delivered: "postmaster" gets it, or it is "drop"ped with a line in the log.  `unsupported_content` is
    what becomes of 8-bit or binary content for a next hop that does not take it: "convert" or "return".
    `workers` is how many processes receive and deliver.
    """

    hostname: str
    postmaster: str
    undeliverable_reports: str = "postmaster"
    unsupported_content: str = "convert"
    workers: int = 1


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """``[queue]``: the `spool`'s URL, and the octets of content in `memory` over all sessions; how many
    messages each process has in hand to deliver (`window`), and the octets of theirs in memory."""

    spool: str
    memory: int = 64 * MIB
    window: int = 1000
    window_memory: int = 64 * MIB


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """``[tls]``: the files of our certificates with their keys, the first pair the default, the authorities
    for clients' certificates (SASL EXTERNAL), the least version; the level for sending, and the authorities
    for servers' certificates (None: the system's)."""

    certificate: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    client_ca: str | None = None
    minimum: str = "1.2"
    send: str = "may"
    ca: str | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(certificate chain, key) files; a certificate without a key of its own has it in the same file."""
        return [
            (chain, self.key[number] if self.key else chain) for number, chain in enumerate(self.certificate)
        ]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """``[[route]]``: the domains it takes, and exactly one of what follows; the others are None.

    `maildir` is a path template, `pipe` an argument vector template with its time limit `timeout` in
    seconds; `smtp` and `lmtp` are targethosts; `mx` stands for each domain's own MX.  `tls` None means the
    level for all, `tls_names` None the names that `relay.tlspolicy` takes then, and None in a limit that of
    ``[relay]``.
    """

    domains: tuple[str, ...]
    maildir: str | None = None
    pipe: tuple[str, ...] | None = None
    smtp: str | None = None
    lmtp: str | None = None
    mx: bool | None = None
    timeout: float = 300.0
    tls: str | None = None
    tls_names: tuple[str, ...] | None = None
    tls_fingerprints: tuple[str, ...] | None = None
    connections: int | None = None
    messages_per_connection: int | None = None
    rate: str | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """``[retry]``: seconds before each next attempt (the last one repeats), the part of them that is
    left to chance, the age in seconds at which a message is returned, and the ages at which its sender is
    told that it still waits; whether what may have been delivered is tried again ("retry") or held for a
    person ("hold")."""

    intervals: tuple[float, ...] = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
    jitter: float = 0.2
    expire: float = locate.EXPIRE
    warn: tuple[float, ...] = locate.WARN
    uncertain: str = "retry"


class Dns(msgspec.Struct, frozen=True, kw_only=True):
    """``[dns]``: name servers as ``ADDRESS:PORT`` (none: the system's), the seconds one is waited for,
    and whether the hosts file is asked too."""

    servers: tuple[str, ...] = ()
    timeout: float = 5.0
    hosts: bool = True

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """The servers as (IP address, port)."""
        return tuple(map(endpoint.parse_server, self.servers))


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """``[log]``: the least level that is written, and whether as "text" or "json"."""

    level: str = "info"
    format: str = "text"

    @property
    def number(self) -> int:
        """The level's number in `logging`."""
        return shape.LEVELS[self.level]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything.  `path` is the file's, or None; `origins` maps a dotted key of a given value, such as
    "queue.spool" or "route[1].maildir", to where it was given."""

    service: Service
    queue: Queue
    listen: tuple[Listen, ...]
    auth: Auth | None = None
    tls: Tls = Tls()
    route: tuple[Route, ...] = ()
    login: tuple[Login, ...] = ()
    relay: Relay = Relay()
    retry: Retry = Retry()
    dns: Dns = Dns()
    log: Log = Log()
    path: str | None = None
    origins: dict[str, str] = {}

    def router(self) -> Router:
        """The router of these routes."""
        return Router(
            map(rule, self.route), self.service.hostname, parse_address(self.service.postmaster, utf8=True)
        )


LISTEN: Final = "127.0.0.1:2525"
"""Where a service without configuration listens: loopback, a port that needs no privilege."""
KINDS: Final = ("maildir", "pipe", "smtp", "lmtp", "mx")


def load(path: str | None, *, spool: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in a file, or the built-in one for None.

    `spool` is what ``--spool`` said.  Raises ConfigError.
    """
    if path is None:
        return _build(decode.Document("", "", {}), None, spool, environ)
    return _build(decode.read(path), path, spool, environ)


def loads(
    text: str,
    path: str = "mether.toml",
    *,
    spool: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The configuration in a text; `path` is what its errors and relative paths call it."""
    return _build(decode.parse(path, text), path, spool, os.environ if environ is None else environ)


def rule(route: Route) -> Rule:
    """The routing rule of a configured route."""
    if route.maildir is not None:
        return Rule(route.domains, "maildir", route.maildir)
    if route.pipe is not None:
        return Rule(route.domains, "pipe", route.pipe)
    if route.smtp is not None:
        return Rule(route.domains, "smtp", target.parse(route.smtp))
    if route.lmtp is not None:
        return Rule(route.domains, "lmtp", target.parse(f"lmtp:{route.lmtp}"))
    return Rule(route.domains, "smtp")


def _build(document: Document, path: str | None, spool: str | None, environ: Mapping[str, str]) -> Config:
    decode.sections(
        document,
        ("service", "queue", "auth", "tls", "relay", "retry", "dns", "log"),
        ("listen", "route", "login"),
        shape.SHAPES,
    )
    origins: dict[str, str] = {}

    def one(name: str, keys: Shape) -> dict[str, Any]:
        return read((name,), document.root.get(name, {}), keys, name)

    def many(name: str, keys: Shape) -> list[dict[str, Any]]:
        raw = document.root.get(name, [])
        return [read((name, i), each, keys, f"{name}[{i}]") for i, each in enumerate(raw)]

    def read(at: tuple[str | int, ...], raw: Mapping[str, Any], keys: Shape, label: str) -> dict[str, Any]:
        values = decode.table(document, at, raw, keys)
        for key in raw:
            origins[f"{label}.{key}"] = f"{document.path}:{document.line((*at, key))}"
        return values

    service = one("service", shape.SERVICE)
    service.setdefault("hostname", locate.hostname())
    service.setdefault("postmaster", f"postmaster@{service['hostname']}")
    queue = one("queue", shape.QUEUE)
    given = locate.find_spool(spool, environ)
    if given is not None:
        queue["spool"] = given
        origins["queue.spool"] = "--spool" if spool else "$METHER_SPOOL"
    elif "spool" not in queue:
        queue["spool"] = locate.default_spool(environ)
    elif path is not None:
        scheme, _, place = queue["spool"].partition(":")
        queue["spool"] = f"{scheme}:{_absolute(place, path) if place else ''}"
    listen = many("listen", shape.LISTENER)
    _check_listeners(document, listen)
    auth = one("auth", shape.AUTH) if "auth" in document.root else None
    if auth is not None:
        listening.check_auth(document, auth, listen)
        _find_files(auth, path)
    logins = None if auth is None else Auth(**auth)
    secure = _tls(document, one("tls", shape.TLS), path)
    tls = bool(secure.certificate)
    listen = [
        listening.check(document, number, each, tls=tls, auth=logins) for number, each in enumerate(listen)
    ] or [listening.complete({"address": LISTEN}, tls=tls, auth=False)]
    routes = many("route", shape.ROUTE)
    for number, values in enumerate(routes):
        _check_route(document, number, values, path)
        sending.check_route(document, number, values, routes[:number])
        relaying.check_route(document, number, values, routes[:number])
    accounts = [
        sending.check_login(
            document, number, each, lambda place: place if path is None else _absolute(place, path)
        )
        for number, each in enumerate(many("login", shape.SHAPES["login"]))
    ]
    _check_reachable(document, routes)
    return Config(
        service=Service(**service),
        queue=Queue(**queue),
        listen=tuple(Listen(**each) for each in listen),
        auth=logins,
        tls=secure,
        route=tuple(Route(**each) for each in routes),
        login=tuple(Login(**each) for each in accounts),
        relay=Relay(**one("relay", shape.SHAPES["relay"])),
        retry=_retry(document, one("retry", shape.RETRY)),
        dns=Dns(**one("dns", shape.DNS)),
        log=Log(**one("log", shape.LOG)),
        path=path,
        origins=origins,
    )


def _retry(document: Document, values: dict[str, Any]) -> Retry:
    """The values of ``[retry]``, checked: whoever is told that a message waits is told while it does."""
    retry, before = Retry(**values), 0.0
    for index, age in enumerate(values.get("warn", ())):
        if not before < age < retry.expire:
            raise document.wrong(
                ("retry", "warn", index),
                f'expected rising ages, and "{duration_text(age)}" stands behind "{duration_text(before)}"'
                if age <= before
                else f'expected ages below "{duration_text(retry.expire)}" (retry.expire), '
                f'not "{duration_text(age)}"',
            )
        before = age
    return retry


def _absolute(place: str, path: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), place))


def _tls(document: Document, values: dict[str, Any], path: str | None) -> Tls:
    """The values of ``[tls]``, checked; files are relative to the configuration's directory."""
    certificates, keys = values.get("certificate", ()), values.get("key", ())
    if keys and len(keys) != len(certificates):
        raise document.wrong(
            ("tls", "key"), f"expected as many keys as certificates: {len(certificates)}, not {len(keys)}"
        )
    if path is not None:
        for name in ("certificate", "key"):
            if name in values:
                values[name] = tuple(_absolute(each, path) for each in values[name])
        for name in ("client_ca", "ca"):
            if name in values:
                values[name] = _absolute(values[name], path)
    return Tls(**values)


def _find_files(auth: dict[str, Any], path: str | None) -> None:
    """Files and programs are relative to the configuration's directory."""
    if path is None:
        return
    for key in ("passwords", "dovecot", "senders"):
        if key in auth:
            auth[key] = _absolute(auth[key], path)
    for key in ("program", "checkpassword", "oauth"):
        if key in auth and "/" in auth[key][0]:
            auth[key] = (_absolute(auth[key][0], path), *auth[key][1:])


def _check_listeners(document: Document, listen: list[dict[str, Any]]) -> None:
    seen: dict[str, int] = {}
    for number, values in enumerate(listen):
        at = ("listen", number, "address")
        if "address" not in values:
            raise document.wrong(at, f'missing; expected where to listen, such as "{LISTEN}"')
        address = values["address"]
        if address in seen and not address.endswith(":0"):
            line = document.line(("listen", seen[address], "address"))
            raise document.wrong(at, f"{address} is already listened on by line {line}")
        seen[address] = number


def _check_route(document: Document, number: int, values: dict[str, Any], path: str | None) -> None:
    at = ("route", number)
    if "domains" not in values:
        raise document.wrong((*at, "domains"), 'missing; expected a list such as ["example.org"] or ["*"]')
    kinds = [kind for kind in KINDS if kind in values]
    if not kinds:
        raise document.wrong(at, f"expected one of {', '.join(KINDS)} beside domains")
    if len(kinds) > 1:
        raise document.wrong(
            (*at, kinds[1]), f"contradicts {kinds[0]}: a route has one of {', '.join(KINDS)}"
        )
    if "timeout" in values and "pipe" not in values:
        raise document.wrong((*at, "timeout"), f"is for pipe only, and this route has {kinds[0]}")
    if path is not None and "maildir" in values:
        values["maildir"] = _absolute(values["maildir"], path)
    if path is not None and "pipe" in values and "/" in values["pipe"][0]:
        program, *rest = values["pipe"]
        values["pipe"] = (_absolute(program, path), *rest)


def _check_reachable(document: Document, routes: list[dict[str, Any]]) -> None:
    """Every domain of every route must be able to get mail: an earlier route must not take it all."""
    seen: dict[str, int] = {}
    for number, values in enumerate(routes):
        for index, written in enumerate(values["domains"]):
            domain = normalize(written)
            for over in ("*", domain, *_above(domain)):
                if over in seen:
                    line = document.line(("route", seen[over]))
                    raise document.wrong(
                        ("route", number, "domains", index),
                        f"{domain} never gets here: the route on line {line} takes {over} before",
                    )
            seen[domain] = number


def _above(domain: str) -> list[str]:
    """The patterns of the domains above one: ``.example.org`` and ``.org`` for ``a.example.org``."""
    parts = domain.lstrip(".").split(".")
    return ["." + ".".join(parts[i:]) for i in range(1, len(parts))] if domain[:1] not in "[*" else []
