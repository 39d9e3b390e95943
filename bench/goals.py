"""What the benchmarks are to show: each goal, where its figure is among the results, and its bound.

A figure is taken from the medians of a case, or is its ratio to the base of the table (Postfix, an empty
queue).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Results = dict[str, dict[str, Any]]


class Goal:
    """`text` says it, `value` finds the figure (None: not measured), `bound` is its least or its most."""

    __slots__ = ("bound", "form", "inverse", "least", "text", "value")

    def __init__(
        self,
        text: str,
        value: Callable[[Results], float | None],
        *,
        least: float | None = None,
        most: float | None = None,
        form: str = "{:.3g}",
        inverse: bool = False,
    ) -> None:
        self.text = text
        self.value = value
        self.least = least is not None
        self.bound = least if least is not None else most or 0.0
        self.form = form
        self.inverse = inverse

    def shown(self, value: float) -> str:
        """The figure for a person."""
        return f"1/{1 / value:.1f}" if self.inverse else self.form.format(value)

    def reached(self, value: float) -> bool:
        """Whether it is within the bound."""
        return value >= self.bound if self.least else value <= self.bound


def ratio(mode: str, name: str, case: str = "mether") -> Callable[[Results], float | None]:
    """A figure's ratio to the same of the table's base."""
    return lambda found: _case(found, mode, case).get("ratios", {}).get(name)


def median(
    mode: str, name: str, case: str = "mether", *, by: float = 1.0
) -> Callable[[Results], float | None]:
    """A figure itself, divided by `by`."""

    def value(found: Results) -> float | None:
        got = _case(found, mode, case).get("medians", {}).get(name)
        return None if got is None else got / by

    return value


def among(mode: str, name: str, one: str, other: str) -> Callable[[Results], float | None]:
    """The median over the runs of one case's figure to another case's; cases by how they begin."""

    def value(found: Results) -> float | None:
        import rounds

        runs = {case: of["runs"] for case, of in found.get(mode, {}).get("cases", {}).items()}
        return rounds.ratio(runs, one, other, name)

    return value


def _case(found: Results, mode: str, case: str) -> dict[str, Any]:
    """A case; ``*`` is the last one, whose name tells its size."""
    cases = found.get(mode, {}).get("cases", {})
    if case == "*":
        return dict(list(cases.values())[-1]) if cases else {}
    return dict(cases.get(case, {}))


MIB = float(1 << 20)
TIMES = "{:.2f} x"
SECONDS = "{:.2f} s"

GOALS = [
    Goal(
        "relay, kept open: at least 5 x Postfix's messages/s",
        ratio("relay-kept", "messages_per_second"),
        least=5,
        form=TIMES,
    ),
    Goal(
        "relay, kept open: at most 1/8 of its CPU time a message",
        ratio("relay-kept", "cpu_seconds_per_thousand"),
        most=1 / 8,
        inverse=True,
    ),
    Goal(
        "relay, kept open: under 350 CPU microseconds a message",
        median("relay-kept", "cpu_seconds_per_thousand", by=1e-3),
        most=350,
        form="{:.0f}",
    ),
    Goal(
        "relay, one connection a message: at least 4 x Postfix's messages/s",
        ratio("relay-fresh", "messages_per_second"),
        least=4,
        form=TIMES,
    ),
    Goal(
        "relay, one connection a message: at most 1/6 of its CPU time",
        ratio("relay-fresh", "cpu_seconds_per_thousand"),
        most=1 / 6,
        inverse=True,
    ),
    Goal(
        "accept alone, next hop down: at least 3 x Postfix's messages/s",
        ratio("accept", "accepted_per_second"),
        least=3,
        form=TIMES,
    ),
    Goal(
        "one message: median 250 no later than half of Postfix's",
        ratio("latency", "answered_median"),
        most=0.5,
        form=TIMES,
    ),
    Goal(
        "one message: median delivery no later than half of Postfix's",
        ratio("latency", "delivered_median"),
        most=0.5,
        form=TIMES,
    ),
    Goal(
        "one message: p99 of the 250 no worse than Postfix's",
        ratio("latency", "answered_p99"),
        most=1,
        form=TIMES,
    ),
    Goal(
        "one message: p99 of delivery no worse than Postfix's",
        ratio("latency", "delivered_p99"),
        most=1,
        form=TIMES,
    ),
    Goal(
        "two workers: CPU time a message at most 15% above one worker's",
        among("workers", "cpu_seconds_per_thousand", "2 workers", "1 worker"),
        most=1.15,
        form=TIMES,
    ),
    Goal(
        "two workers, each held to a share of a core: at least 1.6 x the messages/s accepted",
        among(
            "workers",
            "accepted_per_second",
            "2 workers, 35% of a core each",
            "1 worker, 35% of a core each",
        ),
        least=1.6,
        form=TIMES,
    ),
    Goal("20,000 deferred: listed within 0.4 s", median("deferred", "list"), most=0.4, form=SECONDS),
    Goal(
        "20,000 deferred: restart to banner within 0.5 s",
        median("deferred", "banner"),
        most=0.5,
        form=SECONDS,
    ),
    Goal(
        "1,000,000 deferred: queued at no less than half the rate of an empty queue",
        ratio("million", "accepted_per_second", "*"),
        least=0.5,
        form=TIMES,
    ),
    Goal(
        "1,000,000 deferred: restart to banner within 2 s",
        median("million", "banner", "*"),
        most=2,
        form=SECONDS,
    ),
    Goal(
        "1,000,000 deferred: delivering within 5 s",
        median("million", "delivering", "*"),
        most=5,
        form=SECONDS,
    ),
    Goal(
        "1,000,000 deferred: under 150 MiB",
        median("million", "octets", "*", by=MIB),
        most=150,
        form="{:.0f} MiB",
    ),
    Goal(
        "1,000,000 deferred: first page of smtpq within 0.3 s",
        median("million", "page", "*"),
        most=0.3,
        form=SECONDS,
    ),
    Goal("1,000,000 deferred: smtpq shape within 2 s", median("million", "shape", "*"), most=2, form=SECONDS),
    Goal(
        "one dead and one slow next hop of ten: the others keep at least 90% of what they have alone",
        among("mixed", "messages_per_second", "mether, dead and slow", "mether, eight alone"),
        least=0.9,
        form="{:.0%}",
    ),
    Goal("50 MiB: at least Postfix's MB/s", ratio("large", "octets_per_second"), least=1, form=TIMES),
    Goal(
        "50 MiB: under 16 MiB of extra memory",
        median("large", "extra_octets", by=MIB),
        most=16,
        form="{:.1f} MiB",
    ),
    Goal(
        "10,000 next hops with nothing due: under 1 ms of CPU time a second",
        median("idle-hops", "idle", "*", by=1e-3),
        most=1,
        form="{:.2f} ms",
    ),
    Goal(
        "10,000 next hops with nothing due: relaying beside them costs at most 10% more",
        ratio("idle-hops", "cpu_seconds_per_thousand", "*"),
        most=1.1,
        form=TIMES,
    ),
]
