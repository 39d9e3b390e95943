"""``mether bounce``: what a bounce says, in JSON.

It reads a message on stdin, or one in each FILE, and prints an object a line for each recipient that it tells
of: ``recipient``, ``action``, ``status``, ``class``, ``diagnostic``, ``message_id`` and what else is known,
null where nothing is (`content.bounce`).  Of many reports in one message all are read, and with
``--attached`` also those that somebody attached to a letter (`content.bounce_merged`).  The status is 0 when
every message was a report, 65 when one was none, and 66 when there is no such FILE, without which the others
are read; the lines on stderr say which.  Beyond its first mebibyte a report is not looked at, and beyond 4
not many in one message.

With ``--pipe``, as an alias or a route runs it, nothing comes back because of what is in a message, nor
because of a mistake in the configuration: what is no report is passed over (0), and every trouble of ours is
temporary (75), so that the mail waits.  With ``--suppress`` who has failed for good is put on the suppression
list (`programs.bounce_suppress`); on standard input that is such a run, with --pipe or without.
"""

from __future__ import annotations

import sys
from itertools import chain

from mether.programs.errors import CONFIG, DATAERR, NOINPUT, NOPERM, TEMPFAIL, Failure, complain, status_of
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from mether.content.bounce import Bounce
    from mether.programs.options import Parsed
    from mether.setup.config import Config


def work(options: Parsed, operands: list[str], load: Callable[[], Config]) -> int:
    """Do what the arguments after ``bounce`` say; returns the exit status."""
    pipe = options.flag("pipe")
    if pipe and operands:
        raise UsageError(f"bounce --pipe reads standard input; {operands[0]!r} is one too many")
    if not pipe and not (options.flag("suppress") and not operands):
        return _work(options, operands, load, pipe=False)
    try:
        return _work(options, operands, load, pipe=True)
    except Exception as error:
        status, words = status_of(error)
        if status not in (NOPERM, CONFIG):
            raise
        raise Failure(TEMPFAIL, words) from None


def _work(options: Parsed, operands: list[str], load: Callable[[], Config], *, pipe: bool) -> int:
    from mether.address import AddressError, parse_argument
    from mether.content import bounce_merged

    recipient = options.text("recipient")
    if recipient is not None:
        try:
            recipient = str(parse_argument(recipient) or "")
        except AddressError as error:
            raise UsageError(f"--recipient {recipient}: {error}") from None
    status = 0
    attached = options.flag("attached")
    remember = None
    if options.flag("suppress"):
        from mether.programs import bounce_suppress

        remember = bounce_suppress.remembering(recipient, load)
    for name in operands or ["-"]:
        try:
            message = _read(name, bounce_merged.MAX_SIZE)
        except OSError as error:
            if name == "-":
                raise
            complain("mether", f"{name}: {error.strerror}")
            status = max(status, NOINPUT if not isinstance(error, PermissionError) else NOPERM)
            continue
        found = bounce_merged.read(message, recipient or "", attached=attached)
        if not found:
            complain("mether", f"{'standard input' if name == '-' else name}: no bounce, nor another report")
            status = max(status, 0 if pipe else DATAERR)
            continue
        _print(name, found)
        if remember is not None:
            remember(found)
    return status


def _print(name: str, found: Iterable[Bounce]) -> None:
    import json

    for facts in chain.from_iterable(map(rows, found)):
        if name != "-":
            facts = {"file": name, **facts}
        sys.stdout.write(json.dumps(facts) + "\n")


def rows(found: Bounce) -> Iterator[dict[str, str | None]]:
    """What is printed of a bounce, a row for each recipient."""
    for one in found.recipients:
        yield {
            "recipient": one.recipient,
            "original_recipient": one.original or None,
            "action": one.action,
            "status": one.status or None,
            "class": None if one.action in ("delivered", "relayed", "expanded") else str(one.kind),
            "diagnostic": one.diagnostic or None,
            "remote_mta": one.remote or None,
            "reporting_mta": found.reporting_mta or None,
            "date": found.date or None,
            "message_id": found.message_id or None,
            "subject": found.subject or None,
            "envid": found.envid or None,
            "queue_id": found.queue_id or None,
            "sent_to": found.sent_to or None,
        }


def _read(name: str, size: int) -> bytes:
    if name == "-":
        return _message(sys.stdin.buffer, size)
    with open(name, "rb") as file:
        return file.read(size)


def _message(file: BinaryIO, size: int) -> bytes:
    """The beginning of a message; the rest is read as well, so that whoever writes it is not cut off."""
    data = file.read(size)
    while file.read(64 * 1024):
        pass
    return data
