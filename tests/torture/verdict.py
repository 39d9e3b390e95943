"""What must hold after any torture, from the ledgers and the log; pure but for reading them.

- Each recipient of a message that was answered 250 was delivered or returned (nothing is queued any more).
- Nothing came with another content.
- Nobody was returned in two reports.
- What was delivered twice, or delivered and returned, was in flight when a process or a session died: the
  log tells of an uncertain attempt or of a claim that outlived its owner, or does not tell of one delivery at
  all, whose process thus died before it could.
- No traceback, no internal error.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from ledger import lines

_EVENT = re.compile(r'"event": "(\w+)"')
_IDENT = re.compile(r'"queue_id": "(\w+)"')
_SLOT = re.compile(r'"recipient": "r(\d+)@')
DONE = ("delivered", "relayed")
FAULTS = ("Traceback", "internal error", "Error(")
SHOWN = 20
"""Examples of one kind that are told."""


class Ledger:
    """The lines of both ledgers, counted by slot."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.answered: set[int] = set()
        self.delivered: Counter[int] = Counter()
        self.uncertain: set[int] = set()
        self.reports: dict[int, set[str]] = defaultdict(set)
        self.spoilt: set[int] = set()
        for path in paths:
            for kind, slot, *more in lines(path):
                number = int(slot)
                if kind == "A":
                    self.answered.add(number)
                elif kind in "DU":
                    self.delivered[number] += 1
                    if kind == "U":
                        self.uncertain.add(number)
                elif kind == "B":
                    self.reports[number].add(more[0])
                else:
                    self.spoilt.add(number)


class Log:
    """What the log says of some slots, and its faults."""

    def __init__(self, paths: Iterable[Path], slots: set[int]) -> None:
        self.told: Counter[int] = Counter()
        self.excused: set[int] = set()
        self.faults: list[str] = []
        self.events: Counter[str] = Counter()
        idents: dict[int, set[str]] = defaultdict(set)
        reclaimed: set[str] = set()
        for path in paths:
            with path.open(errors="replace") as log:
                for line in log:
                    self._read(line, slots, idents, reclaimed)
        self.excused |= {slot for slot, names in idents.items() if names & reclaimed}

    def _read(self, line: str, slots: set[int], idents: dict[int, set[str]], reclaimed: set[str]) -> None:
        event = _EVENT.search(line)
        if any(fault in line for fault in FAULTS):
            self.faults.append(line.rstrip())
        if event is None:
            return
        name = event[1]
        self.events[name] += 1
        if name in ("reclaimed", "refused"):
            ident = _IDENT.search(line)
            if ident is not None:
                reclaimed.add(ident[1])
            return
        slot = _SLOT.search(line)
        if slot is None or int(slot[1]) not in slots:
            return
        number = int(slot[1])
        ident = _IDENT.search(line)
        if ident is not None:
            idents[number].add(ident[1])
        if name in DONE:
            self.told[number] += 1
        if '"uncertain": true' in line:
            self.excused.add(number)


def violations(ledger: Ledger, logs: Iterable[Path]) -> tuple[list[str], Log]:
    """What does not hold, a line each; and what was read of the log."""
    twice = {slot for slot, count in ledger.delivered.items() if count > 1}
    both = {slot for slot in ledger.reports if slot in ledger.delivered}
    log = Log(logs, twice | both)
    found = {
        "lost": ledger.answered - ledger.delivered.keys() - ledger.reports.keys(),
        "spoilt": ledger.spoilt,
        "returned twice": {slot for slot, reports in ledger.reports.items() if len(reports) > 1},
        "delivered and returned": both - log.excused - ledger.uncertain,
        "delivered twice": {
            slot
            for slot in twice - log.excused - ledger.uncertain
            if log.told[slot] >= ledger.delivered[slot]
        },
    }
    out = [
        f"{what}: {len(slots)} of {len(ledger.answered)}: {', '.join(map(str, sorted(slots)[:SHOWN]))}"
        for what, slots in found.items()
        if slots
    ]
    return out + log.faults[:SHOWN], log
