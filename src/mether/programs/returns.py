"""Going through the queue to return what a person chose: what `cleansmtpq` and `returnsmtpmail` share.

BATCH messages are looked at, claimed as for an attempt, and returned in one transaction (in a few, where
they wait at many next hops); then a line is printed for each, before any other is touched.  A signal, or a
reader of stdout that went away, ends the work between two batches: what was printed is done, and what was not
is as it was.  After kill -9 so it is too, but for the last batch, of which the lines may be missing.  Whoever
says the same again finishes it.

What comes after the beginning is left alone, the reports of the work itself among it; and so, unless they
are named, are reports that wait for their hour (`queue.pace`), which are of an earlier run as like as not,
and have nobody to be returned to: how many is told at the end.  What another process
is trying at that moment is left alone and told.  As its claims are no attempts, this process is never counted
among those that work the queue, and when it dies nothing is suspected of having been delivered.
"""

from __future__ import annotations

from mether.programs.choice import missing
from mether.programs.errors import NOINPUT, TEMPFAIL, Failure, complain
from mether.programs.options import JSON, Option, UsageError, is_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.programs.options import Parsed
    from mether.queue.message import Entry, Row
    from mether.queue.store import Filter, Store

BATCH: Final = 100
"""Messages looked at and returned at a time."""

OPTIONS: Final = (
    Option("", "reason", "words of the postmaster for the sender, in the report and the log", value="TEXT"),
    Option("n", "dry-run", "only say what would be returned, to whom and why"),
    JSON,
)


class Wish:
    """What is to be returned: messages by a `filter`, held ones only when `held`; of each the recipients that
    match by themselves.  What was to be sent later counts from its release: with `released` (Unix seconds)
    only what was released before that.  `remark` is what the person says.  `matched` is how many messages the
    filter has found, and `paced` how many of them are reports that are left to their hour.  With `aloud` it
    is told that nothing was found; what is run by a clock keeps silent then."""

    __slots__ = (
        "aloud",
        "filter",
        "held",
        "json",
        "matched",
        "paced",
        "program",
        "released",
        "remark",
    )

    def __init__(
        self,
        program: str,
        filter: Filter,
        *,
        held: bool,
        remark: str = "",
        released: float | None = None,
        json: bool = False,
        aloud: bool = False,
    ) -> None:
        self.aloud = aloud
        self.program = program
        self.filter = filter
        self.held = held
        self.remark = remark
        self.released = released
        self.json = json
        self.matched = 0
        self.paced = 0

    def sift(self, page: list[Entry], now: float) -> list[Entry]:
        """Those of a page that are not left to their hour; all are counted."""
        self.matched += len(page)
        if self.filter.idents is not None:
            return page
        sifted = [entry for entry in page if not entry.paced(now)]
        self.paced += len(page) - len(sifted)
        return sifted

    def rows(self, entry: Entry) -> list[Row]:
        """The recipients of an entry that are meant."""
        from mether.queue.glob import glob, next_hop_like

        if not self.held and entry.message.hold is not None:
            return []
        if self.released is not None and entry.message.release_at >= self.released:
            return []
        recipient, hop = self.filter.recipient, self.filter.next_hop
        return [
            row
            for row in entry.rows
            if (recipient is None or glob(recipient, str(row.recipient.forward_path)))
            and (hop is None or next_hop_like(hop, row.route))
        ]


def remark(options: Parsed) -> str:
    """What --reason says, on one line; "" where there is none.  Raises UsageError."""
    from mether.queue.selection import MAX_REASON

    given = options.text("reason")
    if given is None:
        return ""
    # U+200C and U+200D join and part letters in some scripts; all else that cannot be seen has no use here.
    shown = "".join(char if char.isprintable() or char in "\u200c\u200d" else " " for char in given)
    text = " ".join(shown.split())
    if not text:
        raise UsageError("--reason says nothing")
    if len(text) > MAX_REASON:
        raise UsageError(f"--reason has {len(text)} characters, and at most {MAX_REASON} are kept")
    return text


def check(options: Parsed) -> None:
    """Raise UsageError where an argument is empty or not in the encoding of arguments: an unset variable of a
    script must not choose more than was meant."""
    for name in ("sender", "recipient", "next-hop", "reason", "older"):
        text = options.text(name)
        if text is not None and not is_text(text):
            raise UsageError(f"--{name}: the text is not in the encoding of arguments")
        if text == "":
            raise UsageError(f"--{name} is empty")


def work(wish: Wish, options: Parsed, idents: list[str], now: float) -> int:
    """Return it, or with --dry-run tell; the exit status.  Raises ConfigError, StoreError, OSError."""
    from mether.programs.interrupt import Interrupt
    from mether.queue.open import open_store
    from mether.setup import logs, reporting
    from mether.setup.config import load
    from mether.setup.locate import find_config

    dry = options.flag("dry-run")
    config = load(find_config(options.text("config")), spool=options.text("spool"))
    pace = None if dry else reporting.pace(config)  # what is not sent is not counted
    reporter = reporting.reporter(config, config.router(), pace)
    store = open_store(config.queue.spool, now=now, create=False)
    store.runs = store.receives = False
    unknown: list[str] = []
    ending = Interrupt()
    busy = False
    try:
        pages = _pages(store, wish, idents, unknown, now)
        if dry:
            from mether.programs.returns_dry import foretell

            foretell(wish, store, reporter, pages, now)
        else:
            from mether.programs.returns_batch import Returning
            from mether.queue.store import Busy

            logs.to_syslog(config)
            try:
                with ending:
                    busy = Returning(wish, store, reporter, now).go(pages, ending)
            except Busy as error:
                raise Failure(TEMPFAIL, f"{error}; stop it first, or wait for its end") from None
    finally:
        store.close()
        if pace is not None:
            pace.close()
    for each in unknown:
        complain(wish.program, f"{each}: not in the queue")
    if wish.paced:
        complain(wish.program, _left(wish.paced, dry=dry))
    if wish.aloud and not wish.matched and not unknown and ending.number is None:
        complain(wish.program, "no message matches")
    if ending.number is not None:
        return ending.status()
    return NOINPUT if unknown else TEMPFAIL if busy else 0


def _left(count: int, *, dry: bool) -> str:
    many, those = ("s", "wait") if count != 1 else ("", "waits")
    were = "would be" if dry else "were" if count != 1 else "was"
    return (
        f"{count} report{many} {those} for another hour, and {were} left alone; name what you mean by its id"
    )


def _pages(
    store: Store, wish: Wish, idents: list[str], unknown: list[str], now: float
) -> Iterator[list[Entry]]:
    """What matches, in order of id, BATCH messages at most at a time; which of `idents` are not queued goes
    into `unknown`.  Raises StoreError."""
    from mether.queue.selection import Filter

    asked = Filter(**{name: getattr(wish.filter, name) for name in Filter.__slots__})
    if idents:
        for start in range(0, len(idents), BATCH):
            some = idents[start : start + BATCH]
            unknown += missing(store, some)
            asked.idents = frozenset(some)
            if page := wish.sift(store.entries(asked, "", BATCH), now):
                yield page
        return
    # What comes from now on is not meant, and our own reports would be found for ever.
    asked.before = now if asked.before is None else min(asked.before, now)
    after = ""
    while page := store.entries(asked, after, BATCH):
        after = page[-1].message.ident
        yield wish.sift(page, now)
