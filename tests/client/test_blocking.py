"""The synchronous client on loopback, and what `smtp -v` shows of it.  Bad servers: test_hostile.py."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clients import CONTENT, ME, transaction
from peer import Peer

from mether.client.blocking import BlockingClient
from mether.client.session import Lost, Timeouts
from mether.net import blocking
from mether.queue.content import Content, in_memory
from mether.smtp import command

LARGE = b"".join(b".line %d\r\n" % number for number in range(80_000))  # more than 1 MB
BOB = ("bob@example.com",)


class Fake:
    """A connection that gives what it was told to, and says how long it was waited for."""

    def __init__(self, *given: bytes, seconds: float = 0.0) -> None:
        self.given = list(given)
        self.sent = b""
        self.now = 1000.0
        self.seconds = seconds
        self.waited: list[float] = []

    def clock(self) -> float:
        return self.now

    def send(self, data: bytes, timeout: float) -> None:
        self.sent += data

    def receive(self, timeout: float) -> bytes:
        self.waited.append(timeout)
        self.now += self.seconds
        return self.given.pop(0)

    def close(self) -> None:
        self.sent += b"(closed)"


def client_of(fake: Fake, timeouts: Timeouts | None = None) -> BlockingClient:
    return BlockingClient(fake, timeouts or Timeouts(), clock=fake.clock)  # type: ignore[arg-type]


@contextmanager
def session(server: Peer, timeouts: Timeouts | None = None) -> Iterator[tuple[BlockingClient, list[str]]]:
    shown: list[str] = []
    with server:
        connection = blocking.connect(blocking.addresses("127.0.0.1", server.port), server.port, 30)
        client = BlockingClient(
            connection, timeouts or Timeouts(), lambda way, text: shown.append(f"{way} {text}")
        )
        try:
            yield client, shown
        finally:
            client.close()


def test_what_is_shown() -> None:
    with session(Peer(offer=())) as (client, shown):
        client.hello(ME)
        client.transact(transaction(client.protocol.offer, BOB, in_memory(CONTENT)), b"", in_memory(CONTENT))
        client.quit()
    assert shown == [
        "<- 220 peer ESMTP",
        "-> EHLO us.example.com",
        "<- 250-peer",
        "<- 250 HELP",
        "-> MAIL FROM:<ann@us.example.com>",
        "<- 250 2.1.0 ok",
        "-> RCPT TO:<bob@example.com>",
        "<- 250 2.1.5 ok",
        "-> DATA",
        "<- 354 go on",
        f"-> ({len(CONTENT)} octets of content)",
        "-> .",
        "<- 250 2.0.0 taken",
        "-> QUIT",
        "<- 221 2.0.0 bye",
    ]


@pytest.mark.parametrize("reset", [False, True])
def test_a_session_is_used_again(reset: bool) -> None:
    """RFC 5321 section 3.3: one transaction after the other, with RSET only where one was left open."""
    server = Peer({"RCPT": ["550 5.1.1 no", "250 2.1.5 ok"]} if reset else {}, offer=())
    with session(server) as (client, _):
        client.hello(ME)
        for _ in range(2):
            sending = transaction(client.protocol.offer, BOB, in_memory(CONTENT))
            client.transact(sending, b"", in_memory(CONTENT))
            if sending.reset_needed:
                client.ask("RSET", command.plain("RSET"))
        client.quit()
    first = ["MAIL", "RCPT", "RSET"] if reset else ["MAIL", "RCPT", "DATA"]
    assert server.said() == ["EHLO", *first, "MAIL", "RCPT", "DATA", "QUIT"]


def test_trace_and_large_content_from_a_file() -> None:
    """CLI-5: what arrives is what was there."""
    content = Content(None, len(LARGE), lambda: io.BytesIO(LARGE))
    server = Peer()
    with session(server) as (client, _):
        client.hello(ME)
        client.transact(transaction(client.protocol.offer, BOB, content), b"Received: us\r\n", content)
        client.quit()
    assert server.messages[0].content == b"Received: us\r\n" + LARGE


def test_a_server_that_reads_nothing() -> None:
    """TMO-1: a block of content has its own time-out; nothing was handed over then, which is certain."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        over = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 x\r\n")
                for _, reply in zip(lines, (b"250 x", b"250 x", b"250 x", b"354 x"), strict=False):
                    connection.sendall(reply + b"\r\n")
                    if reply == b"354 x":
                        break
                over.wait(60)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        client = BlockingClient(
            blocking.connect(blocking.addresses("127.0.0.1", port), port, 30), Timeouts(block=0.05)
        )
        content = Content(None, len(LARGE) * 20, lambda: io.BytesIO(LARGE * 20))
        client.hello(ME)
        sending = transaction(client.protocol.offer, BOB, content)
        with pytest.raises(Lost, match="stopped taking what we sent") as caught:
            client.transact(sending, b"", content)
        client.quit()
        over.set()
        thread.join()
    assert (caught.value.kind, caught.value.stage) == ("timeout", "")
    assert not sending.content_sent


