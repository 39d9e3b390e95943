"""The runner: what is due -> attempt -> settle.

`Runner` owns the claims of this process.  Fresh messages come to it straight from the commit (`admit`
before, `committed` after); what waits in the store is claimed when it is due and there is room for it
(`runner.hand`).  Each claim goes to the transport of its route, its outcomes become a settlement
(`runner.settle`), and that goes to the queue's writer, with others of its message where they failed at once
(`runner.together`): `runner.trying` takes it all that way.  When, why and who is told is decided by
`schedule`, `relay.failure` and `notify`.

`run` works until `stop`; `once` works what is selected and returns.  A fault in one attempt is an
outcome of that attempt, wherever between its claim and its end it happens; trouble with the store leaves the
messages in the queue.

A claim whose retry time has not come was taken because its time is over, and is returned, or because its
sender is to be told of the delay, and waits on (`settle.course`).

What others do to the queue is looked up when they wake this process, and now and then (`news`).  A process
that was taken for dead takes back from its transports what is not on its way yet: others have it now, and the
store refuses the settlements of the rest.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.queue.store import Select, StoreError
from mether.runner.asking import asker
from mether.runner.giving import RETRY, Giving
from mether.runner.hand import Hand
from mether.runner.lease import Lease
from mether.runner.news import News
from mether.runner.once import Once
from mether.runner.others import Others
from mether.runner.suppressing import NOBODY, Suppressing
from mether.runner.together import Together
from mether.runner.trying import Trying
from mether.runner.waking import CROWDED, PAUSE, Waking
from mether.runner.window import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable

    from mether.queue.commit import GroupCommit
    from mether.queue.figures import Live
    from mether.queue.message import Draft
    from mether.queue.store import Committed
    from mether.routing.router import Router
    from mether.runner.notify import Reporter
    from mether.runner.schedule import Retry
    from mether.runner.ways import Transports


class Runner:
    """The runner of one process.

    `transports` gives the transports in use, `each` is the room of a next hop that is not in use; `random` a
    number from 0 to 1; `clock` Unix seconds.  `shared` is told how many processes share the work, at first
    and when that changes.  `suppressing` knows to which addresses no mail is sent.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        queue: GroupCommit,
        transports: Callable[[], Transports],
        each: int,
        router: Router,
        reporter: Reporter,
        retry: Retry,
        clock: Callable[[], float],
        random: Callable[[], float],
        window: Window | None = None,
        shared: Callable[[Live], None] = lambda live: None,
        suppressing: Suppressing = NOBODY,
    ) -> None:
        self.window = window or Window()
        self.shared = shared
        self._loop = loop
        self._queue = queue
        self._call = asker(loop, queue)
        self._transports = transports
        self._retry = retry
        self._clock = clock
        self._waking = Waking(loop, clock)
        self._hand = Hand(self.window, transports, each, self._waking, Together(loop))
        self._ways = self._hand.ways
        self._changed = self._waking.changed
        self._giving = Giving(loop, queue, self._call, self._changed)
        self._trying = Trying(
            loop=loop,
            queue=queue,
            ask=self._call,
            hand=self._hand,
            giving=self._giving,
            transports=transports,
            router=router,
            reporter=reporter,
            retry=retry,
            clock=clock,
            random=random,
            waking=self._waking,
            suppressing=suppressing,
        )
        # What transports call.
        self.content = self._trying.content
        self.done = self._trying.done
        self.returned = self._trying.returned
        self._others = Others(queue, clock, self._changed)
        self._stopping = False
        self._trouble = ""
        self._claimed = 0.0  # when the store was last asked for claims
        self._lease = Lease(loop, self._call, clock, self._share, self._lost)
        self._news = News(loop, self._call, clock, self._ways, self._waking, self._hand.withdraw, random)

    def adopt(self, *, router: Router, reporter: Reporter, retry: Retry) -> None:
        """Go by a newer configuration from now on; what is in hand ends by it too."""
        self._retry = retry
        self._trying.adopt(router, reporter, retry)
        self._transports().share(max(1, self._lease.live.runners))
        self._changed()

    def former(self, transports: Callable[[], Iterable[Transports]]) -> None:
        """Ask these too, which were in use before, when claims are to be given back."""
        self._hand.former = transports

    def admit(self, draft: Draft) -> bool:
        """Whether there is room to take a fresh message straight through; it is then counted."""
        if self._stopping or not isinstance(draft.content, bytes):
            return False
        now = self._clock()
        if draft.message.release_at > now:
            return False
        return self._hand.admit(draft, now)

    def committed(self, draft: Draft, answer: Committed) -> None:
        """Take what a commit gave: claims when the draft was admitted, else news that something waits."""
        claims = answer.claims
        if draft.claim:
            whole = self._hand.arrived(draft, claims)
            if not whole and answer.error is None and not answer.known:
                # A next hop is in trouble that we have not heard of, or another process runs this queue.
                self._others.tell()
                self._news.woken = True
                self._waking.within(PAUSE)
        elif answer.error is None:
            self._hand.waits(draft, self._clock())
        for claim in claims:
            self._trying.arrived(claim)

    def wake(self) -> None:
        """Look again at what is due, held or suspended: another process says that there is something."""
        self._news.woken = True
        self._changed()

    def start(self, domain: str, done: Callable[[int | StoreError], None]) -> None:
        """Try now what waits for the next hop `domain`, or with ``@`` in front for it and all below (ETRN).

        `done` is told how many messages wait there, counted up to STARTED, or what was wrong with the store.
        Which domain a client may name is not decided here (RFC 1985 section 6).
        """
        self._others.start(domain, done)

    async def run(self) -> None:
        """Work what is due until `stop`."""
        self._lease.start()
        try:
            while not self._stopping:
                began = self._waking.looking()
                try:
                    await self._news.read(self._retry, marks=bool(self._hand))
                    more = await self._claim(Select(), None)
                    self._waking.looked(began)
                    if not more:
                        await self._pause()
                except Exception as error:  # the daemon must go on working what it accepts
                    event.error(f"internal error in the runner: {error!r}")
                    await self._waking.rest(RETRY)
        finally:
            self._news.close()
            self._kept()

    async def once(self, select: Select) -> int:
        """Work what `select` takes, each message and next hop once; returns how many were tried."""
        self._lease.start()
        once = Once(select, self._clock())
        try:
            while not self._stopping:
                self._waking.looking()
                self._hand.emptying = True
                if await self._claim(once.select, once):
                    continue
                if self._hand:
                    await self._waking.wait()
                elif self._hand.crowded:
                    await self._waking.rest(CROWDED)
                else:
                    break
            return once.count
        finally:
            self._kept()

    def stop(self) -> None:
        """Claim nothing more; what is in hand is finished by closing the transports."""
        self._stopping = self._giving.stopping = True
        self._hand.together.stop()
        self._changed()

    async def drain(self) -> None:
        """Wait until nothing is in hand; claims are renewed until then."""
        self._hand.emptying = True
        while self._hand:
            self._waking.looking()
            await self._waking.wait()
        self._kept()

    @property
    def in_hand(self) -> Collection[int]:
        """The tokens of the claims that are neither settled nor given back."""
        return self._hand.tokens

    # Claims

    async def _claim(self, select: Select, once: Once | None) -> bool:
        """Claim what is selected; whether to claim again at once."""
        limit, now = self._hand.limit(select), self._clock()
        if not limit:
            return False
        try:
            claims = await self._call(lambda store: store.claim(limit, now, select))
        except StoreError as error:
            if once is not None:
                raise
            if str(error) != self._trouble:
                self._trouble = str(error)  # told once, until it is another or over
                event.error(f"cannot claim: {error}")
            return False
        self._trouble, self._claimed = "", now
        self._ways.used_up(claims, select)
        fresh, again = (claims, []) if once is None else once.part(claims)
        self._hand.take(fresh)
        for claim in fresh:
            self._trying.begin(claim, now, once)
        if again:
            await self._giving.put_back(again)
        if once is not None:
            return once.more(claims, len(claims) - len(again))
        return len(claims) >= limit

    # Other processes

    def _share(self, live: Live) -> None:
        """So many processes share the work now."""
        self._transports().share(max(1, live.runners))
        self.shared(live)

    def _lost(self) -> None:
        """This process was taken for dead: what it had in hand is others' now."""
        self._hand.withdraw()
        self.wake()

    async def _pause(self) -> None:
        """Wait until something is due, something changes, or POLL seconds have passed."""
        now, crowded, due = self._clock(), self._hand.crowded, None
        if not crowded:  # what is due would be what waits for room
            try:
                due = await self._call(lambda store: store.next_due(now))
            except StoreError as error:
                event.error(str(error))
            if due is not None and due <= self._claimed:
                # It was left then: it waits for room, or was queued since by one who does not wake us.
                self._hand.lack()
                crowded, due = True, None
        await self._waking.pause(due, crowded=crowded)

    def _kept(self) -> None:
        """Renew no more when nothing is in hand: a slow end is not to cost what is."""
        if not self._hand:
            self._lease.stop()
