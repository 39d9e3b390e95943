"""All benchmarks, or some of them: mether beside Postfix, Exim and OpenSMTPD.

    make peers && make bench                       # everything, then docs/performance.md is written anew
    .venv/bin/python bench/run.py MODE... [--runs 5] [--scale 1] [--services mether,postfix] ...

Modes are told by `--help`.  Each prints its table and keeps every figure in bench/results/MODE.json, from
which bench/document.py writes docs/performance.md and its plot.  It must be run by root, because the peers
must be, on a machine that does nothing else.  `--scale 0.1` takes a tenth of the messages: good to see that
it works, not to compare.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

import mtas
import rounds
from services import BENCH

RESULTS = BENCH / "results"


MODES = {
    "relay-fresh": ("relay", "relay, one connection a message"),
    "relay-kept": ("relay", "relay, connections kept open"),
    "accept": ("relay", "accept alone, the next hop being down"),
    "latency": ("latency", "one message at a time: 250 and delivery"),
    "large": ("large", "a message of 50 MiB: speed and memory"),
    "mixed": ("mixed", "ten next hops, one dead and one slow"),
    "workers": ("workers", "two workers beside one (mether alone)"),
    "deferred": ("deferred", "20,000 deferred messages: listing, restart"),
    "idle-hops": ("idle_hops", "10,000 next hops with nothing due (mether alone)"),
    "million": ("million", "1,000,000 deferred messages (mether alone)"),
}
"""Each mode's module, which has `measure`, and what it is."""


def main() -> int:
    """Run what is asked for, and print the tables; returns the exit status."""
    modes = "\n".join(f"  {name:14}{text}" for name, (_, text) in MODES.items())
    parser = argparse.ArgumentParser(
        description="mether beside Postfix, Exim and OpenSMTPD",
        epilog=f"modes (all, when none is named):\n{modes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("modes", nargs="*", metavar="MODE", help="what to measure")
    parser.add_argument("--runs", type=int, default=5, help="of each case (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the messages (default 1)")
    parser.add_argument("--services", default=",".join(mtas.ALL), help="which, by commas")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the queues lie")
    parser.add_argument("--source", metavar="DIRECTORY", help="mether of another source tree")
    parser.add_argument("--results", metavar="DIRECTORY", default=str(RESULTS), help="where figures are kept")
    options = parser.parse_args()
    options.services = options.services.split(",")
    unknown = [mode for mode in options.modes if mode not in MODES]
    if unknown:
        parser.error(f"unknown mode {unknown[0]}")
    if options.runs < 1:
        parser.error("--runs must be 1 or more")

    versions = mtas.versions(options.source)
    chosen = options.modes or list(MODES)
    failed = []
    began = time.monotonic()
    for number, mode in enumerate(chosen, 1):
        minutes = (time.monotonic() - began) / 60
        print(f"{mode} ({number} of {len(chosen)}, {minutes:.1f} min so far)", file=sys.stderr, flush=True)
        options.mode = mode
        at = time.monotonic()
        try:
            found = importlib.import_module(MODES[mode][0]).measure(options)
        except SystemExit as end:  # what one mode lacks is not the end of the others
            print(f"{mode}: {end}", file=sys.stderr)
            failed.append(mode)
            continue
        found["versions"] = versions
        found["seconds"] = time.monotonic() - at
        rounds.keep(found, Path(options.results) / f"{mode}.json")
        print(f"\n{rounds.table(found)}\n", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(f"{minutes:.1f} minutes; results are in {options.results}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
