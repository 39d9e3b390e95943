"""aiosmtpd in a thread, ended without leaving a connection behind.

`Controller.stop` ends the loop wherever its clients stand: a transport that is still open is collected later,
and warns in whatever test then runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiosmtpd import controller
from aiosmtpd.smtp import SMTP


class Controller(controller.Controller):
    """aiosmtpd's own; `stop` ends every connection first."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.sessions: list[SMTP] = []
        super().__init__(*arguments, **keywords)

    def factory(self) -> SMTP:
        made = super().factory()
        self.sessions.append(made)
        return made

    async def _end(self) -> None:
        for session in self.sessions:
            # After STARTTLS `transport` is the upper of two.
            transport = session._original_transport or session.transport
            if transport is not None:
                transport.abort()
        running = [one._handler_coroutine for one in self.sessions if one._handler_coroutine]
        await asyncio.gather(*running, return_exceptions=True)

    def stop(self, no_assert: bool = False) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        super().stop(no_assert)
