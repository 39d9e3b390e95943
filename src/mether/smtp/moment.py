"""Moments in time as RFC 3339 writes them, for HOLDUNTIL (RFC 4865 section 4.2).

`parse_moment` reads one; `release_at` says until when a hold lasts.  Nothing here raises.
"""

from __future__ import annotations

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_moment(text: str) -> float | None:
    """Unix seconds of ``2026-12-24T18:00:00Z`` or ``...+01:00``, fractions allowed; None for what is none."""
    text = text.upper()
    date, t, rest = text.partition("T")
    sign = "Z" if rest.endswith("Z") else "+" if "+" in rest else "-"
    clock, zone, offset = rest.partition(sign)
    year, month, day = _numbers(date, "-", (4, 2, 2))
    clock, dot, fraction = clock.partition(".")
    hour, minute, second = _numbers(clock, ":", (2, 2, 2))
    ahead, minutes, _ = _numbers(f"{offset}:00", ":", (2, 2, 2)) if sign != "Z" else (0, 0, 0)
    if (
        not (t and zone)
        or (sign == "Z" and offset)
        or (dot and not (fraction.isascii() and fraction.isdigit()))
    ):
        return None
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= _days_in(year, month)):
        return None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):
        return None
    if not (0 <= ahead < 24 and 0 <= minutes < 60):
        return None
    # Days since 1970 by the count of days in whole years and months (the Gregorian rule).
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 - 719162
    days += sum(_days_in(year, each) for each in range(1, month)) + day - 1
    lead = (ahead * 60 + minutes) * 60 * (-1 if sign == "-" else 1)
    return days * 86400.0 + hour * 3600 + minute * 60 + second - lead + float(f"0.{fraction[:9] or 0}")


def release_at(hold: str | None, arrived: float) -> float:
    """Until when a hold lasts, in Unix seconds; 0 when there is none.

    `hold` is as in `Envelope.hold`, `arrived` when the message came.
    """
    if hold is None:
        return 0.0
    kind, _, value = hold.partition(";")
    if kind == "for":
        return arrived + float(value)
    return parse_moment(value) or 0.0


def _numbers(text: str, separator: str, widths: tuple[int, int, int]) -> tuple[int, int, int]:
    parts = text.split(separator)
    if len(parts) != 3 or any(
        not (part.isascii() and part.isdigit() and len(part) == width)
        for part, width in zip(parts, widths, strict=True)
    ):
        return -1, -1, -1
    return int(parts[0]), int(parts[1]), int(parts[2])


def _days_in(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month - 1] + leap
