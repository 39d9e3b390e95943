"""Which messages a person means: ids and filters on a command line, and going through what they choose.

`pages` gives entries a page at a time: a small one first, so that the first lines come at once however much
is queued, then larger ones.  What arrives or goes meanwhile may or may not be seen.
"""

from __future__ import annotations

from mether.programs.options import Option, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.programs.options import Parsed
    from mether.queue.message import Entry
    from mether.queue.store import Filter, Store

FIRST: Final = 50
PAGE: Final = 400
"""Entries read from the store at a time: at first, and at most.  More of them at once do not fit into a
processor's cache, and take longer each."""

OPTIONS: Final = (
    Option("", "sender", "messages from there; <> is the null reverse-path", value="GLOB"),
    Option("", "recipient", "messages to there", value="GLOB"),
    Option("", "next-hop", "messages that wait for that next hop", value="GLOB"),
    Option("", "older", "messages that arrived longer ago, such as 2h or 3d", value="TIME"),
    Option(
        "",
        "status",
        "messages that are held, active (being tried), deferred (tried before) or fresh",
        value="STATUS",
        choices=("held", "active", "deferred", "fresh"),
    ),
)
"""The filters."""


def ident(text: str) -> str:
    """The queue id in an argument: bare, in either case, or the path of its ``.sh`` file.

    Raises UsageError.
    """
    from mether.queue.ident import decode, encode

    name = text.rpartition("/")[2].removesuffix(".sh")
    try:
        return encode(decode(name))
    except ValueError:
        raise UsageError(f"{text[:80]!r} is not a queue id") from None


def filter_of(options: Parsed, idents: list[str], now: float) -> Filter:
    """What the options and ids choose.  Raises UsageError."""
    from mether.queue.selection import Filter

    older = options.text("older")
    before = None
    if older is not None:
        from mether.setup.units import duration

        try:
            before = now - duration(older)
        except ValueError as error:
            raise UsageError(f"--older: {error}") from None
    return Filter(
        idents=frozenset(idents) if idents else None,
        sender=options.text("sender"),
        recipient=options.text("recipient"),
        next_hop=options.text("next-hop"),
        before=before,
        status=options.text("status"),
    )


def narrow(filter: Filter) -> bool:
    """Whether it chooses less than everything."""
    return any(getattr(filter, name) is not None for name in filter.__slots__)


def pages(store: Store, filter: Filter, size: int = PAGE) -> Iterator[Entry]:
    """Every entry that matches, in order of id, a page in memory at a time.  Raises StoreError."""
    after, limit = "", min(FIRST, size)
    while page := store.entries(filter, after, limit):
        yield from page
        after = page[-1].message.ident
        if len(page) < limit:
            return
        limit = min(limit * 4, size)


def missing(store: Store, idents: list[str]) -> list[str]:
    """Those ids, in order, that are not queued.  Raises StoreError."""
    if not idents:
        return []
    from mether.queue.selection import Filter

    found = {entry.message.ident for entry in pages(store, Filter(idents=frozenset(idents)))}
    return [each for each in dict.fromkeys(idents) if each not in found]


def messages(count: int) -> str:
    """So many messages, in words."""
    return f"{count} message{'s' if count != 1 else ''}"
