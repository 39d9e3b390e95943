"""``mether fsck``: what is wrong with the queue, and with ``--repair`` what can be saved of it.

A line on stdout for each thing that is wrong, and nothing when all is well; on stderr, that it can be
repaired.  The status is 0 when nothing is
wrong or all of it was set right, and 65 when something is or could not be saved; errors of the store are 75,
as for every program, and 66 where there is no queue.
"""

from __future__ import annotations

from mether.programs.errors import DATAERR, REPAIR, complain
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.programs.options import Parsed
    from mether.queue.fsck import Report


def work(options: Parsed, operands: list[str], url: str) -> int:
    """Do what the arguments after ``fsck`` say, to the queue at `url`; returns the exit status."""
    from mether.queue import fsck

    if operands:
        raise UsageError(f"fsck takes no operand; {operands[0]!r} is one too many")
    if options.flag("repair"):
        import time

        report = fsck.repair(url, now=time.time())
        wrong = bool(report.partial)
    else:
        report = fsck.look(url)
        wrong = bool(report.found)
    if options.flag("json"):
        import json

        print(json.dumps(_facts(url, report)))
    else:
        for line in report.lines():
            print(line)
    if wrong and not options.flag("repair"):
        complain("mether", f"{REPAIR}, while no process works the queue")
    return DATAERR if wrong else 0


def _facts(url: str, report: Report) -> dict[str, object]:
    facts: dict[str, object] = {"spool": url, "found": report.found, "notes": report.notes}
    if report.aside is not None:
        facts |= {
            "aside": report.aside,
            "saved": report.saved,
            "held": report.held,
            "done": report.done,
            "partial": [
                {"id": one.ident, "lost": one.lost, "files": one.files, "queued": one.queued}
                for one in report.partial
            ],
        }
    return facts
