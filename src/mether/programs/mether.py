"""``mether``: what 1986 did not have.

``mether config`` prints the configuration in effect, as a file that would give the same, and where each
value came from; ``--check`` only says what is wrong.  ``mether route`` says where mail for an address goes
and why.  ``mether passwd`` (`mether.programs.passwd`) keeps the password file.  ``mether fsck``
(`mether.programs.fsck`) looks over the queue, and repairs it.
"""

from __future__ import annotations

import os
import sys

from mether.programs.errors import CANTCREAT, CONFIG, USAGE, Failure, complain, run
from mether.programs.options import JSON, Option, Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from mether.address import Address
    from mether.outcome import Route
    from mether.programs.options import Parsed
    from mether.routing.router import Router
    from mether.setup.config import Config

COMMANDS = ("config", "route", "passwd", "fsck")

PROGRAM = Program(
    "mether",
    [
        "config [--check | --json | --write-default FILE]",
        "route [--sender ADDRESS] [--json] ADDRESS...",
        "passwd [--file FILE] [--scheme SCHEME | --delete | --check] LOGIN",
        "fsck [--repair] [--json]",
    ],
    """config prints the configuration in effect, as a file that would give the same, and where each value
    came from.

    route says where mail for an address goes, which route decides, and for a next hop what TLS is demanded
    there and which login is used.

    passwd gives a login a password, asked for on the terminal or read from the first line of stdin.

    fsck says what is wrong with the queue.  With --repair it saves what can be saved of a damaged one, and
    puts the rest into its directory "damaged".""",
    [
        Option("", "check", "config: print nothing unless something is wrong; passwd: is this the password?"),
        Option("", "write-default", "config: write the default configuration to a new file", value="FILE"),
        Option("", "sender", "route: mail from there; <> is the null reverse-path", value="ADDRESS"),
        Option("", "file", "passwd: the password file (passwords, beside the configuration)", value="FILE"),
        Option(
            "",
            "scheme",
            "passwd: argon2id (the default), or scram-sha-256",
            value="SCHEME",
            choices=("argon2id", "scram-sha-256"),
        ),
        Option("", "delete", "passwd: take the login out"),
        Option("", "repair", "fsck: set right what is wrong, while no process works the queue"),
        JSON,
    ],
    exits=(
        0,
        64,
        (65, "the password cannot be used; the queue is damaged, or something of it could not be saved"),
        (66, "there is no queue"),
        (67, "there is no such login"),
        (69, "Argon2id is not available"),
        70,
        (73, "the file to write is there already, or cannot be created"),
        (75, "the queue cannot be repaired now: a process works it, or the disk is full"),
        (77, "no permission, or a wrong password"),
        78,
    ),
    files=[
        ("/etc/mether/mether.toml", "the configuration"),
        ("~/.config/mether/mether.toml", "a user's own, where there is no other"),
        ("/etc/mether/passwords", "logins and their verifiers"),
    ],
    intermixed=True,
)


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    return run("mether", _work, argv)


def _work(argv: list[str]) -> int:
    options = parse(PROGRAM, argv)
    if not options.operands:
        raise UsageError(f"expected a command: {', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}")
    command, *operands = options.operands
    if command == "config":
        return _config(options, operands)
    if command == "route":
        return _route(options, operands)
    if command == "passwd":
        from mether.programs import passwd

        return passwd.work(options, operands)
    if command == "fsck":
        from mether.programs import fsck

        return fsck.work(options, operands, _load(options).queue.spool)
    from mether.setup.spelling import nearest

    meant = nearest(command, COMMANDS)
    raise UsageError(f"unknown command {command!r}" + (f" (did you mean {meant}?)" if meant else ""))


def _load(options: Parsed) -> Config:
    from mether.setup.config import load
    from mether.setup.locate import find_config

    return load(find_config(options.text("config")), spool=options.text("spool"))


def _config(options: Parsed, operands: list[str]) -> int:
    if operands:
        raise UsageError(f"config takes no operand; {operands[0]!r} is one too many")
    target = options.text("write-default")
    if target is not None:
        from mether.setup.default import write

        try:
            write(target)
        except FileNotFoundError:
            directory = os.path.dirname(target)
            raise Failure(CANTCREAT, f"{target}: there is no directory {directory}") from None
        return 0
    config = _load(options)
    router = config.router()  # what only shows when the parts are put together is wrong too
    if options.flag("check"):
        import time

        from mether.setup import check

        wrong = False
        for found in check.findings(config, time.time()):
            wrong = wrong or found.fatal
            complain("mether", found.what if found.fatal else found.what.replace(": ", ": warning: ", 1))
        if not _delivered(router):
            where = config.origins.get("service.postmaster", config.path or "the built-in configuration")
            print(
                f"mether: {where}: warning: no route delivers the postmaster's mail here "
                f"({config.service.postmaster})",
                file=sys.stderr,
            )
        return CONFIG if wrong else 0
    if options.flag("json"):
        import msgspec

        sys.stdout.write(msgspec.json.encode(config).decode() + "\n")
        return 0
    sys.stdout.writelines(f"{line}\n" for line in effective(config))
    return 0


def _delivered(router: Router) -> bool:
    """Whether the postmaster's mail is delivered here, as far as the tables can be read."""
    from mether.routing.source import TableError, settled

    postmaster = router.postmaster
    if postmaster is None:
        return False
    try:
        return settled(lambda: router.is_open(postmaster))
    except TableError:
        return True  # that is an error already, and of the table


