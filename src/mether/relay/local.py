"""Delivery on this host, to Maildirs and programs, in a few threads of their own.

`Local` takes claims whose route is a Maildir or a pipe, runs the blocking delivery in a thread, and hands
the outcomes back in the event loop.  At most WORKERS run at once, and each route has its `Place`: those take
turns, and none takes all, so that a program that hangs holds up its own mail alone, and never the end of the
process, which no thread outlives.  A rule that is gone from the configuration delays the mail, and never
loses it.
"""

from __future__ import annotations

import asyncio
import threading

from mether.relay import failure, maildir, pipe
from mether.relay.line import Line
from mether.relay.slots import Slots
from mether.relay.window import Meter
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from typing import Final

    from mether.outcome import Outcome, Route
    from mether.queue.claim import Claim
    from mether.queue.content import Content
    from mether.routing.router import Router

WORKERS: Final = 16
"""Deliveries at a time; one route has no more than three quarters of them."""

AT_ONCE: Final = 10
"""Claims that a route can use of which nothing is known."""

NO_RULE: Final = Reply(451, "4.3.5", "the configuration has no route of that name any more")


class Place:
    """The claims of one route of this host: a transport, which `Local` works for."""

    def __init__(self, local: Local, route: Route) -> None:
        self.route = route
        self._local = local
        self._waiting = Line()
        self._meter = Meter()
        self.held = 0

    @property
    def idle(self) -> bool:
        """Whether no claim waits or is worked."""
        return not self.held and not self._waiting

    @property
    def room(self) -> int:
        """How many more claims can be worked soon."""
        recent = self._meter.recent(self._local.loop.time())
        return max(0, AT_ONCE + recent - self.held - len(self._waiting))

    def offer(self, claim: Claim) -> None:
        """Take a claim to deliver; after `close` it is given back."""
        if self._local.closing:
            self._local.returned([claim])
            return
        self._waiting.add(claim)
        self._begin()

    def withdraw(self, tokens: Collection[int]) -> None:
        """Give back the claims with these tokens whose delivery has not begun."""
        given = self._waiting.withdraw(tokens)
        if given:
            self._local.returned(given)

    async def close(self) -> None:
        """Give back what waits."""
        self._local.slots.forget(self)
        if self._waiting:
            self._local.returned(self._waiting.take_all())

    def granted(self) -> bool:
        """Deliver one more, if one waits."""
        if not self._waiting:
            return False
        self.held += 1
        self._local.deliver(self, self._waiting.popleft())
        self._begin()
        return True

    def spare(self) -> None:
        """Nothing is kept here that could be given up."""

    def ended(self) -> None:
        """A delivery is over."""
        self._meter.count(self._local.loop.time())
        self.held -= 1
        self._local.slots.give(last=not self.held)
        self._begin()

    def _begin(self) -> None:
        """Deliver what may be delivered now."""
        while self._waiting and self._local.slots.take(self):
            self.held += 1
            self._local.deliver(self, self._waiting.popleft())


class Local:
    """Delivers by the rules of `router`; `limit` is how long a program may run, in seconds."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        router: Router,
        content: Callable[[Claim], Awaitable[Content]],
        hostname: str,
        clock: Callable[[], float],
        done: Callable[[Claim, list[Outcome], float, float, str], None],
        returned: Callable[[list[Claim]], None],
        limit: Callable[[str], float],
    ) -> None:
        self.loop = loop
        self.returned = returned
        self.slots = Slots(WORKERS)
        self.closing = False
        self._router = router
        self._content = content
        self._hostname = hostname
        self._clock = clock
        self._done = done
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: dict[Route, Place] = {}

    def at(self, route: Route) -> Place:
        """The transport of a route; there are as many as the configuration has, or had when mail was
        queued."""
        place = self._places.get(route)
        if place is None:
            place = self._places[route] = Place(self, route)
        return place

    def rooms(self) -> dict[Route, int]:
        """How many claims more each route can use soon, of those that have some."""
        return {route: place.room for route, place in self._places.items() if not place.idle}

    def deliver(self, place: Place, claim: Claim) -> None:
        """Begin to deliver a claim of `place`."""
        task = self.loop.create_task(self._deliver(claim))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            place.ended()

        task.add_done_callback(ended)

    async def close(self) -> None:
        """Finish what is in hand, and give back the rest."""
        self.closing = True
        for place in self._places.values():
            await place.close()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _deliver(self, claim: Claim) -> None:
        started = self._clock()
        try:
            content = claim.content if claim.content is not None else await self._content(claim)
            replies = await self._in_thread(claim, content)
        except Exception as error:  # a fault of ours must not stop the queue
            what = f"internal error: {error!r}"
            replies = [Reply(451, "4.3.0", what)] * len(claim.pending)
        at = self._clock()
        outcomes = [
            failure.of_delivery(one.number, reply, at=at)
            for one, reply in zip(claim.pending, replies, strict=True)
        ]
        self._done(claim, outcomes, started, started, "")

    def _in_thread(self, claim: Claim, content: Content) -> asyncio.Future[list[Reply]]:
        """Deliver in a thread; the slots bound their number.  Raises RuntimeError where none can be had."""
        future: asyncio.Future[list[Reply]] = self.loop.create_future()

        def end(replies: list[Reply] | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            elif replies is not None:
                future.set_result(replies)

        def work() -> None:
            replies, failed = None, None
            try:
                replies = self._run(claim, content)
            except Exception as error:
                failed = error
            try:
                self.loop.call_soon_threadsafe(end, replies, failed)
            except RuntimeError:
                pass  # the loop has ended, and the claim is a dead owner's

        # Those of an executor are waited for when the interpreter ends, however long a program hangs.
        threading.Thread(target=work, name="delivery", daemon=True).start()
        return future

    def _run(self, claim: Claim, content: Content) -> list[Reply]:
        """In a thread: deliver, one reply for each recipient."""
        rule = self._router.rule(claim.route)
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
