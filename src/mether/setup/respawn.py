"""When a process that ended is started again, and how its end is told.

Pure functions.  One that died after it had worked for a while is started at once; one that dies again and
again is given longer and longer pauses, up to LONGEST, so that what it dies of costs little and its log can
be read.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LONGEST: Final = 60.0
"""Seconds at most before a process is started again; one that lived that long begins anew with its pauses."""


def deaths(before: int, lived: float) -> int:
    """How many deaths in a row there are with this one, after `lived` seconds of life."""
    return 1 if lived >= LONGEST else before + 1


def pause(deaths: int) -> float:
    """Seconds until it is started again, after so many deaths in a row: 0, 1, 2, 4 and so on."""
    return 0.0 if deaths <= 1 else min(LONGEST, 2.0 ** min(deaths - 2, 30))


def how(status: int) -> str:
    """How a process ended, from the status that waitpid gives."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
