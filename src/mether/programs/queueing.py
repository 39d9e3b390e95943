"""Committing one message from a program: `smtpqer` and `sendmail`.

`submit` queues a draft and makes it durable; `new_id` names it.  Neither imports an event loop, nor
wakes the daemon that works the queue: that is the program's to do.
"""

from __future__ import annotations

import os
import time

from mether.queue import ident
from mether.queue.message import Arrival
from mether.receive import accept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mether.envelope import Envelope
    from mether.outcome import Route
    from mether.queue.content import Writer
    from mether.queue.store import Committed, Store
    from mether.setup.locate import Basics


def new_id(now: float) -> str:
    """A queue id, with bits from the system instead of a generator that takes milliseconds to import."""
    return ident.new_id(now, int.from_bytes(os.urandom(2), "big"))


def submit(
    store: Store,
    basics: Basics,
    envelope: Envelope,
    routes: Sequence[Route],
    read: Callable[[Callable[[], Writer]], bytes | Writer],
    *,
    pinned: bool,
    key: str | None = None,
) -> Committed:
    """Queue the message that `read` gives (its argument opens a file for a large one).

    Raises StoreError, and what `read` raises; nothing is queued then.
    """
    now = time.time()
    name = new_id(now)
    content = read(lambda: store.stage(name))
    try:
        if not isinstance(content, bytes):
            content.sync()
        draft = accept.draft(
            name,
            envelope,
            Arrival(now),
            content,
            routes,
            hostname=basics.hostname,
            lifetime=basics.expire,
            warn=basics.warn,
            offset=time.localtime(now).tm_gmtoff,
            pinned=pinned,
            key=key,
        )
        answer = store.commit([draft], now=now)[0]
        if answer.error is not None:
            raise answer.error
    except BaseException:
        if not isinstance(content, bytes):
            content.discard()
        raise
    if answer.known and not isinstance(content, bytes):
        content.discard()
    return answer
