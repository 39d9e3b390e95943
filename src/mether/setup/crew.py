"""The workers of a service, as their parent sees them: who lives, and a word to one or all of them.

Telling fails for who is gone or takes nothing for some seconds (`setup.channel`), and is told by the answer.
One that lives and takes nothing may have got half a word, and can be told no other: it is asked by SIGTERM to
end, and killed when it does not within PATIENCE; its successor goes by what is in force then.
"""

from __future__ import annotations

import os
import signal
from time import monotonic

from mether.event import mail as event

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import Any, Final

    from mether.setup.channel import Channel

PATIENCE: Final = 30.0
"""Seconds that a worker which takes no word has to end; its sessions end meanwhile as in any end."""


class One:
    """A worker as its parent sees it; `pid` is 0 while it is dead, to be started at `due` (monotonic
    seconds).  One that was given up is to have ended by `until`."""

    __slots__ = ("channel", "deaths", "due", "heard", "number", "pid", "ready", "started", "until")

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.channel: Channel | None = None
        self.ready = False
        self.started = 0.0
        self.heard = 0.0
        self.deaths = 0
        self.due: float | None = None
        self.until: float | None = None

    @property
    def name(self) -> str:
        """What the log calls it: by the first, 1."""
        return f"worker {self.number + 1}"

    def tell(self, message: tuple[Any, ...], sockets: list[socket.socket] | None = None) -> bool:
        """Send it a message; False when it takes none, and is given up."""
        if self.channel is None or self.until is not None:
            return False
        try:
            self.channel.send(message, sockets or ())
        except OSError:
            self._give_up()
            return False
        return True

    def _give_up(self) -> None:
        """Have it end, and nobody wait for it."""
        self.ready = False
        self.until = monotonic() + PATIENCE
        if self.pid:
            event.error(f"{self.name} (process {self.pid}) takes no word from its parent, and is to end")
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it, as it does not listen: whatever it goes by, its successor goes by the right one."""
        if self.pid:
            event.error(f"{self.name} (process {self.pid}) does not answer, and is killed")
            os.kill(self.pid, signal.SIGKILL)


def tell(workers: Iterable[One], word: str) -> set[One]:
    """Tell all that live one word; who has taken it."""
    return {one for one in workers if one.pid and one.tell((word,))}
