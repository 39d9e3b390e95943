"""sendmail and mailq: what every Unix program already calls.

The options are those of other sendmails (see LSB 5.0, sendmail(8)).  They are read by hand: some take an
argument only in the same word (``-q30m``), some have two letters (``-oi``, ``-bs``), and those that mean
nothing here are passed over.
"""

from __future__ import annotations

import os
import sys
import time

from mether import address
from mether.envelope import Envelope, Recipient
from mether.programs import errors, message, parameters, queueing
from mether.programs.options import Option, Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.address import ReversePath
    from mether.setup.config import Config

PROGRAM = Program(
    "sendmail",
    ("[-t] [-i] [-f SENDER] [-F NAME] [RECIPIENT...]", "-bs", "-bp", "-q"),
    """Queues the message on standard input for each RECIPIENT, and has it delivered.  Date, From and
    Message-ID are added where they are missing, and an invalid Message-ID is replaced.  Input ends at a
    line of one dot, unless -i is given.

    -bm is the default; -bs speaks SMTP on standard input and output; -bp lists the queue; -q runs it.
    -O requiretls wants verified TLS of every hop (RFC 8689); -O smtputf8 says that the header holds UTF-8.
    Harmless options of other sendmails are accepted and do nothing.""",
    (
        Option("t", "", "take the recipients from To, Cc and Bcc as well, and remove Bcc"),
        Option("i", "", "a line of one dot does not end the input (also: -oi)"),
        Option(
            "f", "", "the envelope's sender; <> or empty for the null reverse-path (also: -r)", value="SENDER"
        ),
        Option("F", "", "the sender's full name, for a From that has to be added", value="NAME"),
        Option("N", "", "ask for reports: never, or some of success,failure,delay", value="NOTIFY"),
        Option("R", "", "what reports bring back: full or hdrs", value="WHAT"),
        Option("V", "", "the name that reports give this sending, in xtext", value="ENVID"),
        Option("B", "", "what the message is: 7BIT or 8BITMIME", value="TYPE"),
        Option("O", "", "smtputf8 or requiretls, as above", value="NAME"),
        Option("b", "", "the mode: m, s or p as above; i does nothing, cheerfully", value="MODE"),
        Option("q", "", "run the queue once", value="INTERVAL", attached=True),
    ),
    exits=(
        (0, "the message is queued; with -bs: the replies tell"),
        (64, "the arguments are wrong, or there is no recipient"),
        (65, "the message cannot be sent as it is, or with -bs ends before its end"),
        70,
        (74, "whoever called -bs was lost"),
        (75, "the queue is not available now; nothing was queued"),
        77,
        78,
    ),
    files=(("/var/spool/smtpq", "the queue"),),
)

MAILQ = Program(
    "mailq",
    ("",),
    "Lists the queue, as smtpq does.",
    exits=(0, 64, 70, 75, 77, 78),
)

WITH_VALUE: Final = frozenset("fFrBNRVXhLpACoObO")
"""Options that take an argument, in the same word or the next."""

ATTACHED: Final = frozenset("qdo")
"""Options whose argument can only be in the same word."""

IGNORED: Final = frozenset("GUnmvXhLpA")
"""Options that other sendmails know and that change nothing here."""

MODES: Final = frozenset("mspi")
_PARAMETERS: Final = {"R": "RET", "V": "ENVID", "B": "BODY"}
_NAMED: Final = frozenset(("SMTPUTF8", "REQUIRETLS"))
"""What -O can ask for of the envelope."""


class Arguments:
    """What a sendmail command line says."""

    def __init__(self) -> None:
        self.mode = "m"
        self.dot_ends = True
        self.from_header = False
        self.sender: str | None = None
        self.full_name = ""
        self.config: str | None = None
        self.spool: str | None = None
        self.run_queue = False
        self.recipients: list[str] = []
        self.notify: str | None = None
        self.parameters: list[tuple[str, str]] = []
        """MAIL's, each with its value."""


def main(argv: list[str] | None = None) -> int:
    """sendmail."""
    return errors.run("sendmail", _work, argv)


def mailq(argv: list[str] | None = None) -> int:
    """mailq."""
    return errors.run("mailq", _mailq, argv)


def arguments(argv: list[str]) -> Arguments:
    """Read a sendmail command line.  Raises UsageError, or Say for --help and --version."""
    out = Arguments()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            out.recipients += words
            break
        if word.startswith("--"):
            _long(out, word, words)
        elif word.startswith("-") and word != "-":
            _short(out, word[1:], words)
        else:
            out.recipients.append(word)
    return out


