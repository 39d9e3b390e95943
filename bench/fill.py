"""Fill a SQLite queue with messages that wait, as fast as the store takes them.

    python bench/fill.py SPOOL [--messages N] [--hops N] [--size OCTETS] [--due SECONDS] [--fresh]
                         [--next-hop HOST:PORT]

For million.py and idle_hops.py, which have no time to bring a million messages by SMTP.  The messages are
spread over `--hops` next hops, names under example.net that nothing resolves, or all go to `--next-hop`.
Each has been tried once and is deferred: its next attempt is due in `--due` seconds and up to an hour later,
and so is its next hop's.  With `--fresh` they were never tried.  It goes through the store's own verbs, in
transactions of 256 as the service's, each synced.
"""

from __future__ import annotations

import argparse
import time

from mether.outcome import Attempt, Outcome, Route
from mether.queue.claim import Decision, Hop, Settlement
from mether.queue.sqlite import SqliteStore
from mether.reply import Reply
from store import make

BATCH = 256
LATER = Reply(451, "4.3.0", "try again later")


def deferred(answers: list, now: float, due: float) -> list[Settlement]:  # type: ignore[type-arg]
    """The settlements of messages that were tried and are to be tried again."""
    found = []
    for number, answer in enumerate(answers):
        again = due + number * 3600 / BATCH
        for claim in answer.claims:
            outcomes = [Outcome(each.number, "delayed", LATER, at=now) for each in claim.pending]
            attempt = Attempt(claim.route, outcomes, started=now, seconds=0.01, remote_mta="mx.example.net")
            decisions = [Decision(outcome.recipient, outcome, again) for outcome in outcomes]
            found.append(Settlement(claim, decisions, attempt=attempt))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="fill a SQLite queue")
    parser.add_argument("spool")
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--hops", type=int, default=1)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--due", type=float, default=0)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--next-hop")
    options = parser.parse_args()

    now = time.time()
    store = SqliteStore(options.spool, now=now)
    routes = [Route("smtp", options.next_hop or f"mx{number}.example.net") for number in range(options.hops)]
    due = now + options.due
    settlements: list[Settlement] = []  # of the batch before: they go with the drafts of the next one
    for at in range(0, options.messages, BATCH):
        drafts = make(min(BATCH, options.messages - at), now, size=options.size, first=at)
        for number, draft in enumerate(drafts, at):
            draft.routes = [routes[number * len(routes) // options.messages]]
            draft.pinned, draft.claim, draft.due = True, not options.fresh, due
        applied = store.apply(drafts, settlements, now=now)
        assert not applied.refused
        settlements = deferred(applied.answers, now, due)
    assert not store.apply((), settlements, now=now).refused
    if not options.fresh:
        for at in range(0, len(routes), BATCH):
            hops = [
                Hop(each, failures=1, not_before=due, last=str(LATER)) for each in routes[at : at + BATCH]
            ]
            store.apply((), (), hops, now=now)
    store.close()


if __name__ == "__main__":
    main()
