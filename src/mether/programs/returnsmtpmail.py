"""``returnsmtpmail``: return the named messages to their senders now, and remove them from the queue.

Each message is claimed first, as an attempt would, so what another process is trying is left alone and
told.  `give_back` is shared with `cleansmtpq`.
"""

from __future__ import annotations

import sys

from mether.programs.errors import NOINPUT, TEMPFAIL, complain, run
from mether.programs.options import Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from mether.queue.store import Store
    from mether.runner.notify import Reporter
    from mether.runner.returning import Returned

BATCH = 100
"""Claims taken and settled in one transaction."""

LEASE = 600.0
"""Seconds that a batch may take before its claims are another's."""

PROGRAM = Program(
    "returnsmtpmail",
    ["ID..."],
    """Returns the named messages to their senders, with what was last said of each recipient as the reason,
    and removes them from the queue.

    An ID is a queue id or the path of its *.sh file. Held messages are returned too. A message without a
    sender is never returned: it goes to the postmaster or is dropped, as configured. What is being tried
    at this moment is left alone.""",
    exits=(
        0,
        64,
        (66, "a message that was named is not queued"),
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

    from mether.programs.choice import ident, missing

    options = parse(PROGRAM, argv)
    idents = list(dict.fromkeys(ident(text) for text in options.operands))
    if not idents:
        raise UsageError("expected the ids of messages to return")

    store, reporter = open_both(options.text("config"), options.text("spool"), time.time())
    try:
        unknown = missing(store, idents)
        queued = [each for each in idents if each not in unknown]
        busy = give_back(store, reporter, queued, held=True)
    finally:
        store.close()
    for each in busy:
        complain("returnsmtpmail", f"{each}: it is being tried at this moment, and was not returned")
    for each in unknown:
        complain("returnsmtpmail", f"{each}: not in the queue")
    return NOINPUT if unknown else TEMPFAIL if busy else 0


def open_both(config: str | None, spool: str | None, now: float) -> tuple[Store, Reporter]:
    """The queue, and who writes reports.  Raises ConfigError and StoreError."""
    from mether.queue.open import open_store
    from mether.setup import wiring
    from mether.setup.config import load
    from mether.setup.locate import find_config

    loaded = load(find_config(config), spool=spool)
    reporter = wiring.reporter(loaded, loaded.router())
    return open_store(loaded.queue.spool, now=now, create=False), reporter


def give_back(store: Store, reporter: Reporter, idents: Iterable[str], *, held: bool) -> list[str]:
    """Return these queued messages and print a line for each; the ids of those that are being tried.

    With `held`, held messages too.  Wakes a running daemon to send the reports.  Raises StoreError.
    """
    import time

    from mether.queue.store import Select
    from mether.runner import returning

    left, busy, reports = list(idents), [], 0
    while left:
        batch, left = left[:BATCH], left[BATCH:]
        now = time.time()
        store.renew(now + LEASE, now)
        done: dict[str, list[Returned]] = {}
        select = Select(idents=frozenset(batch), regardless=True, held=held, unreleased=True)
        while claims := store.claim(BATCH, now, select):
            for answer in returning.give_back(store, claims, reporter, now):
                if not answer.refused:
                    done.setdefault(answer.ident, []).append(answer)
        for ident in batch:
            if ident in done:
                print(line(done[ident]))
                reports += sum(len(answer.reports) for answer in done[ident])
            else:
                busy.append(ident)
    if reports:
        store.wake()
    return busy


def line(answers: list[Returned]) -> str:
    """What became of one message, for a person."""
    from mether.programs.listing import clean

    ident, sender = answers[0].ident, answers[0].reverse_path
    reports = [report for answer in answers for report in answer.reports]
    if reports and sender is not None:
        return clean(f"{ident} returned to <{sender}> in {' '.join(reports)}")
    if reports:
        return f"{ident} had no sender; shown to the postmaster in {' '.join(reports)}"
    return f"{ident} removed; nobody is to be told"


if __name__ == "__main__":
    sys.exit(main())
