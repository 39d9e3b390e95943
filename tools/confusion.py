"""docs/bounces.md: how well replies are classified, counted over tests/content/replies/corpus.tsv.

    python tools/confusion.py [--check] [--wrong] [--held]

Writes the table between the marks in the document.  With --check it is only compared, and the exit status is
1 when it is not current.  --wrong shows the rows that are judged otherwise than by the person who read them,
but for those held out; --held shows those.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from mether.content.classify import KINDS, classify
from mether.reply import Reply

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "content" / "replies" / "corpus.tsv"
DOCUMENT = ROOT / "docs" / "bounces.md"
BEGIN = "<!-- confusion: made by tools/confusion.py -->\n"
END = "<!-- end of confusion -->\n"

Row = tuple[Reply, str, str, bool, str]


def rows() -> list[Row]:
    """Reply, stage, the class a person gave, whether the row is held out, and its source."""
    found: list[Row] = []
    for line in CORPUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        code, status, text, stage, kind, source = line.split("\t")
        digest = hashlib.sha256(f"{code}\t{status}\t{text}".encode()).hexdigest()
        found.append((Reply(int(code), status or None, text), stage, kind, int(digest, 16) % 3 == 0, source))
    return found


def table(found: list[Row]) -> str:
    """The accuracy and the confusion table, in Markdown."""
    counts: dict[tuple[str, str], int] = {}
    right, total = [0, 0], [0, 0]
    for reply, stage, kind, held, _ in found:
        got = classify(reply, stage).kind
        counts[kind, got] = counts.get((kind, got), 0) + 1
        right[held] += got == kind
        total[held] += 1
    lines = [
        f"{sum(total)} replies; right: {_share(right[0], total[0])} of those that rules were made with, "
        f"{_share(right[1], total[1])} of those held out.",
        "",
        "| is \\ judged | " + " | ".join(KINDS) + " | right |",
        "| --- |" + " ---: |" * (len(KINDS) + 1),
    ]
    for kind in KINDS:
        cells = [counts.get((kind, got), 0) for got in KINDS]
        share = _share(counts.get((kind, kind), 0), sum(cells))
        shown = " | ".join(str(cell) if cell else "" for cell in cells)
        lines.append(f"| **{kind}** | {shown} | {share} |")
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / whole:.1f}%)" if whole else "0/0"


def main(arguments: list[str]) -> int:
    """Write, check or show; the exit status."""
    found = rows()
    if "--wrong" in arguments or "--held" in arguments:
        for reply, stage, kind, held, _ in found:
            got = classify(reply, stage)
            if got.kind != kind and held == ("--held" in arguments):
                print(f"{kind} <- {got.kind}: {stage} {reply}")
        return 0
    old = DOCUMENT.read_text(encoding="utf-8")
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        print(f"docs/bounces.md: expected the lines {BEGIN.strip()} and {END.strip()}")
        return 1
    new = head + begin + table(found) + end + tail
    if "--check" in arguments:
        if new != old:
            print("docs/bounces.md is not current: run python tools/confusion.py")
            return 1
        return 0
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
