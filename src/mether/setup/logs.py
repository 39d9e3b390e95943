"""Where events are logged: a stream, or syslog; and how a daemon spares a write for every line.

A daemon's lines are gathered and written at the end of the turn of its event loop, and not again within
GATHER seconds, since a write for each would cost more than all the rest of logging; a warning or an error
goes out at once, with all before it.  What a crash can lose is the lines of that time.
"""

from __future__ import annotations

import os

from mether.event import mail as event

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from typing import Any, Final, TextIO

    from mether.setup.config import Config


GATHER: Final = 0.01
"""Seconds between two writes of lines, none of which is urgent."""


class Gathered:
    """A text stream that writes what was gathered in a turn of `loop`, at most once in GATHER seconds."""

    def __init__(self, stream: TextIO, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._loop = loop
        self._lines: list[str] = []
        self._next = 0.0
        self._finished = False

    def write(self, text: str) -> int:
        """Gather."""
        first = not self._lines
        self._lines.append(text)
        if self._finished:
            self.write_out()
        elif first and self._loop.time() >= self._next:
            self._loop.call_soon(self.write_out)
        elif first:
            self._loop.call_at(self._next, self.write_out)
        return len(text)

    def flush(self) -> None:
        """Do nothing: see `write_out`."""

    def write_out(self) -> None:
        """Write what was gathered.  A reader that is gone loses it."""
        lines, self._lines = self._lines, []
        if lines:
            if not self._finished:
                self._next = self._loop.time() + GATHER
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):
                pass

    def finish(self) -> None:
        """Write what was gathered, and from now on each line at once: the loop is about to end."""
        self._finished = True
        self.write_out()


def to_stream(
    config: Config, stream: TextIO, loop: asyncio.AbstractEventLoop | None = None
) -> Callable[[], None]:
    """Have events written to the stream as the configuration says; gathered when there is a loop.

    What it returns is to be called before the loop ends.
    """
    gathered = Gathered(stream, loop) if loop is not None else None
    out: Any = gathered or stream
    host, level = config.service.hostname, config.log.number
    if config.log.format == "json":
        from mether.event import json

        event.sinks.append(json.sink(out, host=host, pid=os.getpid(), level=level))
    else:
        from mether.event import text

        event.sinks.append(text.writer(out, level, host=host, pid=os.getpid()))
    if gathered is None:
        return stream.flush
    urgent = gathered.write_out

    def hurry(name: str, fields: Mapping[str, Any]) -> None:
        if event.LEVELS.get(name, event.INFO) > event.INFO:
            urgent()

    event.sinks.append(hurry)
    return gathered.finish


def to_syslog(config: Config) -> None:
    """Have events written to the system's log, facility mail."""
    import syslog

    from mether.event import text

    syslog.openlog("mether", syslog.LOG_PID, syslog.LOG_MAIL)
    least = config.log.number

    def sink(name: str, fields: Mapping[str, Any]) -> None:
        level = event.LEVELS.get(name, event.INFO)
        if level < least:
            return
        priority = {event.INFO: syslog.LOG_INFO, event.WARNING: syslog.LOG_WARNING}.get(level, syslog.LOG_ERR)
        for component, line in text.lines(name, fields):
            syslog.syslog(priority, f"{component}: {line}")

    event.sinks.append(sink)
