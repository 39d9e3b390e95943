"""``smtpq shape``: recipients by next hop and by the time since their messages came, as qshape tells it.

Columns are minutes and double: 5 is what came less than five minutes ago, 10 what came less than ten
minutes ago, and so on; the last is what is older.  Next hops come by size.  The store counts; no message is
read.
"""

from __future__ import annotations

import sys

from mether.programs.listing import clean, hop_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from mether.programs.smtpq import Call
    from mether.queue.figures import Shape

MINUTES: Final = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
COLUMNS: Final = (*(str(minutes) for minutes in MINUTES), f"{MINUTES[-1]}+")
SCREENFUL: Final = 20
"""Next hops that are shown where no terminal says how many it has room for."""


def shape(call: Call) -> None:
    """Count and print.  Raises StoreError."""
    options = call.options
    top = options.number("top")
    found = call.store.shape(call.filter, [call.now - minutes * 60 for minutes in MINUTES])
    found.sort(key=lambda one: (-one.recipients, str(one.route)))
    if options.flag("json"):
        import json

        for one in found[: int(top)] if top else found:
            sys.stdout.write(json.dumps(_record(one)) + "\n")
        return
    most = _screenful() if top is None else int(top) or len(found)
    sys.stdout.writelines(f"{line}\n" for line in table(found, most))


def table(found: Sequence[Shape], most: int) -> Iterator[str]:
    """The table, with at most so many next hops; what the others hold is one more line."""
    if not found:
        yield "no recipient waits"
        return
    rows = [("TOTAL", _sum(found))]
    rows += [(clean(hop_name(one.route)), one.counts) for one in found[:most]]
    if others := found[most:]:
        rows.append((f"({len(others)} other{'s' if len(others) > 1 else ''})", _sum(others)))
    name = max(len(row[0]) for row in rows)
    total = max(5, len(str(sum(rows[0][1]))))
    widths = [max(len(head), len(str(count))) for head, count in zip(COLUMNS, rows[0][1], strict=True)]
    yield " ".join([" " * name, f"{'T':>{total}}", *map(str.rjust, COLUMNS, widths)])
    for left, counts in rows:
        yield " ".join(
            [f"{left:>{name}}", f"{sum(counts):>{total}}", *map(str.rjust, map(str, counts), widths)]
        )


def _sum(found: Sequence[Shape]) -> list[int]:
    return [sum(column) for column in zip(*(one.counts for one in found), strict=True)]


def _record(one: Shape) -> dict[str, object]:
    return {
        "transport": one.route.transport,
        "next_hop": one.route.next_hop,
        "via": one.route.via or None,
        "recipients": one.recipients,
        "ages": dict(zip(COLUMNS, one.counts, strict=True)),
    }


def _screenful() -> int:
    """How many next hops fit between heading, total, others and the next prompt."""
    import os

    try:
        lines = os.get_terminal_size(sys.stdout.fileno()).lines
    except (OSError, ValueError, AttributeError):
        return SCREENFUL
    return max(1, lines - 4)
