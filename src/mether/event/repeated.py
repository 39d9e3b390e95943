"""The same trouble told again and again: once, then at most once a minute, with how often it came meanwhile.

A full disk refuses every message, and a line for each would hide what else there is, and fill the disk that
has room for logs.  `Repeated` goes between the events and a sink.  Warnings and errors with the same words,
but for the id of the message, are told at first; what comes within MINUTE seconds is counted, and the next
one after that says how many there were.  All other events go through, so each message that was refused is
still told of as such.  At most KEPT texts are remembered.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from mether.event.mail import Sink

MINUTE: Final = 60.0
KEPT: Final = 256
_LIMITED: Final = ("warning", "error")


class Repeated:
    """A sink before `sink`; `clock` gives seconds that never go back."""

    __slots__ = ("_clock", "_known", "_sink")

    def __init__(self, sink: Sink, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._clock = clock
        self._known: dict[str, list[float]] = {}

    def __call__(self, name: str, fields: Mapping[str, Any]) -> None:
        """Take an event."""
        if name not in _LIMITED:
            self._sink(name, fields)
            return
        what, now = fields["what"], self._clock()
        ident = fields.get("queue_id")
        same = what.replace(ident, "") if ident else what  # a file is named after its message
        known = self._known.get(same)
        if known is None:
            if len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[same] = [now, 0]
        elif now - known[0] < MINUTE:
            known[1] += 1
            return
        else:
            if known[1]:
                fields = {**fields, "what": f"{what} ({int(known[1])} times more since it was last told)"}
            self._known[same] = [now, 0]
        self._sink(name, fields)
