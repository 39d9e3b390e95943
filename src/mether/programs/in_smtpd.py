"""in.smtpd: one SMTP session on descriptor 0, for inetd, systemd (Accept=yes), or a pipe."""

from __future__ import annotations

import os
import stat
import sys
import time

from mether.address import literal_ip
from mether.programs import errors
from mether.programs.options import Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.queue.message import Draft
    from mether.queue.store import Committed, Store
    from mether.server.dialogue import Dialogue
    from mether.setup.config import Config

PROGRAM = Program(
    "in.smtpd",
    ("[-C FILE] [SOURCEHOST.SOURCEPORT]",),
    """Serves the SMTP client on descriptor 0, and queues what it accepts.  SOURCEHOST is the client's address
    in hexadecimal (8 digits for IPv4, 32 for IPv6), SOURCEPORT its port in decimal, as inetd gives them;
    without them $REMOTE_ADDR and $REMOTE_PORT are used, else what the socket says. There is neither STARTTLS
    nor AUTH here: smtpd has both.

    When descriptor 0 is no socket the input is taken as batch SMTP (RFC 2442), from a trusted user.  The
    queue is worked by smtpd or runsmtpq; a running one is woken.""",
    exits=(
        (0, "the session came to its end; of a batch: all of it was taken"),
        64,
        (65, "a batch ends in the middle of a message"),
        (69, "something in a batch was refused"),
        70,
        (74, "the client was lost"),
        75,
        77,
        78,
    ),
    files=(("/etc/mether/mether.toml", "the configuration"), ("/var/spool/smtpq", "the queue")),
)


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("in.smtpd", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    if len(given.operands) > 1:
        raise UsageError(f"unexpected operand {given.operands[1]!r}")
    source = parse_source(given.operands[0]) if given.operands else None
    from mether.setup import config as config_
    from mether.setup import locate

    config = config_.load(locate.find_config(given.text("config")), spool=given.text("spool"))
    socket = stat.S_ISSOCK(os.fstat(0).st_mode)
    if source is None:
        source = _peer(socket)
    # A client that somebody names is a client, on whatever descriptors a wrapper (TLS, tcpserver) hands
    # it over.  Only a person of this host, named by nobody and with no socket, is trusted.
    local = source is None
    batch = local and not os.isatty(0)
    return session(config, "" if source is None else source[0], trusted=local, batch=batch)


def parse_source(text: str) -> tuple[str, int]:
    """The IP address and port in ``sourcehost.sourceport``.  Raises UsageError."""
    host, dot, digits = text.rpartition(".")
    try:
        raw = bytes.fromhex(host)
        if not dot or len(raw) not in (4, 16) or len(host) != 2 * len(raw):
            raise ValueError
        if not (digits.isascii() and digits.isdecimal()):
            raise ValueError
        port = int(digits)
        if port > 65535:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{text!r} is not SOURCEHOST.SOURCEPORT: 8 or 32 hexadecimal digits, a dot, a decimal port"
        ) from None
    from ipaddress import ip_address

    return str(ip_address(raw)), port


