"""A server that refuses a message before its end has come: what it says then is its answer (RFC 5321
section 4.2.5 wants it after the end; section 3.8 lets a 421 come at any time)."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clients import attempt, kinds

from mether.client.session import Timeouts
from mether.queue.content import Content, in_memory

LARGE = b"x" * 70 + b"\r\n"
TIMEOUTS = Timeouts(connect=30, greeting=30, command=30, data=30, block=0.3, end=30, quit=30)


def in_file(size: int) -> Content:
    octets = LARGE * (size // len(LARGE))
    return Content(None, len(octets), lambda: io.BytesIO(octets))


@contextmanager
def server(
    reply: bytes,
    *,
    reads: bool,
    at_once: bool = False,
    chunking: bool = False,
    tail: list[bytes] | None = None,
) -> Iterator[int]:
    """A server that takes some content, says `reply`, and reads on to the end of it all, or not at all.

    With `chunking` it comes by BDAT.  The last octets that were read are kept in `tail`.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    verb = b"BDAT" if chunking else b"DATA"

    def work() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 x\r\n")
            while not (line := next(lines)).startswith(verb):
                offer = chunking and line[:4] in (b"EHLO", b"LHLO")
                connection.sendall(b"250-ok\r\n250 CHUNKING\r\n" if offer else b"250 ok\r\n")
            connection.sendall((b"" if chunking else b"354 go on\r\n") + (reply if at_once else b""))
            if not at_once:
                lines.read(100_000)
                connection.sendall(reply)
            try:
                while reads and (octets := lines.read(65536)):
                    if tail is not None:
                        tail.append(octets[-20:])
            except ConnectionError:
                pass
            if not reads:
                over.wait(60)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join(60)
        listener.close()
        assert not thread.is_alive()


@kinds
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("552 5.3.4 far too big", ("failed", "5.3.4", "transaction")),
        ("452 4.3.1 full", ("delayed", "4.3.1", "transaction")),
        ("421 4.3.2 closing", ("delayed", "4.3.2", "host")),
    ],
)
def test_a_refusal_in_mid_content_is_the_answer(
    kind: str, reads: bool, reply: str, expected: tuple[str, str, str]
) -> None:
    """CLI-2: for every recipient, and with no doubt: the end was never sent."""
    people = ("bob@example.com", "dan@example.com")
    with server(f"{reply}\r\n".encode(), reads=reads) as port:
        outcomes = attempt(kind, port, people, timeouts=TIMEOUTS, content=in_file(30_000_000))
    for outcome in outcomes:
        assert (outcome.action, outcome.status, outcome.scope) == expected
        assert str(outcome.reply) == reply
        assert not outcome.uncertain
    assert len(outcomes) == 2


@kinds
@pytest.mark.parametrize("content", [in_memory(b"x\r\n"), in_file(1_000_000)], ids=["memory", "file"])
def test_a_refusal_behind_the_354(kind: str, content: Content) -> None:
    with server(b"552 5.3.4 no\r\n", reads=True, at_once=True) as port:
        (outcome,) = attempt(kind, port, timeouts=TIMEOUTS, content=content)
    assert (outcome.action, outcome.status, outcome.scope) == ("failed", "5.3.4", "transaction")


@kinds
def test_a_refusal_in_mid_content_is_for_all_in_lmtp(kind: str) -> None:
    """RFC 2033 section 4.2 gives a reply for each after the end; there will be no end."""
    people = ("bob@example.com", "dan@example.com")
    with server(b"552 5.3.4 no\r\n", reads=True) as port:
        outcomes = attempt(kind, port, people, timeouts=TIMEOUTS, content=in_file(30_000_000), lmtp=True)
    assert [(outcome.action, outcome.status) for outcome in outcomes] == [("failed", "5.3.4")] * 2


@kinds
@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("552 5.3.4 far too big", ("failed", "5.3.4")),
        ("452 4.3.1 full", ("delayed", "4.3.1")),
        ("421 4.3.2 closing", ("delayed", "4.3.2")),
        ("250 2.0.0 taken", ("delayed", "4.5.0")),
    ],
)
def test_a_reply_in_mid_chunk(kind: str, lmtp: bool, reply: str, expected: tuple[str, str]) -> None:
    """BDT-2, BDT-3: a refusal is one, a yes is none; and no command follows half a chunk, as its content."""
    people = ("bob@example.com", "dan@example.com")
    tail: list[bytes] = []
    with server(f"{reply}\r\n".encode(), reads=True, chunking=True, tail=tail) as port:
        outcomes = attempt(kind, port, people, timeouts=TIMEOUTS, content=in_file(30_000_000), lmtp=lmtp)
    assert [(outcome.action, outcome.status) for outcome in outcomes] == [expected] * 2
    assert not any(outcome.uncertain for outcome in outcomes)
    assert all(octets.strip(b"x\r\n") == b"" for octets in tail), tail
