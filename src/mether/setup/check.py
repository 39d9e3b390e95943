"""The configuration held against what is there: files, programs, certificates, and whom a listener trusts.

`findings` is what ``mether config --check`` prints and what `smtpd` logs when it starts.  A finding is fatal
where the service would not start, or where mail or logins could not get past it; all others are warnings.
The files are read by the functions that the service itself reads them with, and no program is run.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil

from mether.setup import (
    alias_check,
    alias_reach,
    certificates,
    descriptors,
    login_check,
    logins,
    replies,
    reports,
    resolving,
    rewriting,
    sending,
    source_check,
    suppress,
    tables,
)
from mether.setup.locate import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Final

    from mether.net.tlsserver import ServerTls
    from mether.setup.config import Config
    from mether.setup.listen import Listen

_TRUSTED: Final = {
    "relay_from": "an open relay, which sends anybody's mail to anywhere",
    "proxy_from": "whoever connects may say that it speaks for any other client",
    "xclient_from": "whoever connects may say that it speaks for any other client",
}


_NUMBER: Final = re.compile(r"\[[0-9]+\]")


class Finding:
    """One line, `what`, with its place; `fatal` tells whether it has to be mended for all to work."""

    __slots__ = ("fatal", "what")

    def __init__(self, what: str, *, fatal: bool = False) -> None:
        self.what = what
        self.fatal = fatal


def findings(
    config: Config,
    now: float,
    *,
    tls: ServerTls | None = None,
    environ: Mapping[str, str] = os.environ,
    receives: bool = True,
) -> Iterator[Finding]:
    """What is wrong at `now` (Unix seconds), in no particular order; `tls` are the certificates, if they are
    loaded.  For a process that only sends, `receives` is False, and what sessions need is not looked at.
    """
    if receives:
        yield from _receiving(config, now, tls)
    yield from _those(unreachable(config))
    yield from _those(sending.complaints(config))
    yield from _those(login_check.complaints(config))
    router = config.router()
    yield from _those(
        alias_check.complaints(router.rules, root=os.geteuid() == 0 and config.service.user is None)
    )
    yield from _those(alias_reach.complaints(router))
    yield from _those(source_check.complaints(config))
    yield from _those(resolving.complaints(config))
    if short := descriptors.shortage(config, receives=receives):
        yield Finding(f"{config.path}: {short}" if config.path else short)
    for line in (
        *sending.troubles(config),
        *tables.troubles(config),
        *alias_check.troubles(router.rules),
        *rewriting.troubles(config),
        *replies.troubles(config),
        *reports.troubles(config),
        *suppress.troubles(config),
        *programs(config, environ, receives=receives),
    ):
        yield Finding(line, fatal=True)
    if receives:
        yield from _those(everybody(config))


def _receiving(config: Config, now: float, tls: ServerTls | None) -> Iterator[Finding]:
    yield from _those(_certificates(config, tls, now))
    yield from _those(logins.complaints(config))
    if config.auth is not None:
        try:
            logins.senders(config, config.auth)
        except ConfigError as error:
            yield Finding(str(error), fatal=True)
    if too_many := workers(config):
        yield Finding(too_many, fatal=True)


def workers(config: Config) -> str:
    """Why there cannot be as many workers as the configuration asks for, "" when there can."""
    scheme = config.queue.spool.partition(":")[0]
    if config.service.workers == 1 or scheme == "sqlite":
        return ""
    where = config.origins.get("service.workers")
    what = f"{config.service.workers} workers need a sqlite: queue; a {scheme}: one is worked by one process"
    return f"{where}: service.workers: {what}" if where else what


def _those(lines: Iterable[str]) -> Iterator[Finding]:
    """Warnings, and the error that ends them."""
    try:
        for line in lines:
            yield Finding(line)
    except ConfigError as error:
        yield Finding(str(error), fatal=True)


def _certificates(config: Config, tls: ServerTls | None, now: float) -> Iterator[str]:
    yield from certificates.complaints(config, tls or certificates.server_tls(config), now)


def programs(config: Config, environ: Mapping[str, str], *, receives: bool = True) -> Iterator[str]:
    """A line for each program that could not be run, of those that are run where mail is received or sent."""
    from mether.auth import program
    from mether.relay import pipe

    ours = environ.get("PATH", os.defpath)
    named: list[tuple[str, str, tuple[str, ...] | None, str]] = []
    if config.auth is not None and receives:
        for key in ("program", "checkpassword", "oauth"):
            named += [("auth", key, getattr(config.auth, key), program.PATH)]
    for number, route in enumerate(config.route):
        named += [(f"route[{number}]", "pipe", route.pipe, pipe.PATH)]
    for place, _, login in sending.accounts(config):
        for key in ("password_command", "token_command"):
            named += [(place, key, getattr(login, key), ours)]
    for table, key, argv, path in named:
        why = _cannot_run(argv[0], path) if argv is not None else ""
        if why:
            where = config.origins.get(f"{table}.{key}") or config.origins.get(table, config.path)
            yield f"{where}: {re.sub(_NUMBER, '', table)}.{key}: {why}"


def unreachable(config: Config) -> Iterator[str]:
    """A line for each route that never takes mail, or none for one of its domains."""
    from mether.routing.cover import covered

    router = config.router()
    for one in covered(router.rules):
        where, by = one.rule.where, " and ".join(rule.where for rule in one.by)
        if one.domain:
            yield f"{where}: route.domains: {one.domain} never gets here: the route at {by} takes it before"
        elif one.by:
            many = len(one.by) > 1
            yield (
                f"{where}: route: never takes mail: the route{'s' * many} at {by} "
                f"take{'s' * (not many)} all that it would"
            )
        else:
            yield f"{where}: route.recipient: never takes mail: none of these is in one of its domains"


def _cannot_run(program: str, path: str) -> str:
    """Why a program can't be run, "" when it can."""
    if "/" not in program:
        return "" if shutil.which(program, path=path) else f"{program}: there is no such program in {path}"
    try:
        os.stat(program)
    except OSError as error:
        return f"{program}: {error.strerror}"
    if not os.path.isfile(program):
        return f"{program}: expected a program, and this is no file"
    return "" if os.access(program, os.X_OK) else f"{program}: not executable: chmod +x {program}"


def everybody(config: Config) -> Iterator[str]:
    """A line for each list of trusted networks that has everybody in it."""
    for number, listen in enumerate(config.listen):
        if _only_here(listen):
            continue
        for key, what in _TRUSTED.items():
            for network in _all(getattr(listen, key)):
                where = config.origins.get(f"listen[{number}].{key}", config.path)
                yield f"{where}: listen.{key}: {network} is everybody: {what}"
    if config.auth is not None:
        for network in _all(config.auth.clear_from):
            where = config.origins.get("auth.clear_from", config.path)
            yield f"{where}: auth.clear_from: {network} is everybody: passwords may go anywhere in clear text"


def _all(networks: Iterable[str]) -> list[str]:
    return [one for one in networks if ipaddress.ip_network(one).prefixlen == 0]


def _only_here(listen: Listen) -> bool:
    """Whether nobody from outside can reach it."""
    if listen.path:
        return True
    try:
        return ipaddress.ip_address(listen.host).is_loopback
    except ValueError:
        return listen.host == "localhost"
