"""The plot of docs/performance.md: small panels of bars, one bar a service, as SVG.

Written by hand rather than by a library: it is text, and a change of a figure is a change of a line.  It is
legible on white and on black.  A bar that would dwarf the others is cut, and its end shows it.
"""

from __future__ import annotations

import statistics
from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PANELS = [
    ("relay-kept", "messages_per_second", "Relay, kept open: messages/s", "more", 1, 0),
    ("relay-fresh", "messages_per_second", "Relay, one connection a message: messages/s", "more", 1, 0),
    ("relay-kept", "cpu_seconds_per_thousand", "Relay, kept open: CPU s per 1,000", "less", 1, 2),
    (
        "relay-fresh",
        "cpu_seconds_per_thousand",
        "Relay, a connection a message: CPU s per 1,000",
        "less",
        1,
        2,
    ),
    ("accept", "accepted_per_second", "Accept alone: messages/s", "more", 1, 0),
    ("large", "octets_per_second", "A message of 50 MiB: MB/s", "more", 1e6, 0),
    ("latency", "answered_median", "One message, until its 250: ms", "less", 1e-3, 2),
    ("latency", "delivered_median", "One message, until delivered: ms", "less", 1e-3, 2),
]
"""Mode, figure, title, what is better, what it is divided by, digits."""

NAMES = {"mether": "mether", "postfix": "Postfix", "exim": "Exim", "opensmtpd": "OpenSMTPD"}
WIDTH, BAR, GAP, LABEL, FULL = 410, 18, 6, 84, 220
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.aside { fill: #656d76; }
.bar { fill: #a5b1bf; }
.ours { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .aside { fill: #9198a1; }
  .bar { fill: #57606a; }
  .ours { fill: #4493f8; }
}
"""


def bound(values: Sequence[float]) -> float:
    """What a whole bar stands for: the most, but never beyond six times the middle."""
    return min(max(values), 6 * statistics.median(values)) or 1.0


def panel(x: int, y: int, title: str, better: str, bars: list[tuple[str, float]], digits: int) -> list[str]:
    """One panel at that place."""
    lines = [
        f'<text class="title" x="{x}" y="{y + 12}">{escape(title)}</text>',
        f'<text class="aside" x="{x}" y="{y + 27}">{better} is better</text>',
    ]
    full = bound([value for _, value in bars])
    at = y + 36
    for name, value in bars:
        length = max(1.0, min(value / full, 1.0) * FULL)
        kind = "bar ours" if name == "mether" else "bar"
        lines.append(f'<text x="{x}" y="{at + 13}">{escape(NAMES.get(name, name))}</text>')
        lines.append(f'<rect class="{kind}" x="{x + LABEL}" y="{at}" width="{length:.1f}" height="{BAR}"/>')
        text = f"{value:,.{digits}f}" + (" »" if value > full else "")
        lines.append(f'<text x="{x + LABEL + length + 6:.1f}" y="{at + 13}">{text}</text>')
        at += BAR + GAP
    return lines


def svg(found: dict[str, dict[str, Any]]) -> str:
    """The plot of what there is."""
    drawn, body = 0, []
    height = 36 + 4 * (BAR + GAP) + 20
    for mode, name, title, better, by, digits in PANELS:
        cases = found.get(mode, {}).get("cases", {})
        bars = [
            (case, cases[case]["medians"][name] / by)
            for case in NAMES
            if name in cases.get(case, {}).get("medians", {})
        ]
        if bars:
            x, y = 10 + drawn % 2 * WIDTH, 10 + drawn // 2 * height
            body += panel(x, y, title, better, bars, digits)
            drawn += 1
    width, whole = 20 + 2 * WIDTH, 20 + (drawn + 1) // 2 * height
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" role="img">'
    title = "<title>mether beside Postfix, Exim and OpenSMTPD</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", *body, "</svg>"]) + "\n"
