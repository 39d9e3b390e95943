"""What the tests of the MTA's halves are made of: drafts, claims, outcomes, a router, heard events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from clock import T0

from mether.address import Address, parse
from mether.envelope import Envelope, Recipient
from mether.event import mail as event
from mether.outcome import Outcome, Route
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Hop, Pending
from mether.queue.content import in_memory
from mether.queue.message import Arrival, Draft, Message
from mether.reply import Reply
from mether.routing.router import Router
from mether.routing.rule import Rule

DAY = 86400.0
HOP = Route("smtp", "mx.example.net")
OTHER = Route("smtp", "other.example.org")
CONTENT = b"Subject: test\r\n\r\nHello.\r\n"
TRACE = b"Received: by mx.example.com\r\n"
OK = Reply(250, "2.0.0", "queued as 1")
LATER = Reply(451, "4.3.0", "later, please")
NEVER = Reply(550, "5.1.1", "no such user")

_numbers = count(1)


def new_ident(at: float = T0) -> str:
    """A queue id that nothing else in the process draws."""
    return ident_.new_id(at + next(_numbers) * 1e-3, 7)


def message(
    *paths: str,
    sender: str = "sender@example.com",
    at: float = T0,
    expires: float = T0 + 5 * DAY,
    content: bytes = CONTENT,
    notify: str | None = None,
    body: str = "7BIT",
) -> Message:
    """A message to these forward-paths."""
    recipients = [Recipient(parse(path, utf8=True), notify=notify) for path in paths or ("rcpt@example.net",)]
    envelope = Envelope(parse(sender) if sender else None, recipients, body=body)
    return Message(
        new_ident(at),
        envelope,
        Arrival(at, "ESMTP", address="192.0.2.1", helo="client.example"),
        trace=TRACE,
        size=len(TRACE) + len(content),
        expires=expires,
    )


def draft(
    *paths: str,
    routes: Route | Sequence[Route] = HOP,
    content: bytes = CONTENT,
    claim: bool = False,
    pinned: bool = True,
    **more: Any,
) -> Draft:
    """A draft to these forward-paths, all by one route, which is kept, unless a list is given."""
    made = message(*paths, content=content, **more)
    each = [routes] * len(made.envelope.recipients) if isinstance(routes, Route) else list(routes)
    return Draft(made, content, each, due=made.arrival.at, claim=claim, pinned=pinned)


def claim(
    *paths: str,
    route: Route = HOP,
    content: bytes | None = CONTENT,
    attempts: int = 0,
    last: Outcome | None = None,
    hop: Hop | None = None,
    due: bool = True,
    **more: Any,
) -> Claim:
    """A claim on all recipients of a message."""
    made = message(*paths, content=content or b"", **more)
    pending = [
        Pending(number, one, attempts, last, T0) for number, one in enumerate(made.envelope.recipients)
    ]
    return Claim(
        made,
        route,
        pending,
        owner=1,
        token=1,
        content=None if content is None else in_memory(content),
        hop=hop,
        due=due,
    )


def router(*rules: Rule) -> Router:
    """example.com is delivered here; all else goes by MX."""
    local = Rule(["example.com"], "maildir", "/nowhere/{user}", "here")
    return Router([*rules, local], "mx.example.com", address("postmaster@example.com"))


def address(text: str) -> Address:
    """The address."""
    return parse(text, utf8=True)


@contextmanager
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events that happen meanwhile, as (name, fields)."""
    events: list[tuple[str, dict[str, Any]]] = []

    def sink(name: str, fields: Any) -> None:
        events.append((name, dict(fields)))

    event.sinks.append(sink)
    try:
        yield events
    finally:
        event.sinks.remove(sink)
