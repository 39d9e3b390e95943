"""smtpqer: the enqueuer.  Commits the message on standard input, prints its id, runs the queue."""

from __future__ import annotations

import sys
import time

from mether.programs import errors, message, parameters, queueing
from mether.programs.operands import check_helo, envelope_of
from mether.programs.options import Option, Program, UsageError, parse
from mether.queue.open import open_store
from mether.setup import locate

PROGRAM = Program(
    "smtpqer",
    ("[-h HELOHOST] [-n] [--key KEY] [--at TIME] ... TARGETHOST SENDER RECIPIENT...",),
    """Queues the message on standard input for TARGETHOST, as being from SENDER, for each RECIPIENT; prints
    its queue id once it is on stable storage; and runs the queue, or wakes the daemon that does.  TARGETHOST
    may be a list, as smtp takes it.

    The same KEY within a day gives the same id, and no second message.

    TIME is how long to wait, such as 90m or 2d, or a moment such as 2026-12-24T18:00:00Z.""",
    (
        Option("h", "", "have this name said in EHLO instead of the host's own", value="HELOHOST"),
        Option("n", "no-run", "only queue the message, and run nothing"),
        Option("", "key", "a name for this submission, to be safe against doing it twice", value="KEY"),
        Option("", "at", "deliver it then, and not before", value="TIME"),
        *parameters.OPTIONS,
    ),
    exits=(
        (0, "the message is queued"),
        (64, "the arguments are wrong"),
        (65, "the message cannot be sent as it is"),
        70,
        (75, "the queue is not available now; nothing was queued"),
        (77, "no permission for the queue"),
        78,
    ),
    files=(("/var/spool/smtpq", "the queue"),),
)

MAX_KEY = 255
MAX_HOLD = 999_999_999
"""Seconds that a message can be held for (RFC 4865 section 4.1)."""


def main(argv: list[str] | None = None) -> int:
    """The program."""
    return errors.run("smtpqer", _work, argv)


def _work(argv: list[str]) -> int:
    given = parse(PROGRAM, argv)
    target, envelope = envelope_of(given.operands)
    helo = given.text("h")
    if helo is not None:
        check_helo(helo)
    key = given.text("key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise UsageError(f"--key: expected 1 to {MAX_KEY} characters")
    parameters.put(given, envelope)
    if (at := given.text("at")) is not None:
        envelope.hold = _hold(at)
    basics = locate.basics(given.text("config"), given.text("spool"))
    pull = message.octets(0)
    read = message.read_binary if envelope.body == "BINARYMIME" else message.read

    def octets() -> bytes:
        data = pull()
        if envelope.body == "7BIT" and not data.isascii():
            parameters.check_7bit(given, eight_bit=True)
            envelope.body = "8BITMIME"
        return data

    store = open_store(basics.spool, now=time.time())
    try:
        answer = queueing.submit(
            store,
            basics,
            envelope,
            [target.route(helo or "")] * len(envelope.recipients),
            lambda spill: read(octets, spill),
            pinned=True,
            key=key,
        )
        try:
            print(answer.ident)
            sys.stdout.flush()
        except OSError as error:
            # It is queued all the same: a failure now would have the caller queue it once more.
            errors.complain("smtpqer", f"queued as {answer.ident}, which cannot be printed: {error.strerror}")
            errors.silence()
        if given.flag("no-run"):
            return 0
        woken = store.wake()
    finally:
        store.close()
    if woken:
        return 0
    from mether.programs.runsmtpq import run_once

    # The message is queued whatever becomes of the run: what fails there is no failure of ours.
    try:
        run_once(given.text("config"), given.text("spool"))
    except Exception as error:
        errors.complain("smtpqer", f"queued, but the queue was not run: {errors.status_of(error)[1]}")
    return 0


def _hold(text: str) -> str:
    """A time of delivery as an envelope's hold.  Raises UsageError."""
    from mether.setup.units import duration
    from mether.smtp.moment import parse_moment

    if parse_moment(text) is not None:
        return f"until;{text.upper()}"
    try:
        seconds = round(duration(text))
    except ValueError:
        seconds = 0
    if not 0 < seconds <= MAX_HOLD:
        raise UsageError(
            f"--at: {text!r} is neither a time to wait, such as 90m or 2d, nor a moment such as "
            "2026-12-24T18:00:00Z"
        )
    return f"for;{seconds}"
