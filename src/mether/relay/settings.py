"""What all next hops of a process share: how they find hosts and content, and whom they tell."""

from __future__ import annotations

from mether.net.tls import ClientTls
from mether.relay.credentials import Logins
from mether.relay.health import Health
from mether.relay.manner import PLAIN, Manner
from mether.relay.slots import Slots
from mether.relay.tlspolicy import Policy
from mether.relay.window import Limits
from mether.smtp import fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from typing import Final

    from mether.client.session import Timeouts
    from mether.content.classify import Rules
    from mether.outcome import Outcome, Route
    from mether.queue.claim import Claim
    from mether.queue.content import Content
    from mether.relay import hosts
    from mether.relay.rewriting import Rewriting
    from mether.routing.target import Target

IDLE: Final = 3.0
"""Seconds for which a connection that has nothing to do is kept, unless told otherwise."""


class Settings:
    """What all next hops share.

    `find` gives the hosts of a target of a route; `content` a claim's content; `hostname` is what EHLO says.
    `done` takes a worked claim with its outcomes, when it began and when it had its connection (Unix
    seconds), and the transcript, "" unless something went wrong; `returned` takes claims back untried.
    `policy` says what TLS a route is to have, `tls` has the certificates, and `logins` who we are there.
    `fitting` is what may be done where a host lacks an extension.  `limits` gives the limits of a route,
    `slots` the connections there may be over all, and `idle` is how many seconds one that has nothing to do
    is kept.  `rewriting` says how a route's mail has its addresses written anew, None for not at all;
    `manner` how it goes out otherwise.  `health` is what is known of hosts, and `random` gives numbers from 0
    up to 1, for weights.  `rules` are those by which replies are classified, None for the built-in ones.
    """

    __slots__ = (
        "clock",
        "content",
        "done",
        "find",
        "fitting",
        "health",
        "hostname",
        "idle",
        "limits",
        "logins",
        "loop",
        "manner",
        "policy",
        "random",
        "returned",
        "rewriting",
        "rules",
        "slots",
        "timeouts",
        "tls",
    )

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        find: Callable[[Route, Target], Awaitable[list[hosts.Host]]],
        content: Callable[[Claim], Awaitable[Content]],
        hostname: str,
        timeouts: Timeouts,
        clock: Callable[[], float],
        done: Callable[[Claim, list[Outcome], float, float, str], None],
        returned: Callable[[list[Claim]], None],
        limits: Callable[[Route], Limits] = lambda route: Limits(),
        slots: Slots | None = None,
        idle: float = IDLE,
        policy: Callable[[Route], Policy] = lambda route: Policy(),
        tls: ClientTls | None = None,
        logins: Logins | None = None,
        fitting: fit.Policy = fit.DEFAULT,
        rewriting: Callable[[Route], Rewriting | None] = lambda route: None,
        manner: Callable[[Route], Manner] = lambda route: PLAIN,
        health: Health | None = None,
        random: Callable[[], float] = lambda: 0.0,
        rules: Rules | None = None,
    ) -> None:
        self.rules = rules
        self.manner = manner
        self.health = Health() if health is None else health
        self.random = random
        self.rewriting = rewriting
        self.limits = limits
        self.slots = slots or Slots()
        self.idle = idle
        self.fitting = fitting
        self.policy = policy
        self.tls = tls or ClientTls()
        self.logins = Logins(()) if logins is None else logins
        self.loop = loop
        self.find = find
        self.content = content
        self.hostname = hostname
        self.timeouts = timeouts
        self.clock = clock
        self.done = done
        self.returned = returned
