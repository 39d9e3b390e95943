"""``smtpq explain``: where each recipient of a message goes, when it is tried, and why not now.

Where it goes is told as ``mether route`` tells it (`setup.facts`): the rule, the addresses under which it
leaves, the hosts in order, TLS and the login, of the next hop that the recipient has in the queue.  That is
a cached decision: where the rules would send it elsewhere when it is due, as they are now, that is said.
When it is tried is `programs.story`.  The DNS is asked once for each next hop, and never with --no-dns.
"""

from __future__ import annotations

import sys

from mether.programs.choice import messages, pages
from mether.programs.smtpq_list import known_hops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mether.outcome import Route
    from mether.programs.smtpq import Call
    from mether.queue.message import Entry, Row
    from mether.queue.store import Store
    from mether.relay.rewriting import Rewriting
    from mether.routing.router import Router
    from mether.setup.config import Config
    from mether.setup.facts import Facts


def explain(call: Call) -> None:
    """Tell it of each recipient.  Raises StoreError, ConfigError."""
    from mether.programs import route_lines, story
    from mether.programs.listing import clean, hop_name
    from mether.setup.config import load

    store, now = call.store, call.now
    hops = known_hops(store)
    works = bool(store.live(now).runners)
    ways = Ways(load(call.config), dns=not call.options.flag("no-dns"))
    beside: dict[Route, int] | None = None

    def room(route: Route) -> str:
        nonlocal beside
        if beside is None:
            beside = _tried_now(store)
        if route not in beside:
            return "as soon as a runner has room for it"
        return f"as soon as there is room: {messages(beside[route])} being tried at this next hop now"

    for entry in pages(store, call.filter):
        for row in entry.rows:
            facts, change = ways.of(entry, row), ways.change(entry, row)
            if call.options.flag("json"):
                import json

                record = story.explanation_record(entry, row, hops, now)
                record |= {key: value for key, value in facts.items() if key not in record}
                record |= {"pinned": row.pinned, "changes": change}
                sys.stdout.write(json.dumps(record) + "\n")
                continue
            name = hop_name(row.route)
            sys.stdout.write(clean(f"{entry.message.ident} {row.recipient.forward_path} by {name}") + "\n")
            sys.stdout.writelines(
                f"{clean(line)}\n" for line in _way(row, facts, change, route_lines.delivery)
            )
            for when, why in story.explanation(entry, row, hops, now, room, works=works):
                sys.stdout.write(f"  {when}: {why}\n")


class Ways:
    """What is known of next hops under a configuration, each looked up once; `dns`: their hosts, too."""

    def __init__(self, config: Config, *, dns: bool) -> None:
        from mether.setup.rewriting import rewritings
        from mether.setup.suppress import shown

        self._config = config
        self._router: Router = config.router()
        self._dns = dns
        self._suppressed = shown(config, self._router)
        self._known: dict[tuple[Route, str], Facts] = {}
        self._hosts: dict[Route, list[Facts]] = {}
        self._rewriting: Callable[[Route], Rewriting | None] = rewritings(config, self._router)

    def of(self, entry: Entry, row: Row) -> Facts:
        """What holds for a recipient's next hop, and becomes of the message there."""
        from mether.setup.facts import look_up, of_next_hop, of_recipient

        sender = entry.message.envelope.reverse_path
        facts = self._known.get((row.route, str(sender)))
        if facts is None:
            facts = of_next_hop(row.route, self._config, self._router, sender)
            targets = facts.get("targets")
            if self._dns and isinstance(targets, list) and targets:
                if row.route not in self._hosts:
                    self._hosts[row.route] = look_up(row.route, self._config, self._router)
                for target, found in zip(targets, self._hosts[row.route], strict=False):
                    target |= found
            self._known[row.route, str(sender)] = facts
        rewriting = self._rewriting(row.route)
        path = row.recipient.forward_path
        facts = facts | of_recipient(row.route, self._config, self._router, rewriting, sender, path)
        return facts | self._suppressed(path, row.route)

    def change(self, entry: Entry, row: Row) -> str | None:
        """What becomes of a recipient's next hop when it is due, None where it stays."""
        from mether.programs.listing import hop_name
        from mether.queue.selection import fixed
        from mether.routing.request import Request
        from mether.routing.source import TableError, settled

        if row.route.via and self._router.rule(row.route) is None and (row.pinned or fixed(row.route)):
            return f"waits: the route {row.route.via!r} is not in the configuration; smtpq reroute moves it"
        if row.pinned or fixed(row.route):
            return None
        request = Request.of(row.recipient.forward_path, entry.message)
        try:
            decision = settled(lambda: self._router.decide(request))
        except TableError as error:
            return f"waits: {error}"
        route = decision.route
        if route is None or route == row.route:
            return None
        where = "" if decision.rule is None else f", by rule {decision.rule.name}"
        place = f" at {decision.rule.where}" if decision.rule is not None and decision.rule.where else ""
        return f"goes to {hop_name(route)}{where}{place}"


def _way(row: Row, facts: Facts, change: str | None, delivery: object) -> Iterator[str]:
    assert callable(delivery)
    yield from delivery({**facts, "place": None}, "")
    if row.pinned:
        yield "  pinned        by a person, or a program's argument: no rule changes it"
    if change is not None:
        yield f"  when due      {change}"


def _tried_now(store: Store) -> dict[Route, int]:
    """How many messages are being tried at each next hop.  Raises StoreError."""
    from mether.queue.selection import Filter

    found: dict[Route, int] = {}
    for entry in pages(store, Filter(status="active")):
        for route in {row.route for row in entry.rows if row.owner is not None}:
            found[route] = found.get(route, 0) + 1
    return found
