"""A backend that blocks, made into one that does not: its work is done in a few threads of its own.

Checking a password is slow on purpose, and Argon2id takes memory: hence few `workers`.  Beyond `waiting`
questions in hand the answer is *temporary* at once.

    backend = InThread(PasswordFile(path, complain=log), workers=2)
    answer = await backend.ask(CheckPassword("ann", "secret"), "192.0.2.1")
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mether.smtp.sasl import TEMPORARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from mether.auth.authenticator import Abilities
    from mether.smtp.sasl import Answer, Question

    class Blocking(Abilities, Protocol):
        """What `mether.auth.passwords.PasswordFile` and `mether.auth.program.Program` are."""

        def check(self, question: Question, remote: str = "") -> Answer: ...


class InThread:
    """A `mether.auth.authenticator.Backend` out of one that blocks."""

    def __init__(self, backend: Blocking, *, workers: int = 2, waiting: int = 64) -> None:
        self._backend = backend
        self._waiting = waiting
        self._in_hand = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="auth")

    @property
    def passwords(self) -> bool:
        """Whether it checks passwords."""
        return self._backend.passwords

    @property
    def keys(self) -> bool:
        """Whether it has SCRAM keys."""
        return self._backend.keys

    @property
    def tokens(self) -> bool:
        """Whether it checks bearer tokens."""
        return self._backend.tokens

    @property
    def iterations(self) -> int:
        """The iteration count that most of its logins have."""
        return self._backend.iterations

    async def ask(self, question: Question, remote: str = "") -> Answer:
        """Answer the question."""
        if self._in_hand >= self._waiting:
            return TEMPORARY
        self._in_hand += 1
        try:
            work = self._pool.submit(self._backend.check, question, remote)
        except RuntimeError:  # closed
            self._in_hand -= 1
            return TEMPORARY
        loop = asyncio.get_running_loop()
        answered = asyncio.wrap_future(work, loop=loop)
        # Counted until the thread is free again, which may be after whoever asked has given up.
        answered.add_done_callback(self._done)
        return await asyncio.shield(answered)

    def _done(self, answered: asyncio.Future[Answer]) -> None:
        self._in_hand -= 1
        if not answered.cancelled():
            answered.exception()  # seen: nobody may be waiting any more

    async def close(self) -> None:
        """Take no more questions; those in hand end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
