"""Durations, sizes and rates as a person writes them: ``"1h30m"``, ``"50MiB"``, ``"100/m"``.

A duration is one or more whole or decimal numbers, each with its unit (``ms``, ``s``, ``m``, ``h``, ``d``,
``w``), the larger units first.  A size is a number of octets, alone or with ``KiB``, ``MiB``, ``GiB``,
``TiB`` (powers of 1024) or ``kB``, ``MB``, ``GB``, ``TB`` (of 1000); case does not matter.  A duration
without a unit is refused: nobody remembers which one was meant.  A rate is a whole number and, behind a
slash, the unit of time: ``s``, ``m``, ``h`` or ``d``.

All fail with ValueError, whose text says what was expected.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SECONDS: Final = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_OCTETS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_EXPECTED_DURATION: Final = 'expected a duration such as "90s", "5m", "1h30m" or "5d"'
_EXPECTED_SIZE: Final = 'expected a size such as "50MiB", "10MB" or a number of octets'
_DURATION_UNITS: Final = f"{_EXPECTED_DURATION}: the units are s, m, h, d, w and ms, the larger first"
_DURATION_RANGE: Final = f"{_EXPECTED_DURATION}: more than 0 and at most ten years"
_SIZE_UNITS: Final = f"{_EXPECTED_SIZE}: the units are KiB, MiB, GiB and TiB, or kB, MB, GB and TB"
_SIZE_RANGE: Final = f"{_EXPECTED_SIZE}: whole octets, more than 0"
_EXPECTED_RATE: Final = 'expected a rate such as "10/s", "100/m" or "1000/h", more than 0'
_LONGEST: Final = 10 * 365 * 86400.0
_LARGEST: Final = 2**53


def duration(text: str) -> float:
    """Seconds, more than 0 and at most ten years.  Raises ValueError."""
    rest, total, units = text.replace(" ", "").lower(), 0.0, list(_SECONDS)
    while rest:
        number, rest = _number(rest)
        unit = rest[:2] if rest[:2] == "ms" else rest[:1]
        if number is None or unit not in units:
            raise ValueError(_DURATION_UNITS)
        units = units[units.index(unit) + 1 :]
        rest = rest[len(unit) :]
        total += number * _SECONDS[unit]
    if not 0 < total <= _LONGEST:
        raise ValueError(_DURATION_RANGE if text else _DURATION_UNITS)
    return total


def size(text: str | int) -> int:
    """Octets, more than 0.  Raises ValueError."""
    if isinstance(text, str):
        number, unit = _number(text.replace(" ", "").lower())
        if number is None or unit not in _OCTETS:
            raise ValueError(_SIZE_UNITS)
        octets = number * _OCTETS[unit]
    else:
        octets = 0 if isinstance(text, bool) else text
    if not 0 < octets <= _LARGEST or octets != int(octets):
        raise ValueError(_SIZE_RANGE)
    return int(octets)


def rate(text: str) -> float:
    """How many a second, more than 0.  Raises ValueError."""
    number, slash, unit = text.replace(" ", "").lower().partition("/")
    if not slash or unit not in ("s", "m", "h", "d") or not (number.isascii() and number.isdigit()):
        raise ValueError(_EXPECTED_RATE)
    if len(number) > 9 or not int(number):
        raise ValueError(_EXPECTED_RATE)
    return int(number) / _SECONDS[unit]


def duration_text(seconds: float) -> str:
    """The shortest writing that `duration` reads back, to the millisecond: ``1h30m``."""
    left, out = round(seconds * 1000), ""
    for unit, value in _SECONDS.items():
        count, left = divmod(left, round(value * 1000))
        if count:
            out += f"{count}{unit}"
    return out or "0s"


def size_text(octets: int) -> str:
    """The writing that `size` reads back in the largest unit that loses nothing: ``50MiB``, ``10MB``."""
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        value = _OCTETS[unit.lower()]
        if octets and octets % value == 0:
            return f"{octets // value}{unit}"
    return str(octets)


def _number(text: str) -> tuple[float | None, str]:
    """The decimal number at the start of `text`, None when there is none, and what follows it."""
    end = 0
    while end < len(text) and (text[end] in "0123456789" or (text[end] == "." and 0 < end < 16)):
        end += 1
    digits = text[:end]
    if not digits or digits.count(".") > 1 or digits.endswith(".") or len(digits) > 24:
        return None, text
    return (float(digits) if "." in digits else int(digits)), text[end:]
