"""Delivery on this host, to Maildirs, programs and files, in a few threads of their own.

`Local` takes claims whose route is that of a local rule or of a member of an alias, runs the blocking
delivery in a thread (`relay.way`), and hands the outcomes back in the event loop.  At most WORKERS run at
once, and each route has its `Place`: those take turns, and none takes all, so that a program that hangs holds
up its own mail alone, and never the end of the process, which no thread outlives.

What the configuration does not allow any more delays the mail, and never loses it: a rule that is gone, a
program or file of an alias where no rule lets aliases have them.  So does a route that delivers as its users,
where the process that does so (`relay.asuser`) is not there, or was started with another configuration.
"""

from __future__ import annotations

import asyncio
import threading

from mether.event import mail as event
from mether.relay import failure, way
from mether.relay.asuser import GONE, HelperGone
from mether.relay.letter import Letter
from mether.relay.line import Line
from mether.relay.pipe import NONE
from mether.relay.slots import Slots
from mether.relay.window import Meter
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from typing import Final

    from mether.envelope import Recipient
    from mether.outcome import Outcome, Route
    from mether.queue.claim import Claim
    from mether.queue.content import Content
    from mether.relay.asuser import Helper
    from mether.routing.router import Router

WORKERS: Final = 16
"""Deliveries at a time; one route has no more than three quarters of them."""

AT_ONCE: Final = 10
"""Claims that a route can use of which nothing is known."""

PLACES: Final = 1000
"""Routes that are remembered; above that, those that have nothing to do are forgotten."""

NO_RULE: Final = Reply(451, "4.3.5", "the configuration has no route of that name any more")
NOT_ALLOWED: Final = Reply(451, "4.3.5", "the configuration lets no alias deliver to programs or files")


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


class Members:
    """Which members of aliases are delivered to: `programs`, `files`."""

    __slots__ = ("files", "programs")

    def __init__(self, *, programs: bool = False, files: bool = False) -> None:
        self.programs = programs
        self.files = files


class Local:
    """Delivers by the rules of `router`.

    `terms` are those of rules by their names, `members` says what aliases may name, and `helper` delivers as
    Unix users, None where nothing does.  Programs find `variables` in their environment.
    """

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
        terms: Mapping[str, way.Terms],
        members: Members,
        helper: Helper | None = None,
        variables: Mapping[str, str] = NONE,
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
        self._terms = terms
        self._members = members
        self._helper = helper
        self._variables = variables
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: dict[Route, Place] = {}

    def at(self, route: Route) -> Place:
        """The transport of a route; there are as many as the configuration and its aliases have, or had when
        mail was queued."""
        place = self._places.get(route)
        if place is None:
            if len(self._places) >= PLACES:
                self._places = {at: one for at, one in self._places.items() if not one.idle}
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
        how = self._way(claim.route)
        if isinstance(how, Reply):
            return [how] * len(claim.pending)
        name, found = how
        letter = Letter.of(claim.message, content)
        recipients = [one.recipient for one in claim.pending]
        if found.terms.as_user:
            return [self._as_user(name, found, one, letter) for one in recipients]
        return way.deliver(
            found,
            recipients,
            letter,
            now=self._clock(),
            hostname=self._hostname,
            tell=lambda what: self._tell(what, letter.ident),
            variables=self._variables,
        )

    def _way(self, route: Route) -> tuple[str, way.Way] | Reply:
        """How to deliver, with the name of the rule ("" for a member of an alias); a Reply if not at all."""
        if not way.is_member(route):
            rule = self._router.rule(route)
            if rule is None:
                return NO_RULE
            found = way.of_rule(rule.action, rule.argument, rule.delimiter, self._terms, rule.name)
            return (rule.name, found) if found is not None else NO_RULE
        if not (self._members.programs if route.transport == "pipe" else self._members.files):
            return NOT_ALLOWED
        try:
            return "", way.of_member(route)
        except ValueError as error:
            self._tell(f"an alias: {error}")
            return way.BAD_PROGRAM if route.transport == "pipe" else way.BAD_FILE

    def _as_user(self, name: str, found: way.Way, recipient: Recipient, letter: Letter) -> Reply:
        """Have it delivered by the process that may become the user."""
        if self._helper is None:
            self._tell(
                f"route {name!r} delivers as its users, which only a service can that was started by root "
                "and has service.user; its mail waits"
            )
            return GONE
        if not self._helper.knows(name, found):
            self._tell(
                f"route {name!r} delivers as its users and is new or changed: it needs a new start of the "
                "service, and its mail waits for that"
            )
            return GONE
        try:
            return self._helper.deliver(name, recipient, letter, found.terms.limit)
        except HelperGone as error:
            self._tell(
                f"the process that delivers as users is gone ({error}): their mail waits for a new start of "
                "the service"
            )
            return GONE

    def _tell(self, what: str, ident: str = "") -> None:
        """In a thread: have the event loop write a line in the log."""
        try:
            self.loop.call_soon_threadsafe(lambda: event.error(what, ident=ident))
        except RuntimeError:
            pass  # the loop has ended
