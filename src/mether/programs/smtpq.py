"""``smtpq``: list, show and change the queue, and see how it does.

What the verbs do is in the modules beside this one: `smtpq_list`, `smtpq_show` (show, cat, export),
`smtpq_explain`, `smtpq_change`, `smtpq_reroute`, `smtpq_hops`, `smtpq_shape`, `smtpq_top`, `smtpq_check`;
each is imported when it is asked for. Here is what they all take, and the queue is opened.  Nothing here
tries a message, so this process is never counted among those that work the queue.
"""

from __future__ import annotations

import sys

from mether.programs.choice import OPTIONS, filter_of, ident, missing, narrow
from mether.programs.errors import NOINPUT, Failure, Verdict, run
from mether.programs.options import JSON, Option, Program, UsageError, is_text, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.programs.options import Parsed
    from mether.queue.store import Filter, Store

PROGRAM = Program(
    "smtpq",
    [
        "[list] [--json] [FILTER... | ID...]",
        "show [--json] [--transcript] ID...",
        "explain [--json] [--no-dns] ID...",
        "cat ID...",
        "export [--plain] --all | FILTER... | ID...",
        "hold | release | retry | remove [--dry-run] --all | FILTER... | ID...",
        "reroute [--dry-run] NEXT-HOP | --rules --all | FILTER... | ID...",
        "suspend [--until TIME | --for TIME] [--reason TEXT] NEXT-HOP...",
        "resume NEXT-HOP...",
        "hops [--json] [NEXT-HOP...]",
        "shape [--json] [--top N] [FILTER...]",
        "top [--interval TIME] [--sort KEY] [--once]",
        "check [--oldest AGE] [--deferred N] [--held N] [--next-hop GLOB]",
    ],
    """Lists the queue: id (* being tried, ! held, !* both), size, arrival and sender of each message, then
    its recipients with what was last said of them.

    show tells all that is known of a message: its envelope, every attempt, when it is tried next and why
    then; with --transcript what was said in the last attempt that failed at each next hop. explain tells
    where each recipient goes, by which rule, to which hosts, when it is tried, and why not now. cat prints
    the content. export prints batch SMTP, which in.smtpd reads, with all that the envelopes say; hold the
    messages before, and remove them after.

    hold keeps messages from being tried until release. retry makes them due now, but none before the release
    that its sender asked for. remove forgets them without telling anyone; returnsmtpmail returns them.

    reroute sends recipients to another next hop, where they stay: a targethost or a list of them, mx, or the
    name of a route of the configuration; with --rules they follow the routes again. Of a message only the
    recipients that match are moved.

    suspend keeps mail waiting at next hops until resume, or until a time; hops tells which are suspended or
    do not answer. A NEXT-HOP is a glob over those that are known, or the name of one; of a
    domain that is relayed by MX, the domain.

    shape counts recipients by next hop and by the minutes since they came. top shows what the queue is doing:
    q quits, p pauses, w, a and f sort by what waits, by age and by failures.

    check with a limit is a plugin for Nagios and its kin: over a limit N it is CRITICAL, over the first of
    two (WARN,CRIT) WARNING. Without one it looks over everything stored and names what is damaged.

    An ID is a queue id, or the path of its *.sh file. Filters hold together; globs are without case.""",
    [
        JSON,
        Option("", "all", "every message"),
        *OPTIONS,
        Option("", "reason", "hold, suspend: why; else messages held for a reason like that", value="TEXT"),
        Option("n", "dry-run", "hold, release, retry, remove, reroute: only say how many"),
        Option("", "rules", "reroute: by the routes of the configuration, pinned no more"),
        Option("", "no-dns", "explain: ask no DNS for the hosts of next hops"),
        Option("", "plain", "export: commands without parameters, for any reader of batch SMTP"),
        Option("", "transcript", "show: what was said in the last attempt that failed"),
        Option("", "until", "suspend: until +6h, 14:30, 2026-01-31T12:00 or a Unix time", value="TIME"),
        Option("", "for", "suspend: for so long, such as 2h", value="TIME"),
        Option("", "top", "shape: so many next hops, 0 for all (default: a screenful)", value="N"),
        Option("", "interval", "top: look so often (default 2s)", value="TIME"),
        Option(
            "",
            "sort",
            "top: by waiting, age or failures",
            value="KEY",
            choices=("waiting", "age", "failures"),
        ),
        Option("", "once", "top: print one frame, after one interval, and end"),
        Option("", "oldest", "check: the age of the oldest message, such as 30m or 10m,1h", value="AGE"),
        Option("", "deferred", "check: how many are deferred, such as 1000 or 500,2000", value="N"),
        Option("", "held", "check: how many are held", value="N"),
    ],
    exits=(
        (0, "done; check: OK"),
        (1, "check: WARNING"),
        (2, "check: CRITICAL"),
        (3, "check: UNKNOWN, the queue cannot be read"),
        64,
        65,
        (66, "there is no queue, a message that was named is not in it, or a next hop is not known"),
        (69, "top cannot draw on this terminal"),
        70,
        75,
        77,
        78,
    ),
    files=[("/var/spool/smtpq", "the queue"), ("/etc/mether/mether.toml", "the configuration")],
    intermixed=True,
)

