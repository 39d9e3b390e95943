"""Attempts as the stores keep them: their transcripts, bounded and of the last one alone, and their routes.

Of a message's attempts at one next hop a store keeps the last transcript: an attempt that has one takes
theirs from those before it.  `kept` says what is kept of one.

The transport of an attempt's route is written with its `via` behind a space, so that what an attempt
consists of is as it was before there was one: a process of an earlier version goes on writing, and
reads what is there.
"""

from __future__ import annotations

from mether.outcome import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LIMIT: Final = 16 * 1024
"""Octets of a transcript that are kept, in UTF-8."""

CUT: Final = "...\n"
"""Stands where the beginning was cut off."""


def transport(route: Route) -> str:
    """What is written of a route for its transport."""
    return f"{route.transport} {route.via}" if route.via else route.transport


def route(transport: str, next_hop: str, helo: str) -> Route:
    """The route of what was written."""
    word, _, via = transport.partition(" ")
    return Route(word, next_hop, helo, via)


def kept(transcript: str) -> str:
    """What is kept of a transcript: all of it, or its last whole lines behind CUT, as the end tells what came
    of it.  What UTF-8 cannot say is replaced."""
    if len(transcript) * 4 <= LIMIT and transcript.isascii():
        return transcript
    data = transcript.encode("utf-8", "replace")
    if len(data) <= LIMIT:
        return data.decode()
    end = data[len(CUT) - LIMIT :]
    _, found, lines = end.partition(b"\n")
    # A line longer than that is cut anywhere but inside a character.
    return CUT + (lines if found and lines else end).decode("utf-8", "ignore")
