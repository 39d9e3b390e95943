"""``smtpq show``, ``cat`` and ``export``: single messages, in full.

A message that leaves the queue meanwhile is passed over.  ``export`` names a damaged one on stderr and goes
on.
"""

from __future__ import annotations

import sys

from mether.programs.choice import messages, pages
from mether.programs.errors import DATAERR, TEMPFAIL, Failure, complain
from mether.programs.smtpq_list import known_hops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.programs.smtpq import Call
    from mether.queue.content import Content
    from mether.queue.message import Entry
    from mether.queue.store import Store


def show(call: Call) -> None:
    """All that is known.  Raises StoreError."""
    from mether.programs import listing, story

    store, now = call.store, call.now
    hops, transcript = known_hops(store), call.options.flag("transcript")
    works = bool(store.live(now).runners)
    for number, entry in enumerate(pages(store, call.filter)):
        attempts = store.attempts(entry.message.ident)
        if call.options.flag("json"):
            import json

            facts = listing.record(entry, hops, now)
            for row, recipient in zip(entry.rows, facts["recipients"], strict=True):
                at, why = story.next_try(entry, row, hops, now)
                recipient["next_try"] = at
                recipient["next_try_reason"] = listing.clean(why)
            facts["attempts"] = [
                story.attempt_record(attempt, entry, transcript=transcript) for attempt in attempts
            ]
            sys.stdout.write(json.dumps(facts) + "\n")
            continue
        if number:
            sys.stdout.write("\n")
        sys.stdout.writelines(f"{line}\n" for line in story.story(entry, attempts, hops, now, works=works))
        if transcript:
            sys.stdout.writelines(f"{line}\n" for line in story.transcripts(entry, attempts))


def cat(call: Call) -> None:
    """The content with its trace field, lines ended by LF, as programs here expect it."""
    out = sys.stdout.buffer
    for entry in pages(call.store, call.filter):
        content = _content(call.store, entry)
        if content is None:
            continue
        out.write(entry.message.trace.replace(b"\r\n", b"\n"))
        held = b""
        for piece in content.chunks():
            data = held + piece
            held = b"\r" if data.endswith(b"\r") else b""
            out.write(data[: len(data) - len(held)].replace(b"\r\n", b"\n"))
        out.write(held)
    out.flush()


def export(call: Call) -> None:
    """Batch SMTP.  Raises StoreError, Failure."""
    import time

    from mether.programs import batch
    from mether.queue.store import Damaged

    out, plain = sys.stdout.buffer, call.options.flag("plain")
    out.write(batch.opening(call.hostname, plain=plain))
    damaged = held = 0
    for entry in pages(call.store, call.filter, 100):
        if plain and (why := batch.unfit(entry, time.time())) is not None:
            damaged += 1
            complain("smtpq", f"{entry.message.ident} is not exported: {why}")
            continue
        try:
            content = _content(call.store, entry)
        except Damaged as error:
            damaged += 1
            complain("smtpq", f"{entry.message.ident} is not exported: {error}")
            continue
        if content is None:
            continue
        try:
            for piece in batch.transaction(entry, content, time.time(), plain=plain):
                out.write(piece)
        except ValueError as error:
            raise Failure(DATAERR, f"{entry.message.ident}: {error}") from None
        held += entry.message.hold is not None
    out.write(batch.closing())
    out.flush()
    if held:
        are = "is held here, and is" if held == 1 else "are held here, and are"
        complain("smtpq", f"of these, {messages(held)} {are} delivered where this is read")
    if damaged:
        raise Failure(TEMPFAIL, f"{messages(damaged)} could not be exported")


def _content(store: Store, entry: Entry) -> Content | None:
    """The content of an entry, None when the message has left the queue since it was listed."""
    from mether.queue.selection import Filter
    from mether.queue.store import StoreError

    try:
        return store.content(entry.message.ident)
    except StoreError:
        if store.entries(Filter(idents=frozenset((entry.message.ident,)))):
            raise
        return None
