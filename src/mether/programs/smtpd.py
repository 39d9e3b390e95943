"""smtpd: the listener, with the runner inside."""

from __future__ import annotations

from mether.programs import errors
from mether.programs.options import Option, Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.setup.config import Config
    from mether.setup.listen import Listen

PROGRAM = Program(
    "smtpd",
    ("[-C FILE] [-l ADDRESS:PORT]... [--workers N] [--no-runner]",),
    """Listens for SMTP and LMTP, queues what it accepts, and works the queue: mail for local domains goes to
    Maildirs, to programs or over LMTP, all else to its next hop.  250 is said only when the message is on
    stable storage.

    It stays in the foreground and logs on stderr.  SIGTERM ends it in good order: sessions get 421, what is
    in hand is finished, what was accepted stays queued.  SIGHUP has it read its configuration again.""",
    (
        Option(
            "l",
            "listen",
            "listen here instead of where the configuration says",
            value="ADDRESS:PORT",
            many=True,
        ),
        Option(
            "",
            "workers",
            "so many processes receive and deliver, instead of what the configuration says",
            value="N",
        ),
        Option("", "no-runner", "only accept mail; runsmtpq --daemon works the queue"),
    ),
    exits=(0, 64, (69, "an address cannot be listened on"), 70, 71, 75, 77, 78),
    files=(("/etc/mether/mether.toml", "the configuration"), ("/var/spool/smtpq", "the queue")),
)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("smtpd", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    if given.operands:
        raise UsageError(f"unexpected operand {given.operands[0]!r}; addresses to listen on go with -l")
    import signal

    # Until it can, it must not end for being asked to read its configuration again.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from mether.setup import check, descriptors, locate, places, privileges, service, systemd
    from mether.setup import config as config_
    from mether.setup.locate import ConfigError
    from mether.setup.struct import replace

    count = _workers(given.text("workers"))
    addresses = given.all("listen")

    def load() -> Config:
        config = config_.load(locate.find_config(given.text("config")), spool=given.text("spool"))
        if count is not None:
            changed = replace(config.service, workers=count)
            config = replace(config, service=changed)
        if addresses:
            config = replace(config, listen=_listen(config.listen[0], addresses))
        return config

    config = load()
    descriptors.lift()
    with_runner = not given.flag("no-runner")
    notifier = systemd.taken()
    if config.service.workers == 1:
        opened = places.opened(config.listen, {}, 1) if config.service.user is not None else None
        helper = privileges.leave(config, opened)
        return service.run(
            service.serve(
                config, with_runner=with_runner, load=load, notifier=notifier, opened=opened, helper=helper
            )
        )
    if why := check.workers(config):
        raise (UsageError(f"--workers: {why}") if count is not None else ConfigError(why))
    from mether.setup.parent import Parent

    came = Parent(config, load=load, notifier=notifier).run()
    if isinstance(came, int):
        return came
    return service.run(service.serve(came.config, with_runner=with_runner, child=came, helper=came.helper))


def _workers(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 256):
        raise UsageError(f"--workers: expected a number from 1 to 256, not {text[:80]!r}")
    return int(text)


def _listen(pattern: Listen, addresses: list[str]) -> tuple[Listen, ...]:
    from mether.setup import endpoint
    from mether.setup.struct import replace

    try:
        return tuple(
            replace(pattern, address=endpoint.written(*endpoint.parse_listen(one))) for one in addresses
        )
    except ValueError as error:
        raise UsageError(f"-l: {error}") from None
