"""From a configuration to working parts: the one place where they are put together.

`reception` and `retry` make the plain structs that the layers below take, and `setup.reporting` those of
reports; `new_id` makes a queue id, `working` a runner with its transports and the queue's writer.  Nothing
here decides anything.
"""

from __future__ import annotations

import random
import time

from mether.event import mail as event
from mether.queue import ident
from mether.receive.reception import Limits, Reception
from mether.runner.schedule import Retry
from mether.setup import reporting

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Final

    from mether.content.classify import Rules
    from mether.queue.commit import GroupCommit
    from mether.queue.content import Writer
    from mether.queue.message import Draft
    from mether.queue.pace import Pace
    from mether.queue.store import Store
    from mether.queue.suppressed_watch import Watch
    from mether.receive.budget import Budget
    from mether.receive.learning import Learn
    from mether.receive.login import Authentication
    from mether.receive.rate import Rates
    from mether.receive.reception import Commit, Start
    from mether.relay.asuser import Helper
    from mether.relay.health import Health
    from mether.relay.pool import Pool
    from mether.routing.router import Router
    from mether.runner.notify import Reporter
    from mether.runner.run import Runner
    from mether.setup.config import Config, Listen
    from mether.setup.suppress import Kept


def new_id(now: float) -> str:
    """A queue id for a message that arrives at `now`."""
    return ident.new_id(now, random.getrandbits(12))


def retry(config: Config, rules: Rules | None = None) -> Retry:
    """The retry schedule; `rules` tell what replies mean, None for the built-in ones."""
    return Retry(
        config.retry.intervals,
        config.retry.jitter,
        config.retry.expire,
        config.retry.warn,
        hold_uncertain=config.retry.uncertain == "hold",
        greylisted=config.retry.greylisted,
        mailbox_full=config.retry.mailbox_full,
        rules=rules,
    )


def rates(listen: Listen) -> Rates:
    """What one client may do in a minute on a listener."""
    from mether.receive.rate import Rates

    return Rates(
        connections=listen.max_connections_per_minute,
        messages=listen.max_messages_per_minute,
        recipients=listen.max_recipients_per_minute,
    )


def reception(
    config: Config,
    listen: Listen,
    router: Router,
    budget: Budget,
    *,
    stage: Callable[[str], Writer],
    commit: Commit,
    admit: Callable[[Draft], bool] = lambda draft: False,
    start: Start | None = None,
    rates: Rates | None = None,
    authentication: Authentication | None = None,
    learn: Learn | None = None,
    watch: Watch | None = None,
    pace: Pace | None = None,
    tls: bool = False,
) -> Reception:
    """What the sessions of one listener share; without `tls` there is none to be had, whatever it says, and
    without `learn` who decides waits for slow tables in place.  Raises ConfigError."""
    from mether.receive.learning import Learning, in_place
    from mether.receive.offer import Offers
    from mether.routing.networks import Networks
    from mether.setup import replies, reports, resolving, suppress

    starttls = tls and listen.tls == "starttls"
    return Reception(
        hostname=config.service.hostname,
        postmaster=reporting.postmaster(config, router),
        limits=Limits(
            size=listen.max_size,
            recipients=listen.max_recipients,
            commands=listen.max_commands,
            errors=listen.max_errors,
            seconds=listen.session_timeout,
        ),
        relay_from=Networks(listen.relay_from),
        router=router,
        budget=budget,
        clock=time.time,
        ident=new_id,
        lifetime=config.retry.expire,
        warn=config.retry.warn,
        stage=stage,
        commit=commit,
        admit=admit,
        offset=reporting.offset,
        name=listen.label,
        role=listen.role,  # type: ignore[arg-type]  # one of them: setup.listen has checked it
        offers=Offers(
            size=listen.max_size,
            recipients=listen.max_recipients,
            starttls=starttls,
            off=listen.extensions_off,
        ),
        starttls=starttls,
        require_tls=listen.require_tls,
        authentication=authentication,
        add_sender=listen.add_sender,
        rates=rates if listen.max_messages_per_minute or listen.max_recipients_per_minute else None,
        vrfy=listen.vrfy,
        start=start,
        etrn_from=Networks(listen.etrn_from),
        xclient_from=Networks(listen.xclient_from),
        learn=learn or in_place,
        turns=learn.turns if isinstance(learn, Learning) else None,
        domains=resolving.domains(config, listen),
        suppressed=suppress.refusing(config, router, watch),
        boundary=reporting.boundary,
        pace=pace,
        texts=reports.texts(config),
        rules=replies.rules(config),
    )


ATTEMPTS: Final = 30.0
SETTLEMENTS: Final = 10.0
MOMENT: Final = 0.1
"""Seconds that what is all but done has to end, when a stop is in a hurry."""


