"""From received content to a draft: the trace field, the loop check, and the facts of arrival.

`draft` is what `smtpd`, `in.smtpd`, `smtpqer`, `sendmail` and the reports all go through, so that there
is one way into the queue.  It decides nothing about who may send what.
"""

from __future__ import annotations

from mether.content import trace
from mether.queue.message import Arrival, Draft, Message, next_warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mether.address import Address
    from mether.envelope import Envelope
    from mether.outcome import Route
    from mether.queue.content import Writer


def draft(
    ident: str,
    envelope: Envelope,
    arrival: Arrival,
    content: bytes | Writer,
    routes: Sequence[Route],
    *,
    hostname: str,
    lifetime: float,
    warn: Sequence[float] = (),
    offset: int = 0,
    named: Address | None = None,
    pinned: bool = False,
    key: str | None = None,
    key_lifetime: float = 86400.0,
) -> Draft:
    """The draft of a message that arrived as `arrival` says.

    `lifetime` is how long it may wait before it is returned, `warn` the rising ages at which its sender is
    told that it waits, `key_lifetime` how long its submission key is remembered, `offset` local time's lead
    over UTC, all in seconds.  `hostname` is ours.  `named` is whom the trace field is to show as the one
    that it was sent to, where that was an alias.

    What the envelope holds back until later (RFC 4865) waits for its release, and its age counts from then.
    DELIVERBY (RFC 2852 section 4.1.3) makes it expire with mode R at its time, and never later than without;
    with mode N its sender is told of the delay then, too.  A time that had passed before the message
    came was for whoever sent it here to tell of.
    """
    only = named
    if only is None and len(envelope.recipients) == 1:
        only = envelope.recipients[0].forward_path
    field = trace.received(
        helo=arrival.helo,
        address=arrival.address,
        host=arrival.host,
        by=hostname,
        protocol=arrival.protocol,
        ident=ident,
        recipient=only,
        at=arrival.at,
        offset=offset,
        smtputf8=envelope.smtputf8,
        tls=arrival.tls,
        priority=envelope.priority,
    )
    size = len(field) + (len(content) if isinstance(content, bytes) else content.size)
    due = arrival.at
    if envelope.hold is not None:
        from mether.smtp.moment import release_at

        due = max(due, release_at(envelope.hold, due))
    expires, by = due + lifetime, envelope.by
    if by is not None and by.mode == "R":
        expires = min(expires, arrival.at + by.seconds)
    message = Message(
        ident,
        envelope,
        arrival,
        trace=field,
        size=size,
        expires=expires,
        warn_at=next_warning(envelope, arrival.at, due, expires, warn, arrival.at),
        release_at=due if due > arrival.at else 0.0,
    )
    return Draft(
        message,
        content,
        routes,
        due=due,
        pinned=pinned,
        key=key,
        key_until=arrival.at + key_lifetime,
    )
