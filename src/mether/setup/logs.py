"""Where events are logged: a stream, or syslog; and how a daemon spares a write for every line.

A daemon's lines are gathered and written once each turn of its event loop, since a write for each would
cost more than all the rest of logging; a warning or an error goes out at once, with all before it.
What a crash can lose is the lines of one turn.
"""

from __future__ import annotations

import os

from mether.event import mail as event

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from typing import Any, TextIO

    from mether.setup.config import Config


class Gathered:
    """A text stream that writes what was gathered once each turn of `loop`."""

    def __init__(self, stream: TextIO, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._loop = loop
        self._lines: list[str] = []

    def write(self, text: str) -> int:
        """Gather."""
        if not self._lines:
            self._loop.call_soon(self.write_out)
        self._lines.append(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: see `write_out`."""

    def write_out(self) -> None:
        """Write what was gathered.  A reader that is gone loses it."""
        lines, self._lines = self._lines, []
        if lines:
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):
                pass


def to_stream(config: Config, stream: TextIO, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Have events written to the stream as the configuration says; gathered when there is a loop."""
    gathered = Gathered(stream, loop) if loop is not None else None
    out: Any = gathered or stream
    host, level = config.service.hostname, config.log.number
    if config.log.format == "json":
        from mether.event import json

        event.sinks.append(json.sink(out, host=host, pid=os.getpid(), level=level))
    else:
        from mether.event import text

        event.sinks.append(text.writer(out, level, host=host, pid=os.getpid()))
    if gathered is not None:
        urgent = gathered.write_out

        def hurry(name: str, fields: Mapping[str, Any]) -> None:
            if event.LEVELS.get(name, event.INFO) > event.INFO:
                urgent()

        event.sinks.append(hurry)


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
