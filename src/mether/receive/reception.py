"""What the sessions of a listener share: its role, its limits, and the parts they work with.

A `Reception` is made by `setup` from the configuration and only read by the sessions; a session keeps the
one it began with.
"""

from __future__ import annotations

from mether.receive.learning import in_place
from mether.receive.offer import Offers, Who
from mether.receive.rate import Rates
from mether.reply import Reply
from mether.routing.networks import Networks
from mether.smtp.command import Grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal

    from mether.address import Address
    from mether.content.classify import Rules
    from mether.content.words_texts import Texts
    from mether.outcome import Route
    from mether.queue.content import Writer
    from mether.queue.message import Draft
    from mether.queue.pace import Pace
    from mether.queue.store import Committed, StoreError
    from mether.receive.budget import Budget
    from mether.receive.domains import Domains
    from mether.receive.learning import Learn
    from mether.receive.login import Authentication
    from mether.receive.turns import Turns
    from mether.routing.router import Router

    Role = Literal["mx", "submission", "local", "lmtp"]
    Commit = Callable[[Draft, Callable[[Committed], None]], None]
    Suppressed = Callable[[Address, Route], Reply | None]
    Start = Callable[[str, Callable[[int | StoreError], None]], None]

NOBODY = Networks(())


class Limits:
    """What one session may do: octets of content, recipients in a transaction, commands between
    transactions, errors in all, and the seconds after which it ends between two transactions.  0 means no
    limit for `size` and `seconds`."""

    __slots__ = ("commands", "errors", "recipients", "seconds", "size")

    def __init__(
        self, *, size: int, recipients: int, commands: int, errors: int, seconds: float = 0.0
    ) -> None:
        self.size = size
        self.recipients = recipients
        self.commands = commands
        self.errors = errors
        self.seconds = seconds


class Reception:
    """What the sessions of a listener share.

    `ident` makes a queue id from Unix seconds; `clock` gives those; `offset` local time's lead over
    UTC in seconds; `lifetime` is how long a message may be queued and `warn` the ages at which its
    sender is told that it still is, in seconds; `stage` opens a writer in the spool; `commit` queues a
    draft; `admit` says whether the runner has room to take a draft straight through, and then counts it as
    taken.

    `role` and `name` are the listener's; `offers` what its EHLO says; `starttls` whether TLS may be begun,
    `domains` is asked about those of senders and recipients, None where nobody wants to know, and
    `suppressed` about recipients that go to a next hop: the reply where no mail is sent to them;
    `require_tls` whether nothing else may be done before; `authentication` is None where nobody can log in.
    With `add_sender` the login goes into a submitted message's Sender.  `start` starts the queue of a domain
    for ETRN, which clients in `etrn_from` may ask for; those in `xclient_from` may speak for others.  `vrfy`:
    say what is known of a mailbox.  `learn` has a table asked that a decision waits for, and `boundary` makes
    a token for a report; people read the `texts` in it, and the `rules` tell what replies mean (None: those
    that come with mether); `pace` is how many go to one reader in an hour.  `turns` are those at large lists,
    None where nobody else waits.  `banner` and `farewell` are the replies that begin and end a session.
    """

    __slots__ = (
        "add_sender",
        "admit",
        "authentication",
        "banner",
        "boundary",
        "budget",
        "clock",
        "commit",
        "domains",
        "etrn_from",
        "farewell",
        "grammar",
        "hello",
        "hostname",
        "ident",
        "learn",
        "lifetime",
        "limits",
        "name",
        "offers",
        "offset",
        "pace",
        "postmaster",
        "rates",
        "relay_from",
        "require_tls",
        "role",
        "router",
        "rules",
        "stage",
        "start",
        "starttls",
        "suppressed",
        "texts",
        "turns",
        "vrfy",
        "warn",
        "xclient_from",
    )

    def __init__(
        self,
        *,
        hostname: str,
        postmaster: Address,
        limits: Limits,
        relay_from: Networks,
        router: Router,
        budget: Budget,
        clock: Callable[[], float],
        ident: Callable[[float], str],
        lifetime: float,
        warn: Sequence[float] = (),
        stage: Callable[[str], Writer],
        commit: Commit,
        admit: Callable[[Draft], bool] = lambda draft: False,
        offset: Callable[[], int] = lambda: 0,
        role: Role = "local",
        name: str = "",
        offers: Offers | None = None,
        starttls: bool = False,
        require_tls: bool = False,
        authentication: Authentication | None = None,
        add_sender: bool = False,
        rates: Rates | None = None,
        vrfy: bool = False,
        start: Start | None = None,
        etrn_from: Networks = NOBODY,
        xclient_from: Networks = NOBODY,
        learn: Learn = in_place,
        turns: Turns | None = None,
        domains: Domains | None = None,
        suppressed: Suppressed | None = None,
        boundary: Callable[[], str] | None = None,
        texts: Texts | None = None,
        pace: Pace | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.hostname = hostname
        self.postmaster = postmaster
        self.limits = limits
        self.relay_from = relay_from
        self.router = router
        self.budget = budget
        self.clock = clock
        self.ident = ident
        self.lifetime = lifetime
        self.warn = tuple(warn)
        self.stage = stage
        self.commit = commit
        self.admit = admit
        self.offset = offset
        self.role: Role = role
        self.name = name
        self.offers = offers or Offers(size=limits.size, recipients=limits.recipients, starttls=starttls)
        self.starttls = starttls
        self.require_tls = require_tls
        self.authentication = authentication
        self.add_sender = add_sender
        self.rates = rates
        self.vrfy = vrfy
        self.start = start
        self.etrn_from = etrn_from
        self.xclient_from = xclient_from
        self.learn = learn
        self.turns = turns
        self.domains = domains
        self.suppressed = suppressed
        self.texts = texts
        self.pace = pace
        self.rules = rules
        self.boundary = boundary or (lambda: f"mether{ident(clock())}")
        self.banner = Reply(220, None, f"{hostname} {'LMTP' if role == 'lmtp' else 'ESMTP'} mether")
        self.hello = Reply(250, None, hostname)
        self.farewell = Reply(221, "2.0.0", f"{hostname} closing")
        # Before any EHLO: what everybody is offered.
        self.grammar = Grammar(self.offers.lines(Who(), 0.0))
