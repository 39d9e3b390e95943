"""One message as several."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mail import draft

from mether.queue.memory import MemoryStore
from mether.queue.message import Draft
from mether.queue.store import Committed, NoSpace, StoreError
from mether.receive import copies


def test_what_is_written_is_written_for_each() -> None:
    store = MemoryStore(now=0)
    both = copies.Copies(store.stage, ["0000000000001", "0000000000002"])
    both.write(b"abc")
    both.write(b"d")
    both.sync()
    assert both.size == 4 and [one.size for one in both.writers] == [4, 4]
    assert copies.of(both, 2) == both.writers
    assert copies.of(b"x", 2) == [b"x", b"x"]


def test_where_one_cannot_be_opened_none_is_left() -> None:
    discarded = []

    class Writer:
        size = 0

        def discard(self) -> None:
            discarded.append(self)

    def stage(ident: str) -> Writer:
        if ident == "b":
            raise NoSpace("full")
        return Writer()

    with pytest.raises(NoSpace):
        copies.Copies(stage, ["a", "b"])  # type: ignore[arg-type]
    assert len(discarded) == 1


def test_the_answer_comes_when_all_are_durable() -> None:
    waiting: list[tuple[Draft, Callable[[Committed], None]]] = []
    told: list[list[Committed]] = []
    drafts = [draft("a@example.net"), draft("b@example.net")]
    copies.commit(lambda draft, done: waiting.append((draft, done)), drafts, told.append)
    for one, done in reversed(waiting):
        assert not told
        done(Committed(one.message.ident))
    assert [answer.ident for answer in told[0]] == [one.message.ident for one in drafts]


def test_a_queue_that_takes_none_is_an_answer_too() -> None:
    told: list[list[Committed]] = []

    def queue(draft: Draft, done: Callable[[Committed], None]) -> None:
        raise StoreError("closed")

    copies.commit(queue, [draft("a@example.net"), draft("b@example.net")], told.append)
    assert [str(answer.error) for answer in told[0]] == ["closed", "closed"]