def effective(config: Config) -> Iterator[str]:
    """The lines of a file that gives this configuration, each value with where it came from."""
    yield f"# {config.path}" if config.path else "# no configuration file: everything is built in"
    for name in ("service", "queue"):
        yield from _table(f"[{name}]", name, getattr(config, name), config)
    for name in ("listen", "table", "route", "login"):
        for number, each in enumerate(getattr(config, name)):
            yield from _table(f"[[{name}]]", f"{name}[{number}]", each, config)
    for name in ("auth", "tls", "srs", "relay", "retry", "dns", "log"):
        if getattr(config, name) is not None:
            yield from _table(f"[{name}]", name, getattr(config, name), config)


def _table(header: str, label: str, struct: object, config: Config) -> Iterator[str]:
    from mether.setup.shape import written

    yield ""
    yield header
    for key in struct.__struct_fields__:  # type: ignore[attr-defined]
        value = getattr(struct, key)
        origin = config.origins.get(f"{label}.{key}", "built in")
        built_in = origin == "built in" and header in ("[[route]]", "[[table]]")
        if value is None or (built_in and (key != "timeout" or struct.pipe is None)):  # type: ignore[attr-defined]
            continue
        yield f"{f'{key} = {written(key, value)}':<48} # {origin}"


def _route(options: Parsed, operands: list[str]) -> int:
    if not operands:
        raise UsageError("route needs an address")
    from mether.address import AddressError, parse_argument

    addresses, wrong = [], []
    for text in operands:
        try:
            address = parse_argument(text)
        except AddressError as error:
            wrong.append(f"{text!r} is not an address: {error}")
            continue
        if address is None:
            wrong.append("the null reverse-path is nobody's address")
        else:
            addresses.append(address)
    sender: str | None = None
    given = options.text("sender")
    if given is not None:
        try:
            found = parse_argument(given)
        except AddressError as error:
            raise Failure(USAGE, f"{given!r} is not an address: {error}") from None
        sender = "" if found is None else str(found)
    config = _load(options)
    router = config.router()
    for address in addresses:
        facts = routed(address, config, router, sender)
        if options.flag("json"):
            import json

            print(json.dumps(facts))
        else:
            said = [facts[key] for key in ("address", "route", "to")] + [f"({facts['because']})"]
            if "tls" in facts:
                names = [
                    *_texts(facts["tls_names"]),
                    *(f"sha256:{one}" for one in _texts(facts["tls_fingerprints"])),
                ]
                said.append(f"tls {facts['tls']}" + (f" for {', '.join(names)}" if names else ""))
                said.append(f"login {facts['login']}" if facts["login"] is not None else "no login")
            if facts.get("logins_by_sender"):
                said.append("other senders have other logins: see --sender")
            print("  ".join(map(str, said)))
    for what in wrong:
        complain("mether", what)
    return USAGE if wrong else 0


def _texts(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def routed(address: Address, config: Config, router: Router, sender: str | None = None) -> dict[str, object]:
    """Where mail for an address goes: its next hop, what that is, which route decided, and what holds there.

    `sender` is the reverse-path, "" the null one; None: the logins for all senders.
    """
    from mether.routing.request import Request

    decision = router.decide(Request(address))
    rule, route = decision.rule, router.route(Request(address))
    because, to = "no route takes the domain", "by MX"
    if rule is not None:
        number = router.rules.index(rule)
        origin = config.origins.get(f"route[{number}].domains", "built in")
        because = f"route {', '.join(rule.domains.patterns)} at {origin}"
        if rule.action == "maildir":
            to = _maildir(
                str(rule.argument), router.postmaster or address if not address.domain else address, config
            )
        elif rule.action == "pipe":
            to = " ".join(rule.argument if isinstance(rule.argument, tuple) else ())
        elif rule.argument is not None:
            to = f"to {rule.argument}"
    return {
        "address": str(address),
        "transport": route.transport,
        "next_hop": route.next_hop,
        "route": str(route),
        "to": to,
        "local": router.is_open(address),
        "because": because,
        **(_terms(route, config, router, sender) if route.transport in ("smtp", "lmtp") else {}),
    }


def _terms(route: Route, config: Config, router: Router, sender: str | None) -> dict[str, object]:
    """The TLS that is demanded of a next hop, and the login that is used there."""
    from mether.relay import tlspolicy
    from mether.routing import target
    from mether.setup import sending

    try:
        where = target.from_route(route).targets[0]
    except target.TargetError:
        return {}
    logins = [sending.login(one) for one in config.login]
    login = next((one for one in logins if one.fits(where, sender or "")), None)
    need = tlspolicy.need(
        sending.policies(config, router)(route), where, where.host, where.port, login=login is not None
    )
    particular = any(one.leads(where) and not one.shared for one in logins)
    return {
        "tls": need.level,
        "tls_names": need.names if need.level == "verify" else (),
        "tls_fingerprints": need.fingerprints,
        "login": (login.user or "by our certificate") if login is not None else None,
        "logins_by_sender": sender is None and particular,
    }


def _maildir(template: str, address: Address, config: Config) -> str:
    from mether.relay.maildir import NoMailbox, directory

    try:
        return directory(template, address, config.service.hostname)
    except NoMailbox as error:
        return f"no mailbox: {error}"


if __name__ == "__main__":
    sys.exit(main())
