"""Reading the configuration again: what stays as it was, what is told, and how several workers do it.

A service of one process prepares and adopts a newer configuration by itself (`service.Alone`).  With
workers a `Reload` goes in two steps: all prepare it, and only when all can do they adopt it; where one
cannot, does not answer in time, or the service ends, all drop it, and everything stays as it was.  From the
second step on there is no way back: a worker that does not take it then is killed, and its successor goes by
the new configuration from its start.

Nothing here waits or reads a clock: the parent says what it heard and that time is up.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.setup import crew
from mether.setup.struct import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.setup.config import Config
    from mether.setup.crew import One
    from mether.setup.places import Key, Place

SECONDS: Final = 30.0
"""What the workers have for each of the two steps."""

STAYS: Final = "the configuration stays as it was"


class Reload:
    """A newer configuration on its way to `workers`; what is new to listen on is in `opened`.

    `until` is when the step under way has to be done.  Once it is `settled` the configuration is in force,
    and the parent goes by it; when it is `over` all is done or, with `trouble`, the line that says what,
    given up.  By its `number` a late answer to an earlier one is known.
    """

    __slots__ = ("_awaited", "_workers", "config", "number", "opened", "over", "settled", "trouble", "until")

    def __init__(
        self, number: int, config: Config, opened: dict[Key, Place], workers: Sequence[One], now: float
    ) -> None:
        self.number = number
        self.config = config
        self.opened = opened
        self.until = now + SECONDS
        self.settled = False
        self.over = False
        self.trouble = ""
        self._workers = workers
        self._awaited = {one for one in workers if one.pid}

    def begin(self, now: float) -> None:
        """Have all that live prepare it; a worker that takes no word is ended, and not awaited."""
        for one in list(self._awaited):
            mine = [(key, place.sockets[one.number]) for key, place in self.opened.items()]
            counts = [(key, len(sockets)) for key, sockets in mine]
            flat = [sock for _, sockets in mine for sock in sockets]
            if not one.tell(("prepare", self.number, self.config, counts), flat):
                self._awaited.discard(one)
                if not self._awaited:  # nobody can say whether it will do
                    self.give_up(f"{STAYS}: no worker takes a word")
                    return
        self._go_on(now)

    def hear(self, one: One, message: tuple[str, int, str], now: float) -> None:
        """A worker has answered; an answer that is not awaited changes nothing."""
        name, number, trouble = message
        if self.over or number != self.number or name != ("adopted" if self.settled else "prepared"):
            return
        self._awaited.discard(one)
        if trouble:
            self.give_up(trouble)
        else:
            self._go_on(now)

    def lost(self, one: One, now: float) -> None:
        """A worker has died: its successor will go by what is in force then."""
        self._awaited.discard(one)
        self._go_on(now)

    def late(self) -> None:
        """Time is up."""
        slow = ", ".join(sorted(one.name for one in self._awaited))
        self.give_up(f"{STAYS}: no answer from {slow}")

    def give_up(self, trouble: str) -> None:
        """Have it dropped; where it is in force, end those that have not taken it."""
        if self.over:
            return
        self.over = True
        if self.settled:
            for one in self._awaited:
                one.kill()
            return
        self.trouble = trouble
        crew.tell(self._workers, "drop")
        for place in self.opened.values():
            place.end()

    def _go_on(self, now: float) -> None:
        """Take the next step when nobody is awaited any more."""
        if not self._awaited and not self.settled:
            self.settled = True
            self.until = now + SECONDS
            self._awaited = crew.tell(self._workers, "adopt")
        if not self._awaited:
            self.over = True


def kept(config: Config, before: Config, *, workers: bool = True) -> Config:
    """The configuration with what no running service can change as it was before; the log tells of that.
    Where there are no workers anyway, `workers` is False."""
    fixed = [("queue", "spool"), ("service", "user"), ("service", "group")]
    for table, key in (*fixed, *((("service", "workers"),) if workers else ())):
        new, old = getattr(config, table), getattr(before, table)
        if getattr(new, key) != getattr(old, key):
            event.warning(
                f"{table}.{key} stays {getattr(old, key) or 'unset'}: it can only change by a new start"
            )
            changed = replace(new, **{key: getattr(old, key)})
            config = replace(config, **{table: changed})
    return config


def failed(error: Exception) -> str:
    """The line about a configuration that cannot be adopted."""
    what = (
        str(error)
        if hasattr(error, "sysexit") or isinstance(error, OSError)
        else f"internal error: {error!r}"
    )
    return f"{STAYS}: {what}"
