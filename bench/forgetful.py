"""smtpd with a queue that forgets: what the receiving half costs, without any store or thread.

    python bench/forgetful.py -C FILE --no-runner

It is smtpd in all but the queue's writer, which answers each draft at once and drops it, as aiosmtpd's
Sink handler and smtp-sink do with theirs.  For receive.py; no mail is safe with it.
"""

from __future__ import annotations

import sys

from mether.programs.smtpd import main
from mether.queue import commit
from mether.queue.store import Committed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mether.queue.message import Draft
    from mether.queue.store import Store


class Forgetful(commit.GroupCommit):
    """A writer that writes nothing."""

    def __init__(self, store: Store, *more: object, **others: object) -> None:
        self.store = store

    def commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        done(Committed(draft.message.ident))

    def call(self, work: Callable[[Store], Any], done: Callable[[Any], None]) -> None:
        done(0)

    def close(self) -> None:
        pass


if __name__ == "__main__":
    commit.GroupCommit = Forgetful  # type: ignore[misc]
    sys.exit(main())
