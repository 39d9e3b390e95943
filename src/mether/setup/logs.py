"""Where events are logged: a stream, or syslog; and how a daemon spares a write for every line.

A daemon's lines are gathered and written at the end of the turn of its event loop, and not again within
GATHER seconds, since a write for each would cost more than all the rest of logging; a warning or an error
goes out at once, with all before it, but not the same again and again (`event.repeated`).  What a crash can
lose is the lines of that time.
"""

from __future__ import annotations

import os

from mether.event import mail as event

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Final, TextIO

    from mether.event.mail import Sink
    from mether.setup.config import Config


GATHER: Final = 0.01
"""Seconds between two writes of lines, none of which is urgent."""


WHOLE: Final = 4096
"""Octets that a pipe takes in one piece (PIPE_BUF): longer writes of two processes could mix their lines."""


def pieces(lines: list[str]) -> Iterator[str]:
    """The lines joined as far as they fit into a write that stays in one piece."""
    piece: list[str] = []
    room = WHOLE
    for line in lines:
        size = len(line) if line.isascii() else len(line.encode("utf-8", "replace"))
        if size > room and piece:
            yield "".join(piece)
            piece, room = [], WHOLE
        piece.append(line)
        room -= size
    if piece:
        yield "".join(piece)


class Gathered:
    """A text stream that writes what was gathered in a turn of `loop`, at most once in GATHER seconds.

    When it is `shared` with other processes nothing is written that could get mixed with their lines.
    """

    def __init__(self, stream: TextIO, loop: asyncio.AbstractEventLoop, *, shared: bool = False) -> None:
        self._stream = stream
        self._shared = shared
        self._loop = loop
        self._lines: list[str] = []
        self._next = 0.0
        self._finished = False

    def write(self, text: str) -> int:
        """Gather."""
        if self._lines:
            self._lines.append(text)
            return len(text)
        self._lines.append(text)
        if self._finished:
            self.write_out()
        elif self._loop.time() >= self._next:
            self._loop.call_soon(self.write_out)
        else:
            self._loop.call_at(self._next, self.write_out)
        return len(text)

    def flush(self) -> None:
        """Write what was gathered, at once."""
        self.write_out()

    def write_out(self) -> None:
        """Write what was gathered.  A reader that is gone loses it."""
        lines, self._lines = self._lines, []
        if lines:
            if not self._finished:
                self._next = self._loop.time() + GATHER
            try:
                for piece in self._pieces(lines):
                    self._stream.write(piece)
                    self._stream.flush()
            except (OSError, ValueError):
                pass

    def _pieces(self, texts: list[str]) -> Iterable[str]:
        whole = "".join(texts)
        return pieces(whole.splitlines(keepends=True)) if self._shared else (whole,)

    def finish(self) -> None:
        """Write what was gathered, and from now on each line at once: the loop is about to end."""
        self._finished = True
        self.write_out()


class Log:
    """Events written to a stream as a configuration says; gathered when there is a loop."""

    def __init__(
        self,
        config: Config,
        stream: TextIO,
        loop: asyncio.AbstractEventLoop | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self._stream = stream
        self._loop = loop
        self._gathered = Gathered(stream, loop, shared=shared) if loop is not None else None
        self._sinks: list[Sink] = []
        self.adopt(config)

    def detach(self) -> None:
        """Write no more."""
        for sink in self._sinks:
            event.sinks.remove(sink)
        self._sinks = []

    def adopt(self, config: Config) -> None:
        """Go by another configuration from now on."""
        self.detach()
        out: Any = self._gathered or self._stream
        lazy = self._gathered is not None
        host, level = config.service.hostname, config.log.number
        if config.log.format == "json":
            from mether.event import json

            sink = json.sink(out, host=host, pid=os.getpid(), level=level, lazy=lazy)
        else:
            from mether.event import text

            sink = text.writer(out, level, host=host, pid=os.getpid(), lazy=lazy)
        if self._loop is not None:
            from mether.event.repeated import Repeated

            sink = Repeated(sink, self._loop.time)
        self._sinks = [sink]
        event.sinks.extend(self._sinks)

    def finish(self) -> None:
        """To be called before the loop ends: what is logged from then on is written at once."""
        if self._gathered is not None:
            self._gathered.finish()
        else:
            self._stream.flush()


def to_stream(
    config: Config, stream: TextIO, loop: asyncio.AbstractEventLoop | None = None
) -> Callable[[], None]:
    """Have events written to the stream for good; returns `Log.finish`."""
    return Log(config, stream, loop).finish


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
