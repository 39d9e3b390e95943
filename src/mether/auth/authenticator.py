"""The authenticator: who may submit, asked of each backend in turn.

`Authenticator.mechanisms` says what EHLO offers; `exchange` begins one; `ask` answers the questions of
`mether.smtp.sasl` by a callback, always once and never with an exception: what goes wrong inside is
*temporary* (454 4.7.0), and `complain` gets a line.

The first backend that accepts decides.  If none does, a *disabled* counts more than a *temporary*, and that
more than a *rejected*: a backend that is away may be the one that knows the login.

    users = Authenticator([InThread(PasswordFile(path, log))], random=os.urandom, complain=log)
    offered = users.mechanisms(secure=True, certificate=False, binding=True)
    exchange = users.exchange("PLAIN", secure=True, binding=binding, certificate=None)   # SaslError: 504
    step = exchange.begin(initial)
    users.ask(step, lambda answer: go_on(exchange.answer(answer)), remote="192.0.2.1")
"""

from __future__ import annotations

import asyncio

from mether.smtp import sasl
from mether.smtp.sasl import (
    MECHANISMS,
    PLAINTEXT,
    REJECTED,
    SCRAM,
    SCRAM_PLUS,
    TEMPORARY,
    CheckToken,
    FindKeys,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final, Protocol

    from mether.smtp.sasl import Answer, Question, Random, ServerExchange

    class Abilities(Protocol):
        """What whoever knows logins can answer."""

        @property
        def passwords(self) -> bool: ...
        @property
        def keys(self) -> bool: ...
        @property
        def tokens(self) -> bool: ...
        @property
        def iterations(self) -> int: ...

    class Backend(Abilities, Protocol):
        """Who knows logins, and can be asked; that may take its time."""

        async def ask(self, question: Question, remote: str = "") -> Answer: ...
        async def close(self) -> None: ...


LIMIT: Final = 60.0
"""Seconds that all backends together may take for one question."""

_RANK: Final = {"rejected": 0, "temporary": 1, "disabled": 2}


class Authenticator:
    """The backends, and what they allow together.

    `random` is os.urandom or its like; `allowed` limits the mechanisms (None: all); `complain` gets one
    line for each fault of a backend; `limit` is in seconds.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        random: Random,
        complain: Callable[[str], None],
        allowed: Iterable[str] | None = None,
        limit: float = LIMIT,
    ) -> None:
        self._backends = tuple(backends)
        self._random = random
        self._complain = complain
        self._allowed = frozenset(MECHANISMS if allowed is None else (name.upper() for name in allowed))
        self._limit = limit
        self._secret = random(32)
        self._asking: set[asyncio.Task[Answer]] = set()

    def mechanisms(self, *, secure: bool, certificate: bool, binding: bool) -> tuple[str, ...]:
        """What may be offered now, the strongest first (empty: no AUTH at all).

        `secure`: TLS is up, or the configuration trusts the network (RFC 4954 section 4); `certificate`: the
        client's was verified and names it; `binding`: tls-server-end-point is known."""
        tokens = any(backend.tokens for backend in self._backends)
        passwords = any(backend.passwords for backend in self._backends)
        # Where one backend has passwords but no keys, a client that prefers SCRAM would lock its user out.
        keys = any(backend.keys for backend in self._backends) and all(
            backend.keys or not backend.passwords for backend in self._backends
        )
        there = {
            SCRAM_PLUS: keys and binding,
            SCRAM: keys,
            "OAUTHBEARER": tokens,
            "XOAUTH2": tokens,
            "EXTERNAL": certificate,
            "PLAIN": passwords,
            "LOGIN": passwords,
        }
        return tuple(
            name
            for name in MECHANISMS
            if there[name] and name in self._allowed and (secure or name not in PLAINTEXT)
        )

    def exchange(
        self, mechanism: str, *, secure: bool, binding: bytes | None, certificate: str | None
    ) -> ServerExchange:
        """The exchange for a mechanism that `mechanisms` offers.  Raises SaslError (504 5.5.4)."""
        offered = self.mechanisms(
            secure=secure, certificate=certificate is not None, binding=binding is not None
        )
        if mechanism.upper() not in offered:
            raise sasl.SaslError(sasl.UNKNOWN_MECHANISM)
        return sasl.server(
            mechanism,
            random=self._random,
            secret=self._secret,
            binding=binding if SCRAM_PLUS in offered else None,
            certificate=certificate,
            iterations=max((backend.iterations for backend in self._backends), default=0),
        )

    def ask(self, question: Question, done: Callable[[Answer], None], *, remote: str = "") -> None:
        """Have the question answered: `done` is called once, on the loop, and not before this returns.

        `remote` is the client's address, for backends that count failures themselves."""
        task = asyncio.get_running_loop().create_task(self._ask(question, remote))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        # A callback and no last line of the task: one that is cancelled before it began has none.
        task.add_done_callback(lambda task: done(TEMPORARY if task.cancelled() else task.result()))

    async def _ask(self, question: Question, remote: str) -> Answer:
        try:
            async with asyncio.timeout(self._limit):
                return await self.answer(question, remote=remote)
        except TimeoutError:
            self._complain(f"no answer about {question.login!r} within {self._limit:g} seconds")
            return TEMPORARY

    async def answer(self, question: Question, *, remote: str = "") -> Answer:
        """The answer, for whoever can await it.  Raises nothing but CancelledError."""
        worst = REJECTED
        for backend in self._backends:
            if not _fits(backend, question):
                continue
            try:
                answer = await backend.ask(question, remote)
            except Exception as error:
                what = str(error) or type(error).__name__
                self._complain(f"{type(backend).__name__}: internal error: {what}")
                answer = TEMPORARY
            if answer.verdict == "accepted":
                return answer
            if _RANK.get(answer.verdict, 0) > _RANK[worst.verdict]:
                worst = answer
        return worst

    async def close(self) -> None:
        """End the backends; what is still asked is answered *temporary*."""
        for task in tuple(self._asking):
            task.cancel()
        if self._asking:
            await asyncio.wait(tuple(self._asking))
        for backend in self._backends:
            await backend.close()


def _fits(backend: Backend, question: Question) -> bool:
    if isinstance(question, FindKeys):
        return backend.keys
    return backend.tokens if isinstance(question, CheckToken) else backend.passwords
