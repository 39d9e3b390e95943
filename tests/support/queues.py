"""Queues with something in them: messages that are queued and tried in vain, in real time."""

import time

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.queue.claim import Decision, Hop, Settlement
from mether.queue.ident import new_id
from mether.queue.message import Arrival, Draft, Message
from mether.queue.open import open_store
from mether.reply import Reply

NOW = time.time()
"""The present: in a test, when that began (see tests/programs/conftest.py)."""

BUSY = Reply(451, "4.2.0", "mailbox busy")

_count = iter(range(10_000))


def put(
    store,
    *recipients,
    sender="ann@example.org",
    content=b"Subject: hi\r\n\r\n.dot\r\n",
    age=0.0,
    notify=None,
    release_at=0.0,
    **envelope,
):
    """Queue a message; its id."""
    at = NOW - age
    ident = new_id(at + next(_count) / 1000, 1)
    paths = [Recipient(parse(each, utf8=True), notify=notify) for each in recipients or ("bob@example.net",)]
    trace = b"Received: by mx.test; now\r\n"
    message = Message(
        ident,
        Envelope(parse(sender, utf8=True) if sender else None, paths, **envelope),
        Arrival(at, "ESMTP", address="192.0.2.1", host="c.test", helo="c.test"),
        trace=trace,
        size=len(trace) + len(content),
        expires=max(at, release_at) + 5 * 86400,
        release_at=release_at,
    )
    routes = [Route("smtp", each.forward_path.domain) for each in paths]
    (answer,) = store.commit([Draft(message, content, routes, due=at)], now=at)
    assert answer.error is None
    return ident


def defer(url, reply=BUSY, failures=0, transcript=""):
    """Try everything that is due once, in vain, as another process would."""
    store = open_store(url, now=NOW)
    settlements, hops = [], []
    for claim in store.claim(100, NOW):
        outcomes = [
            Outcome(each.number, "delayed", reply, remote_mta="mx.test[192.0.2.9]:25", at=NOW)
            for each in claim.pending
        ]
        settlements.append(
            Settlement(
                claim,
                [Decision(outcome.recipient, outcome, NOW + 300) for outcome in outcomes],
                attempt=Attempt(
                    claim.route,
                    outcomes,
                    started=NOW,
                    seconds=0.5,
                    remote_mta="mx.test[192.0.2.9]:25",
                    transcript=transcript,
                ),
            )
        )
        if failures:
            hops.append(Hop(claim.route, failures=failures, not_before=NOW + 7200, last=str(reply)))
    store.apply((), settlements, hops, now=NOW)
    store.close()
