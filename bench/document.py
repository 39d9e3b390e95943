"""docs/performance.md and its plot, from the figures that run.py has kept.

    make performance
    .venv/bin/python bench/document.py [--results DIRECTORY] [--to DIRECTORY] [--check]

Every number of that page comes from bench/results/*.json, so it is never edited by hand: what there is to say
about a number goes into `REMARKS` here.  A mode that was not run is missing from the page.  With `--check`
nothing is written, and the exit status is 1 where the files differ from what would be.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import plot
import rounds
from goals import GOALS
from run import MODES, RESULTS
from services import TOP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEAD = """\
# Performance

How fast mether is, what it costs, and what a long queue does to it, beside Postfix, Exim and OpenSMTPD on the
same machine. This page is written by `bench/document.py` from what `make bench` has measured;
[bench/README.md](../bench/README.md) says how to repeat it.

![mether beside Postfix, Exim and OpenSMTPD](performance.svg)

Each service runs alone, with its own queue on the same file system and the durability of its defaults:
mether, Postfix and Exim say 250 only after a sync. Debian's OpenSMTPD (6.8) makes none, as strace shows, so
its figures for accepting are those of a smaller promise. Postfix's `smtp-source` sends and its `smtp-sink`
receives, on the same cores as the service: ratios hold from machine to machine, absolute figures do not. A
figure is the median of the runs, which are interleaved, with half of their range after `±`; a ratio is the
median of the ratios in each run.
"""

REMARKS: dict[str, str] = {
    "relay-fresh": """\
OpenSMTPD's listening socket holds five connections that wait to be accepted. Of twenty clients that come
at once some are dropped, and come again after a second: that, and not its work, is its speed here.""",
    "relay-kept": """\
Exim starts a process for each message it delivers, and makes a connection: for it nothing is kept open on the
way out. What was set for each service beyond its defaults, such as how many messages a connection may bring,
is said in `bench/mtas.py`.""",
    "latency": """\
Exim and OpenSMTPD get fewer messages; OpenSMTPD lets about a second pass before it sends.""",
    "large": "Memory is the proportional set size of all processes, its most while the message goes through.",
    "mixed": """\
The dead next hop is a socket that never completes a connection; the slow one answers each message a second
late.""",
    "million": "Deferred means: tried once, with its attempt recorded, and due again in one to two hours.",
}


def load(directory: Path) -> dict[str, dict[str, Any]]:
    """The results by mode, in the order of run.py."""
    found = {}
    for mode in MODES:
        path = directory / f"{mode}.json"
        if path.exists():
            found[mode] = json.loads(path.read_text())
    return found


def markdown(rows: list[list[str]]) -> str:
    """A table; its first row is the head."""
    head, *body = rows
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def circumstances(found: dict[str, dict[str, Any]]) -> str:
    """When, with what, and on what it was measured; each thing once."""
    of = list(found.values())
    versions = of[-1]["versions"]
    names = {"postfix": "Postfix", "exim4-daemon-light": "Exim", "opensmtpd": "OpenSMTPD"}
    peers = ", ".join(f"{name} {versions[key]}" for key, name in names.items() if key in versions)
    syncs = sorted(one["sync_microseconds"] for one in of)
    rows = [
        ["", ""],
        [
            "measured",
            " to ".join(dict.fromkeys((min(one["at"] for one in of), max(one["at"] for one in of)))),
        ],
        ["mether", f"{versions['mether']}, Python {', '.join(sorted({one['python'] for one in of}))}"],
        ["peers (Debian)", peers],
        ["processor", f"{of[-1]['processor']}, {of[-1]['cores']} cores"],
        ["kernel, file system", f"Linux {of[-1]['kernel']}, {of[-1]['file_system']}"],
        ["one sync of 4 KiB", f"{syncs[0]:.0f} to {syncs[-1]:.0f} microseconds"],
        ["runs of each case", ", ".join(sorted({str(one["options"]["runs"]) for one in of}))],
    ]
    scales = {one["options"]["scale"] for one in of} - {1.0}
    if scales:
        rows.append(["scale", "not the whole: " + ", ".join(f"{one:g}" for one in sorted(scales))])
    return markdown(rows)


def goals(found: dict[str, dict[str, Any]]) -> str:
    """What was to be reached, and what was."""
    rows = [["goal", "measured", "reached"]]
    for goal in GOALS:
        value = goal.value(found)
        if value is None:
            rows.append([goal.text, "not measured", ""])
        else:
            rows.append([goal.text, goal.shown(value), "yes" if goal.reached(value) else "**no**"])
    return markdown(rows)


def page(found: dict[str, dict[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD, circumstances(found), "\n## Goals\n", goals(found)]
    for mode, result in found.items():
        parts.append(f"\n## {result['title']}\n")
        parts.append(f"`bench/run.py {mode}`, {result['seconds']:.0f} seconds.\n")
        parts.append(markdown(rounds.rows(result)))
        said = [*result["notes"], *([REMARKS[mode]] if mode in REMARKS else [])]
        if said:
            parts.append("\n" + "\n\n".join(said))
    return "\n".join(parts) + "\n"


def main() -> int:
    """Write both files; returns the exit status."""
    parser = argparse.ArgumentParser(description="write docs/performance.md and its plot")
    parser.add_argument("--results", metavar="DIRECTORY", default=str(RESULTS), help="where figures are kept")
    parser.add_argument("--to", metavar="DIRECTORY", default=str(TOP / "docs"), help="where the page goes")
    parser.add_argument("--check", action="store_true", help="only look whether they are up to date")
    options = parser.parse_args()

    found = load(Path(options.results))
    if not found and not options.check:
        print(f"document.py: {options.results} has no figures: run make bench", file=sys.stderr)
        return 1
    texts = {"performance.md": page(found), "performance.svg": plot.svg(found)} if found else {}
    status = 0
    for name, text in texts.items():
        path = Path(options.to) / name
        if not options.check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path} is not what the figures say: make performance", file=sys.stderr)
            status = 1
    if not options.check:
        print(f"document.py: {', '.join(texts)} say what {', '.join(found)} gave")
    return status


if __name__ == "__main__":
    sys.exit(main())
