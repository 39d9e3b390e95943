"""One rule of the configuration: which mail it takes, and what becomes of that.

A `Rule` takes a `Request` when everything that it asks for holds: domain, recipient, sender, client, login,
listener.  Its `action` is one of

===========  ==============================================================================
``smtp``     relay to `argument`, a Target or Targets; None: by the MX of each domain
``lmtp``     deliver by LMTP to a Target or Targets
``maildir``  deliver into the Maildir of that template
``pipe``     deliver to a program, an argument vector
``forward``  to the addresses (texts) in `argument`, in the recipient's stead
``aliases``  to what its aliases say, and to nobody else
``refuse``   with the Reply in `argument`
``discard``  take the mail, and forget it
``hold``     hold the message, for the reason in `argument`; later rules say where it goes
===========  ==============================================================================

Where mail is delivered here (`is_local`), anybody may send to it; a rule that relays opens nothing unless it
is `opened` by who wrote it.  Pure but for the tables among the patterns.
"""

from __future__ import annotations

from mether.outcome import Route
from mether.routing.match import Addresses, Domains, Logins
from mether.routing.target import Target, Targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Final, Literal

    from mether.reply import Reply
    from mether.routing.networks import Networks
    from mether.routing.request import Request
    from mether.routing.source import Source

    Action = Literal["smtp", "lmtp", "maildir", "pipe", "forward", "aliases", "refuse", "discard", "hold"]
    Argument = Target | Targets | str | tuple[str, ...] | Reply | None

LOCAL: Final = frozenset(("maildir", "pipe", "lmtp"))
"""Actions that deliver here."""

SENDING: Final = frozenset(("smtp", "lmtp", "maildir", "pipe"))
"""Actions with a next hop."""

ACTIONS: Final = ("smtp", "lmtp", "maildir", "pipe", "forward", "aliases", "refuse", "discard", "hold")


class Rule:
    """One rule: its `name`, the `domains` it takes, the `action` and its `argument`.

    `senders`, `recipients`, `clients`, `authenticated` and `listeners` narrow what it takes; None asks for
    nothing.  `authenticated` is True (any login), False (none), or patterns of logins.  `clients` may be
    those of `networks`, and with `programs` those of this host, which have no address.

    `aliases` are asked for a recipient first (`routing.expand`); their members may be programs with
    `alias_programs`, files with `alias_files`.  `users` say who is here, of whom there must be one; without
    them everybody is.  What follows the first `delimiter` in a local-part is the user's own business.
    `opened`: anybody may send by it.  A rule that is `apart` has next hops of its own, which the queue knows
    by its name (`Route.via`), so that they share no connection with those of other rules.  `where` is its
    place in the configuration, "file:line"; `plain` tells that it asks for nothing with globs or tables,
    `direct` that every address it takes comes to itself, as nobody asks who is here, and `open` that anybody
    may send mail that it takes: what ends here, and what its writer opened.
    Raises ValueError for what can match nothing.
    """

    __slots__ = (
        "_conditions",
        "_route",
        "action",
        "alias_files",
        "alias_programs",
        "aliases",
        "apart",
        "argument",
        "authenticated",
        "clients",
        "delimiter",
        "direct",
        "domains",
        "listeners",
        "name",
        "open",
        "plain",
        "programs",
        "recipients",
        "senders",
        "users",
        "where",
    )

    def __init__(
        self,
        domains: Iterable[str | Source],
        action: Action | str,
        argument: Argument = None,
        name: str = "",
        *,
        senders: Addresses | None = None,
        recipients: Addresses | None = None,
        clients: Networks | None = None,
        programs: bool = False,
        authenticated: bool | Logins | None = None,
        listeners: Collection[str] | None = None,
        aliases: Sequence[Source] = (),
        alias_programs: bool = False,
        alias_files: bool = False,
        users: Sequence[Source] | None = None,
        delimiter: str = "",
        opened: bool = False,
        apart: bool = False,
        where: str = "",
    ) -> None:
        self.domains = Domains(domains)
        self.name = name or (self.domains.patterns[0] if self.domains.patterns else action)
        self.argument = argument
        self.senders = senders
        self.recipients = recipients
        self.clients = clients
        self.programs = programs
        self.authenticated = authenticated
        self.listeners = listeners
        self.aliases = tuple(aliases)
        self.alias_programs = alias_programs
        self.alias_files = alias_files
        self.users = None if users is None else tuple(users)
        self.delimiter = delimiter
        self.apart = apart
        self.where = where
        self.plain = True
        via = self.name if apart else ""
        if isinstance(argument, (Target, Targets)):
            # unix: is LMTP whatever the rule calls it, and a Target knows best how it is spoken to.
            self._route: Route | None = argument.route(via=via)
            self.action: str = self._route.transport
        else:
            self._route = Route(action, self.name) if action in ("maildir", "pipe") else None
            self.action = action
        self._check()
        self.open = opened or self.action not in ("smtp", "hold")
        self.direct = self.action in SENDING and self.users is None and not self.aliases
        self._conditions = (
            any(one is not None for one in (senders, recipients, clients, authenticated, listeners))
            or programs
        )
        asked = [self.domains, senders, recipients, authenticated]
        while asked:
            one = asked.pop()
            if isinstance(one, Addresses):
                asked.append(one.domains)
            if one and not isinstance(one, bool) and (one.sources or one.globs):
                self.plain = False

    def _check(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"{self.action!r} is no action; expected one of {', '.join(ACTIONS)}")
        if self.action == "lmtp" and not isinstance(self.argument, (Target, Targets)):
            raise ValueError("an lmtp route needs a target, such as unix:/run/lmtp or lmtp:host:port")
        if self.action in ("maildir", "pipe", "forward", "refuse", "hold") and not self.argument:
            raise ValueError(f"a {self.action} route needs what to {_NEEDED[self.action]}")

    @property
    def is_local(self) -> bool:
        """Whether it delivers here."""
        return self.action in LOCAL

    @property
    def certain(self) -> bool:
        """Whether it asks for nothing but a domain."""
        return not self._conditions

    def also(self, request: Request) -> bool:
        """Whether all but the domain is as it asks for.  Raises TableError or Needs."""
        if self.listeners is not None and request.listener not in self.listeners:
            return False
        if self.clients is not None or self.programs:
            known = self.programs if not request.client else False
            if not known and (self.clients is None or request.client not in self.clients):
                return False
        if self.authenticated is not None:
            if isinstance(self.authenticated, bool):
                if self.authenticated != bool(request.login):
                    return False
            elif not request.login or not self.authenticated.matches(request.login.lower()):
                return False
        if self.senders is not None and not self.senders.matches(request.sender_key):
            return False
        return self.recipients is None or self.recipients.matches(request.key)

    def takes(self, request: Request) -> bool:
        """Whether it takes the mail.  Raises TableError or Needs."""
        return self.domains.matches(request.domain) and (not self._conditions or self.also(request))

    def route(self, domain: str) -> Route | None:
        """The next hop for mail to `domain`, in lower case with A-labels; None where it has none."""
        if self._route is not None or self.action != "smtp":
            return self._route
        return Route("smtp", domain, via=self.name if self.apart else "")

    def __repr__(self) -> str:
        return f"Rule({self.name!r}: {', '.join(self.domains.patterns)} -> {self.action} {self.argument})"


_NEEDED: Final = {
    "maildir": "deliver to",
    "pipe": "deliver to",
    "forward": "forward to",
    "refuse": "answer",
    "hold": "tell as its reason",
}
