"""``smtpq list``: the queue as `mailq` prints it, or as JSON.

A million messages stream: a page is in memory at a time, and the first one is small.
"""

from __future__ import annotations

import gc
import sys

from mether.programs import listing
from mether.programs.choice import narrow, pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.outcome import Route
    from mether.programs.smtpq import Call
    from mether.queue.claim import Hop
    from mether.queue.selection import Filter
    from mether.queue.store import Store

COUNTED: Final = 100_000
"""Messages that are counted where nothing matches."""


def list_(call: Call) -> None:
    """Write what matches on stdout.  Raises StoreError."""
    if not call.options.flag("json"):
        print_list(call.store, call.filter, sys.stdout.write)
        return
    import json

    hops = known_hops(call.store)
    for entry in pages(call.store, call.filter):
        sys.stdout.write(json.dumps(listing.record(entry, hops, call.now)) + "\n")


def print_list(store: Store, filter: Filter, write: Callable[[str], object]) -> None:
    """Write the listing of what matches for a person; `mailq` prints the same.  Raises StoreError."""
    import time

    hops, now, text = known_hops(store), time.time(), listing.text
    messages = octets = 0
    # No value of an entry refers back to it: the collector would search each page in vain, for a third of
    # the time that the listing takes.
    collects = gc.isenabled()
    gc.disable()
    try:
        for entry in pages(store, filter):
            if not messages:
                write(listing.HEADING + "\n")
            messages += 1
            octets += entry.message.size
            write(text(entry, hops, now))
    finally:
        if collects:
            gc.enable()
    others = 0 if messages or not narrow(filter) else store.count(COUNTED)
    write((listing.nothing(others, most=COUNTED) if others else listing.total(messages, octets)) + "\n")


def known_hops(store: Store) -> dict[Route, Hop]:
    """The next hops in trouble, by their routes.  Raises StoreError."""
    return {hop.route: hop for hop in store.hops()}
