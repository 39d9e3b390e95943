"""``returnsmtpmail``: return messages to their senders now, and remove them from the queue.

They are named, as in 1986, or chosen by the filters of `smtpq`.  `returns` goes through them.
"""

from __future__ import annotations

import sys

from mether.programs import choice, returns
from mether.programs.errors import run
from mether.programs.options import Option, Program, UsageError, parse

PROGRAM = Program(
    "returnsmtpmail",
    ["[-n] [--json] [--reason TEXT] --all | FILTER... | ID..."],
    """Returns messages to their senders, with what was last said of each recipient as the reason, and removes
    them from the queue. Prints a line for each, a hundred at a time: what was printed is done.

    An ID is a queue id or the path of its *.sh file. Filters hold together; globs are without case. Of a
    message only the recipients that match --recipient and --next-hop are returned. Held messages are
    returned too. A message without a sender is never returned: it goes to the postmaster, is held or
    is dropped, as configured. What is being tried at this moment is left alone, and so are reports that wait
    for another hour, unless named.""",
    [
        Option("", "all", "every message"),
        *choice.OPTIONS,
        *returns.OPTIONS,
    ],
    exits=(
        0,
        64,
        (66, "there is no queue, or a message that was named is not in it"),
        70,
        (75, "a message is being tried, or the queue is not available; try again later"),
        77,
        78,
    ),
    files=[("/var/spool/smtpq", "the queue"), ("/etc/mether/mether.toml", "the configuration")],
    intermixed=True,
)


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    return run("returnsmtpmail", _work, argv)


def _work(argv: list[str]) -> int:
    import time

    options = parse(PROGRAM, argv)
    returns.check(options)
    idents = list(dict.fromkeys(choice.ident(text) for text in options.operands))
    now = time.time()
    filter = choice.filter_of(options, idents, now)
    if not options.flag("all") and not choice.narrow(filter):
        raise UsageError("expected IDs, a filter, or --all")
    if options.flag("all") and choice.narrow(filter):
        raise UsageError("--all contradicts an ID or a filter")
    wish = returns.Wish(
        "returnsmtpmail",
        filter,
        held=True,
        remark=returns.remark(options),
        json=options.flag("json"),
        aloud=True,
    )
    return returns.work(wish, options, idents, now)


if __name__ == "__main__":
    sys.exit(main())
