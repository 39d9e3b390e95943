"""The mail log as JSON: one object a line, for programs that read logs.

Every object begins with ``time`` (RFC 3339, UTC, microseconds), ``event`` (the event's name in
`event.mail`), ``level``, ``host`` and ``pid``; the event's own fields follow under the names that
`event.mail` gives them.  An address is a string; a reply is an object of ``code``, ``status`` and ``text``;
a route is ``transport:next_hop``; times are Unix seconds.  Fields whose value is empty or unknown are
left out.  Non-ASCII and control characters are escaped, so a line is always one line.
"""

from __future__ import annotations

import json
import time

from mether.event.mail import INFO, LEVELS
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TextIO

    from mether.event.mail import Sink

NAMES = {20: "info", 30: "warning", 40: "error"}


def sink(
    stream: TextIO,
    *,
    host: str = "",
    pid: int = 0,
    level: int = INFO,
    clock: Callable[[], float] = time.time,
    lazy: bool = False,
) -> Sink:
    """A sink that writes events of at least `level` to `stream`, a line each; with `lazy` it flushes only
    what is more than INFO."""

    def write(name: str, fields: Mapping[str, Any]) -> None:
        at = LEVELS.get(name, INFO)
        if at >= level:
            stream.write(line(name, fields, clock(), host=host, pid=pid))
            if at > INFO or not lazy:
                stream.flush()

    return write


def line(name: str, fields: Mapping[str, Any], now: float, *, host: str = "", pid: int = 0) -> str:
    """The line of one event that happened at `now`, with its line end."""
    record: dict[str, Any] = {
        "time": _time(now),
        "event": name,
        "level": NAMES[LEVELS.get(name, INFO)],
    }
    if host:
        record["host"] = host
    if pid:
        record["pid"] = pid
    # An empty sender is the null reverse-path, which is something to know.
    record.update(
        (key, value)
        for key, value in fields.items()
        if value is not None and value is not False and (value not in ("", ()) or key == "sender")
    )
    return json.dumps(record, default=_plain) + "\n"


def _time(at: float) -> str:
    second = int(at)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{int((at - second) * 1e6):06d}Z"


def _plain(value: object) -> object:
    """What `json` is given for a value that it does not know."""
    if isinstance(value, Reply):
        return {"code": value.code, "status": value.status, "text": value.text}
    return str(value)
