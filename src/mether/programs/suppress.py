"""``mether suppress``: the addresses to which no mail is sent, for a person to see and change.

``list``, ``check`` (or ``show``), ``add``, ``remove`` and ``import`` (`programs.suppress_import`).  What is
changed is durable when the command ends, and a running service goes by it.  Where an address stands a domain
may, ``@example.net``: everybody there.  The status is 67 when an address that was named is not on the list,
65 when some of a file could not be imported; errors of the list itself are 75, and 77 without permission.
"""

from __future__ import annotations

import sys
import time

from mether.programs.addressing import NOUSER
from mether.programs.errors import CONFIG, USAGE, Failure, complain
from mether.programs.options import Option, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from mether.address import Address
    from mether.programs.options import Parsed
    from mether.queue.suppressed import Suppressions
    from mether.queue.suppressed_row import Chosen, Suppressed
    from mether.setup.config import Config

VERBS: Final = ("list", "check", "show", "add", "remove", "import")
SYNOPSIS: Final = (
    "suppress list [--match GLOB] [--kind KIND] [--source SOURCE] [--older TIME] [--newer TIME] [--all] "
    "[--json]",
    "suppress check [--json] ADDRESS...",
    "suppress add [--reason TEXT] [--kind KIND] [--for TIME] ADDRESS...",
    "suppress remove [--dry-run] ADDRESS... | FILTERS | --all",
    "suppress import [--reason TEXT] [--kind KIND] [--for TIME] [--dry-run] [FILE...]",
)
OPTIONS: Final = (
    Option("", "match", "suppress: addresses like that", value="GLOB"),
    Option("", "kind", "suppress: addresses that failed so, such as 'no such user'", value="KIND"),
    Option(
        "",
        "source",
        "suppress: addresses that are known by delivery, bounce, person or import",
        value="SOURCE",
        choices=("delivery", "bounce", "person", "import"),
    ),
    Option("", "older", "suppress: addresses that failed last longer ago, such as 30d", value="TIME"),
    Option("", "newer", "suppress: addresses that failed last since then", value="TIME"),
    Option("", "all", "suppress list: those too that stop no mail; remove: every address"),
    Option("", "reason", "suppress add, import: why", value="TEXT"),
    Option("", "for", "suppress add, import: for so long, such as 30d, and not for ever", value="TIME"),
)
NAMES: Final = tuple(option.name for option in OPTIONS)
FILTERS: Final = ("match", "kind", "source", "older", "newer")
"""The options that choose addresses."""
_TAKES: Final = {
    "list": (*FILTERS, "all", "json"),
    "check": ("json",),
    "show": ("json",),
    "add": ("reason", "kind", "for"),
    "remove": (*FILTERS, "all", "dry-run"),
    "import": ("reason", "kind", "for", "dry-run"),
}
_PAGE: Final = 1000


def work(options: Parsed, operands: list[str], load: Callable[[], Config]) -> int:
    """Do what the arguments after ``suppress`` say; returns the exit status."""
    if not operands or operands[0] not in VERBS:
        from mether.setup.spelling import nearest

        if not operands:
            raise UsageError("suppress needs one of list, check, add, remove and import")
        meant = nearest(operands[0], VERBS)
        raise UsageError(
            f"unknown: suppress {operands[0]!r}" + (f" (did you mean {meant}?)" if meant else "")
        )
    verb, *rest = operands
    for name in (*NAMES, "json", "dry-run"):
        if options.flag(name) and name not in _TAKES[verb]:
            raise UsageError(f"--{name} is not for suppress {verb}")
    kind = options.text("kind")
    if kind is not None:
        _check_kind(kind)
    if verb == "list" and rest:
        raise UsageError(f"suppress list takes no operand; {rest[0]!r} is one too many (see --match)")
    if verb in ("check", "show", "add") and not rest:
        raise UsageError(f"suppress {verb} needs an address")
    now = time.time()
    if verb in ("check", "show"):
        return _check(rest, load, now, json=options.flag("json"))
    named = [] if verb == "import" else addresses(rest)
    if verb == "list":
        return _list(opened(load()), _chosen(options, now), now, json=options.flag("json"))
    if verb == "add":
        return _add(options, named, load(), now)
    if verb == "remove":
        return _remove(options, named, load, now)
    from mether.programs import suppress_import

    return suppress_import.work(options, rest, load(), now)


