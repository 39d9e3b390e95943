"""What a server's protocol gives: the events of one session, in the order of its octets (see `smtp.server`).

A Command, an Invalid, an EndOfChunk and an EndOfContent want a reply; Content wants none; Broken ends the
session with its reply.  NEED_DATA, PAUSED and END_OF_INPUT say why there is no event.
"""

from __future__ import annotations

from mether.smtp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.reply import Reply


class Invalid:
    """A command that is malformed or out of order; answer with `reply`."""

    __slots__ = ("reply", "verb")

    def __init__(self, reply: Reply, verb: str = "") -> None:
        self.reply = reply
        self.verb = verb


class Content:
    """The next octets of the content, dots removed.  Wants no reply."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class EndOfChunk:
    """A chunk is complete, and more will follow; `data` are its last octets, `fault` as in EndOfContent."""

    __slots__ = ("data", "fault")

    def __init__(self, data: bytes, fault: Reply | None) -> None:
        self.data = data
        self.fault = fault


class EndOfContent:
    """The content is complete; `data` are its last octets.

    `fault` is the reply that its octets deserve, or None; `size` counts all of them.
    """

    __slots__ = ("data", "eight_bit", "fault", "size")

    def __init__(self, data: bytes, size: int, eight_bit: bool, fault: Reply | None) -> None:
        self.data = data
        self.size = size
        self.eight_bit = eight_bit
        self.fault = fault


class Broken:
    """Framing is lost or the client is not to be trusted with it: send `reply` and close."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class EndOfInput:
    """The client will send no more."""

    __slots__ = ()


class NeedData:
    """No event before more octets come."""

    __slots__ = ()


class Paused:
    """No event before `reply`."""

    __slots__ = ()


Event = Command | Invalid | Content | EndOfChunk | EndOfContent | Broken | EndOfInput | NeedData | Paused

NEED_DATA: Final = NeedData()
PAUSED: Final = Paused()
END_OF_INPUT: Final = EndOfInput()
