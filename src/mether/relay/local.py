"""Delivery on this host, to Maildirs and programs, in a few threads of their own.

`Local` takes claims whose route is a Maildir or a pipe, runs the blocking delivery in a thread, and
hands the outcomes back in the event loop.  At most WORKERS run at once; what waits is bounded by the
runner's window.  A rule that is gone from the configuration delays the mail, and never loses it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mether.relay import failure, maildir, pipe
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Final

    from mether.outcome import Outcome
    from mether.queue.claim import Claim
    from mether.queue.content import Content
    from mether.routing.table import Table

WORKERS: Final = 8
NO_RULE: Final = Reply(451, "4.3.5", "the configuration has no route of that name any more")


class Local:
    """Delivers by the rules of `table`; `limit` is how long a program may run, in seconds."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        table: Table,
        content: Callable[[Claim], Awaitable[Content]],
        hostname: str,
        clock: Callable[[], float],
        done: Callable[[Claim, list[Outcome], float, float], None],
        limit: Callable[[str], float],
    ) -> None:
        self._loop = loop
        self._table = table
        self._content = content
        self._hostname = hostname
        self._clock = clock
        self._done = done
        self._limit = limit
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="delivery")
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, claim: Claim) -> None:
        """Take a claim to deliver."""
        task = self._loop.create_task(self._deliver(claim))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finish what is in hand."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        self._pool.shutdown()

    async def _deliver(self, claim: Claim) -> None:
        started = self._clock()
        try:
            content = claim.content if claim.content is not None else await self._content(claim)
            replies = await self._loop.run_in_executor(self._pool, self._run, claim, content)
        except Exception as error:  # a fault of ours must not stop the queue
            what = f"internal error: {error!r}"
            replies = [Reply(451, "4.3.0", what)] * len(claim.pending)
        at = self._clock()
        outcomes = [
            failure.of_delivery(one.number, reply, at=at)
            for one, reply in zip(claim.pending, replies, strict=True)
        ]
        self._done(claim, outcomes, started, started)

    def _run(self, claim: Claim, content: Content) -> list[Reply]:
        """In a thread: deliver, one reply for each recipient."""
        rule = self._table.rule(claim.route)
        message = claim.message
        if rule is not None and isinstance(rule.argument, str) and claim.route.transport == "maildir":
            return [
                maildir.deliver(
                    rule.argument,
                    one.recipient.forward_path,
                    reverse_path=message.envelope.reverse_path,
                    prefix=message.trace,
                    content=content,
                    now=self._clock(),
                    hostname=self._hostname,
                    orcpt=one.recipient.orcpt,
                    utf8=message.envelope.smtputf8,
                )
                for one in claim.pending
            ]
        if rule is not None and isinstance(rule.argument, tuple) and claim.route.transport == "pipe":
            return pipe.deliver(
                rule.argument,
                [one.recipient for one in claim.pending],
                reverse_path=message.envelope.reverse_path,
                prefix=message.trace,
                content=content,
                limit=self._limit(rule.name),
                hostname=self._hostname,
                utf8=message.envelope.smtputf8,
            )
        return [NO_RULE] * len(claim.pending)
