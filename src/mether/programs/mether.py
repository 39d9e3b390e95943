"""``mether``: what 1986 did not have.

``mether config`` prints the configuration in effect, as a file that would give the same, and where each
value came from; ``--check`` only says what is wrong.  ``mether route`` (`mether.programs.route`) says where
mail for an address goes and why.  ``mether passwd`` (`mether.programs.passwd`) keeps the password file.
``mether fsck`` (`mether.programs.fsck`) looks over the queue, and repairs it.  ``mether import``
(`mether.programs.import_`) takes over the queue of another program.  ``mether bounce``
(`mether.programs.bounce`) says what a bounce means.  ``mether suppress`` (`mether.programs.suppress`) keeps
the list of addresses to which no mail is sent.
"""

from __future__ import annotations

import os
import sys

from mether.programs import route, suppress
from mether.programs.errors import CANTCREAT, CONFIG, Failure, complain, run
from mether.programs.options import COMMON, JSON, Option, Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mether.programs.options import Parsed
    from mether.routing.router import Router
    from mether.setup.config import Config
    from mether.setup.struct import Struct

COMMANDS = ("config", "route", "passwd", "fsck", "import", "bounce", "suppress")


def _narrow(operands: Sequence[str]) -> Program | None:
    """What is told of one command, and of one verb of suppress."""
    if not operands or operands[0] not in COMMANDS:
        return None
    words = [operands[0]]
    if words == ["suppress"] and len(operands) > 1 and operands[1] in suppress.VERBS:
        words.append("check" if operands[1] == "show" else operands[1])
    start = " ".join(words)
    usages = [usage for usage in PROGRAM.synopsis if f"{usage} ".startswith(f"{start} ")]
    text = " ".join(usages)
    filters = suppress.FILTERS if "FILTERS" in text else ()
    return Program(
        PROGRAM.name,
        usages,
        next(each for each in PROGRAM.about.split("\n\n") if each.split()[0] == words[0]),
        [
            option
            for option in PROGRAM.options
            if option not in COMMON
            and (f"--{option.name}" in text.translate(_MARKS).split() or option.name in filters)
        ],
        exits=PROGRAM.exits,
    )


_MARKS = str.maketrans("[]|", "   ")

PROGRAM = Program(
    "mether",
    [
        "config [--check | --json | --write-default FILE]",
        "route [--sender ADDRESS] [--client IP] [--login NAME] [--listener NAME] [--no-dns] [--json] "
        "ADDRESS...",
        "passwd [--file FILE] [--scheme SCHEME | --delete | --check] LOGIN",
        "fsck [--repair] [--json]",
        "import --from SOURCE [--dry-run] [--hold] [--force] DIR",
        "bounce [--recipient ADDRESS] [--attached] [--suppress] [--pipe | FILE...]",
        *suppress.SYNOPSIS,
    ],
    """config prints the configuration in effect, as a file that would give the same, and where each value
    came from.

    route says where mail for an address goes: which route of the configuration takes it, what aliases and
    users make of it, and for each next hop its hosts and addresses in order, what TLS is demanded there and
    which login is used. A name without a domain is at the origin of the service. The options say what is
    known of the mail; without them it is a program's of this host, with the null reverse-path.

    passwd gives a login a password, asked for on the terminal or read from the first line of stdin.

    fsck says what is wrong with the queue.  With --repair it saves what can be saved of a damaged one, and
    puts the rest into its directory "damaged".

    import takes the mail that waits in another program's queue over into ours, each message once however
    often it is run, and changes nothing there.  Stop that program before.

    bounce reads a bounce or another delivery report, on stdin or in each FILE, and prints what it says: a
    JSON object a line for each recipient.

    suppress keeps the list of addresses to which no mail is sent: list shows it, check all that is known of
    some of them, add and remove change it, and import puts there what files say: an address a line, CSV with
    a header, or JSON, as mail services export it.""",
    [
        Option("", "check", "config: print nothing unless something is wrong; passwd: is this the password?"),
        Option("", "write-default", "config: write the default configuration to a new file", value="FILE"),
        Option("", "sender", "route: mail from there; <> is the null reverse-path", value="ADDRESS"),
        Option("", "client", "route: mail from this client", value="IP"),
        Option("", "login", "route: mail of whoever logged in by that name", value="NAME"),
        Option("", "listener", "route: mail that came by this listener: its name or address", value="NAME"),
        Option("", "no-dns", "route: ask no DNS for the hosts"),
        Option("", "file", "passwd: the password file (passwords, beside the configuration)", value="FILE"),
        Option(
            "",
            "scheme",
            "passwd: argon2id (the default), or scram-sha-256",
            value="SCHEME",
            choices=("argon2id", "scram-sha-256"),
        ),
        Option("", "delete", "passwd: take the login out"),
        Option(
            "",
            "from",
            "import: whose queue DIR is: postfix, exim, nullmailer, dma or opensmtpd",
            value="SOURCE",
            choices=("postfix", "exim", "nullmailer", "dma", "opensmtpd"),
        ),
        Option("n", "dry-run", "import, suppress remove, suppress import: only say what would be done"),
        Option("", "hold", "import: hold what is imported"),
        Option("", "force", "import: though that program seems to be running"),
        Option("", "recipient", "bounce: where the bounce was sent to, which VERP reads", value="ADDRESS"),
        Option("", "attached", "bounce: read the bounces that somebody attached to a letter, too"),
        Option("", "suppress", "bounce: put on the suppression list who failed, where VERP tells so"),
        Option("", "pipe", "bounce: for aliases and routes: what is no bounce is passed over"),
        *suppress.OPTIONS,
        Option("", "repair", "fsck: set right what is wrong, while no process works the queue"),
        JSON,
    ],
    exits=(
        0,
        64,
        (
            65,
            "the password cannot be used; the queue is damaged, or something could not be saved or read; "
            "what bounce was given is no report; some of a file could not be imported",
        ),
        (66, "there is no queue, or none of that kind in DIR; there is no such FILE"),
        (
            67,
            "there is no such login; route: mail for an address is refused; suppress: an address is not on "
            "the list",
        ),
        (69, "Argon2id is not available"),
        70,
        (73, "the file to write is there already, or cannot be created"),
        (
            75,
            "a process works the queue, or the one to be imported; the disk is full, a table cannot be read",
        ),
        (77, "no permission, or a wrong password"),
        78,
    ),
    files=[
        ("/etc/mether/mether.toml", "the configuration"),
        ("~/.config/mether/mether.toml", "a user's own, where there is no other"),
        ("/etc/mether/passwords", "logins and their verifiers"),
    ],
    intermixed=True,
    narrow=_narrow,
)


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    return run("mether", _work, argv)


