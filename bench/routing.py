"""What deciding about a recipient costs: 100 rules of many kinds, and tables of 100,000 entries.

    python bench/routing.py [--rounds N]

Each case has its own 100 rules, of which every one asks for something else, and recipients that are taken by
one of them or by none.  A decision is `Router.decide` of a new `Request`, which is what a RCPT costs, in CPU
time; medians are over rounds in which each case has its turn.  "first" is with addresses, clients and logins
that were never seen before, "again" with some that were.  The goal is less than 10 microseconds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mether.address import Address
from mether.routing.request import Request
from mether.setup.config import loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.routing.router import Router

RULES = 100
ENTRIES = 100_000
REQUESTS = 4000
GOAL = 10e-6

# What rule number n asks for.
CASES: dict[str, Callable[[int], str]] = {
    "domains": lambda n: f'domains = ["d{n}.example"]',
    "domains below": lambda n: f'domains = [".d{n}.example"]',
    "lists of domains": lambda n: (
        f"domains = [{', '.join(f'{chr(34)}l{i}.d{n}.example{chr(34)}' for i in range(50))}]"
    ),
    "globs of domains": lambda n: f'domains = ["mx*.d{n}.exam?le"]',
    "senders": lambda n: f'sender = ["ann@s{n}.example"]',
    "domains of senders": lambda n: f'sender = ["@s{n}.example"]',
    "globs of senders": lambda n: f'sender = ["*n{n}*@*"]',
    "lists of recipients": lambda n: f"recipient = {[f'u{i}@d{n}.example' for i in range(50)]}",
    "clients": lambda n: f'client = ["10.{n}.0.0/16"]',
    "logins": lambda n: f'authenticated = ["user{n}", "*@l{n}.example"]',
    "a mix": lambda n: (
        f'domains = ["d{n}.example", "*.net"]',
        f'sender = ["ann@s{n}.example"]',
        f'sender = ["news-{n}-*@*"]\nclient = ["10.{n}.0.0/16"]',
        f'recipient = ["u{n}@*.example"]\nauthenticated = true',
        f'domains = [".d{n}.example"]\nauthenticated = ["user{n}"]',
    )[n % 5],
    "one table of domains": lambda n: f'sender = ["@s{n}.example"]\ndomains = ["file:table"]',
    "one table of senders": lambda n: f'domains = ["d{n}.example"]\nsender = ["file:people"]',
    "10 tables of 100": lambda n: (
        f'domains = ["file:table{n}"]' if n % 10 == 0 else f'sender = ["ann@s{n}.example"]'
    ),
}


def router(case: str, directory: Path) -> Router:
    """The router of a case."""
    text = "".join(f"[[route]]\n{CASES[case](n)}\nmaildir = 'm'\n" for n in range(RULES))
    return loads(text, str(directory / "mether.toml"), environ={}).router()


def tables(directory: Path) -> None:
    """The files of 100,000 entries."""
    (directory / "table").write_text("".join(f"t{n}.example\n" for n in range(ENTRIES)))
    (directory / "people").write_text("".join(f"p{n}@people.example\n" for n in range(ENTRIES)))
    for n in range(0, RULES, 10):
        (directory / f"table{n}").write_text("".join(f"t{i}.u{n}.example\n" for i in range(ENTRIES)))


def facts(case: str, rng: random.Random, *, new: bool) -> tuple[Address, Address, str, str]:
    """Recipient, sender, client and login of a message that one of the rules may take."""
    n, some = rng.randrange(RULES), rng.randrange(1 << 30 if new else 20)
    domain = rng.choice(
        (f"d{n}.example", f"l{some % 50}.d{n}.example", f"mx{some}.d{n}.example", f"x{some}.test")
    )
    if "table" in case:
        domain = rng.choice((domain, f"t{some % ENTRIES}.example", f"t{some % ENTRIES}.u{n}.example"))
    local = rng.choice((f"u{some % 50}", f"x{some}"))
    sender = rng.choice(
        (
            ("ann", f"s{n}.example"),
            (f"bob{some}", f"s{n}.example"),
            (f"news-{n}-{some}", "y.test"),
            (f"p{some % ENTRIES}", "people.example"),
        )
    )
    client = f"10.{n}.{some % 256}.{some // 256 % 256}"
    login = rng.choice(("", f"user{n}", f"x{some}@l{n}.example"))
    return Address(local, domain), Address(*sender), client, login


def measure(made: Router, messages: list[tuple[Address, Address, str, str]]) -> float:
    """Seconds for each decision."""
    decide, clock = made.decide, time.process_time  # others may be at work on the same cores
    begin = clock()
    for recipient, sender, client, login in messages:
        decide(Request(recipient, sender=sender, client=client, login=login))
    return (clock() - begin) / len(messages)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What deciding about a recipient costs.")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        tables(directory)
        time.sleep(2.5)  # a file that was written just now is read again
        routers = {case: router(case, directory) for case in CASES}
        for case, made in routers.items():
            measure(made, [facts(case, rng, new=True) for _ in range(100)])  # reads the tables
        found: dict[tuple[str, bool], list[float]] = {}
        for _ in range(options.rounds):
            for case, made in routers.items():
                for new in (True, False):
                    messages = [facts(case, rng, new=new) for _ in range(REQUESTS)]
                    found.setdefault((case, new), []).append(measure(made, messages))
    print(f"{f'{RULES} rules that ask for':<24}{'first':>8}{'again':>8}   microseconds a recipient")
    for case in CASES:
        first, again = (statistics.median(found[case, new]) for new in (True, False))
        missed = "   more than 10" if max(first, again) > GOAL else ""
        print(f"{case:<24}{first * 1e6:>8.1f}{again * 1e6:>8.1f}{missed}")


if __name__ == "__main__":
    main()
