"""``mether bounce``: what a bounce says, in JSON.

It reads a message on stdin, or one in each FILE, and prints an object a line for each recipient that it
tells of: ``recipient``, ``action``, ``status``, ``class``, ``diagnostic``, ``message_id`` and what else is
known, null where nothing is (`content.bounce`).  Of many reports in one message all are read, and with
``--attached`` also those that somebody attached to a letter (`content.bounce_merged`).  The status is 0 when
every message was a report, and 65 when one was none; the line on stderr says which.  Beyond its first
mebibyte a report is not looked at, and beyond 4 not many in one message.

With ``--suppress`` who has failed for good is put on the suppression list (`programs.bounce_suppress`).
"""

from __future__ import annotations

import sys
from itertools import chain

from mether.programs.errors import DATAERR, complain
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from mether.content.bounce import Bounce
    from mether.programs.options import Parsed
    from mether.setup.config import Config


def work(options: Parsed, operands: list[str], load: Callable[[], Config]) -> int:
    """Do what the arguments after ``bounce`` say; returns the exit status."""
    import json

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
        if name == "-":
            message = _message(sys.stdin.buffer, bounce_merged.MAX_SIZE)
        else:
            with open(name, "rb") as file:
                message = file.read(bounce_merged.MAX_SIZE)
        found = bounce_merged.read(message, recipient or "", attached=attached)
        if not found:
            complain("mether", f"{'standard input' if name == '-' else name}: no bounce, nor another report")
            status = DATAERR
            continue
        for facts in chain.from_iterable(map(rows, found)):
            if name != "-":
                facts = {"file": name, **facts}
            sys.stdout.write(json.dumps(facts) + "\n")
        if remember is not None:
            remember(found)
    return status


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
            "message_id": found.message_id or None,
            "envid": found.envid or None,
            "queue_id": found.queue_id or None,
        }


def _message(file: BinaryIO, size: int) -> bytes:
    """The beginning of a message; the rest is read as well, so that whoever writes it is not cut off."""
    data = file.read(size)
    while file.read(64 * 1024):
        pass
    return data
