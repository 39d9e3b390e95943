"""The configuration: its structs, their defaults, and the file that they are read from.

One TOML file has the shape ``[service] [queue] [[listen]] [auth] [tls] [srs] [[table]] [[route]] [[login]]
[relay] [retry] [reports] [suppress] [dns] [log]``; every key may be left out.  `load` gives a `Config` in
which every default is filled in and every value checked, together with where each value came from.  Relative
paths in the file (the spool's, a Maildir's, a program's that has a slash) are relative to the file's own
directory, so that a service does not depend on where it is started; those on a command line and in the
environment are relative to the working directory.

What no route takes goes by MX.  A file without ``[[listen]]`` listens as one without a file would.

Fails with `ConfigError`: ``FILE:LINE: key: what was expected``.  One-shot programs without a configuration
file never import this module: see `locate`.
"""

from __future__ import annotations

import os

from mether.address import parse as parse_address
from mether.routing.router import Router
from mether.setup import callahead, decode, locate, reports, rewriting, route_check, routes, sending, shape
from mether.setup import listen as listening
from mether.setup import tables as tabling
from mether.setup.listen import Auth as Auth
from mether.setup.listen import Listen as Listen
from mether.setup.relaying import Relay as Relay
from mether.setup.reports import Reports as Reports
from mether.setup.resolving import Dns as Dns
from mether.setup.rewriting import Srs as Srs
from mether.setup.routes import Route as Route
from mether.setup.sending import Login as Login
from mether.setup.struct import Struct
from mether.setup.suppress import Suppress as Suppress
from mether.setup.tables import Table as Table
from mether.setup.tables import Tables
from mether.setup.units import duration_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from mether.setup.decode import Document, Shape

MIB: Final = 1 << 20


_NOWHERE: Final[Mapping[str, str]] = {}


class Service(Struct):
    """``[service]``: who we are; `origin` is the domain of names that have none, in mail of programs here.

    `undeliverable_reports` is what becomes of a message with a null reverse-path that can't be
    delivered: "postmaster" gets it, it is put on "hold", or "drop"ped with a line in the log.  "hold" is
    built in where the file has no listener but Unix sockets.  `unsupported_content` is what becomes of 8-bit
    or binary content for a next hop that does not take it: "convert" or "return".
    `workers` is how many processes receive and deliver.  `user`, with `group` or its own, is whom a service
    that root starts becomes when it listens; None: it stays who it is.
    """

    hostname: str
    origin: str
    postmaster: str
    undeliverable_reports: str = "postmaster"
    unsupported_content: str = "convert"
    workers: int = 1
    user: str | None = None
    group: str | None = None


class Queue(Struct):
    """``[queue]``: the `spool`'s URL, and the octets of content in `memory` over all sessions; how many
    messages each process has in hand to deliver (`window`), and the octets of theirs in memory."""

    spool: str
    memory: int = 64 * MIB
    window: int = 1000
    window_memory: int = 64 * MIB


class Tls(Struct):
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


class Retry(Struct):
    """``[retry]``: seconds before each next attempt (the last one repeats), the part of them that is
    left to chance, the age in seconds at which a message is returned, and the ages at which its sender is
    told that it still waits; whether what may have been delivered is tried again ("retry") or held for a
    person ("hold"); the seconds before the second try of what was `greylisted`, and before any of what found
    a full mailbox; the file of rules that say which replies mean that, before the built-in ones (None: those
    alone)."""

    intervals: tuple[float, ...] = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
    jitter: float = 0.2
    expire: float = locate.EXPIRE
    warn: tuple[float, ...] = locate.WARN
    uncertain: str = "retry"
    greylisted: float = 300.0
    mailbox_full: float = 7200.0
    reply_rules: str | None = None


class Log(Struct):
    """``[log]``: the least level that is written, and whether as "text" or "json"."""

    level: str = "info"
    format: str = "text"

    @property
    def number(self) -> int:
        """The level's number in `logging`."""
        return shape.LEVELS[self.level]


class Config(Struct):
    """Everything.  `path` is the file's, or None; `origins` maps a dotted key of a given value, such as
    "queue.spool" or "route[1].maildir", to where it was given."""

    service: Service
    queue: Queue
    listen: tuple[Listen, ...]
    auth: Auth | None = None
    tls: Tls = Tls()
    srs: Srs | None = None
    table: tuple[Table, ...] = ()
    route: tuple[Route, ...] = ()
    login: tuple[Login, ...] = ()
    relay: Relay = Relay()
    retry: Retry = Retry()
    reports: Reports = Reports()
    suppress: Suppress = Suppress()
    dns: Dns = Dns()
    log: Log = Log()
    path: str | None = None
    origins: Mapping[str, str] = _NOWHERE

    def tables(self) -> Tables:
        """The tables that routes refer to."""
        places = {
            table.name: self.origins.get(f"table[{number}]", "") for number, table in enumerate(self.table)
        }
        return Tables(self.table, self.path, open=callahead.opener(self), places=places)

    def router(self, known: Tables | None = None) -> Router:
        """The router of these routes, with the tables that are `known`, else with its own."""
        known = self.tables() if known is None else known
        return Router(
            (
                routes.rule(route, known, self.origins.get(f"route[{number}]", ""))
                for number, route in enumerate(self.route)
            ),
            self.service.hostname,
            parse_address(self.service.postmaster, utf8=True),
            rewriting.srs(self.srs),
        )


