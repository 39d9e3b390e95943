"""A time as a person gives it on a command line.

``+6h`` from now; ``14:30``, the next time that a clock here shows it; ``2026-01-31T12:00``, in the local zone
unless it names another; a Unix time.  Fails with UsageError, one line that names the option.
"""

from __future__ import annotations

from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LAST: Final = 253402214400.0
"""A day before the end of the year 9999: what is later cannot be written in every zone."""

SHAPES: Final = "+6h, 14:30, 2026-01-31T12:00 or a Unix time"
"""What is understood, in words."""


def moment(text: str, now: float, option: str) -> float:
    """The time as Unix seconds; `option`, such as ``--at``, is for the error.  Raises UsageError."""
    try:
        at = _moment(text, now)
    except (ValueError, OverflowError):
        at = -1.0
    if not 0 <= at < LAST:
        raise UsageError(f"{option}: {text[:80]!r} is not a time such as {SHAPES}")
    return at


def _moment(text: str, now: float) -> float:
    if text.startswith("+"):
        from mether.setup.units import duration

        return now + duration(text[1:])
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    from datetime import datetime, time, timedelta

    if text[2:3] != ":":
        return datetime.fromisoformat(text).timestamp()
    clock = time.fromisoformat(text)
    if clock.tzinfo is not None:
        raise ValueError
    today = datetime.combine(datetime.fromtimestamp(now).date(), clock)
    at = today.timestamp()
    return at if at > now else (today + timedelta(days=1)).timestamp()
