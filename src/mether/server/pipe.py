"""The server's shell on descriptors: `in.smtpd` under inetd, and batch SMTP from a pipe (RFC 2442).

Reads one descriptor and writes another, blocking; the decider answers every event at once.  A read
that takes longer than `timeout` seconds ends the session with 421.  Without a conversation (the
input is no socket and no terminal) the protocol runs in batch mode and the replies are still written.
"""

from __future__ import annotations

import os
import select

from mether.server.batch import Batch
from mether.server.dialogue import TIMED_OUT, Dialogue

CHUNK = 64 * 1024


def serve(dialogue: Dialogue, source: int, sink: int, *, timeout: float, batch: bool = False) -> bool:
    """Run the session until it ends; False when the client was lost.  Raises no OSError for that.

    A `batch` is a file, a program or a person of this host: lines may end in LF (`server.batch`).
    """
    lines = Batch(dialogue) if batch else None
    poll = select.poll()
    poll.register(source, select.POLLIN)
    try:
        _write(sink, dialogue.open())
        while not dialogue.closing:
            if not poll.poll(timeout * 1000):
                _write(sink, dialogue.end(TIMED_OUT))
                break
            data = os.read(source, CHUNK)
            for replies in lines.feed(data) if lines is not None else (dialogue.receive(data),):
                _write(sink, replies)
    except (BrokenPipeError, ConnectionError):
        return False
    return True


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
