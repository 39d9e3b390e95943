"""Queue ids: 13 characters that sort by time of arrival and name a message in every place.

An id is a 63-bit number written in Crockford's base 32: microseconds since 2020-01-01 shifted left by
twelve bits, filled with random bits.  It is made when a draft opens, so that the trace field, the
250, the log and the file name carry it before the commit.  Two processes that draw the same number in the
same microsecond (1 in 4096) are told apart by the store, which refuses the second draft alone.

A clock that is before 2020 or after 2091 gives no ids: what is refused then is told to be the clock's fault.

A report's id is derived from its message's id and the settlement's number (`report_id`), so that a
settlement done over after a crash names the same report.
"""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 13
EPOCH = 1_577_836_800
"""Unix time, in seconds, from which ids count."""

EARLY = "clock-behind"
LATE = "clock-ahead"
_CLOCK = {
    EARLY: "the clock of this system is wrong: it is before 2020-01-01, and no message can get an id",
    LATE: "the clock of this system is wrong: it is after 2091-05-10, and no message can get an id",
}
"""The same words for every message: so they are logged once, and then how often."""

_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]

# From our digits to those of int(text, 32); the letters that are none become what int() refuses.
_DIGITS = str.maketrans(ALPHABET + "ILOU", "0123456789ABCDEFGHIJKLMNOPQRSTUV" + "!!!!")


def encode(number: int) -> str:
    """The id of a number of 0 to 2**63 - 1."""
    pairs = _PAIRS
    return (
        ALPHABET[number >> 60]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )


def decode(ident: str) -> int:
    """The number of an id, in either case.  Raises ValueError when it is none."""
    if len(ident) == LENGTH and ident.isascii() and ident.isalnum():
        try:
            number = int(ident.upper().translate(_DIGITS), 32)
        except ValueError:
            number = -1
        if 0 <= number < 1 << 63:
            return number
    raise ValueError(trouble(ident))


def trouble(ident: str) -> str:
    """Why this is no id."""
    return _CLOCK.get(ident) or f"{ident[:80]!r} is not a queue id"


def new_id(now: float, random: int) -> str:
    """The id of a message that arrives at `now` (Unix seconds), with 12 of `random`'s bits.

    At a time that no id has it is EARLY or LATE, which no store takes.
    """
    number = int((now - EPOCH) * 1e6) << 12 | (random & 0xFFF)
    if 0 <= number < 1 << 63:
        return encode(number)
    return EARLY if number < 0 else LATE


def arrived(ident: str) -> float:
    """When the message of that id arrived, in Unix seconds.  Raises ValueError."""
    return EPOCH + (decode(ident) >> 12) / 1e6


def report_id(ident: str, settlement: int) -> str:
    """The id of the report that settlement number `settlement` (from 1) of message `ident` enqueues.

    It is a few milliseconds later than the original, and never equal to it, to another settlement's, or to
    that of a report on a report: ids only grow this way.
    """
    # 2654435761 is Knuth's multiplicative constant: odd, so distinct settlements stay distinct.
    return encode(decode(ident) + ((settlement * 2654435761 & 0xFFFFFF) << 1 | 1))
