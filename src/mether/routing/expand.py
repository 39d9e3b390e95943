"""What an address comes to: where its mail is delivered, aliases and users considered.

`resolve` asks the router for the rule that takes the mail, and that rule in this order:

1. its aliases, for ``ann+detail@example.org``, ``ann+detail``, ``ann@example.org`` and ``ann``;
2. its users, for the same; who is one gets the mail himself, by the rule's own action;
3. its aliases once more, for the catch-alls ``@example.org`` and ``*``.

Without users everybody is one whom no catch-all takes.  Sub-addresses are those of the rule's delimiter.
Each member is routed anew, with the same facts of sender and client, as if mail had come for it; only that
it may be relayed anywhere, since the alias says so.  What members are is said in `routing.aliases`; a
``forward`` rule is an alias for all that it takes.

An alias that names itself delivers to itself, as with sendmail and Postfix.  Nobody is delivered to twice,
and an alias or a list that came up before is not asked again, so that none goes on for ever: where nothing
at all is left of an alias it was a loop (5.4.6), and so are more than MAX_DEPTH of them one behind the other.
An alias of many for which there is ``owner-NAME`` is a mailing list: what goes to its members has that as its
reverse-path (RFC 5321 section 3.9.2).

Pure but for the tables (`routing.source`): TableError and Needs pass through.
"""

from __future__ import annotations

from mether.address import MAX_LOCAL_PART, Address, AddressError, parse, quote, unquote
from mether.outcome import Route
from mether.reply import Reply
from mether.routing import aliases, include
from mether.routing.resolution import (
    EMPTY,
    FORBIDDEN,
    LOOP,
    NO_PLACE,
    UNKNOWN,
    Delivery,
    Refused,
    Resolution,
)
from mether.routing.rule import SENDING
from mether.routing.source import Needs, Several, TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from mether.routing.aliases import Member
    from mether.routing.request import Request
    from mether.routing.router import Decision, Router
    from mether.routing.rule import Rule
    from mether.routing.source import Source

MAX_DEPTH: Final = 20
"""Aliases one behind the other, or lists in lists."""

LARGE: Final = 25
"""Members up to which nobody waits for his turn."""


def is_plain(decision: Decision) -> bool:
    """Whether an address comes to itself: no table has a say in it, and nothing is held."""
    rule = decision.rule
    return decision.hold is None and (rule is None or rule.direct)


def resolve(
    router: Router, request: Request, decision: Decision | None = None, *, turn: Source | None = None
) -> Resolution:
    """What the recipient of a request comes to; `decision` is the router's, where it was asked already.

    `turn` is asked before more than LARGE members are gone through, so that it can have whoever decides wait.
    Raises TableError or Needs.
    """
    if decision is None:
        decision = router.decide(request)
    rule = decision.rule
    if rule is None or rule.direct:
        assert decision.route is not None
        return Resolution(decision, (Delivery(request.recipient, decision.route, hold=decision.hold),))
    if rule.action == "refuse":
        assert isinstance(rule.argument, Reply)
        return Resolution(decision, reply=rule.argument)
    if rule.action == "discard":
        return Resolution(decision, discard=True)
    return _Expansion(router, request, turn).resolution(decision)


