"""What a sendmail command line says: the options of other sendmails (see LSB 5.0, sendmail(8)).

They are read by hand: some take an argument only in the same word (``-q30m``), some have two letters
(``-oi``, ``-bs``), and those that mean nothing here are passed over.  Raises UsageError.
"""

from __future__ import annotations

from mether import address
from mether.envelope import Envelope, Recipient
from mether.programs import parameters
from mether.programs.options import Option, Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PROGRAM = Program(
    "sendmail",
    ("[-t] [-i] [-f SENDER] [-F NAME] [RECIPIENT...]", "-bs", "-bp", "-bv RECIPIENT...", "-q"),
    """Queues the message on standard input for each RECIPIENT, and has it delivered.  Date, From and
    Message-ID are added where they are missing, and an invalid Message-ID is replaced.  Input ends at a
    line of one dot, unless -i is given.

    -bm is the default; -bs speaks SMTP on standard input and output; -bp lists the queue; -q runs it; -bv
    sends nothing, and says where mail for each RECIPIENT goes, or why it is refused.
    It returns when the message is queued, which is then delivered behind its back (-odb); -odi waits for one
    try to deliver it, and -odq leaves that to the next run of the queue.
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
        Option("O", "", "smtputf8, requiretls or DeliveryMode=MODE, as above", value="NAME"),
        Option("b", "", "the mode: m, s, p or v as above; i looks at the alias files", value="MODE"),
        Option("q", "", "run the queue once", value="INTERVAL", attached=True),
    ),
    exits=(
        (0, "the message is queued; with -bs: the replies tell"),
        (64, "the arguments are wrong, or there is no recipient"),
        (65, "the message cannot be sent as it is, or with -bs ends before its end"),
        (67, "none of the recipients is known; with -bv: one is not"),
        (69, "they are refused"),
        70,
        73,
        (74, "whoever called -bs was lost"),
        (75, "the queue, or the service, is not available now; nothing was queued"),
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

MODES: Final = frozenset("mspiv")
DELIVERY: Final = "biqd"
"""When the message is delivered: behind the back, at once, with the queue (q, d)."""
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
        self.delivery = "b"
        self.config: str | None = None
        self.spool: str | None = None
        self.run_queue = False
        self.recipients: list[str] = []
        self.notify: str | None = None
        self.parameters: list[tuple[str, str]] = []
        """MAIL's, each with its value."""


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
        if value in ("d", "D"):
            raise UsageError(f"-b{value}: the service that listens is smtpd: start that")
        if value not in MODES:
            raise UsageError(f"-b{value}: this mode is not to be had; expected -bm, -bs, -bp, -bv or -bi")
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
    elif (letter == "o" and value[:1] == "d") or (letter == "O" and value[:13].lower() == "deliverymode="):
        mode = value[1:2] if letter == "o" else value[13:14]
        if mode not in DELIVERY:
            raise UsageError(f"-{letter}{value}: expected a mode of delivery: b, i or q")
        out.delivery = mode or "b"
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
