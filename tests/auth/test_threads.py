"""A blocking backend in threads of its own."""

import asyncio
import threading

import pytest

from mether.auth.threads import InThread
from mether.smtp.sasl import ACCEPTED, TEMPORARY, CheckPassword


class Slow:
    passwords, keys, tokens, iterations = True, False, True, 4096

    def __init__(self):
        self.go = threading.Event()
        self.asked = []

    def check(self, question, remote=""):
        self.asked.append((question.login, remote, threading.current_thread().name))
        self.go.wait(20)
        if question.login == "bad":
            raise OSError("broken")
        return ACCEPTED


@pytest.mark.asyncio
async def test_it_does_not_hold_up_the_loop():
    slow = Slow()
    backend = InThread(slow, workers=1)
    assert (backend.passwords, backend.keys, backend.tokens, backend.iterations) == (True, False, True, 4096)
    task = asyncio.ensure_future(backend.ask(CheckPassword("ann", "p"), "192.0.2.1"))
    await asyncio.sleep(0)
    slow.go.set()
    assert await task is ACCEPTED
    login, remote, thread = slow.asked[0]
    assert (login, remote) == ("ann", "192.0.2.1")
    assert thread.startswith("auth")
    with pytest.raises(OSError, match="broken"):
        await backend.ask(CheckPassword("bad", "p"))
    await backend.close()
    assert await backend.ask(CheckPassword("ann", "p")) is TEMPORARY


@pytest.mark.asyncio
async def test_too_many_questions_are_answered_at_once():
    slow = Slow()
    backend = InThread(slow, workers=1, waiting=2)
    tasks = [asyncio.ensure_future(backend.ask(CheckPassword("ann", "p"))) for _ in range(2)]
    await asyncio.sleep(0)
    assert await backend.ask(CheckPassword("ann", "p")) is TEMPORARY
    tasks[0].cancel()  # who gives up leaves the thread at work: it still counts
    await asyncio.sleep(0)
    assert await backend.ask(CheckPassword("ann", "p")) is TEMPORARY
    slow.go.set()
    assert await tasks[1] is ACCEPTED
    assert await backend.ask(CheckPassword("ann", "p")) is ACCEPTED
    await backend.close()
