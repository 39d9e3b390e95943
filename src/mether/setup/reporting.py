"""From a configuration to who writes reports, and to what all reports have in common.

A process has one `pace`: its listeners and its runner count together, and a newer configuration counts on.
What a configuration asks for is made before it is in force, so `reporter` changes nothing of what others
share; whoever adopts the configuration sets `Pace.hourly`.
"""

from __future__ import annotations

import random
import time

from mether import address
from mether.event import mail as event
from mether.runner.notify import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.address import Address
    from mether.queue.pace import Pace
    from mether.routing.router import Router
    from mether.setup.config import Config

_offset = (-1, 0)


def offset() -> int:
    """Local time's lead over UTC, in seconds; asked anew each minute, since it changes at no other time."""
    global _offset
    minute = int(time.time()) // 60
    if _offset[0] != minute:
        _offset = (minute, time.localtime().tm_gmtoff)
    return _offset[1]


def postmaster(config: Config, router: Router) -> Address:
    """Who gets mail for the bare postmaster, and reports that cannot be delivered."""
    return router.postmaster or address.parse(config.service.postmaster, utf8=True)


def boundary() -> str:
    """A token for a report."""
    return f"{random.getrandbits(96):024x}"


def pace(config: Config) -> Pace:
    """How many reports an hour go to one reader, counted in this spool by all who ask there."""
    from mether.queue.pace import Pace
    from mether.setup.suppress import directory

    return Pace(directory(config.queue.spool), config.reports.hourly, event.error)


def reporter(config: Config, router: Router, pace: Pace | None) -> Reporter:
    """Who writes reports, so many an hour to one reader; None: any number.  Raises ConfigError."""
    from mether.setup import replies, reports

    return Reporter(
        hostname=config.service.hostname,
        postmaster=postmaster(config, router),
        tell_postmaster=config.service.undeliverable_reports == "postmaster",
        router=router,
        lifetime=config.retry.expire,
        boundary=boundary,
        offset=offset,
        hold=config.service.undeliverable_reports == "hold",
        texts=reports.texts(config),
        rules=replies.rules(config),
        pace=pace,
    )