def _long(out: Arguments, word: str, words: list[str]) -> None:
    name, equals, value = word.partition("=")
    if name in ("--config", "--spool"):
        if not equals:
            if not words:
                raise UsageError(f"{name} needs an argument")
            value = words.pop(0)
        if not value:
            raise UsageError(f"{name}: an empty name")
        if name == "--config":
            out.config = value
        else:
            out.spool = value
    elif name != "--no-sysexits":
        parse(PROGRAM, [word])  # says what is wrong, or helps
        raise UsageError(f"unknown option {word}")


def _short(out: Arguments, rest: str, words: list[str]) -> None:
    while rest:
        letter, rest = rest[0], rest[1:]
        if letter in ATTACHED:
            _flag(out, letter, rest)
            return
        if letter in WITH_VALUE:
            if not rest:
                if not words:
                    raise UsageError(f"-{letter} needs an argument")
                rest = words.pop(0)
            _flag(out, letter, rest)
            return
        _flag(out, letter, "")


def _flag(out: Arguments, letter: str, value: str) -> None:
    if letter == "b":
        if value not in MODES:
            raise UsageError(f"-b{value}: this mode is not to be had; expected -bm, -bs, -bp or -bi")
        out.mode = value
    elif letter == "C":
        if not value:
            raise UsageError("-C: an empty name")
        out.config = value
    elif letter in ("f", "r"):
        out.sender = value
    elif letter == "F":
        out.full_name = value
    elif letter == "i" or (letter == "o" and value == "i"):
        out.dot_ends = False
    elif letter == "o" and value.startswith("f") and len(value) > 1:
        out.sender = value[1:]
    elif letter == "t" or (letter == "o" and value == "t"):
        out.from_header = True
    elif letter == "I":
        out.mode = "i"
    elif letter == "q":
        out.run_queue = True
    elif letter in "NRVB" or (letter == "O" and value.upper() in _NAMED):
        _parameter(out, letter, value)
    elif letter not in IGNORED and letter not in "odO":
        raise UsageError(f"unknown option -{letter}")


def _parameter(out: Arguments, letter: str, value: str) -> None:
    """Take what is for the envelope; it is judged here, before anything is read."""
    tried = Envelope(None, [Recipient(address.Address("x", ""))])
    if letter == "N":
        parameters.recipients(tried, value, "-N")
        out.notify = value
        return
    name, value = (value.upper(), "") if letter == "O" else (_PARAMETERS[letter], value)
    parameters.envelope(tried, name, value, f"-{letter}")
    if tried.body == "BINARYMIME":
        raise UsageError("-B: sendmail reads lines; expected 7BIT or 8BITMIME")
    out.parameters.append((name, value))


def _mailq(argv: list[str]) -> int:
    from mether.programs import smtpq

    given = parse(MAILQ, argv)
    return smtpq.print_queue(given.text("config"), given.text("spool"))


def _work(argv: list[str]) -> int:
    given = arguments(argv)
    if given.mode == "i":
        return 0  # newaliases: there is no database of aliases to rebuild
    if given.mode == "p":
        from mether.programs import smtpq

        return smtpq.print_queue(given.config, given.spool)
    if given.run_queue:
        from mether.programs import runsmtpq

        return runsmtpq.main(_queue_arguments(given))
    from mether.setup import config as config_
    from mether.setup import locate

    config = config_.load(locate.find_config(given.config), spool=given.spool)
    if given.mode == "s":
        from mether.programs import in_smtpd

        return in_smtpd.session(config, "", trusted=True, batch=not os.isatty(0), program="sendmail")
    return _submit(config, given)


def _queue_arguments(given: Arguments) -> list[str]:
    out = []
    if given.config is not None:
        out += ["-C", given.config]
    if given.spool is not None:
        out += ["--spool", given.spool]
    return out


