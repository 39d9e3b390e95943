"""What `smtpq top` shows: one frame, as lines of a given width and height.  Pure.

The first lines say how the whole queue does; then next hops follow, with what waits at each, the age of the
oldest of it (rounded down to a class), failures in a row, when it is tried again or until when it is
suspended, and its last error.
"""

from __future__ import annotations

from mether.programs.listing import clean, hop_name, span, stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.outcome import Route
    from mether.queue.claim import Hop
    from mether.queue.figures import Shape, Summary, Totals

AGES: Final = tuple(60 * 2**number for number in range(14))
"""Seconds: where the age classes end, from one minute to more than five days."""

SORTS: Final = ("waiting", "age", "failures")
HEADING: Final = f"{'WAITING':>8} {'OLDEST':>8} {'FAILS':>5} {'NEXT TRY':>9}  NEXT HOP, LAST ERROR"
ABOVE: Final = 6
"""Lines before the next hops, the heading included."""


class Count:
    """What was counted at `at`: the queue by status, what waits by next hop, next hops in trouble."""

    __slots__ = ("at", "hops", "shapes", "summary")

    def __init__(self, at: float, summary: Summary, shapes: Sequence[Shape], hops: Sequence[Hop]) -> None:
        self.at = at
        self.summary = summary
        self.shapes = shapes
        self.hops = hops


class Line:
    """One next hop: how many recipients wait there, the class of the oldest (-1: none waits), its state."""

    __slots__ = ("age", "hop", "route", "waiting")

    def __init__(self, route: Route, waiting: int, age: int, hop: Hop | None) -> None:
        self.route = route
        self.waiting = waiting
        self.age = age
        self.hop = hop

    @property
    def failures(self) -> int:
        """In a row."""
        return 0 if self.hop is None else self.hop.failures


def rates(before: tuple[float, Totals] | None, after: tuple[float, Totals] | None) -> list[float] | None:
    """Queued, done, delayed and failed in a second between two readings; None where there are no two."""
    if before is None or after is None or after[0] <= before[0]:
        return None
    return [
        max(0, getattr(after[1], name) - getattr(before[1], name)) / (after[0] - before[0])
        for name in ("queued", "done", "delayed", "failed")
    ]


def next_hops(count: Count, sort: str) -> list[Line]:
    """Every next hop where something waits or that is in trouble, the foremost first."""
    states = {hop.route: hop for hop in count.hops}
    found = []
    for shape in count.shapes:
        age = max((place for place, number in enumerate(shape.counts) if number), default=-1)
        found.append(Line(shape.route, shape.recipients, age, states.pop(shape.route, None)))
    found += [Line(route, 0, -1, hop) for route, hop in states.items()]

    def key(one: Line) -> tuple[int, int, str]:
        first = {"waiting": one.waiting, "age": one.age, "failures": one.failures}[sort]
        return -first, -one.waiting, str(one.route)

    return sorted(found, key=key)


def frame(
    count: Count | None,
    rate: list[float] | None,
    *,
    now: float,
    width: int,
    height: int,
    sort: str = "waiting",
    paused: bool = False,
    kept: bool = True,
    note: str = "",
) -> list[str]:
    """The lines.  `kept` tells whether this kind of queue keeps totals; `note` says what went wrong."""
    title = f"smtpq top   {stamp(now)}   by {sort}{'   PAUSED' if paused else ''}"
    keys = "q quit  p pause  w a f sort"
    if len(title) + len(keys) + 2 <= width:
        title += keys.rjust(width - len(title))
    lines = [title]
    if count is None:
        return [line[:width] for line in [*lines, note or "counting ..."]][:height]
    lines += _above(count, rate, now, kept, note)
    lines += ["", HEADING]
    shown = next_hops(count, sort)
    room = max(0, height - len(lines))
    if len(shown) > room:
        room = max(0, room - 1)
        others = f"{sum(one.waiting for one in shown[room:]):>8} at {len(shown) - room} other next hops"
    else:
        others = ""
    lines += [_line(one, now) for one in shown[:room]]
    if not shown:
        lines.append("        nothing waits, and no next hop is in trouble")
    if others:
        lines.append(others)
    return [line[:width] for line in lines][:height]


def _above(count: Count, rate: list[float] | None, now: float, kept: bool, note: str) -> list[str]:
    summary = count.summary
    oldest = "" if summary.oldest is None else f"   oldest {span(summary.oldest - now)}"
    if rate is not None:
        words = zip(("queued", "done", "deferred", "failed"), rate, strict=True)
        per_second = "   ".join(f"{word} {_rate(value)}" for word, value in words)
    else:
        per_second = "being measured" if kept else "not kept by this kind of queue"
    suspended = sum(hop.suspended_at(now) for hop in count.hops)
    failing = sum(hop.failures > 0 for hop in count.hops)
    places = f"waiting at {len(count.shapes)}   failing {failing}   suspended {suspended}"
    stale = f"   counted {span(count.at - now)}" if now - count.at >= 10 else ""
    return [
        f"messages    {summary.messages}   fresh {summary.fresh}   deferred {summary.deferred}   "
        f"active {summary.active}   held {summary.held}{oldest}",
        f"per second  {per_second}",
        f"next hops   {places}{stale}" if not note else clean(f"trouble     {note}"),
    ]


def _line(one: Line, now: float) -> str:
    hop, state, error = one.hop, "", ""
    if hop is not None:
        if hop.failures:
            error = f": {hop.last}" if hop.last else ""
            state = _distance(hop.not_before - now) if hop.not_before > now else "due"
        if hop.suspended_at(now):
            until = hop.suspended_until
            state = "suspended" if until is None else _distance(until - now)
            error = f" (suspended: {hop.suspended}){error}"
    age = "" if one.age < 0 else f">{_distance(AGES[one.age - 1])}" if one.age else "<1m"
    return clean(
        f"{one.waiting or '':>8} {age:>8} {one.failures or '':>5} {state:>9}  {hop_name(one.route)}{error}"
    )


def _distance(seconds: float) -> str:
    return span(seconds).removeprefix("in ")


def _rate(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