class _Expansion:
    """One address being resolved."""

    def __init__(self, router: Router, request: Request, turn: Source | None) -> None:
        self.router = router
        self.turn = turn
        self.request = request
        self.deliveries: dict[tuple[Address, Route], Delivery] = {}
        self.refused: dict[Address, Refused] = {}
        self.problems: list[str] = []
        self.needs: dict[tuple[int, str], Needs] = {}
        self.seen: set[str] = set()
        self.files: set[str] = set()
        self.expanded = self.discard = self.looped = False
        self.count = 0

    def resolution(self, decision: Decision) -> Resolution:
        self.address(self.request, decision, None, 0)
        if len(self.needs) == 1:
            raise next(iter(self.needs.values()))
        if self.needs:
            raise Needs(Several(list(self.needs.values())), self.request.key)
        found = list(self.deliveries.values())
        if not found and not self.discard:
            first = next(iter(self.refused.values()), None)
            reply = first.reply if first is not None else LOOP if self.looped else EMPTY
            return Resolution(decision, reply=reply, problems=self.problems)
        if self.expanded:
            many = len(found) + len(self.refused) + self.discard > 1
            for one in found:
                one.how = "list" if many or one.owner is not None else "alias"
        return Resolution(
            decision,
            found,
            discard=self.discard,
            refused=list(self.refused.values()),
            problems=self.problems,
        )

    def address(
        self, request: Request, decision: Decision, owner: Address | None, depth: int, *, final: bool = False
    ) -> None:
        """Find what becomes of one address, which is at such a `depth`; a `final` one has no aliases.

        Raises TableError or Needs.
        """
        rule, path = decision.rule, request.recipient
        if rule is None:
            assert decision.route is not None
            self.deliver(path, decision.route, decision, owner)
            return
        if rule.action == "refuse":
            assert isinstance(rule.argument, Reply)
            self.refuse(path, rule.argument, owner)
            return
        if rule.action == "discard":
            self.discard = True
            return
        names = _names(request, rule.delimiter)
        catching: tuple[str, ...] = ()
        if not final:
            if request.key in self.seen:
                self.looped = True
                return
            if depth > MAX_DEPTH:
                self.problem(rule, f"more than {MAX_DEPTH} aliases one behind the other lead to <{path}>")
                self.refuse(path, LOOP, owner)
                return
            found = _look_up(rule.aliases, names)
            if found is not None:
                self.alias(request, decision, found, owner, depth)
                return
            if rule.action == "forward":
                self.alias(request, decision, ("", ", ".join(rule.argument)), owner, depth)  # type: ignore[arg-type]
                return
            catching = (f"@{request.domain}", "*")
        if rule.action in SENDING and rule.users is not None and _look_up(rule.users, names) is not None:
            self.itself(request, decision, owner)
        elif catching and (found := _look_up(rule.aliases, catching)) is not None:
            self.alias(request, decision, found, owner, depth)
        elif rule.action in SENDING and rule.users is None:
            self.itself(request, decision, owner)
        elif not self.postmaster(request, owner, depth):
            self.refuse(path, UNKNOWN, owner)

    def postmaster(self, request: Request, owner: Address | None, depth: int) -> bool:
        """Whether it is a postmaster of whom nothing else is known: the service's has to do (RFC 5321 section
        4.5.1)."""
        other = self.router.postmaster
        if other is None or unquote(request.recipient.local_part).lower() != "postmaster":
            return False
        instead = request.to(other)
        if instead.key == request.key or instead.key in self.seen:
            return False
        self.seen.add(request.key)
        self.expanded = True
        self.address(instead, self.router.decide(instead), owner, depth + 1)
        return True

    def itself(self, request: Request, decision: Decision, owner: Address | None) -> None:
        """Deliver to an address itself, by the action of its rule."""
        rule = decision.rule
        if rule is None or rule.action not in SENDING or decision.route is None:
            self.looped = True  # there is nothing behind the alias
            return
        self.deliver(request.recipient, decision.route, decision, owner)

    def alias(
        self,
        request: Request,
        decision: Decision,
        found: tuple[str, str],
        owner: Address | None,
        depth: int,
    ) -> None:
        """Go on with the members of an alias, which was `found` by a name.  Raises TableError or Needs."""
        rule = decision.rule
        assert rule is not None
        name, text = found
        self.expanded = True
        self.seen.add(request.key)
        members = self.members(text, rule, request, 0)
        if len(members) > 1:
            owner = _owner(rule, request, name) or owner
        own = {request.key}
        if local := _local(name):
            own.add(f"{local}@{request.domain}")
        for member in members:
            self.count += 1
            if self.count > aliases.MAX_MEMBERS:
                raise TableError(_too_many(rule, self.request))
            if self.count == LARGE + 1 and self.turn is not None:
                self.turn.get(self.request.key)
            try:
                self.member(member, request, decision, own, owner, depth)
            except Needs as need:
                if need.source is self.turn:
                    raise
                self.needs.setdefault((id(need.source), need.key), need)

    def members(self, text: str, rule: Rule, request: Request, depth: int) -> Sequence[Member]:
        """The members in a text, those of included files among them.  Raises TableError or Needs."""
        try:
            found: Iterable[Member] = include.members_of(text)
        except ValueError as error:
            raise TableError(f"{_where(rule)}: the alias for <{request.recipient}>: {error}") from None
        return self.included(found, rule, depth)

    def included(self, found: Iterable[Member], rule: Rule, depth: int) -> list[Member]:
        """The members with those of the files among them.  Raises TableError or Needs."""
        out: list[Member] = []
        for member in found:
            if member.kind != "include":
                out.append(member)
            elif member.text in self.files:
                continue
            elif depth >= MAX_DEPTH:
                raise TableError(f"{member.text}: more than {MAX_DEPTH} lists one in the other")
            else:
                self.files.add(member.text)
                out += self.included(include.in_file(member.text), rule, depth + 1)
            if len(out) > aliases.MAX_MEMBERS:
                raise TableError(_too_many(rule, self.request))
        return out

    def member(
        self,
        member: Member,
        request: Request,
        decision: Decision,
        own: set[str],
        owner: Address | None,
        depth: int,
    ) -> None:
        """Go on with one member.  Raises TableError or Needs."""
        if member.kind in ("program", "file"):
            self.special(member, request, decision, owner)
            return
        path = member.address
        if member.kind == "domain":
            path = Address(request.recipient.local_part, member.text)
            try:
                parse(str(path), utf8=True)
            except AddressError:
                self.refuse(request.recipient, NO_PLACE, owner)
                return
        assert path is not None
        if not path.domain:
            path = Address(path.local_part, request.recipient.domain or self.router.hostname)
        instead = request.to(path)
        if instead.key in own:
            self.himself(request, decision, owner)
            return
        self.address(instead, self.router.decide(instead), owner, depth + 1, final=member.kind == "user")

    def himself(self, request: Request, decision: Decision, owner: Address | None) -> None:
        """Deliver to whom an alias names that is called as he is.  Raises TableError or Needs."""
        rule = decision.rule
        assert rule is not None
        if rule.users is None or rule.action not in SENDING:
            here = True
        else:
            here = _look_up(rule.users, _names(request, rule.delimiter)) is not None
        if not here:
            self.refuse(request.recipient, UNKNOWN, owner)
            return
        self.itself(request, decision, owner)

    def special(self, member: Member, request: Request, decision: Decision, owner: Address | None) -> None:
        """Deliver to a program or a file, where the rule allows that."""
        rule = decision.rule
        assert rule is not None
        if member.text == aliases.NOBODY:
            self.discard = True
            return
        program = member.kind == "program"
        if not (rule.alias_programs if program else rule.alias_files):
            key = "alias_programs" if program else "alias_files"
            self.problem(
                rule,
                f"the alias for <{request.recipient}> names the {member.kind} {member.text!r}; "
                f"expected {key} = true for that",
            )
            self.refuse(request.recipient, FORBIDDEN, owner)
            return
        route = Route("pipe", f"|{member.text}") if program else Route("file", member.text)
        self.deliver(request.recipient, route, decision, owner)

    def deliver(self, path: Address, route: Route, decision: Decision, owner: Address | None) -> None:
        rule = decision.rule
        away = self.expanded and route.transport == "smtp" and (rule is None or rule.action == "smtp")
        self.deliveries.setdefault(
            (path, route), Delivery(path, route, owner=owner, forwarded=away, hold=decision.hold)
        )

    def refuse(self, path: Address, reply: Reply, owner: Address | None) -> None:
        self.refused.setdefault(path, Refused(path, reply, owner))

    def problem(self, rule: Rule, what: str) -> None:
        self.problems.append(f"{_where(rule)}: {what}")