def addresses(operands: list[str]) -> list[Address]:
    """The addresses and domains in operands.  Raises UsageError."""
    from mether.address import AddressError
    from mether.queue.suppressed_row import entry

    found = []
    for text in operands:
        try:
            found.append(entry(text, bare=True))
        except AddressError as error:
            raise UsageError(f"{text[:80]!r} is not an address: {error}") from None
    return found


def opened(config: Config, *, create: bool = False) -> Suppressions:
    """The list of the configured queue, made with `create`.  Raises Failure, StoreError."""
    import os

    from mether.queue.suppressed import Suppressions
    from mether.setup.suppress import directory

    where = directory(config.queue.spool)
    if where is None:
        raise Failure(CONFIG, "the queue is in memory, and so is its suppression list: nobody else sees it")
    if create and not os.path.isdir(where):
        from mether.queue.open import open_store

        open_store(config.queue.spool, now=time.time()).close()
    return Suppressions(where, create=create)


def changed(known: Suppressions) -> None:
    """Let go of a list to which something was written, and tell whoever works the queue to look.

    Never raises: who is not told looks soon.
    """
    import os

    from mether.queue.wake import Wake

    known.close()
    try:
        Wake(os.path.join(os.path.dirname(known.path), "wake"), "suppress").wake()
    except OSError:
        pass


def until(options: Parsed, now: float) -> float | None:
    """When what is put on the list is over; None: never.  Raises UsageError."""
    given = options.text("for")
    return None if given is None else now + _duration("for", given)


def _duration(name: str, text: str) -> float:
    from mether.setup.units import duration

    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f"--{name}: {error}") from None


def _check_kind(kind: str) -> None:
    from mether.content.classify import KINDS
    from mether.setup.spelling import nearest

    if kind not in KINDS:
        meant = nearest(kind, KINDS)
        guess = f" (did you mean {meant!r}?)" if meant else ""
        raise UsageError(f"--kind: {kind[:80]!r} is not one of {', '.join(KINDS)}{guess}")


def _chosen(options: Parsed, now: float, *, everything: bool | None = None) -> Chosen:
    from mether.queue.suppressed_row import Chosen

    older, newer = options.text("older"), options.text("newer")
    return Chosen(
        match=options.text("match"),
        kind=options.text("kind"),
        source=options.text("source"),
        before=None if older is None else now - _duration("older", older),
        after=None if newer is None else now - _duration("newer", newer),
        everything=options.flag("all") if everything is None else everything,
    )


def _list(known: Suppressions, chosen: Chosen, now: float, *, json: bool) -> int:
    for one in known.choose(chosen, now):
        sys.stdout.write(f"{_record(one, now) if json else line(one, now)}\n")
    known.close()
    return 0


def _check(operands: list[str], load: Callable[[], Config], now: float, *, json: bool) -> int:
    missing = wrong = False
    named = []
    for text in operands:
        try:
            named += addresses([text])
        except UsageError as error:
            if len(operands) == 1:
                raise
            wrong = True
            complain("mether", str(error))
    known = opened(load())
    for address in named:
        one = known.stopping(address, now) or known.find(address)
        if one is None or not one.stops(now):
            missing = True
        if one is None:
            complain("mether", f"{address} is not on the suppression list")
        elif json:
            sys.stdout.write(_record(one, now) + "\n")
        else:
            sys.stdout.writelines(f"{each}\n" for each in told(one, now))
    known.close()
    return USAGE if wrong else NOUSER if missing else 0


