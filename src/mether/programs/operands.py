"""What `smtp` and `smtpqer` both take: ``targethost sender recipient...``, and the name after ``-h``.

The argument vector is the envelope.  Everything in it is judged before a word is said or read; fails with
UsageError, one line.  `smtp`, where no recipient stops the others, may ask for those that are no addresses.
"""

from __future__ import annotations

from mether.address import AddressError, parse_argument
from mether.envelope import Envelope, Recipient
from mether.programs.options import UsageError
from mether.routing import target as targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.routing.target import Target, Targets


def envelope_of(
    operands: list[str], wrong: list[tuple[int, str, str]] | None = None
) -> tuple[Target | Targets, Envelope]:
    """The target and envelope of an argument vector ``targethost sender recipient...``; a targethost may
    be a list.

    With `wrong` a recipient that is no address is left out, and goes there: its place among the recipients,
    from 0, what was given, and what is wrong with that.  Without, it raises UsageError, as all else does.
    """
    if len(operands) < 3:
        missing = ("TARGETHOST", "SENDER", "RECIPIENT")[len(operands)]
        raise UsageError(f"{missing} is missing")
    try:
        target = targets.parse_list(operands[0])
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        sender = parse_argument(operands[1])
    except AddressError as error:
        raise UsageError(f"sender {operands[1]!r}: {error}") from None
    recipients = []
    for place, text in enumerate(operands[2:]):
        try:
            path = parse_argument(text)
            if path is None:
                raise AddressError("empty address")
        except AddressError as error:
            if wrong is None:
                raise UsageError(f"recipient {text!r}: {error}") from None
            wrong.append((place, text, str(error)))
            continue
        recipients.append(Recipient(path))
    utf8 = not all(one.forward_path.is_ascii for one in recipients) or not (sender is None or sender.is_ascii)
    return target, Envelope(sender, recipients, smtputf8=utf8)


def check_helo(name: str) -> None:
    """Raise UsageError unless the name can be said in EHLO."""
    if not name or not name.isprintable() or " " in name or not name.isascii():
        raise UsageError(f"-h: {name!r} is not a host name or address literal")
