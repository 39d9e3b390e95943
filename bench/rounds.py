"""Runs of several cases in turn: their medians, spread and ratios, shown as a table and kept as JSON.

The cases are interleaved, and their order turns from run to run, so that a disk or a neighbour that changes
its pace meets all of them.  A ratio is taken within each run, and shown is the median of the ratios.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

from measure import file_system, sync_microseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Figures = dict[str, float]
    Runs = dict[str, list[Figures]]


class Column:
    """A figure and how it is shown: `unit` heads its column, the value is divided by `by`.

    With `relative` its ratio to the table's base stands beside it.
    """

    __slots__ = ("by", "digits", "name", "relative", "unit")

    def __init__(
        self, name: str, unit: str, digits: int = 0, by: float = 1, *, relative: bool = True
    ) -> None:
        self.relative = relative
        self.name = name
        self.unit = unit
        self.digits = digits
        self.by = by

    def shown(self, value: float | None) -> str:
        """The value for a person."""
        return "-" if value is None else f"{value / self.by:,.{self.digits}f}"


def interleaved(cases: Sequence[str], runs: int, once: Callable[[str], Figures]) -> Runs:
    """Run each case `runs` times; tells on standard error how far it is."""
    found: Runs = {case: [] for case in cases}
    for turn in range(runs):
        at = turn % len(cases)
        for case in [*cases[at:], *cases[:at]]:
            began = time.monotonic()
            figures = once(case)
            found[case].append(figures)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            took = time.monotonic() - began
            print(f"  run {turn + 1} of {runs}, {case} ({took:.1f} s): {shown}", file=sys.stderr, flush=True)
    return found


def medians(runs: list[Figures]) -> Figures:
    """The median of each figure."""
    return {name: statistics.median(values) for name, values in _figures(runs).items()}


def _figures(runs: list[Figures]) -> dict[str, list[float]]:
    """Each figure, with its values; a run may lack some."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.items():
            found.setdefault(name, []).append(value)
    return found


def ratio(runs: Runs, case: str, base: str, name: str) -> float | None:
    """The median over the runs of a figure of one case over the same of another; None where there is none."""
    pairs = zip(runs.get(case, ()), runs.get(base, ()), strict=False)
    ratios = [one[name] / other[name] for one, other in pairs if name in one and other.get(name)]
    return statistics.median(ratios) if ratios else None


def spread(values: Sequence[float]) -> float:
    """Half of the distance between the least and the most, relative to the median."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


def result(
    mode: str,
    title: str,
    columns: Sequence[Column],
    runs: Runs,
    options: Any,
    *,
    base: str = "",
    notes: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """What is kept of a mode: every figure, and under what circumstances it was found."""
    cases = {}
    for case, of in runs.items():
        cases[case] = {
            "medians": medians(of),
            "spread": {name: spread(values) for name, values in _figures(of).items()},
            "ratios": {name: ratio(runs, case, base, name) for name in _figures(of)} if base in runs else {},
            "runs": of,
        }
    return {
        "mode": mode,
        "title": title,
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "columns": [{name: getattr(each, name) for name in Column.__slots__} for each in columns],
        "base": base,
        "cases": cases,
        "notes": list(notes),
        "options": vars(options),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "file_system": file_system(options.under),
        "sync_microseconds": sync_microseconds(options.under),
        **more,
    }


def rows(found: dict[str, Any]) -> list[list[str]]:
    """The table of a result, its head first: each case, its medians with their spread, and the ratios."""
    columns = [Column(**each) for each in found["columns"]]
    head = [""]
    for column in columns:
        head.append(column.unit)
        if column.relative and found["base"] in found["cases"]:
            head.append(f"to {found['base']}")
    lines = [head]
    for case, of in found["cases"].items():
        line = [case]
        for column in columns:
            value, wide = of["medians"].get(column.name), of["spread"].get(column.name)
            line.append(column.shown(value) + (f" ±{wide:.0%}" if wide is not None else ""))
            if column.relative and found["base"] in found["cases"]:
                relative = of["ratios"].get(column.name)
                line.append(f"{relative:.2g}x" if relative is not None else "-")
        lines.append(line)
    return lines


def table(found: dict[str, Any]) -> str:
    """The result for a person at a terminal."""
    lines = rows(found)
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    text = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    count = max(len(of["runs"]) for of in found["cases"].values())
    text += [*found["notes"]]
    text.append(
        f"median of {count} runs ± half their range; Python {found['python']}, {found['cores']} cores, "
        f"{found['file_system']}, a sync takes {found['sync_microseconds']:.0f} us"
    )
    return "\n".join([found["title"], *text])


def keep(found: dict[str, Any], path: str | Path) -> None:
    """Write a result."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(found, indent=1) + "\n")


def processor() -> str:
    """The processor's name, as Linux tells it."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
