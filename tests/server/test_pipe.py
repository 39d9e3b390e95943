"""The server's shell on descriptors: inetd's socket, and batch SMTP from a pipe."""

from __future__ import annotations

import os
import socket
import threading

from wirepair import Taker, dialogue

from mether.reply import Reply
from mether.server import pipe

BATCH = (
    b"EHLO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n%b\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<c@x.test>\r\nDATA\r\ntwo\r\n.\r\nQUIT\r\n"
)


def codes(octets: bytes) -> list[int]:
    return [int(line[:3]) for line in octets.splitlines() if line[3:4] == b" "]


def run(data: bytes, taker: Taker, *, batch: bool = True, timeout: float = 30) -> tuple[bool, bytes]:
    """Feed a pipe from a thread; the result and what was answered."""
    source, feeder = os.pipe()
    collector, sink = os.pipe()
    answers: list[bytes] = []

    def write() -> None:
        with open(feeder, "wb") as file:
            file.write(data)

    def read() -> None:
        with open(collector, "rb") as file:
            answers.append(file.read())

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        done = pipe.serve(dialogue(taker, batch=batch), source, sink, timeout=timeout)
    finally:
        os.close(sink)
        os.close(source)
        for thread in threads:
            thread.join()
    return done, answers[0]


def test_batch_smtp() -> None:
    """RFC 2442: nobody waits for replies, and they are written all the same; content of any size."""
    taker = Taker()
    content = b"0123456789\r\n" * 50_000
    done, answers = run(BATCH % content, taker)
    assert done
    assert codes(answers) == [220, 250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    assert [message.content for message in taker.messages] == [content + b"\r\n", b"two\r\n"]


def test_input_that_ends_without_quit() -> None:
    """DAT-9."""
    taker = Taker()
    done, answers = run(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@x.test>\r\nDATA\r\nhalf", taker)
    assert done and taker.messages == []
    assert codes(answers) == [220, 250, 250, 250, 354]


def test_a_refused_connection() -> None:
    """CMD-6."""
    done, answers = run(b"", Taker({"greeting": Reply(421, "4.3.2", "no")}))
    assert done and codes(answers) == [421]


def test_a_socket_under_inetd() -> None:
    """CMD-25: a conversation, whose other end waits for each reply."""
    ours, theirs = socket.socketpair()
    taker = Taker()

    def serve() -> None:
        pipe.serve(dialogue(taker), ours.fileno(), ours.fileno(), timeout=30)
        ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs, theirs.makefile("rb") as replies:
        assert replies.readline().startswith(b"220 ")
        for line, code in ((b"HELO c", b"250"), (b"NOOP", b"250"), (b"QUIT", b"221")):
            theirs.sendall(line + b"\r\n")
            assert replies.readline().startswith(code)
        assert replies.read() == b""
    thread.join()


def test_a_silent_client() -> None:
    """TMO: 421 4.4.2 after the time-out, here a very short one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert pipe.serve(dialogue(), ours.fileno(), ours.fileno(), timeout=0.01)
        assert codes(theirs.recv(4096)) == [220, 421]


def test_a_client_that_went_away() -> None:
    """CMD-25: told, not raised."""
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert not pipe.serve(dialogue(), ours.fileno(), ours.fileno(), timeout=30)