def _names(request: Request, delimiter: str) -> tuple[str, ...]:
    """What an address is called in tables: with its domain and without, then both without its detail."""
    key = request.key
    local = key[: -len(request.domain) - 1] if request.domain else key
    names = [key]
    # What has an @ or is a * would be taken for an address, or for everybody.
    plain = "@" not in local and local != "*"
    if plain and local != key:
        names.append(local)
    at = local.find(delimiter, 1) if delimiter else -1
    if at > 0:
        user = local[:at]
        names.append(f"{user}@{request.domain}" if request.domain else user)
        if plain and user != "*":
            names.append(user)
    return tuple(names)


def _look_up(sources: Iterable[Source], names: Iterable[str]) -> tuple[str, str] | None:
    """The first of the names that one of the sources knows, and what it says.  Raises TableError or Needs."""
    for name in names:
        for source in sources:
            text = source.get(name)
            if text is not None:
                return name, text
    return None


def _owner(rule: Rule, request: Request, name: str) -> Address | None:
    """The owner of a list of that name, where there is an alias for one.  Raises TableError or Needs.

    A report that goes to a list keeps its null reverse-path: there is never an error about an error.
    """
    local = _local(name)
    if request.sender is None or not local or local.startswith("owner-"):
        return None
    owner = f"owner-{local}"
    if len(owner.encode()) > MAX_LOCAL_PART:
        return None
    domain = request.recipient.domain
    if _look_up(rule.aliases, (f"{owner}@{request.domain}", owner)) is None:
        return None
    return Address(quote(owner), domain)


def _local(name: str) -> str:
    """The local-part by which an alias was found, "" for a catch-all."""
    local, at, _ = name.rpartition("@")
    local = local if at else name
    return "" if local == "*" else local


def _where(rule: Rule) -> str:
    return rule.where or f"route {rule.name}"


def _too_many(rule: Rule, request: Request) -> str:
    return f"{_where(rule)}: <{request.recipient}> comes to more than {aliases.MAX_MEMBERS} members"