def _work(argv: list[str]) -> int:
    options = parse(PROGRAM, argv)
    if not options.operands:
        raise UsageError(f"expected a command: {', '.join(COMMANDS[:-1])} or {COMMANDS[-1]}")
    command, *operands = options.operands
    for name in route.OPTIONS:
        if command in COMMANDS and command != "route" and options.flag(name):
            raise UsageError(f"--{name} is for route, and not for {command}")
    for name in suppress.NAMES:
        if command in COMMANDS and command != "suppress" and options.flag(name):
            raise UsageError(f"--{name} is for suppress, and not for {command}")
    if command == "config":
        return _config(options, operands)
    if command == "route":
        return route.work(options, operands, lambda: _load(options))
    if command == "passwd":
        from mether.programs import passwd

        return passwd.work(options, operands)
    if command == "fsck":
        from mether.programs import fsck

        return fsck.work(options, operands, _load(options).queue.spool)
    if command == "import":
        from mether.programs import import_

        return import_.work(options, operands, lambda: _load(options))
    if command == "bounce":
        from mether.programs import bounce

        return bounce.work(options, operands, lambda: _load(options))
    if command == "suppress":
        return suppress.work(options, operands, lambda: _load(options))
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
        import json

        from mether.setup.struct import plain

        print(json.dumps(config, default=plain, ensure_ascii=False, separators=(",", ":")))
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
    for name in ("auth", "tls", "srs", "relay", "retry", "reports", "suppress", "dns", "log"):
        if getattr(config, name) is not None:
            yield from _table(f"[{name}]", name, getattr(config, name), config)


def _table(header: str, label: str, struct: Struct, config: Config) -> Iterator[str]:
    from mether.setup.shape import written
    from mether.setup.struct import fields

    yield ""
    yield header
    for key in fields(struct):
        value = getattr(struct, key)
        origin = config.origins.get(f"{label}.{key}", "built in")
        built_in = origin == "built in" and header in ("[[route]]", "[[table]]")
        if value is None or (built_in and (key != "timeout" or getattr(struct, "pipe", None) is None)):
            continue
        yield f"{f'{key} = {written(key, value)}':<48} # {origin}"


if __name__ == "__main__":
    sys.exit(main())
