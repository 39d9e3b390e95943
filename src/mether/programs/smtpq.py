"""``smtpq``: list, show and change the queue.

Listings go through the queue a page at a time, so a million messages stream; what arrives or goes
meanwhile may or may not be seen.  Changes are one transaction of the store.  ``retry`` and ``release`` wake a
running daemon.  ``remove`` tells no sender: `returnsmtpmail` does.
"""

from __future__ import annotations

import sys

from mether.programs import listing
from mether.programs.errors import DATAERR, NOINPUT, TEMPFAIL, Failure, complain, run
from mether.programs.options import JSON, Option, Program, UsageError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    from mether.outcome import Route
    from mether.programs.options import Parsed
    from mether.queue.claim import Hop
    from mether.queue.content import Content
    from mether.queue.message import Entry
    from mether.queue.store import Filter, Store

PAGE = 1000
"""Entries read from the store at a time."""

COUNTED = 100_000
"""Messages that are counted where nothing matches."""

PROGRAM = Program(
    "smtpq",
    [
        "[list] [--json] [FILTER... | ID...]",
        "show [--json] ID...",
        "cat ID...",
        "export --all | FILTER... | ID...",
        "hold | release | retry | remove [--dry-run] --all | FILTER... | ID...",
        "check",
    ],
    """Lists the queue: id (* being tried, ! held), size, arrival and sender of each message, then its
    recipients with what was last said of them.

    show tells all that is known of a message: its envelope, every attempt, when it is tried next and why
    then. cat prints its content. export prints batch SMTP, which in.smtpd reads, with all that the envelopes
    say; hold the messages before, and remove them after.

    hold keeps messages from being tried until release. retry makes them due now, but none before the release
    that its sender asked for. remove forgets them without telling anyone; returnsmtpmail returns them.
    check looks over everything stored and names what is damaged.

    An ID is a queue id, or the path of its *.sh file. Filters hold together; globs are without case.""",
    [
        JSON,
        Option("", "all", "every message"),
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
        Option("", "reason", "hold: why", value="TEXT"),
        Option("n", "dry-run", "hold, release, retry, remove: only say how many"),
    ],
    exits=(0, 64, 65, (66, "a message that was named is not queued"), 70, 75, 77, 78),
    files=[("/var/spool/smtpq", "the queue"), ("/etc/mether/mether.toml", "the configuration")],
    intermixed=True,
)

CHANGES = ("hold", "release", "retry", "remove")
DONE = {"hold": "held", "release": "released", "retry": "made due", "remove": "removed"}
COMMANDS = ("list", "show", "cat", "export", *CHANGES, "check")


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    return run("smtpq", _work, argv)


def print_queue(config: str | None, spool: str | None) -> int:
    """What `mailq` prints, with what ``-C`` and ``--spool`` said; returns 0.  Raises StoreError, ConfigError.

    A queue that nobody made yet is empty.
    """
    import os
    import time

    from mether.queue.open import open_store
    from mether.queue.store import Filter
    from mether.setup.locate import basics

    url = basics(config, spool).spool
    try:
        os.lstat(url.partition(":")[2])
    except FileNotFoundError:
        sys.stdout.write(listing.total(0, 0) + "\n")
        return 0
    except OSError:
        pass  # the store says what is wrong
    store = open_store(url, now=time.time(), create=False)
    try:
        print_list(store, Filter(), sys.stdout.write)
    finally:
        store.close()
    return 0


def _work(argv: list[str]) -> int:
    import time

    options = parse(PROGRAM, argv)
    command, idents = _command(options.operands)
    now = time.time()
    filter = _filter(options, idents, now)
    if command not in ("list", "show") and options.flag("json"):
        raise UsageError(f"{command} prints no JSON")
    if command in ("show", "cat") and not idents:
        raise UsageError(f"{command} needs an ID")
    if command in (*CHANGES, "export") and not (options.flag("all") or _narrow(filter)):
        raise UsageError(f"{command} needs IDs, a filter, or --all")
    if command == "check" and (options.flag("all") or _narrow(filter)):
        raise UsageError("check looks over the whole queue, and takes no choice of messages")
    if options.flag("all") and _narrow(filter):
        raise UsageError("--all contradicts an ID or a filter")
    if options.flag("reason") and command != "hold":
        raise UsageError(f"--reason is for hold, not for {command}")
    if options.flag("dry-run") and command not in CHANGES:
        raise UsageError(f"--dry-run is for {', '.join(CHANGES)}, not for {command}")

    from mether.queue.open import open_store
    from mether.setup.locate import basics

    known = basics(options.text("config"), options.text("spool"))
    store = open_store(known.spool, now=now, create=False)
    try:
        unknown = missing(store, idents)
        if command == "list":
            _list(store, filter, options.flag("json"))
        elif command == "show":
            _show(store, filter, options.flag("json"), now)
        elif command == "cat":
            _cat(store, filter)
        elif command == "export":
            _export(store, filter, known.hostname)
        elif command == "check":
            _check(store)
        else:
            _change(store, filter, command, options, now)  # type: ignore[arg-type]
    finally:
        store.close()
    if unknown:
        raise Failure(NOINPUT, f"not in the queue: {' '.join(unknown)}")
    return 0


