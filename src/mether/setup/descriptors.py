"""How many file descriptors a process may have, what a configuration may need, and when clients are refused.

A daemon raises its soft limit to the hard one (`lift`).  The last ones are kept for the spool, the queue and
next hops: a client whose connection got a descriptor above `ceiling` is refused, for the system gives the
lowest number that is free.  Without that the loop would accept until nothing can be opened any more, and then
close clients without a word.
"""

from __future__ import annotations

import errno
import os
import resource

from mether.receive.access import part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.setup.config import Config

MOST: Final = 1 << 20
"""No more than this is asked for: programs that are run inherit it, and some close every number there is."""

KEPT: Final = 128
"""Descriptors for all that is neither a session nor a connection to a next hop."""


LEAST: Final = 32
"""Without so many a daemon does not begin: the event loop, the queue and one listener take about twenty."""


def lift() -> None:
    """Raise the soft limit as far as the hard one allows.  Raises OSError where there is too little even so:
    the event loop would fail in ways of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _bounded(hard)
    if _bounded(soft) < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            pass  # the system has a lower one of its own
    taken: list[int] = []
    try:
        while len(taken) < LEAST:
            taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise OSError(
                error.errno, f"cannot begin with {soft} file descriptors (ulimit -n): too few"
            ) from None
        raise
    finally:
        for one in taken:
            os.close(one)


def soft() -> int:
    """How many this process may have."""
    return _bounded(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def ceiling(limit: int) -> int:
    """The lowest number, where so many may be had, at which a client is refused."""
    return limit - min(KEPT, limit // 8)


def shortage(config: Config, *, receives: bool = True) -> str:
    """Why a process of this configuration may run out of descriptors, "" where it cannot."""
    workers = config.service.workers if receives else 1
    sessions = sum(part(one.max_connections, workers) for one in config.listen) if receives else 0
    needed = sessions + config.relay.max_connections + KEPT
    most = _bounded(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    if needed <= most:
        return ""
    what = "max_connections of [[listen]] and [relay]" if receives else "relay.max_connections"
    return f"{what} may need {needed} file descriptors, and a process may have {most} (ulimit -Hn)"


def _bounded(limit: int) -> int:
    return MOST if limit == resource.RLIM_INFINITY else min(limit, MOST)
