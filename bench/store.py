"""CPU time of the SQLite queue on the straight-through path: commit (claimed) and settle, 4 KiB messages.

    python bench/store.py [DIRECTORY] [--profile]

Prints CPU microseconds a message and messages a second of wall time, for batches of 8 and 32, with and
without a busy thread beside it.  DIRECTORY should lie on a disk (default: the current directory).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time

from mether.address import Address
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue import ident
from mether.queue.claim import Decision, Settlement
from mether.queue.message import Arrival, Draft, Message
from mether.queue.sqlite import SqliteStore
from mether.reply import Reply

ROUTE = Route("smtp", "mx.example.net")
OK = Reply(250, "2.0.0", "Ok: queued as 12345")
TRACE = b"Received: from client.example (client.example [192.0.2.1])\r\n\tby mx with ESMTP id X\r\n"


def make(count: int, start: float, *, size: int = 4096, first: int = 0) -> list[Draft]:
    """Drafts for one next hop, to be claimed; `first` numbers them where there were others before."""
    drafts = []
    for number in range(first, first + count):
        recipient = Recipient(Address(f"user{number}", "example.net"))
        envelope = Envelope(Address("sender", "example.com"), [recipient], body="8BITMIME", size=size)
        # Microseconds are in an id: no two of these are alike.
        name = ident.new_id(start + number * 1e-5, number % 4096)
        message = Message(
            name,
            envelope,
            Arrival(start, "ESMTP", address="192.0.2.1", host="client.example", helo="client.example"),
            trace=TRACE,
            size=size + len(TRACE),
            expires=start + 432000,
            warn_at=start + 14400,
        )
        drafts.append(Draft(message, b"x" * size, [ROUTE], due=start, claim=True))
    return drafts


def run(directory: str, batch: int, count: int, busy: bool) -> None:
    spool = tempfile.mkdtemp(dir=directory)
    now = time.time()
    store = SqliteStore(spool, now=now)
    drafts = make(count, now)
    stop = threading.Event()
    if busy:
        threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)], daemon=True).start()
    commit = settle = 0.0
    clock = time.thread_time
    begun = time.perf_counter()
    for at in range(0, count, batch):
        one = clock()
        answers = store.apply(drafts[at : at + batch], now=now).answers
        two = clock()
        settlements = []
        for answer in answers:
            for claim in answer.claims:
                outcomes = [Outcome(each.number, "relayed", OK, at=now) for each in claim.pending]
                attempt = Attempt(ROUTE, outcomes, started=now, seconds=0.01, remote_mta="mx.example.net")
                settlements.append(Settlement(claim, [Decision(0, outcomes[0], None)], attempt=attempt))
        three = clock()
        assert not store.apply((), settlements, now=now).refused
        settle += clock() - three
        commit += two - one
    wall = time.perf_counter() - begun
    stop.set()
    store.close()
    shutil.rmtree(spool)
    beside = " beside a busy thread" if busy else ""
    print(
        f"batch {batch:3}{beside:21}: commit {commit / count * 1e6:6.1f} us, "
        f"settle {settle / count * 1e6:6.1f} us, {count / wall:8.0f} messages/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", default=".")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    if args.profile:
        import cProfile

        cProfile.runctx("run(args.directory, 32, 6400, False)", globals(), locals(), sort="tottime")
        return
    sys.setswitchinterval(0.0001)
    for busy in (False, True):
        for batch in (1, 8, 32):
            run(args.directory, batch, max(400, batch * 100), busy)


if __name__ == "__main__":
    main()