class Working:
    """A queue at work: the `store`, its writer `queue`, the `runner` and the `pool` of transports.

    `adopt` lets it go by a newer configuration, with what `pool` and `reporting.reporter` have made for it.
    What is known of hosts (`health`) is for all of them, and so is what is known of addresses (`kept`), and
    how many reports went to each reader (`pace`).
    """

    def __init__(
        self,
        store: Store,
        queue: GroupCommit,
        runner: Runner,
        pool: Pool,
        health: Health,
        kept: Kept | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.kept = kept
        self.pace = pace
        self.health = health
        self.store = store
        self.queue = queue
        self.runner = runner
        self.pool = pool
        self._closing: dict[asyncio.Task[None], Pool] = {}

    def adopt(self, config: Config, router: Router, pool: Pool, reporter: Reporter) -> None:
        """Decide about and send by this what is tried from now on; the former pool ends what it is at, and
        what only waits there comes back untried."""
        import asyncio

        before, self.pool = self.pool, pool
        window = self.runner.window
        window.messages, window.octets = config.queue.window, config.queue.window_memory
        self.runner.adopt(router=router, reporter=reporter, retry=retry(config, pool.rules))
        if self.kept is not None:
            self.kept.adopt(config, router, pool.rules)
        if self.pace is not None:
            self.pace.hourly = config.reports.hourly
        closing = asyncio.ensure_future(before.close())
        self._closing[closing] = before
        closing.add_done_callback(self._closing.pop)

    def closing(self) -> list[Pool]:
        """The pools of former configurations that have something in hand."""
        return list(self._closing.values())

    async def _close_pools(self) -> None:
        import asyncio

        for pool in (self.pool, *self._closing.values()):
            pool.leave_off()
        await asyncio.gather(self.pool.close(), *self._closing)

    async def close(self, hurry: asyncio.Event | None = None) -> None:
        """Finish what is in hand, give back the rest, and let go of the queue.

        Attempts that have sent no content yet are given up.  The others have ATTEMPTS seconds to end, and
        settlements SETTLEMENTS more: a silent peer or a full disk must not keep a service from
        stopping.  When `hurry` is set each of the two has a MOMENT; what the writer was given is stored all
        the same.  Then attempts are broken off, each with an outcome: uncertain where the end of the content
        was sent.  What has none even so is left to whoever comes next, as what a dead process had in hand.
        """
        import asyncio

        self.runner.stop()
        rushed = asyncio.ensure_future((hurry or asyncio.Event()).wait())
        for work, seconds in ((self._close_pools, ATTEMPTS), (self.runner.drain, SETTLEMENTS)):
            ended = asyncio.ensure_future(work())
            await asyncio.wait((ended, rushed), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if rushed.done() and not ended.done():
                await asyncio.wait((ended,), timeout=MOMENT)
            if ended.done():
                ended.result()
                continue
            event.warning("stopped with attempts in hand; their messages stay queued")
            if work == self._close_pools:
                for pool in (self.pool, *self._closing.values()):
                    pool.break_off()
                await asyncio.wait((ended,), timeout=MOMENT)
            ended.cancel()
            await asyncio.wait((ended,))
        rushed.cancel()
        if self.kept is not None:
            self.kept.close()
        if self.pace is not None:
            self.pace.close()
        self.queue.close()
        self.store.close(leave=self.runner.in_hand)


def working(
    config: Config,
    store: Store,
    router: Router,
    loop: asyncio.AbstractEventLoop,
    helper: Helper | None = None,
) -> Working:
    """A runner over the store, with every transport it may need.  Raises ConfigError, and StoreError where
    the suppression list is damaged."""
    from mether.queue.commit import GroupCommit
    from mether.relay.health import Health
    from mether.relay.nexthop import FIRST_ROOM
    from mether.runner.run import Runner
    from mether.runner.window import Window
    from mether.setup import replies
    from mether.setup.suppress import Kept

    rules = replies.rules(config)
    kept, pace = Kept(config, router, loop, rules), reporting.pace(config)
    queue = GroupCommit(
        store,
        loop.call_soon_threadsafe,
        time.time,
        lambda error: event.error(str(error)),
        event.removed,
        soon=loop.call_soon,
    )
    runner = Runner(
        loop=loop,
        queue=queue,
        transports=lambda: made.pool,
        each=FIRST_ROOM,
        router=router,
        reporter=reporting.reporter(config, router, pace),
        retry=retry(config, rules),
        clock=time.time,
        random=random.random,
        window=Window(config.queue.window, config.queue.window_memory),
        suppressing=kept.suppressing,
    )
    health = Health()
    transports = pool(config, router, runner, loop, health, helper)
    made = Working(store, queue, runner, transports, health, kept, pace)
    runner.former(made.closing)
    return made


def pool(
    config: Config,
    router: Router,
    runner: Runner,
    loop: asyncio.AbstractEventLoop,
    health: Health,
    helper: Helper | None = None,
) -> Pool:
    """The transports of a configuration, which tell the runner what came of its claims; `health` is what is
    known of hosts, and `helper` delivers as Unix users.

    Raises ConfigError.
    """
    from mether.client.session import Timeouts
    from mether.relay.local import Local
    from mether.relay.pool import Pool
    from mether.relay.settings import Settings
    from mether.relay.slots import Slots
    from mether.setup import delivering, finding, relaying, replies, rewriting, sending
    from mether.smtp.fit import Policy

    hostname = config.service.hostname
    settings = Settings(
        loop=loop,
        find=finding.finder(config, router, loop, event.warning),
        content=runner.content,
        hostname=hostname,
        timeouts=Timeouts(),
        clock=time.time,
        done=runner.done,
        returned=runner.returned,
        fitting=Policy(convert=config.service.unsupported_content == "convert"),
        policy=sending.policies(config, router),
        tls=sending.client_tls(config),
        logins=sending.logins(config),
        manner=sending.manners(config, router),
        health=health,
        random=random.random,
        limits=relaying.limits(config, router),
        rewriting=rewriting.rewritings(config, router),
        slots=Slots(config.relay.max_connections),
        idle=config.relay.idle,
        rules=replies.rules(config),
    )
    local = Local(
        loop=loop,
        router=router,
        content=runner.content,
        hostname=hostname,
        clock=time.time,
        done=runner.done,
        returned=runner.returned,
        terms=delivering.terms(config, router),
        members=delivering.members(router),
        helper=helper,
        variables=delivering.variables(config),
    )
    return Pool(settings, local)
