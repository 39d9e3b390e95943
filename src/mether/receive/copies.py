"""One message as several: the same content for each of its drafts, and one answer when all are durable.

Content in memory is shared.  What goes to a file is written to one for each draft from its first octet
(`Copies`), so that every message of the queue has content of its own, as the store's contract says.

`commit` hands drafts to the queue at once, where they share a transaction if they can.  A client is told of
success when all are durable, and of trouble where one is not: it comes again then, and what was queued goes
out twice rather than not at all.
"""

from __future__ import annotations

from mether.queue.store import Committed, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mether.queue.content import Writer
    from mether.queue.message import Draft
    from mether.receive.reception import Commit


class Copies:
    """A Writer into several; `writers` are theirs, in order, and `size` is the octets of each."""

    __slots__ = ("size", "writers")

    def __init__(self, stage: Callable[[str], Writer], idents: Sequence[str]) -> None:
        self.size = 0
        self.writers: list[Writer] = []
        try:
            for ident in idents:
                self.writers.append(stage(ident))
        except BaseException:
            self.discard()
            raise

    def write(self, data: bytes) -> None:
        """Append.  Raises StoreError."""
        for writer in self.writers:
            writer.write(data)
        self.size += len(data)

    def sync(self) -> None:
        """Make all of it durable.  Raises StoreError."""
        for writer in self.writers:
            writer.sync()

    def discard(self) -> None:
        """Forget all of them.  Never raises."""
        for writer in self.writers:
            writer.discard()


def of(content: bytes | Writer, count: int) -> list[bytes | Writer]:
    """The content for each of so many drafts."""
    return [*content.writers] if isinstance(content, Copies) else [content] * count


def commit(queue: Commit, drafts: Sequence[Draft], done: Callable[[list[Committed]], None]) -> None:
    """Queue all of the drafts; `done` gets their answers, in order, when there are all of them."""
    answers: dict[int, Committed] = {}

    def one(number: int) -> Callable[[Committed], None]:
        def answered(answer: Committed) -> None:
            answers[number] = answer
            if len(answers) == len(drafts):
                done([answers[number] for number in range(len(drafts))])

        return answered

    for number, draft in enumerate(drafts):
        try:
            queue(draft, one(number))
        except StoreError as error:
            one(number)(Committed(draft.message.ident, error=error))