LISTEN: Final = "127.0.0.1:2525"
"""Where a service without configuration listens: loopback, a port that needs no privilege."""


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


def _build(document: Document, path: str | None, spool: str | None, environ: Mapping[str, str]) -> Config:
    decode.sections(
        document,
        ("service", "queue", "auth", "tls", "srs", "relay", "retry", "reports", "suppress", "dns", "log"),
        ("listen", "table", "route", "login"),
        shape.SHAPES,
    )
    origins: dict[str, str] = {}

    def one(name: str, keys: Shape) -> dict[str, Any]:
        return read((name,), document.root.get(name, {}), keys, name)

    def many(name: str, keys: Shape) -> list[dict[str, Any]]:
        raw = document.root.get(name, [])
        for i in range(len(raw)):
            origins[f"{name}[{i}]"] = f"{document.path}:{document.line((name, i))}"
        return [read((name, i), each, keys, f"{name}[{i}]") for i, each in enumerate(raw)]

    def read(at: tuple[str | int, ...], raw: Mapping[str, Any], keys: Shape, label: str) -> dict[str, Any]:
        values = decode.table(document, at, raw, keys)
        for key, value in raw.items():
            origins[f"{label}.{key}"] = f"{document.path}:{document.line((*at, key))}"
            for inner in value if isinstance(value, dict) else ():
                origins[f"{label}.{key}.{inner}"] = f"{document.path}:{document.line((*at, key, inner))}"
        return values

    service = one("service", shape.SERVICE)
    if "hostname" not in service:
        service["hostname"] = locate.hostname()
        service.setdefault("origin", locate.mailname() or service["hostname"])
    service.setdefault("origin", service["hostname"])
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
    dns = Dns(**one("dns", shape.SHAPES["dns"]))
    listen = many("listen", shape.LISTENER)
    _check_listeners(document, listen)
    if all(each["address"].startswith("unix:") for each in listen):
        service.setdefault("undeliverable_reports", "hold")
    auth = one("auth", shape.AUTH) if "auth" in document.root else None
    if auth is not None:
        listening.check_auth(document, auth, listen)
        _find_files(auth, path)
    logins = None if auth is None else Auth(**auth)
    secure = _tls(document, one("tls", shape.TLS), path)
    tls = bool(secure.certificate)
    listen = [
        listening.check(document, number, each, tls=tls, auth=logins, dns=dns.enabled)
        for number, each in enumerate(listen)
    ] or [listening.complete({"address": LISTEN}, tls=tls, auth=False)]
    known = many("table", shape.SHAPES["table"])
    for number, values in enumerate(known):
        tabling.check(document, number, values, known[:number], path)

    def find(place: str) -> str:
        return place if path is None else _absolute(place, path)

    ways = [
        route_check.check(
            document,
            number,
            values,
            find,
            tables=[each["name"] for each in known],
            listeners=[each.get("name", each["address"]) for each in listen],
        )
        for number, values in enumerate(many("route", shape.SHAPES["route"]))
    ]
    route_check.apart(document, ways)
    route_check.users(document, ways, service)
    accounts = [
        sending.check_login(document, ("login", number), each, find)
        for number, each in enumerate(many("login", shape.SHAPES["login"]))
    ]
    return Config(
        service=Service(**service),
        queue=Queue(**queue),
        listen=tuple(Listen(**each) for each in listen),
        auth=logins,
        tls=secure,
        srs=rewriting.check(document, one("srs", shape.SHAPES["srs"]), ways, find),
        table=tuple(Table(**each) for each in known),
        route=tuple(ways),
        login=tuple(Login(**each) for each in accounts),
        relay=Relay(**one("relay", shape.SHAPES["relay"])),
        retry=_retry(document, one("retry", shape.RETRY), find),
        reports=reports.check(document, one("reports", shape.SHAPES["reports"]), find),
        suppress=Suppress(**one("suppress", shape.SHAPES["suppress"])),
        dns=dns,
        log=Log(**one("log", shape.LOG)),
        path=path,
        origins=origins,
    )


def _retry(document: Document, values: dict[str, Any], find: Callable[[str], str]) -> Retry:
    """The values of ``[retry]``, checked: whoever is told that a message waits is told while it does."""
    if "reply_rules" in values:
        values["reply_rules"] = find(values["reply_rules"])
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
    names: dict[str, int] = {}
    for number, values in enumerate(listen):
        name = values.get("name", values["address"])
        if name in names and "name" in values:
            line = document.line(("listen", names[name]))
            raise document.wrong(("listen", number, "name"), f"{name} is already the listener on line {line}")
        names.setdefault(name, number)
