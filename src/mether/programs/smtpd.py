"""smtpd: the listener, with the runner inside."""

from __future__ import annotations

from mether.programs import errors
from mether.programs.options import Option, Program, UsageError, parse

PROGRAM = Program(
    "smtpd",
    ("[-C FILE] [-l ADDRESS:PORT]... [--no-runner]",),
    """Listens for SMTP and LMTP, queues what it accepts, and works the queue: mail for local domains goes to
    Maildirs, to programs or over LMTP, all else to its next hop.  250 is said only when the message is on
    stable storage.

    It stays in the foreground and logs on stderr.  SIGTERM ends it in good order: sessions get 421, what is
    in hand is finished, what was accepted stays queued.""",
    (
        Option(
            "l",
            "listen",
            "listen here instead of where the configuration says",
            value="ADDRESS:PORT",
            many=True,
        ),
        Option("", "no-runner", "only accept mail; runsmtpq --daemon works the queue"),
    ),
    exits=(0, 64, (69, "an address cannot be listened on"), 70, 75, 77, 78),
    files=(("/etc/mether/mether.toml", "the configuration"), ("/var/spool/smtpq", "the queue")),
)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("smtpd", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    if given.operands:
        raise UsageError(f"unexpected operand {given.operands[0]!r}; addresses to listen on go with -l")
    import msgspec

    from mether.setup import config as config_
    from mether.setup import endpoint, locate, service

    config = config_.load(locate.find_config(given.text("config")), spool=given.text("spool"))
    addresses = given.all("listen")
    if addresses:
        pattern = config.listen[0]
        try:
            listen = tuple(
                msgspec.structs.replace(pattern, address=endpoint.written(*endpoint.parse_listen(one)))
                for one in addresses
            )
        except ValueError as error:
            raise UsageError(f"-l: {error}") from None
        config = msgspec.structs.replace(config, listen=listen)
    return service.run(
        service.serve(config, with_runner=not given.flag("no-runner"), ready=lambda addresses: None)
    )
