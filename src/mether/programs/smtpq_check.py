"""``smtpq check``: with limits a plugin for Nagios and its kin, without one a look over everything stored.

A plugin says one line, ``SMTPQ OK - words | figures``, and ends with 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3
(UNKNOWN: the queue cannot be read), whatever ``--no-sysexits`` says.  A limit is exceeded by what is more
than it.  Messages are counted; with ``--next-hop``, where a message may wait in several places, recipients.
`Limit` and `judge` are pure.
"""

from __future__ import annotations

import sys

from mether.programs.errors import REPAIR, TEMPFAIL, Failure, Verdict
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.programs.options import Parsed
    from mether.programs.smtpq import Call
    from mether.queue.figures import Summary
    from mether.queue.store import Store

WORDS: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


class Limit:
    """Over `warn` is WARNING and over `crit` CRITICAL; None is no limit."""

    __slots__ = ("crit", "warn")

    def __init__(self, warn: float | None = None, crit: float | None = None) -> None:
        self.warn = warn
        self.crit = crit

    def level(self, value: float) -> int:
        """0, 1 or 2."""
        if self.crit is not None and value > self.crit:
            return 2
        return 1 if self.warn is not None and value > self.warn else 0

    def over(self, value: float) -> float | None:
        """The limit that is exceeded."""
        return (None, self.warn, self.crit)[self.level(value)]


def limit(text: str | None, option: str, read: Callable[[str], float]) -> Limit:
    """``CRIT`` or ``WARN,CRIT``.  Raises UsageError."""
    if text is None:
        return Limit()
    parts = text.split(",")
    try:
        values = [read(part) for part in parts]
    except ValueError as error:
        raise UsageError(f"--{option}: {error}") from None
    if len(values) > 2 or values[0] > values[-1]:
        raise UsageError(f"--{option}: {text[:80]!r} is neither one limit nor WARN,CRIT, the smaller first")
    return Limit(values[0] if len(values) > 1 else None, values[-1])


def _number(text: str) -> float:
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise ValueError(f"{text[:80]!r} is not a whole number")


def limits(options: Parsed) -> dict[str, Limit]:
    """The limits that were given, and empty ones.  Raises UsageError."""
    from mether.setup.units import duration

    return {
        "deferred": limit(options.text("deferred"), "deferred", _number),
        "held": limit(options.text("held"), "held", _number),
        "oldest": limit(options.text("oldest"), "oldest", duration),
    }


def judge(found: Summary, now: float, known: dict[str, Limit], where: str = "") -> tuple[int, str]:
    """The status, and the line of the plugin."""
    from mether.setup.units import duration_text

    oldest = 0 if found.oldest is None else max(0, int(now - found.oldest))
    figures = (("deferred", found.deferred, ""), ("held", found.held, ""), ("oldest", oldest, "s"))
    level, words, numbers = 0, [], []
    for name, value, unit in figures:
        one = known[name]
        level = max(level, one.level(value))
        if name == "oldest":
            shown = f"oldest {duration_text(value)}" if found.oldest is not None else "none waits"
            over = one.over(value)
            beyond = "" if over is None else f" (over {duration_text(over)})"
        else:
            shown = f"{value} {name}"
            over = one.over(value)
            beyond = "" if over is None else f" (over {over:g})"
        words.append(shown + beyond)
        numbers.append(f"{name}={value}{unit};{_text(one.warn)};{_text(one.crit)};0")
    words.insert(1, f"{found.fresh} fresh, {found.active} being tried")
    numbers.append(f"queued={found.messages};;;0")
    at = f" at {where}" if where else ""
    return level, f"SMTPQ {WORDS[level]} - {', '.join(words)}{at} | {' '.join(numbers)}"


def _text(limit: float | None) -> str:
    return "" if limit is None else f"{limit:.15g}"


def check(call: Call) -> None:
    """Raises Verdict, or Failure where something is damaged; StoreError."""
    options = call.options
    if not any(options.flag(name) for name in ("deferred", "held", "oldest")):
        _look_over(call.store)
        return
    known = limits(options)
    like = options.text("next-hop")
    found = call.store.summary() if like is None else at_next_hops(call.store, like)
    level, line = judge(found, call.now, known, where=like or "")
    raise Verdict(level, "".join(char if char.isprintable() else "?" for char in line) + "\n")


def at_next_hops(store: Store, like: str) -> Summary:
    """A summary of the recipients that wait at these next hops.  Raises StoreError."""
    from mether.programs.choice import pages
    from mether.queue.figures import Summary, began
    from mether.queue.glob import next_hop_like
    from mether.queue.selection import Filter

    found = Summary()
    for status in ("fresh", "deferred", "active", "held"):
        filter = Filter(next_hop=like, status=status)
        shapes = store.shape(filter, ())
        setattr(found, status, sum(one.recipients for one in shapes if next_hop_like(like, one.route)))
        if status != "held":
            for entry in pages(store, filter):
                if found.oldest is None or began(entry) < found.oldest:
                    found.oldest = began(entry)
                if entry.message.arrival.at >= found.oldest:
                    break  # ids sort by time of arrival, and nothing begins before that
    return found


def _look_over(store: Store) -> None:
    wrong = 0
    for line in store.check():
        wrong += 1
        sys.stdout.write(f"{line}\n")
    if wrong:
        many = "things are" if wrong > 1 else "thing is"
        raise Failure(TEMPFAIL, f"{wrong} {many} wrong in the queue; {REPAIR}")