def _submit(config: Config, given: Arguments) -> int:
    from mether.content import header
    from mether.programs import submission
    from mether.queue.open import open_store
    from mether.queue.store import StoreError
    from mether.setup import locate

    user = _user()
    sender = _sender(given.sender, user, config.service.hostname)
    pull = message.octets(0)
    if given.dot_ends:
        pull = _until_dot(pull)
    content = message.read(pull, message.Scratch)
    head = content if isinstance(content, bytes) else content.content().read(submission.MAX_HEADER)
    section = head[: header.split(head)]
    recipients = [_recipient(text, config.service.hostname) for text in given.recipients]
    if given.from_header:
        try:
            named = submission.recipients(section)
        except ValueError as error:
            raise errors.Failure(errors.DATAERR, str(error)) from None
        recipients += [_recipient(text, config.service.hostname) for text in named]
    if not recipients:
        raise UsageError("no recipients: name some, or use -t and give To, Cc or Bcc in the message")
    unique = list(dict.fromkeys(recipients))
    now = time.time()
    fixed = submission.complete(
        section,
        sender=sender,
        full_name=given.full_name,
        user=user,
        hostname=config.service.hostname,
        ident=queueing.new_id(now),
        at=now,
        offset=time.localtime(now).tm_gmtoff,
        drop_bcc=given.from_header,
    )
    envelope = Envelope(
        sender,
        [Recipient(path) for path in unique],
        smtputf8=not all(path.is_ascii for path in unique) or not (sender is None or sender.is_ascii),
    )
    for name, value in given.parameters:
        parameters.envelope(envelope, name, value, name)
    if given.notify is not None:
        parameters.recipients(envelope, given.notify, "-N")
    if message.content(content)[1]:
        envelope.body = "8BITMIME"  # whatever -B said: nobody can send it as anything else
    from mether.routing.request import Request

    router = config.router()
    basics = locate.Basics(
        config.path,
        config.service.hostname,
        config.service.postmaster,
        config.queue.spool,
        config.retry.expire,
        config.retry.warn,
    )
    try:
        store = open_store(config.queue.spool, now=now)
    except StoreError as error:
        raise errors.Failure(
            errors.TEMPFAIL, str(error)
        ) from None  # whoever called keeps the message, and comes again
    try:

        def read(spill: Callable[[], object]) -> object:
            return submission.replace_header(content, len(section), fixed, spill)  # type: ignore[arg-type]

        queueing.submit(
            store,
            basics,
            envelope,
            [router.route(Request(path, sender=envelope.reverse_path)) for path in unique],
            read,  # type: ignore[arg-type]
            pinned=False,
        )
        woken = store.wake()
    finally:
        store.close()
    if not woken:
        _run_behind(given)
    return 0


def _run_behind(given: Arguments) -> None:
    """Have the queue run by a process of its own: whoever calls sendmail does not wait for delivery."""
    import subprocess

    command = [sys.executable, "-m", "mether.programs.runsmtpq", *_queue_arguments(given)]
    try:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        pass  # it is queued; the next run of the queue takes it


def _user() -> tuple[str, str]:
    """The login and full name of whoever runs this."""
    import pwd

    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return f"uid{os.getuid()}", ""
    return entry.pw_name, entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())


def _sender(text: str | None, user: tuple[str, str], hostname: str) -> ReversePath:
    if text is None:
        return address.Address(address.quote(user[0]), hostname)
    if text in ("", "<>"):
        return None
    return _recipient(text, hostname)


def _recipient(text: str, hostname: str) -> address.Address:
    """An address; one without a domain is at this host.  Raises UsageError."""
    text = text.strip()
    try:
        if "@" not in text and text:
            return address.Address(address.quote(address.unquote(text)), hostname)
        path = address.parse_argument(text)
    except address.AddressError as error:
        raise UsageError(f"address {text!r}: {error}") from None
    if path is None:
        raise UsageError("an empty address")
    return path


def _until_dot(pull: Callable[[], bytes]) -> Callable[[], bytes]:
    """Ends the input at a line of one dot."""
    held = b"\n"
    ended = False

    def next_octets() -> bytes:
        nonlocal held, ended
        while not ended:
            data = pull()
            ended = not data
            text = held + data
            for mark in (b"\n.\n", b"\n.\r\n"):
                at = text.find(mark)
                if at >= 0:
                    ended = True
                    text = text[: at + 1]
            if ended and not data and text.endswith((b"\n.", b"\n.\r")):
                text = text[: text.rindex(b"\n") + 1]
            # What is given out leaves a few octets behind, in case the mark is cut in two.
            keep = 0 if ended else min(len(text) - 1, 3)
            out, held = text[1 : len(text) - keep], text[len(text) - keep - 1 :]
            if out:
                return out
        return b""

    return next_octets


if __name__ == "__main__":
    sys.exit(main())