def session(
    config: Config,
    address: str,
    *,
    trusted: bool,
    batch: bool,
    program: str = "",
    store: Store | None = None,
) -> int:
    """Serve one session on descriptor 0; returns the exit status.  Raises StoreError.

    The queue is `store`, which is closed in the end; else that of the configuration.

    `trusted` input is that of this host, whose lines may end in LF; a `batch` is all there at once.  Under
    another name than ours (`program`) whoever called it reads the replies: then the status need not tell what
    was refused, and nothing is logged in between.
    """
    from mether.queue.open import open_store
    from mether.receive.budget import Budget
    from mether.receive.session import Session
    from mether.reply import Reply
    from mether.server import pipe
    from mether.server.dialogue import Dialogue
    from mether.setup import reporting, suppress, wiring
    from mether.setup.struct import replace
    from mether.smtp.server import ServerProtocol

    _log(config, quiet=program != "")
    if store is None:
        store = open_store(config.queue.spool, now=time.time())
    try:
        listen = config.listen[0]
        if trusted:
            # A program of this host: SMTP, with no TLS to begin and nobody to log in.  What a client of the
            # network is not offered it is: a queue that is exported must lose nothing on its way in.
            listen = replace(listen, role="local", require_tls=False, extensions_off=())
        reception = wiring.reception(
            config,
            listen,
            config.router(),
            Budget(config.queue.memory),
            stage=store.stage,
            commit=_committer(store),
            watch=suppress.watch(config),
            pace=reporting.pace(config),
        )
        dialogue: Dialogue

        def decided(reply: Reply) -> None:
            dialogue.resume(reply)

        decider = Session(reception, address, decided, trusted=trusted)
        protocol = ServerProtocol(
            reception.grammar,
            max_size=listen.max_size,
            batch=batch,
            lmtp=listen.role == "lmtp",
            normalize=listen.bare_newlines == "normalize",
        )
        dialogue = Dialogue(protocol, decider)
        sink = 0 if stat.S_ISSOCK(os.fstat(0).st_mode) else 1
        alive = pipe.serve(dialogue, 0, sink, timeout=listen.command_timeout, batch=trusted)
        decider.ended("" if alive else "lost connection")
        if not alive:
            return errors.IOERR
        if program:
            return _ended(dialogue, program, "input")
        return _batch_status(dialogue, decider.worst) if batch else errors.OK
    finally:
        store.close()


def _batch_status(dialogue: Dialogue, worst: int) -> int:
    """Nobody reads the replies to a batch: its status says whether all of it was taken."""
    if status := _ended(dialogue, "in.smtpd", "batch"):
        return status
    if worst >= 500:
        errors.complain("in.smtpd", "something in the batch was refused: see the replies")
        return errors.UNAVAILABLE
    if worst >= 400:
        errors.complain("in.smtpd", "something in the batch was put off: see the replies")
        return errors.TEMPFAIL
    return errors.OK


def _ended(dialogue: Dialogue, program: str, what: str) -> int:
    """The status for how the input ended."""
    if dialogue.protocol.state not in ("MAIL", "RCPT", "CONTENT"):
        return errors.OK
    errors.complain(program, f"the {what} ends in the middle of a message, which was not queued")
    return errors.DATAERR


def _committer(store: Store) -> Callable[[Draft, Callable[[Committed], None]], None]:
    """A commit that returns when the message is durable, and wakes whoever works the queue."""
    from mether.queue.store import Committed, StoreError

    def commit(draft: Draft, done: Callable[[Committed], None]) -> None:
        try:
            if not isinstance(draft.content, bytes):
                draft.content.sync()
            answer = store.commit([draft], now=time.time())[0]
            if answer.error is None:
                store.wake()
        except StoreError as error:
            answer = Committed(draft.message.ident, error=error)
        done(answer)

    return commit


def _peer(connected: bool) -> tuple[str, int] | None:
    """The client's address: from the environment (systemd, tcpserver), else from the socket.

    None when neither says that there is a client: the input is this host's own.
    """
    address, port = os.environ.get("REMOTE_ADDR", ""), os.environ.get("REMOTE_PORT", "")
    if literal_ip(f"[{address}]") or literal_ip(f"[IPv6:{address}]"):
        return address, int(port) if port.isascii() and port.isdecimal() else 0
    if not connected:
        # Somebody who means a client and cannot say which: that one is not to be trusted.
        return ("unknown", 0) if address else None
    import socket

    try:
        with socket.socket(fileno=os.dup(0)) as client:
            name = client.getpeername()
    except OSError:
        return "unknown", 0
    if isinstance(name, tuple):
        return str(name[0]).partition("%")[0].removeprefix("::ffff:"), int(name[1])
    return "", 0  # a Unix socket


def _log(config: Config, *, quiet: bool) -> None:
    """Log on stderr, or by syslog when it is to be `quiet` or the client's own connection, as under inetd."""
    from mether.setup import logs

    try:
        same = os.path.samestat(os.fstat(0), os.fstat(2))
    except OSError:
        same = True
    if quiet or (same and not os.isatty(0)):
        logs.to_syslog(config)
    else:
        logs.to_stream(config, sys.stderr)
