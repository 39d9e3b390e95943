"""A listener of a configuration without a socket: what a session says, and what it queues.

    server = MemoryServer(config)
    server.said                 octets for the client, and the greeting at first
    server.send(octets)
    server.drafts               what was queued

Logins are checked at once and their failures answered at once, random octets are always the same, TLS is
what it is told to be, and time goes on when `later` says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from mether.net.tls import Security
from mether.queue.message import Draft
from mether.queue.store import Committed, StoreError
from mether.receive.budget import Budget
from mether.receive.session import Session
from mether.reply import Reply
from mether.server.dialogue import Dialogue
from mether.setup import wiring
from mether.setup.config import Config
from mether.setup.logins import Logins
from mether.smtp.server import ServerProtocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.smtp.sasl import Answer, Question


class Now:
    """A loop for what needs one to be patient: all is done at once."""

    seconds = 0.0

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        call()

    def call_soon_threadsafe(self, call: Callable[..., None], *args: Any) -> None:
        call(*args)

    def time(self) -> float:
        return time.monotonic() + self.seconds


class MemoryServer:
    """The first listener of a configuration, and one client of it at 127.0.0.1."""

    def __init__(self, config: Config, *, refuse: Reply | None = None, tls: Security | None = None) -> None:
        listen = config.listen[0]
        self.drafts: list[Draft] = []
        self._tls = tls
        self._logins: Logins | None = None
        self._now = Now()
        if listen.auth:
            assert config.auth is not None
            self._logins = Logins(config, config.auth, self._now)  # type: ignore[arg-type]
            authenticator: Any = self._logins.authentication.authenticator
            authenticator._random = lambda size: bytes(range(size))

            def ask(question: Question, done: Callable[[Answer], None], *, remote: str = "") -> None:
                done(asyncio.run(authenticator.answer(question, remote=remote)))

            authenticator.ask = ask
        reception = wiring.reception(
            config,
            listen,
            config.router(),
            Budget(1 << 24),
            stage=lambda ident: Writer(),
            commit=self._commit,
            start=self._start,
            tls=True,
            rates=wiring.rates(listen),
            authentication=self._logins.authentication if self._logins is not None else None,
        )
        reception.clock = lambda: time.time() + self._now.seconds
        self.dialogue = Dialogue(
            ServerProtocol(
                reception.grammar,
                max_size=listen.max_size,
                lmtp=listen.role == "lmtp",
                normalize=listen.bare_newlines == "normalize",
            ),
            Session(reception, "127.0.0.1", self._decided, refuse=refuse),
        )
        self.said = b""
        if listen.tls == "implicit":
            self.handshake()
        self.said += self.dialogue.open()

    def send(self, data: bytes) -> None:
        """Octets from the client."""
        self.said += self.dialogue.receive(data)

    def handshake(self) -> None:
        """TLS begins."""
        assert self._tls is not None
        self.dialogue.secured(self._tls)

    def later(self, seconds: float) -> None:
        """Time goes on."""
        self._now.seconds += seconds

    def close(self) -> None:
        """Let go of the backends."""
        if self._logins is not None:
            asyncio.run(self._logins.close())

    def _commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        self.drafts.append(draft)
        done(Committed(draft.message.ident))

    def _start(self, domain: str, done: Callable[[int | StoreError], None]) -> None:
        done(0)

    def _decided(self, reply: Reply) -> None:
        self.said += self.dialogue.resume(reply)


class Writer:
    """Content of more than a draft in memory may have."""

    def __init__(self) -> None:
        self.data = b""
        self.size = 0

    def write(self, data: bytes) -> None:
        self.data += data
        self.size += len(data)

    def sync(self) -> None:
        pass

    def discard(self) -> None:
        pass