CHANGES: Final = ("hold", "release", "retry", "remove")
OF_MESSAGES: Final = ("list", "show", "explain", "cat", "export", "reroute", *CHANGES)
OF_HOPS: Final = ("suspend", "resume", "hops")
VERBS: Final = (*OF_MESSAGES, *OF_HOPS, "shape", "top", "check")
HELD: Final = ("list", "release", "remove", "export", "reroute")
"""The verbs for which --reason is a filter."""
_CHOOSING: Final = ("list", "shape", "export", "reroute", *CHANGES)

TAKEN_BY: Final = {
    "all": ("list", "export", "reroute", *CHANGES),
    "sender": _CHOOSING,
    "recipient": _CHOOSING,
    "next-hop": (*_CHOOSING, "check"),
    "older": _CHOOSING,
    "status": _CHOOSING,
    "reason": ("hold", "suspend", *HELD),
    "dry-run": (*CHANGES, "reroute"),
    "rules": ("reroute",),
    "no-dns": ("explain",),
    "plain": ("export",),
    "transcript": ("show",),
    "until": ("suspend",),
    "for": ("suspend",),
    "top": ("shape",),
    "interval": ("top",),
    "sort": ("top",),
    "once": ("top",),
    "oldest": ("check",),
    "deferred": ("check",),
    "held": ("check",),
}
"""The verbs that an option is for."""

LIMITS: Final = ("oldest", "deferred", "held")


class Call:
    """What a verb is called with: the `operands` (of messages: ids), the `filter` of these and the options,
    the opened `store`, the configuration's path, this host's name, and the time; `target` is the next hop
    that ``reroute`` was given, None with --rules."""

    __slots__ = (
        "config",
        "filter",
        "hostname",
        "now",
        "operands",
        "options",
        "spool",
        "store",
        "target",
        "verb",
    )

    def __init__(
        self,
        verb: str,
        operands: list[str],
        options: Parsed,
        filter: Filter,
        store: Store,
        *,
        now: float,
        spool: str,
        hostname: str,
        config: str | None = None,
        target: str | None = None,
    ) -> None:
        self.config = config
        self.target = target
        self.verb = verb
        self.operands = operands
        self.options = options
        self.filter = filter
        self.store = store
        self.now = now
        self.spool = spool
        self.hostname = hostname


