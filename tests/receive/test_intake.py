"""Content that is taken in: in memory or in a file, mended or refused, and nothing left of the budget."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.queue.content import SMALL
from mether.queue.store import NoSpace, StoreError
from mether.receive.budget import Budget
from mether.receive.intake import LOOP, MAX_RECEIVED, Intake
from mether.reply import Reply

FULL = NoSpace("no space left")
REFUSAL = Reply(554, "5.6.0", "the message has no From field")


class File:
    """A writer that may fail; `written` is what lies in it."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.written = b""
        self.size = 0
        self.discarded = False
        self._room = room

    def write(self, data: bytes) -> None:
        if self.size + len(data) > self._room:
            raise FULL
        self.written += data
        self.size += len(data)

    def sync(self) -> None:
        pass

    def discard(self) -> None:
        self.discarded = True


class Spool:
    def __init__(self, *, room: int = 1 << 30, failure: StoreError | None = None) -> None:
        self.files: list[File] = []
        self._room = room
        self._failure = failure

    def __call__(self, ident: str) -> File:
        if self._failure is not None:
            raise self._failure
        self.files.append(File(self._room))
        return self.files[-1]


def feed(intake: Intake, content: bytes, piece: int = 10_000) -> None:
    for start in range(0, len(content), piece):
        intake.add(content[start : start + piece])


def octets(intake: Intake) -> bytes:
    content = intake.content
    return content if isinstance(content, bytes) else content.written  # type: ignore[attr-defined]


@given(
    st.integers(0, 3 * SMALL),
    st.integers(100, 2 * SMALL),
    st.integers(0, 2 * SMALL),
    st.sampled_from([b"", b"X-Added: 1\r\n"]),
)
def test_what_was_sent_is_what_is_there(size: int, piece: int, limit: int, added: bytes) -> None:
    """DAT-4: octet for octet, whatever the pieces and the room; and what is added stands before it."""
    content = (b"Subject: x\r\n\r\n" + b"line of text\r\n" * (size // 14 + 1))[:size]
    budget, spool = Budget(limit), Spool()
    intake = Intake("1", budget, spool, lambda head: added + head)
    feed(intake, content, piece)
    assert intake.finish() is None
    assert octets(intake) == added + content
    assert budget.used == intake.held <= limit
    assert len(spool.files) <= 1
    intake.discard()
    assert budget.used == 0
    assert all(file.discarded for file in spool.files)


def test_crumbs_take_no_more_memory_than_the_budget_counts() -> None:
    """A client that sends octet by octet is no worse than others."""
    intake = Intake("1", Budget(1 << 20), Spool())
    octet = bytes(bytearray(b"x"))
    tracemalloc.start()
    try:
        for _ in range(SMALL):
            intake.add(octet)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert intake.finish() is None
    assert octets(intake) == b"x" * SMALL
    assert held < 2 * SMALL


def test_what_is_handed_over_is_the_callers() -> None:
    budget, spool = Budget(1 << 20), Spool()
    intake = Intake("1", budget, spool)
    intake.add(b"hello\r\n")
    assert intake.finish() is None
    assert intake.hand_over() == (7, None)
    intake.discard()
    assert budget.used == 7, "the caller gives it back"


def test_a_file_that_is_handed_over_is_not_discarded() -> None:
    budget, spool = Budget(0), Spool()
    intake = Intake("1", budget, spool)
    intake.add(b"hello\r\n")
    assert intake.finish() is None
    held, writer = intake.hand_over()
    assert (held, writer) == (0, spool.files[0])
    intake.discard()
    assert not spool.files[0].discarded


@pytest.mark.parametrize("spool", [Spool(failure=FULL), Spool(room=SMALL), Spool(room=SMALL + 30_000)])
def test_a_full_disk_is_told_at_the_end(spool: Spool) -> None:
    """RFC 5321 section 4.2.5: 452, and nothing is kept; what still comes is let pass."""
    budget = Budget(1 << 20)
    intake = Intake("1", budget, spool)
    feed(intake, b"line of text\r\n" * 20_000)
    assert intake.finish() == FULL.reply
    intake.discard()
    assert budget.used == 0
    assert all(file.discarded for file in spool.files)


@pytest.mark.parametrize("body", [b"", b"x" * 2 * SMALL])
@pytest.mark.parametrize(("fields", "refused"), [(MAX_RECEIVED, None), (MAX_RECEIVED + 1, LOOP)])
def test_a_loop(body: bytes, fields: int, refused: Reply | None) -> None:
    """QUE-7: refused above a hundred trace fields, however large the message."""
    intake = Intake("1", Budget(1 << 20), Spool())
    feed(intake, b"Received: by x; now\r\n" * fields + b"\r\n" + body + b"\r\n", 777)
    assert intake.finish() is refused
    intake.discard()


@pytest.mark.parametrize("size", [100, 3 * SMALL])
def test_mending_may_refuse_the_message(size: int) -> None:
    """SUB-4: with the reply that says why, whether it lay in memory or in a file."""
    budget, spool = Budget(1 << 20), Spool()
    intake = Intake("1", budget, spool, lambda head: REFUSAL)
    feed(intake, b"x" * size)
    assert intake.finish() is REFUSAL
    intake.discard()
    assert budget.used == 0
    assert all(file.discarded for file in spool.files)


def test_mending_sees_no_more_than_the_beginning() -> None:
    """So that a large message costs no more memory than a small one."""
    seen: list[int] = []

    def mend(head: bytes) -> bytes:
        seen.append(len(head))
        return head

    intake = Intake("1", Budget(1 << 20), Spool(), mend)
    feed(intake, b"x" * 10 * SMALL, 4 * SMALL)
    assert intake.finish() is None
    assert seen == [SMALL]
    intake.discard()


@pytest.mark.parametrize("room", [0, 10, 30])
@pytest.mark.parametrize("size", [100, 3 * SMALL])
def test_mending_waits_for_the_beginning_though_the_budget_is_used_up(room: int, size: int) -> None:
    """SUB-4: a header that comes in pieces is judged as a whole, however short memory is."""
    seen: list[bytes] = []

    def mend(head: bytes) -> bytes:
        seen.append(head)
        return head

    content = (b"From: ann@example.org\r\nDate: today\r\n\r\n" + b"x" * size)[:size]
    budget, spool = Budget(room), Spool()
    intake = Intake("1", budget, spool, mend)
    feed(intake, content, 7)
    assert intake.finish() is None
    assert seen == [content[:SMALL]]
    assert octets(intake) == content
    intake.discard()
    assert budget.used == 0
