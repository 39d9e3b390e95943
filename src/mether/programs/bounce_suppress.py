"""``mether bounce --suppress``: who has failed, by a bounce, is put on the suppression list.

Anybody can write a bounce, so what one says of an address is believed only where the bounce came to the
reverse-path that we made for a message at that address (`content.verp`): ``--recipient``, or $RECIPIENT as
programs get it that mail is delivered to.  It must be one that this service can have made: in a domain for
which a route has ``verp``, spelt as it is made, and an address whose mail ends here.  The queue id in it must
be of the last MOST_AGE seconds, and the address that failed the one in it; where a server names another for
it, as behind an alias there, it is ours that counts.  What counts otherwise is as for a delivery: a failure,
of a class that is remembered, ``after`` so many.
What is not believed is told in a line, and is no error: a mailbox for bounces gets much.
"""

from __future__ import annotations

import os
import time

from mether.programs.errors import TEMPFAIL, Failure, complain
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from mether.address import Address
    from mether.content.bounce import Bounce
    from mether.content.verp import Sent
    from mether.queue.suppressed_row import Suppressed
    from mether.setup.config import Config

MOST_AGE: Final = 30 * 86400.0


def remembering(recipient: str | None, load: Callable[[], Config]) -> Callable[[Iterable[Bounce]], None]:
    """A function that remembers what the reports in a message say, which came to `recipient`.

    Raises UsageError, Failure, ConfigError; the function Failure and StoreError.
    """
    from mether.content import verp
    from mether.content.suppression import USUAL
    from mether.programs.suppress import changed, opened

    to = recipient or os.environ.get("RECIPIENT", "")
    if not to:
        raise UsageError("--suppress needs --recipient: the address that the bounce came to (or $RECIPIENT)")
    config = load()
    kinds = config.suppress.kinds or USUAL
    sent = verp.decode(to)

    def remember(found: Iterable[Bounce]) -> None:
        now = time.time()
        some = failures(found, sent, kinds, now)
        if some and not isinstance(some, str):
            some = foreign(to, sent, config) or some
        if isinstance(some, str):
            complain("mether", f"not remembered: {some}")
        elif some:
            known = opened(config, create=True)
            known.record(some, keep=config.suppress.seconds, after=config.suppress.after)
            changed(known)

    return remember


def failures(
    found: Iterable[Bounce], sent: Sent | None, kinds: Iterable[str], now: float
) -> list[Suppressed] | str:
    """What is remembered of reports that came to a reverse-path which says this; or why none of it is
    believed."""
    from mether.address import AddressError, parse
    from mether.queue.ident import arrived
    from mether.queue.suppressed_row import Suppressed, key

    if sent is None or not sent.recipient:
        return "it did not come to a reverse-path that was made for one recipient (verp)"
    try:
        address = parse(sent.recipient, utf8=True)
        age = now - arrived(sent.queue_id)
    except (AddressError, ValueError):
        return "what it came to names neither a message nor an address"
    if not -60.0 <= age <= MOST_AGE:
        return f"the message {sent.queue_id} was not sent within the last {MOST_AGE / 86400:.0f} days"
    wanted, some = frozenset(kinds), []
    for bounce in found:
        for one in bounce.recipients:
            if one.action != "failed" or str(one.kind) not in wanted:
                continue
            named = {key(each) for text in (one.recipient, one.original) if (each := _address(text))}
            if len(bounce.recipients) > 1 and key(address) not in named:
                continue  # of several, it is not the one that we wrote to
            some.append(
                Suppressed(
                    address,
                    source="bounce",
                    since=now,
                    kind=str(one.kind),
                    status=one.status if one.status.startswith("5.") else "",
                    reason=one.diagnostic,
                    remote=one.remote or bounce.reporting_mta,
                    note=f"bounce of {sent.queue_id}",
                )
            )
            return some
    return some


def foreign(to: str, sent: Sent | None, config: Config) -> str:
    """Why the service of that configuration cannot have made the reverse-path `to`, which says `sent`; ""
    where it can.  Raises ConfigError, Failure."""
    from mether.content import verp
    from mether.queue.suppressed_row import key
    from mether.routing.expand import resolve
    from mether.routing.request import Request
    from mether.routing.source import TableError, settled

    path = _address(to)
    made = None
    if sent is not None and path is not None:
        sender, recipient = _address(sent.sender), _address(sent.recipient)
        made = sender and recipient and verp.encode(sender, sent.queue_id, recipient)
    at = made and key(made)
    if path is None or not at or at != key(path):
        return f"{to[:200]} is no reverse-path as it is made here"
    if not any(at[0] in (route.verp or ()) for route in config.route):
        return f"{to[:200]} was not made here: no route has verp for {path.domain}"
    router = config.router()
    try:
        found = settled(lambda: resolve(router, Request(path)))
    except TableError as error:
        raise Failure(TEMPFAIL, str(error)) from None
    if not found.open or (found.reply is not None and not found.reply.temporary):
        return f"{to[:200]} is no address here"
    return ""


def _address(text: str) -> Address | None:
    from mether.address import AddressError, parse

    try:
        return parse(text, utf8=True)
    except AddressError:
        return None
