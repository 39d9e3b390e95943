"""Ending between two steps of a work, and not within one."""

from __future__ import annotations

import os
import signal

from mether.programs.errors import INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Interrupt:
    """For ``with``: an interrupt, SIGTERM or SIGHUP is noted as `number`, and ends nothing by itself; the
    second one does."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # by nohup, say
            try:
                self._before[number] = signal.signal(number, self._came)
            except ValueError:
                return self  # not the main thread, which gets them
        return self

    def _came(self, number: int, _frame: object) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def __exit__(self, *_: object) -> None:
        self._restore()

    def status(self) -> int:
        """The exit status; of SIGTERM and SIGHUP this process dies, as whoever sent them expects."""
        assert self.number is not None
        if self.number != signal.SIGINT:
            signal.signal(self.number, signal.SIG_DFL)
            os.kill(os.getpid(), self.number)
        return INTERRUPTED
