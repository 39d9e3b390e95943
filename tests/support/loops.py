"""Runs a coroutine on plain asyncio or on uvloop, and turns what the loop was told of into failures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

both = pytest.mark.parametrize("loop_name", list(LOOPS))


def run(loop_name: str, main: Coroutine[Any, Any, Any]) -> Any:
    """Run it; an exception that only the loop's handler saw is raised."""
    problems: list[dict[str, Any]] = []

    async def guarded() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with asyncio.timeout(20):
            return await main

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        result = runner.run(guarded())
    assert not problems, problems
    return result