def _command(operands: list[str]) -> tuple[str, list[str]]:
    """The command and the ids that the operands say; ids alone are listed."""
    if not operands:
        return "list", []
    command, rest = operands[0], operands[1:]
    if command not in COMMANDS:
        from mether.setup.spelling import nearest

        meant = nearest(command, COMMANDS)
        try:
            return "list", [ident(text) for text in operands]
        except UsageError:
            hint = f" (did you mean {meant}?)" if meant else ""
            raise UsageError(f"{command[:80]!r} is neither a command nor a queue id{hint}") from None
    return command, [ident(text) for text in rest]


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


def _filter(options: Parsed, idents: list[str], now: float) -> Filter:
    from mether.queue.store import Filter

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


def _narrow(filter: Filter) -> bool:
    return any(getattr(filter, name) is not None for name in filter.__slots__)


def pages(store: Store, filter: Filter, size: int = PAGE) -> Iterator[Entry]:
    """Every entry that matches, in order of id, a page in memory at a time.  Raises StoreError."""
    after = ""
    while page := store.entries(filter, after, size):
        yield from page
        after = page[-1].message.ident
        if len(page) < size:
            return


def missing(store: Store, idents: list[str]) -> list[str]:
    """Those ids, in order, that are not queued.  Raises StoreError."""
    if not idents:
        return []
    from mether.queue.store import Filter

    found = {entry.message.ident for entry in pages(store, Filter(idents=frozenset(idents)))}
    return [each for each in dict.fromkeys(idents) if each not in found]


def _list(store: Store, filter: Filter, as_json: bool) -> None:
    if as_json:
        import json
        import time

        hops, now = _hops(store), time.time()
        for entry in pages(store, filter):
            sys.stdout.write(json.dumps(listing.record(entry, hops, now)) + "\n")
    else:
        print_list(store, filter, sys.stdout.write)


def print_list(store: Store, filter: Filter, write: Callable[[str], object]) -> None:
    """Write the listing of what matches for a person; `mailq` prints the same.  Raises StoreError."""
    import time

    messages = octets = 0
    hops, now = _hops(store), time.time()
    for entry in pages(store, filter):
        if not messages:
            write(listing.HEADING + "\n")
        messages += 1
        octets += entry.message.size
        write("\n".join(listing.lines(entry, hops, now)) + "\n")
    others = 0 if messages or not _narrow(filter) else store.count(COUNTED)
    write((listing.nothing(others, most=COUNTED) if others else listing.total(messages, octets)) + "\n")


def _hops(store: Store) -> dict[Route, Hop]:
    return {hop.route: hop for hop in store.hops()}


def _show(store: Store, filter: Filter, as_json: bool, now: float) -> None:
    hops = _hops(store)
    for number, entry in enumerate(pages(store, filter)):
        attempts = store.attempts(entry.message.ident)
        if as_json:
            import json

            facts = listing.record(entry, hops, now)
            for row, recipient in zip(entry.rows, facts["recipients"], strict=True):
                at, why = listing.next_try(entry, row, hops.get(row.route), now)
                recipient["next_try"] = at
                recipient["next_try_reason"] = listing.clean(why)
            facts["attempts"] = [listing.attempt_record(attempt, entry) for attempt in attempts]
            sys.stdout.write(json.dumps(facts) + "\n")
        else:
            if number:
                sys.stdout.write("\n")
            sys.stdout.writelines(f"{line}\n" for line in listing.story(entry, attempts, hops, now))


def _cat(store: Store, filter: Filter) -> None:
    """The content with its trace field, lines ended by LF, as programs here expect it."""
    out = sys.stdout.buffer
    for entry in pages(store, filter):
        content = _content(store, entry)
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


def _export(store: Store, filter: Filter, hostname: str) -> None:
    import time

    from mether.programs import batch
    from mether.queue.store import Damaged

    out = sys.stdout.buffer
    out.write(batch.opening(hostname))
    damaged = 0
    for entry in pages(store, filter, 100):
        try:
            content = _content(store, entry)
        except Damaged as error:
            damaged += 1
            complain("smtpq", f"{entry.message.ident} is not exported: {error}")
            continue
        if content is None:
            continue
        try:
            for piece in batch.transaction(entry, content, time.time()):
                out.write(piece)
        except ValueError as error:
            raise Failure(DATAERR, f"{entry.message.ident}: {error}") from None
    out.write(batch.closing())
    out.flush()
    if damaged:
        raise Failure(TEMPFAIL, f"{_messages(damaged)} could not be exported")


def _check(store: Store) -> None:
    wrong = 0
    for line in store.check():
        wrong += 1
        sys.stdout.write(f"{line}\n")
    if wrong:
        raise Failure(TEMPFAIL, f"{wrong} {'things are' if wrong > 1 else 'thing is'} wrong in the queue")


def _content(store: Store, entry: Entry) -> Content | None:
    """The content of an entry, None when the message has left the queue since it was listed."""
    from mether.queue.store import Filter, StoreError

    try:
        return store.content(entry.message.ident)
    except StoreError:
        if store.entries(Filter(idents=frozenset((entry.message.ident,)))):
            raise
        return None


def _change(
    store: Store,
    filter: Filter,
    action: Literal["hold", "release", "retry", "remove"],
    options: Parsed,
    now: float,
) -> None:
    if options.flag("dry-run"):
        count = sum(1 for _ in pages(store, filter))
        print(f"{_messages(count)} would be {DONE[action]}")
        return
    reason = options.text("reason") or "held by smtpq"
    count = store.change(filter, action, now=now, reason=reason)
    if count and action in ("release", "retry"):
        store.wake()
    print(f"{_messages(count)} {DONE[action]}")


def _messages(count: int) -> str:
    return f"{count} message{'s' if count != 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
