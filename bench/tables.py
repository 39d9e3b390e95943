"""What a look-up costs in tables of 100 and of 100,000 entries: files, SQLite, and the memory of answers.

    python bench/tables.py [--rounds N]

Half of the keys that are asked for are there.  "file" is a list in a file, "sqlite" a database that is asked
each time, "sqlite, kept" one whose answer is known still.  CPU time, medians over rounds in which each case
has its turn.  A table of 100,000 entries must not slow a decision down (the goal of bench/routing.py).
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from mether.routing.tables_file import Table
from mether.routing.tables_sqlite import Sqlite

if TYPE_CHECKING:
    from mether.routing.source import Source

SIZES = (100, 100_000)
LOOKUPS = 5000
QUERY = "SELECT mailbox FROM users WHERE address = ?"


def sources(directory: Path, entries: int) -> dict[str, Source]:
    """The tables of so many entries."""
    keys = [f"user{n}@example{n % 100}.org" for n in range(entries)]
    (directory / "list").write_text("".join(f"{key}  box\n" for key in keys))
    database = apsw.Connection(str(directory / "db"))
    with database:
        database.execute("CREATE TABLE users (address TEXT PRIMARY KEY, mailbox TEXT) WITHOUT ROWID")
        database.executemany("INSERT INTO users VALUES (?, 'box')", ((key,) for key in keys))
    path = str(directory / "db")
    return {
        "file": Table(str(directory / "list")),
        "sqlite": Sqlite(path, QUERY, keep=0.0),
        "sqlite, kept": Sqlite(path, QUERY, keep=3600.0),
    }


def measure(source: Source, keys: list[str]) -> float:
    """Seconds for each look-up."""
    begin = time.process_time()
    for key in keys:
        source.get(key)
    return (time.process_time() - begin) / len(keys)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a look-up in a table costs.")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rng = random.Random(1)
    found: dict[tuple[str, int], list[float]] = {}
    loads: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        made = {}
        for size in SIZES:
            directory = Path(name) / str(size)
            directory.mkdir()
            made[size] = sources(directory, size)
        time.sleep(2.5)  # a file that was written just now is read again
        for size in SIZES:
            begin = time.process_time()
            made[size]["file"].get("first")
            loads[size] = time.process_time() - begin
        for _ in range(options.rounds):
            for size in SIZES:
                for case, source in made[size].items():
                    keys = [
                        f"user{n}@example{n % 100}.org"
                        for n in (rng.randrange(2 * size) for _ in range(LOOKUPS))
                    ]
                    if case == "sqlite, kept":
                        keys = keys[:50] * (LOOKUPS // 50)
                        measure(source, keys[:50])
                    found.setdefault((case, size), []).append(measure(source, keys))
    print(f"{'microseconds a look-up':<24}" + "".join(f"{size:>12,}" for size in SIZES) + "  entries")
    for case in ("file", "sqlite", "sqlite, kept"):
        line = "".join(f"{statistics.median(found[case, size]) * 1e6:>12.2f}" for size in SIZES)
        print(f"{case:<24}{line}")
    print(f"{'reading the file, ms':<24}" + "".join(f"{loads[size] * 1e3:>12.2f}" for size in SIZES))


if __name__ == "__main__":
    main()
