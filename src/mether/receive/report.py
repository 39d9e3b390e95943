"""The draft of a report, which goes the way of all mail to whom it is for (RFC 3461 section 6.1).

A report to an alias reaches whom that stands for.  It has a null reverse-path and says NOTIFY=NEVER to all of
them, so that nothing ever comes of it but itself.  Whoever is owed one is for the caller to know, and it has
asked where that one's mail goes.

Above an hourly limit to one reader a report waits for the next hour (`queue.pace`), and has no more of the
original than its header.  What tells of no failure is counted apart.
"""

from __future__ import annotations

from mether.content import dsn, trace
from mether.envelope import Envelope, Recipient
from mether.queue.message import Arrival
from mether.receive import accept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Final

    from mether.address import Address
    from mether.content.classify import Rules
    from mether.content.words_texts import Texts
    from mether.outcome import Action
    from mether.queue.message import Draft
    from mether.queue.pace import Pace
    from mether.receive.gathered import Notice
    from mether.routing.resolution import Resolution


APART: Final = 1e-3
"""Seconds between the ids of reports that are made at once: an id is the time, with few random bits."""


class Terms:
    """How reports are made: our `hostname`, the `postmaster`'s address, a `boundary` that makes tokens, the
    `lifetime` of a report in the queue and local time's lead over UTC (`offset`), both in seconds; `pace` is
    how many go to one reader in an hour, None for no limit.  `texts` are what people read, and `rules` tell
    what replies mean; None for those alone that come with mether."""

    __slots__ = ("boundary", "hostname", "lifetime", "offset", "pace", "postmaster", "rules", "texts")

    def __init__(
        self,
        hostname: str,
        postmaster: Address,
        boundary: Callable[[], str],
        lifetime: float,
        offset: int,
        *,
        pace: Pace | None = None,
        texts: Texts | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.texts = texts
        self.rules = rules
        self.hostname = hostname
        self.postmaster = postmaster
        self.boundary = boundary
        self.lifetime = lifetime
        self.offset = offset
        self.pace = pace


def draft(
    ident: str,
    terms: Terms,
    *,
    to: Address | None,
    way: Resolution,
    envelope: Envelope,
    about: str,
    arrival: Arrival,
    items: Sequence[dsn.Item],
    original: bytes,
    complete: bool,
    now: float,
    remark: str | None = None,
) -> Draft | None:
    """The report `ident` on the message with the id `about`, its `envelope` and `arrival`.

    `to` is its sender, None for a notice to the postmaster; `way` is what the reader's address comes to, and
    where that is nobody there is no report.  `original` is trace and content from the start, and `complete`
    whether that is all of it.  `remark` is that of `dsn.report`.
    """
    if not way.deliveries:
        return None
    reader = terms.postmaster if to is None else to
    fails = any(item.outcome.action == "failed" for item in items)
    later = 0.0 if terms.pace is None else terms.pace.ask(str(reader), ident, now, fails=fails)
    content = dsn.report(
        reporting_mta=terms.hostname,
        ident=ident,
        boundary=terms.boundary(),
        to=to,
        postmaster=terms.postmaster,
        at=now,
        about=dsn.About(
            envelope,
            about,
            arrival=arrival.at,
            original=original,
            complete=complete,
            received_from="" if arrival.protocol == "local" else trace.client(arrival.helo, arrival.address),
        ),
        items=items,
        offset=terms.offset,
        brief=later > now,
        texts=terms.texts,
        rules=terms.rules,
        remark=remark,
    )
    its = dsn.envelope(reader, envelope)
    its.recipients = [Recipient(one.address, notify="NEVER") for one in way.deliveries]
    its.smtputf8 = its.smtputf8 or not all(one.address.is_ascii for one in way.deliveries)
    its.body = "7BIT" if content.isascii() else "8BITMIME"
    made = accept.draft(
        ident,
        its,
        Arrival(now),
        content,
        [one.route for one in way.deliveries],
        hostname=terms.hostname,
        lifetime=terms.lifetime,
        offset=terms.offset,
    )
    made.message.hold = way.hold
    if later > now:
        made.due = made.message.release_at = later
        made.message.expires = later + terms.lifetime
    return made


def drafts(
    terms: Terms,
    notices: Iterable[Notice],
    ways: Mapping[Address, Resolution],
    *,
    envelope: Envelope,
    about: str,
    arrival: Arrival,
    original: bytes,
    complete: bool,
    ident: Callable[[float], str],
) -> list[tuple[Draft, Action]]:
    """The reports of what is told at once, one for each reader, each with the gravest action in it.

    `ways` has what the readers' addresses come to.

    The message itself may be an owner's by now: its own reverse-path, and what it asked of reports, are for
    its sender alone.
    """
    items: dict[Address, list[dsn.Item]] = {}
    owners: set[Address] = set()
    for notice in notices:
        to = notice.to or envelope.reverse_path
        if to is None:
            continue
        items.setdefault(to, []).append(dsn.Item(notice.recipient, notice.outcome))
        if notice.to is not None:
            owners.add(to)
    made: list[tuple[Draft, Action]] = []
    for to, those in items.items():
        its = envelope
        if to in owners:
            its = Envelope(to, body=envelope.body, requiretls=envelope.requiretls, priority=envelope.priority)
        one = draft(
            ident(arrival.at + APART * (len(made) + 1)),
            terms,
            to=to,
            way=ways[to],
            envelope=its,
            about=about,
            arrival=arrival,
            items=those,
            original=original,
            complete=complete,
            now=arrival.at,
        )
        if one is not None:
            failed = any(item.outcome.action == "failed" for item in those)
            made.append((one, "failed" if failed else those[0].outcome.action))
    return made
