"""Virtual time: a clock to hand out, and an asyncio loop on which an hour passes at once.

`Clock` is a function of no arguments that gives Unix seconds and is moved by hand.  `virtual` makes an
``async def`` test one that runs on a `VirtualLoop`: whenever nothing is ready, its time jumps to the next
timer.  Sockets still work, as long as both ends are on the loop.  A test that waits for what can never
come fails at once instead of hanging.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

T0 = 1_800_000_000.0
"""The time at which every test begins, Unix seconds."""

GRACE = 0.02
"""Real seconds that the kernel has to bring octets from one of our sockets to the other."""


class Clock:
    """Unix seconds, moved by setting `now`."""

    def __init__(self, now: float = T0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        found = super().select(GRACE if len(self.get_map()) > 1 else 0)  # one is the loop's own
        if found:
            return found
        if timeout is None:
            raise AssertionError("the test waits for what will never come")
        self.passed += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only when there is nothing else to do; `clock` is its Unix time.

    What is in `at_end` is called when the test is over."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        self.at_end: list[Callable[[], Coroutine[Any, Any, None]]] = []
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed

    def clock(self) -> float:
        """Unix seconds."""
        return T0 + self.time()


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an ``async def`` test in virtual time."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        loop = VirtualLoop()
        try:
            loop.run_until_complete(test(*arguments, **named))
        finally:
            loop.run_until_complete(_tidy(loop))
            loop.close()

    return run


async def _tidy(loop: VirtualLoop) -> None:
    """End what the test left running, so that no connection stays open."""
    for close in loop.at_end:
        await close()
    while left := asyncio.all_tasks(loop) - {asyncio.current_task(loop)}:
        for task in left:
            task.cancel()
        await asyncio.wait(left)
    await asyncio.sleep(1)  # connections say that they are lost


def running() -> VirtualLoop:
    """The loop of the test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