def _add(options: Parsed, named: list[Address], config: Config, now: float) -> int:
    from mether.queue.suppressed_row import Suppressed

    kind = options.text("kind") or "policy"
    reason = options.text("reason") or ""
    end = until(options, now)
    known = opened(config, create=True)
    known.put(
        [
            Suppressed(
                address,
                source="person",
                since=now,
                kind=kind,
                status="5.1.1" if kind == "no such user" else "",
                reason=reason,
                until=end,
            )
            for address in named
        ]
    )
    changed(known)
    for address in named:
        if not _concerns(address, config):
            complain(
                "mether", f"warning: {address} is on the list, which is not asked about mail that goes there"
            )
    return 0


def _concerns(address: Address, config: Config) -> bool:
    """Whether mail for it goes where the list is asked, as far as the tables can be read."""
    from mether.address import Address
    from mether.routing.request import Request
    from mether.routing.source import TableError, settled
    from mether.setup.suppress import applies

    router = config.router()
    somebody = address if address.local_part else Address("somebody", address.domain)
    try:
        route = settled(lambda: router.decide(Request(somebody))).route
    except TableError:
        return True
    return route is None or applies(config, router)(route)


def _remove(options: Parsed, named: list[Address], load: Callable[[], Config], now: float) -> int:
    chosen = _chosen(options, now, everything=True)
    if named and (chosen.narrow or options.flag("all")):
        raise UsageError("suppress remove takes addresses or filters, and not both")
    if not named and not chosen.narrow and not options.flag("all"):
        raise UsageError("suppress remove needs addresses, filters, or --all")
    dry = options.flag("dry-run")
    known = opened(load())
    count = missing = 0
    try:
        if named:
            there = [known.find(each) is not None for each in named] if dry else known.remove(named)
            for address, was in zip(named, there, strict=True):
                if not was:
                    missing += 1
                    complain("mether", f"{address} is not on the suppression list")
            count = sum(there)
        else:
            some: list[Address] = []
            for one in known.choose(chosen, now):
                count += 1
                some.append(one.address)
                if dry:
                    sys.stdout.write(f"{line(one, now)}\n")
                if not dry and len(some) >= _PAGE:
                    known.remove(some)
                if len(some) >= _PAGE:
                    some.clear()
            if some and not dry:
                known.remove(some)
    finally:
        known.close()
    print(f"{count} {'address' if count == 1 else 'addresses'} {'would be ' if dry else ''}removed")
    return NOUSER if missing else 0


def line(one: Suppressed, now: float) -> str:
    """An address of the list on one line."""
    from mether.content.suppression import day
    from mether.programs.listing import clean

    times = f"{one.times} times, " if one.times > 1 else ""
    end = "for ever" if one.until is None else f"until {day(one.until)}"
    if not one.active:
        end = "not often enough"
    elif not one.stops(now):
        end = f"over since {day(one.until or now)}"
    why = ": ".join(each for each in (one.kind, one.reason or one.note) if each)
    return clean(f"{one.address!s:<32} {day(one.since)}  {times + end:<26}  {why}").rstrip()


def told(one: Suppressed, now: float) -> Iterator[str]:
    """All that is known of an address, for a person."""
    from mether.content.suppression import day
    from mether.programs.listing import clean

    yield clean(str(one.address))
    times = f", {one.times} times, last {day(one.last)}" if one.times > 1 else ""
    facts = {
        "since": f"{day(one.since)}{times}",
        "until": "for ever" if one.until is None else day(one.until),
        "class": " ".join(each for each in (one.kind, one.status) if each),
        "reason": one.reason,
        "said by": one.remote,
        "known by": one.source,
        "note": one.note,
    }
    if not one.active:
        facts["but"] = "it has not failed often enough: mail is sent"
    elif not one.stops(now):
        facts["but"] = "that is over: mail is sent"
    for name, fact in facts.items():
        if fact:
            yield clean(f"  {name:<10}{fact}")


def _record(one: Suppressed, now: float) -> str:
    import json

    return json.dumps(
        {
            "address": str(one.address),
            "kind": one.kind,
            "status": one.status,
            "reason": one.reason,
            "remote": one.remote,
            "note": one.note,
            "source": one.source,
            "since": one.since,
            "last": one.last,
            "times": one.times,
            "until": one.until,
            "active": one.active,
            "stops": one.stops(now),
        }
    )