def main(argv: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    return run("smtpq", _work, argv)


def print_queue(config: str | None, spool: str | None) -> int:
    """What `mailq` prints, with what ``-C`` and ``--spool`` said; returns 0.  Raises StoreError, ConfigError.

    A queue that nobody made yet is empty, unless `spool` names it.
    """
    import time

    from mether.programs import listing
    from mether.programs.smtpq_list import print_list
    from mether.queue.open import open_store, there
    from mether.queue.selection import Filter
    from mether.queue.store import Absent
    from mether.setup.locate import basics

    url = basics(config, spool).spool
    try:
        there(url)
    except Absent:
        if spool is not None:
            raise
        sys.stdout.write(listing.total(0, 0) + "\n")
        return 0
    store = open_store(url, now=time.time(), create=False)
    try:
        print_list(store, Filter(), sys.stdout.write)
    finally:
        store.close()
    return 0


def _work(argv: list[str]) -> int:
    options = parse(PROGRAM, argv)
    verb, target, operands = _verb(options.operands, rules=options.flag("rules"))
    if verb == "check" and any(options.flag(name) for name in LIMITS):
        # Whoever watches the queue is told in their own words that it cannot be seen.
        from mether.queue.store import StoreError
        from mether.setup.locate import ConfigError

        try:
            return _call(verb, target, operands, options)
        except (StoreError, ConfigError, OSError) as error:
            raise Verdict(3, f"SMTPQ UNKNOWN - {' '.join(str(error).split())}\n") from None
    return _call(verb, target, operands, options)


def _call(verb: str, target: str | None, operands: list[str], options: Parsed) -> int:
    import time

    now = time.time()
    filter = filter_of(options, operands if verb in OF_MESSAGES else [], now)
    if verb in HELD:
        filter.reason = options.text("reason")
    _agree(verb, operands, options, filter)
    if verb == "reroute" and target is None and not options.flag("rules"):
        raise UsageError("reroute needs a NEXT-HOP, or --rules")
    _read(verb, options, now)
    work = _find(verb)

    from mether.queue.open import open_store
    from mether.setup.locate import basics

    known = basics(options.text("config"), options.text("spool"))
    store = open_store(known.spool, now=now, create=False)
    store.runs = store.receives = False
    try:
        unknown = missing(store, operands) if verb in OF_MESSAGES else []
        work(
            Call(
                verb,
                operands,
                options,
                filter,
                store,
                now=now,
                spool=known.spool,
                hostname=known.hostname,
                config=known.config,
                target=target,
            )
        )
    finally:
        store.close()
    if unknown:
        raise Failure(NOINPUT, f"not in the queue: {' '.join(unknown)}")
    return 0


def _verb(operands: list[str], *, rules: bool = False) -> tuple[str, str | None, list[str]]:
    """The verb, the next hop that ``reroute`` has first where no `rules` decide, and the other operands, ids
    in their one writing; ids alone are listed."""
    if not operands:
        return "list", None, []
    verb, rest = operands[0], operands[1:]
    if verb in VERBS:
        target = rest.pop(0) if verb == "reroute" and not rules and rest else None
        return verb, target, [ident(text) for text in rest] if verb in OF_MESSAGES else rest
    from mether.setup.spelling import nearest

    meant = nearest(verb, VERBS)
    try:
        return "list", None, [ident(text) for text in operands]
    except UsageError:
        hint = f" (did you mean {meant}?)" if meant else ""
        raise UsageError(f"{verb[:80]!r} is neither a command nor a queue id{hint}") from None


def _agree(verb: str, operands: list[str], options: Parsed, filter: Filter) -> None:
    """Raise UsageError unless the verb takes what was given, and was given what it needs."""
    if verb not in ("list", "show", "explain", "hops", "shape") and options.flag("json"):
        raise UsageError(f"{verb} prints no JSON")
    for name, verbs in TAKEN_BY.items():
        if options.flag(name) and verb not in verbs:
            raise UsageError(f"--{name} is for {', '.join(verbs)}, not for {verb}")
    texts = [
        (f"--{name}", options.text(name) or "") for name in ("sender", "recipient", "next-hop", "reason")
    ]
    for what, text in (*texts, *((verb, text) for text in operands)):
        if not is_text(text):
            raise UsageError(f"{what}: the text is not in the encoding of arguments")
    if operands and verb not in OF_MESSAGES and verb not in OF_HOPS:
        raise UsageError(f"{verb} looks over the whole queue, and takes no {operands[0][:80]!r}")
    if verb in ("show", "explain", "cat") and not operands:
        raise UsageError(f"{verb} needs an ID")
    if verb in ("suspend", "resume") and not operands:
        raise UsageError(f"{verb} needs a NEXT-HOP")
    if verb in (*CHANGES, "export", "reroute") and not (options.flag("all") or narrow(filter)):
        raise UsageError(f"{verb} needs IDs, a filter, or --all")
    if verb == "check" and options.flag("next-hop") and not any(options.flag(name) for name in LIMITS):
        raise UsageError("check --next-hop needs --oldest, --deferred or --held")
    if options.flag("all") and narrow(filter):
        raise UsageError("--all contradicts an ID or a filter")
    if options.flag("until") and options.flag("for"):
        raise UsageError("--until and --for exclude each other")


def _read(verb: str, options: Parsed, now: float) -> None:
    """Raise UsageError where an option's argument is none, before the queue is looked at."""
    if verb == "shape":
        options.number("top")
    elif verb == "top":
        from mether.programs.smtpq_top import interval

        interval(options)
    elif verb == "suspend":
        from mether.programs.smtpq_hops import until

        until(options, now)
    elif verb == "check":
        from mether.programs.smtpq_check import limits

        limits(options)


def _find(verb: str) -> Callable[[Call], object]:
    """What does it."""
    if verb == "list":
        from mether.programs.smtpq_list import list_

        return list_
    if verb == "explain":
        from mether.programs.smtpq_explain import explain

        return explain
    if verb in ("show", "cat", "export"):
        from mether.programs import smtpq_show

        return {
            "show": smtpq_show.show,
            "cat": smtpq_show.cat,
            "export": smtpq_show.export,
        }[verb]
    if verb in CHANGES:
        from mether.programs.smtpq_change import change

        return change
    if verb == "reroute":
        from mether.programs.smtpq_reroute import reroute

        return reroute
    if verb in OF_HOPS:
        from mether.programs import smtpq_hops

        return {"suspend": smtpq_hops.suspend, "resume": smtpq_hops.resume, "hops": smtpq_hops.hops}[verb]
    if verb == "shape":
        from mether.programs.smtpq_shape import shape

        return shape
    if verb == "top":
        from mether.programs.smtpq_top import top

        return top
    from mether.programs.smtpq_check import check

    return check


if __name__ == "__main__":
    sys.exit(main())
