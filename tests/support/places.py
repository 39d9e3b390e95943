"""A queue with a reception in front of it, and clients that are spoken for in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clock import Clock
from mail import address, new_ident, router

from mether.queue.message import Draft
from mether.queue.store import Committed, Filter, Store, StoreError
from mether.receive.budget import Budget
from mether.receive.reception import Limits, Reception
from mether.receive.session import Session
from mether.reply import Reply
from mether.routing.networks import Networks
from mether.routing.router import Router
from mether.server.dialogue import Dialogue
from mether.smtp.server import ServerProtocol

MIB = 1 << 20


class Place:
    """A queue with a reception in front of it.  With `waiting` set, commits are held in `held`."""

    def __init__(self, store: Store, routes: Router | None = None) -> None:
        self.store = store
        self.budget = Budget(MIB)
        self.clock = Clock()
        self.limits = Limits(size=5 * MIB, recipients=3, commands=50, errors=4)
        self.router = routes or router()
        self.waiting = False
        self.held: list[Callable[[], None]] = []
        self.staged: list[str] = []
        self.stage_failure: StoreError | None = None
        self.write_failure: StoreError | None = None
        self.commit_failure: StoreError | None = None
        self.options: dict[str, Any] = {}

    def reception(self) -> Reception:
        return Reception(
            hostname="mx.example.com",
            postmaster=address("postmaster@example.com"),
            limits=self.limits,
            relay_from=Networks(["127.0.0.0/8"]),
            router=self.router,
            budget=self.budget,
            clock=self.clock,
            ident=new_ident,
            lifetime=5 * 86400.0,
            stage=self.stage,
            commit=self.commit,
            **self.options,
        )

    def stage(self, ident: str) -> Any:
        if self.stage_failure is not None:
            raise self.stage_failure
        self.staged.append(ident)
        writer = self.store.stage(ident)
        return writer if self.write_failure is None else Broken(writer, self.write_failure)

    def commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        def now() -> None:
            if not isinstance(draft.content, bytes):
                draft.content.sync()
            if self.commit_failure is not None:
                done(Committed(draft.message.ident, error=self.commit_failure))
            else:
                done(self.store.commit([draft], now=self.clock())[0])

        if self.waiting:
            self.held.append(now)
        else:
            now()

    def queued(self) -> list[Any]:
        return self.store.entries(Filter())

    def content(self) -> bytes:
        (entry,) = self.queued()
        return self.store.content(entry.message.ident).read()

    def client(self, from_: str = "192.0.2.1", **options: Any) -> Client:
        return Client(self, from_, **options)


class Broken:
    """A writer whose disk is full after the first write."""

    def __init__(self, writer: Any, failure: StoreError) -> None:
        self.writer = writer
        self.failure = failure
        self.discard = writer.discard
        self.size = 0

    def write(self, data: bytes) -> None:
        if self.size:
            raise self.failure
        self.size += len(data)
        self.writer.write(data)


class Client:
    """One client of the place; what it was told is in `said`."""

    def __init__(self, place: Place, from_: str, **options: Any) -> None:
        self.place = place
        reception = place.reception()
        self.session = Session(reception, from_, self.decided, **options)
        self.dialogue = Dialogue(
            ServerProtocol(reception.grammar, max_size=place.limits.size, lmtp=reception.role == "lmtp"),
            self.session,
        )
        self.said = b""
        self.greeting = self._text(self.dialogue.open())

    def _text(self, out: bytes) -> str:
        self.said += out
        return out.decode()

    def decided(self, reply: Reply) -> None:
        self._text(self.dialogue.resume(reply))

    def send(self, octets: bytes) -> str:
        """Send octets; what is said to them at once."""
        before = len(self.said)
        self._text(self.dialogue.receive(octets))
        return self.said[before:].decode()

    def say(self, *lines: str) -> list[str]:
        """Send lines one by one; the last line of each reply."""
        return [self.send(line.encode() + b"\r\n").splitlines()[-1] for line in lines]

    def begin(self, *recipients: str, sender: str = "a@client.example") -> None:
        """Come to where content is sent."""
        replies = self.say(
            "EHLO client.example",
            f"MAIL FROM:<{sender}>",
            *(f"RCPT TO:<{one}>" for one in recipients or ("bob@example.com",)),
            "DATA",
        )
        assert [reply[:3] for reply in replies[:2]] == ["250", "250"]
        assert replies[-1].startswith("354")

    def mail(self, content: bytes = b"Subject: hi\r\n\r\nhello\r\n", piece: int = 1 << 30) -> str:
        """A whole message; the reply to its end."""
        self.begin()
        content += b".\r\n"
        said = ""
        for start in range(0, len(content), piece):
            said += self.send(content[start : start + piece])
        return said

    def end(self, why: str = "lost connection") -> None:
        """The connection is gone."""
        self.dialogue.closing = True
        self.session.ended(why)
