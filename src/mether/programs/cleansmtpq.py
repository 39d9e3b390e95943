"""``cleansmtpq``: return to their senders what has been queued too long, and remove it.

"Too long" is three days, as in 1986, or what ``-d`` says; the age at which the service itself gives up is
``retry.expire``, and is another matter.  A message whose sender asked for a later delivery (RFC 4865) counts
its days from its release, as its lifetime does.
"""

from __future__ import annotations

import sys

from mether.programs.errors import TEMPFAIL, complain, run
from mether.programs.options import Option, Program, UsageError, parse

DAYS = 3.0

PROGRAM = Program(
    "cleansmtpq",
    ["[-d DAYS] [-n]"],
    """Returns to its sender what has been queued for more than three days, with what was last said of each
    recipient as the reason, and removes it from the queue. Prints a line for each message.
    The days of a message whose sender asked for a later delivery begin then.

    Held messages are left alone, and so is what is being tried at this moment. A message without a sender
    is never returned: it goes to the postmaster or is dropped, as configured.""",
    [
        Option("d", "days", "return what is older than this, such as 5 or 0.5", value="DAYS"),
        Option("n", "dry-run", "only say what would be returned"),
    ],
    exits=(
        0,
        64,
        70,
        (75, "something is being tried, or the queue is not available; try again later"),
        77,
        78,
    ),
    files=[("/var/spool/smtpq", "the queue"), ("/etc/mether/mether.toml", "the configuration")],
)


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    return run("cleansmtpq", _work, argv)


def _work(argv: list[str]) -> int:
    import time

    from mether.programs.choice import pages
    from mether.programs.listing import clean, stamp
    from mether.programs.returnsmtpmail import give_back, open_both
    from mether.queue.store import Filter

    options = parse(PROGRAM, argv)
    if options.operands:
        raise UsageError(
            f"unexpected operand {options.operands[0]!r}; returnsmtpmail returns single messages"
        )
    days = options.number("days", whole=False)
    now = time.time()
    before = now - (DAYS if days is None else days) * 86400
    old = Filter(before=before)
    store, reporter = open_both(options.text("config"), options.text("spool"), now)
    busy: list[str] = []
    try:
        entries = (
            entry
            for entry in pages(store, old)
            if entry.status != "held" and entry.message.release_at < before
        )
        if options.flag("dry-run"):
            for entry in entries:
                sender = entry.message.envelope.reverse_path
                to = f"to <{sender}>" if sender is not None else "to nobody: it has no sender"
                at = stamp(entry.message.arrival.at)
                print(clean(f"{entry.message.ident} of {at} would be returned {to}"))
            return 0
        # All ids first: what is returned adds reports to the queue that is being read.
        idents = [entry.message.ident for entry in entries]
        busy = give_back(store, reporter, idents, held=False)
    finally:
        store.close()
    for each in busy:
        complain("cleansmtpq", f"{each}: it is being tried at this moment, and was not returned")
    return TEMPFAIL if busy else 0


if __name__ == "__main__":
    sys.exit(main())
