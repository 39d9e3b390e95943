"""``cleansmtpq``: return to their senders what has been queued too long, and remove it.

"Too long" is three days, as in 1986, or what ``-d`` says; the age at which the service itself gives up is
``retry.expire``, and is another matter.  A message whose sender asked for a later delivery (RFC 4865) counts
its days from its release, as its lifetime does.
"""

from __future__ import annotations

import sys

from mether.programs import choice, returns
from mether.programs.errors import run
from mether.programs.options import Option, Program, UsageError, parse

DAYS = 3.0

PROGRAM = Program(
    "cleansmtpq",
    ["[-d DAYS | --older TIME] [-n] [--json] [--reason TEXT] [FILTER...]"],
    """Returns to its sender what has been queued for more than three days, with what was last said of each
    recipient as the reason, and removes it from the queue. Prints a line for each message, a hundred at a
    time: what was printed is done. The days of a message whose sender asked for a later delivery begin then.

    Filters hold together; globs are without case. Of a message only the recipients that match --recipient
    and --next-hop are returned. Held messages are left alone but with --status held, and so is what is being
    tried at this moment. A message without a sender is never returned: it goes to the postmaster, is held
    or is dropped, as configured; reports that wait for another hour are left alone.""",
    [
        Option("d", "days", "return what is older than this, such as 5 or 0.5", value="DAYS"),
        *choice.OPTIONS,
        *returns.OPTIONS,
    ],
    exits=(
        0,
        64,
        (66, "there is no queue"),
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

    options = parse(PROGRAM, argv)
    if options.operands:
        raise UsageError(
            f"unexpected operand {options.operands[0][:80]!r}; returnsmtpmail returns single messages"
        )
    returns.check(options)
    days = options.number("days", whole=False)
    if days is not None and options.flag("older"):
        raise UsageError("--days and --older exclude each other")
    now = time.time()
    filter = choice.filter_of(options, [], now)
    if filter.before is None:
        filter.before = now - (DAYS if days is None else days) * 86400
    wish = returns.Wish(
        "cleansmtpq",
        filter,
        held=filter.status == "held",
        remark=returns.remark(options),
        released=filter.before,
        json=options.flag("json"),
    )
    return returns.work(wish, options, [], now)


if __name__ == "__main__":
    sys.exit(main())
