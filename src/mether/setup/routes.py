"""``[[route]]``: its struct, and the `routing.rule.Rule` made of it.

A route says in this order which mail it takes, what becomes of that, who is here, and how it is sent.
`setup.route_keys` has what each key takes, and `setup.route_check` looks at what they say together.

Where a list refers to a table, a file or a host that is asked, `setup.tables` has the Source for it.
"""

from __future__ import annotations

from mether import reply
from mether.outcome import Route as Way
from mether.routing import target
from mether.routing.match import Addresses, Logins
from mether.routing.networks import Networks
from mether.routing.rule import Rule
from mether.setup.sending import Login
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.reply import Reply
    from mether.routing.rule import Argument
    from mether.routing.target import Target, Targets
    from mether.setup.tables import Tables

ACTIONS: Final = ("smtp", "lmtp", "mx", "maildir", "pipe", "forward", "refuse", "discard", "hold")
"""What becomes of mail: the keys of which a route has one, or none beside aliases."""
LOCAL: Final = "local"
REFERENCES: Final = ("table:", "file:")


class Route(Struct):
    """``[[route]]``: what it asks for, one action, who is here, and how its mail is sent; None: not said.

    `client` are networks and "local", the programs of this host; `authenticated` patterns of logins, or
    whether there is one.  `smtp` is a targethost or several, `maildir` a path template, `pipe` an argument
    vector template with its time limit `timeout` in seconds, `refuse` a reply.  `from_line` begins what a
    program gets with the line of an mbox, and `delivered_to` is whether that field is written and loops are
    found by it.  `suppress` None means that
    the suppression list is for its mail unless it is `open`, `tls` None the level
    for all, `tls_names` None the names that `relay.tlspolicy` takes then, and None in a limit that of
    ``[relay]``.
    """

    name: str | None = None
    domains: tuple[str, ...] = ("*",)
    recipient: tuple[str, ...] | None = None
    sender: tuple[str, ...] | None = None
    client: tuple[str, ...] | None = None
    authenticated: bool | tuple[str, ...] | None = None
    listener: tuple[str, ...] | None = None
    open: bool = False
    smtp: str | tuple[str, ...] | None = None
    lmtp: str | tuple[str, ...] | None = None
    mx: bool | None = None
    maildir: str | None = None
    pipe: tuple[str, ...] | None = None
    forward: tuple[str, ...] | None = None
    refuse: str | None = None
    discard: bool | None = None
    hold: str | None = None
    aliases: tuple[str, ...] | None = None
    alias_programs: bool = False
    alias_files: bool = False
    users: tuple[str, ...] | None = None
    delimiter: str | None = None
    as_user: bool = False
    timeout: float = 300.0
    from_line: bool = False
    delivered_to: bool = True
    weights: tuple[int, ...] | None = None
    failover: tuple[str, ...] | None = None
    source: tuple[str, ...] | None = None
    helo: str | None = None
    login: Login | None = None
    masquerade: tuple[str, ...] | None = None
    masquerade_exceptions: tuple[str, ...] | None = None
    rewrite: str | dict[str, str] | None = None
    srs: bool = False
    verp: tuple[str, ...] | None = None
    suppress: bool | None = None
    tls: str | None = None
    tls_names: tuple[str, ...] | None = None
    tls_fingerprints: tuple[str, ...] | None = None
    connections: int | None = None
    messages_per_connection: int | None = None
    rate: str | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The targethosts in `smtp` or `lmtp`."""
        named = self.smtp or self.lmtp or ()
        hosts = (named,) if isinstance(named, str) else named
        return hosts if self.lmtp is None else tuple(f"lmtp:{one}" for one in hosts)

    @property
    def narrowed(self) -> bool:
        """Whether it asks for more than a domain."""
        asked = (self.recipient, self.sender, self.client, self.authenticated, self.listener)
        return any(one is not None for one in asked)

    @property
    def reply(self) -> Reply | None:
        """The reply in `refuse`."""
        return None if self.refuse is None else reply.from_text(self.refuse)


def rule(route: Route, tables: Tables, where: str = "") -> Rule:
    """The rule of a checked route; `where` is its place.  Raises ValueError as `tables` does."""
    action, argument = _action(route)
    clients = [one for one in route.client or () if one != LOCAL]
    authenticated = route.authenticated

    def next_hop(domain: str) -> Way:
        """Where a call-ahead goes: the rule has its users before it is there itself."""
        return made.route(domain) or Way("smtp", domain)

    made = Rule(
        tables.patterns(route.domains),
        action,
        argument,
        route.name or "",
        senders=None if route.sender is None else Addresses(tables.patterns(route.sender)),
        recipients=None if route.recipient is None else Addresses(tables.patterns(route.recipient)),
        clients=Networks(clients) if clients else None,
        programs=LOCAL in (route.client or ()),
        authenticated=(
            Logins(tables.patterns(authenticated)) if isinstance(authenticated, tuple) else authenticated
        ),
        listeners=route.listener,
        aliases=tables.aliases(route.aliases or ()),
        alias_programs=route.alias_programs,
        alias_files=route.alias_files,
        users=None if route.users is None else tables.users(route.users, next_hop),
        delimiter=route.delimiter or "",
        opened=route.open,
        apart=route.name is not None and action in ("smtp", "lmtp"),
        where=where,
    )
    return made


def hosts(route: Route) -> Target | Targets:
    """The host that a route names, or the list of them.  Raises TargetError."""
    each = tuple(map(target.parse, route.hosts))
    return each[0] if len(each) == 1 else target.Targets(each, route.weights)


def _action(route: Route) -> tuple[str, Argument]:
    if route.maildir is not None:
        return "maildir", route.maildir
    if route.pipe is not None:
        return "pipe", route.pipe
    if route.lmtp is not None:
        return "lmtp", hosts(route)
    if route.smtp is not None:
        return "smtp", hosts(route)
    if route.mx:
        return "smtp", None
    if route.forward is not None:
        return "forward", route.forward
    if route.refuse is not None:
        return "refuse", route.reply
    if route.discard:
        return "discard", None
    if route.hold is not None:
        return "hold", route.hold
    return "aliases", None
