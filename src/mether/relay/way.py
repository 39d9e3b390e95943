"""A way of delivery on this host: what a rule of the configuration, or a member of an alias, asks for.

`Way` is one of three transports with its template and its terms; `deliver` goes it, for some recipients of
one message, and answers for each.  It blocks, never raises, and is the same in a thread of the service and in
the process that delivers as a Unix user (`relay.asuser`).

Members of aliases are ways too: ``|command`` is a program without a shell, ``/file`` an mbox file, and
``/directory/`` a Maildir.  They are what the alias says, word by word: nothing in them is a template.
"""

from __future__ import annotations

from mether.relay import maildir, mbox, pipe
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final, Literal

    from mether.envelope import Recipient
    from mether.outcome import Route
    from mether.relay.letter import Letter, Person

    Transport = Literal["maildir", "pipe", "file"]

LIMIT: Final = 300.0
"""Seconds that a program may run, unless its route says otherwise."""

BAD_PROGRAM: Final = Reply(451, "4.3.5", "the alias names a program that cannot be run")
BAD_FILE: Final = Reply(451, "4.3.5", "the alias names a file that cannot be delivered to")


class Terms:
    """What a route says beside its transport: the seconds a program may run (`limit`), whether deliveries are
    made as the Unix user (`as_user`), whether programs get a ``From`` line (`from_line`), and whether
    Delivered-To is written and looked for (`delivered_to`)."""

    __slots__ = ("as_user", "delivered_to", "from_line", "limit")

    def __init__(
        self,
        limit: float = LIMIT,
        *,
        as_user: bool = False,
        from_line: bool = False,
        delivered_to: bool = True,
    ) -> None:
        self.limit = limit
        self.as_user = as_user
        self.from_line = from_line
        self.delivered_to = delivered_to

    @property
    def key(self) -> tuple[object, ...]:
        """All that they say."""
        return self.limit, self.as_user, self.from_line, self.delivered_to


USUAL: Final = Terms()


class Way:
    """A `transport`, its `template` (a path, or an argument vector), the `delimiter` of sub-addresses, and
    its `terms`.  A `literal` one is no template."""

    __slots__ = ("delimiter", "literal", "template", "terms", "transport")

    def __init__(
        self,
        transport: Transport,
        template: str | tuple[str, ...],
        *,
        delimiter: str = "",
        literal: bool = False,
        terms: Terms = USUAL,
    ) -> None:
        self.transport = transport
        self.template = template
        self.delimiter = delimiter
        self.literal = literal
        self.terms = terms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Way) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        return self.transport, self.template, self.delimiter, self.literal, self.terms.key


def of_member(route: Route) -> Way:
    """The way of an alias's member, as the queue names it.  Raises ValueError, for a person."""
    if route.transport == "pipe":
        return Way("pipe", pipe.words(route.next_hop.removeprefix("|")), literal=True)
    path = route.next_hop
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{path[:80]!r} is no path; expected one that begins with a slash")
    if path.endswith("/"):
        return Way("maildir", path, literal=True)
    return Way("file", path, literal=True)


def is_member(route: Route) -> bool:
    """Whether the route is that of an alias's member, and not that of a rule."""
    return route.transport == "file" or (route.transport == "pipe" and route.next_hop.startswith("|"))


def deliver(
    way: Way,
    recipients: Sequence[Recipient],
    letter: Letter,
    *,
    now: float,
    hostname: str,
    tell: Callable[[str], None],
    person: Person | None = None,
    variables: Mapping[str, str] = pipe.NONE,
) -> list[Reply]:
    """Deliver; one reply for each recipient, in order.

    `now` is Unix time in seconds, `hostname` our name; `tell` takes a line for the log, which may name files;
    `person` is the Unix user that this process is for the delivery, None where it is the service itself;
    programs find `variables` in their environment.
    """
    terms = way.terms
    if isinstance(way.template, tuple):
        return pipe.deliver(
            way.template,
            recipients,
            letter,
            now=now,
            limit=terms.limit,
            hostname=hostname,
            delimiter=way.delimiter,
            literal=way.literal,
            begins=terms.from_line,
            delivered_to=terms.delivered_to,
            person=person,
            variables=variables,
        )
    if way.transport == "file":
        return [mbox.deliver(way.template, one, letter, now=now, tell=tell) for one in recipients]
    if way.literal:
        return [
            maildir.into(way.template, one, letter, now=now, hostname=hostname, tell=tell)
            for one in recipients
        ]
    return [
        maildir.deliver(
            way.template,
            one,
            letter,
            now=now,
            hostname=hostname,
            delimiter=way.delimiter,
            delivered_to=terms.delivered_to,
            person=person,
            tell=tell,
        )
        for one in recipients
    ]


def of_rule(
    action: str, argument: object, delimiter: str, terms: Mapping[str, Terms], name: str
) -> Way | None:
    """The way of a rule, None where it does not deliver by this host's own means."""
    known = terms.get(name, USUAL)
    if action == "maildir" and isinstance(argument, str):
        return Way("maildir", argument, delimiter=delimiter, terms=known)
    if action == "pipe" and isinstance(argument, tuple):
        return Way("pipe", argument, delimiter=delimiter, terms=known)
    return None