def test_a_reply_octet_by_octet() -> None:
    """TMO-1: a reply has its time-out as a whole, however much of it comes meanwhile."""
    fake = Fake(b"220 ok\r\n", b"250-", *(b"x",) * 1000, seconds=10)
    with pytest.raises(Lost, match="did not answer in time") as caught:
        client_of(fake, Timeouts(greeting=60, command=25)).hello(ME)
    assert caught.value.stage == "EHLO"
    assert fake.waited == [60, 25, 15, 5]


def test_each_reply_has_its_own_time() -> None:
    fake = Fake(b"220 ok\r\n", b"250 ok\r\n", b"250 a\r\n", b"250 b\r\n", b"250 c\r\n", seconds=10)
    client = client_of(fake, Timeouts(greeting=11, command=11))
    client.hello(ME)
    for _ in range(3):
        client.ask("NOOP", command.plain("NOOP"))
    assert fake.waited == [11] * 5


def test_the_last_words_of_a_server_that_hangs_up() -> None:
    """RFC 5321 section 3.8: the 421 says more than the error of our write does."""

    class Gone(Fake):
        def send(self, data: bytes, timeout: float) -> None:
            if b"EHLO" in self.sent:
                raise BrokenPipeError(32, "Broken pipe")
            super().send(data, timeout)

    client = client_of(Gone(b"220 ok\r\n", b"250 ok\r\n", b"421 4.3.2 shutting down\r\n", b""))
    client.hello(ME)
    with pytest.raises(Lost) as caught:
        client.ask("NOOP", command.plain("NOOP"))
    assert (caught.value.kind, caught.value.stage) == ("closed", "NOOP")
    assert "421 4.3.2 shutting down" in str(caught.value)


def test_content_that_cannot_be_read() -> None:
    """The rest is not sent, and neither is QUIT: a dot would make the message look whole."""

    class Bad(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise OSError(5, "Input/output error")

    content = Content(None, 10, lambda: io.BufferedReader(Bad()))
    fake = Fake(b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n")
    client = client_of(fake)
    client.hello(ME)
    with pytest.raises(OSError, match="Input/output"):
        client.transact(transaction(client.protocol.offer, BOB, content), b"", content)
    client.quit()
    assert fake.sent.endswith(b"DATA\r\n(closed)")


def test_quit_after_a_silence() -> None:
    """CLI-10: QUIT is for a session in step; one in which a reply is owed is only closed."""

    class Silent(Fake):
        def receive(self, timeout: float) -> bytes:
            if not self.given:
                raise TimeoutError
            return super().receive(timeout)

    fake = Silent(b"220 ok\r\n")
    client = client_of(fake)
    with pytest.raises(Lost):
        client.hello(ME)
    client.quit()
    assert fake.sent == b"EHLO us.example.com\r\n(closed)"
