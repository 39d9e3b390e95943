"""VRFY and EXPN: no more than we know, and nothing where nothing shall be told (RFC 5321 section 3.5).

==========================================  =================  ==========================
the address is                              VRFY               EXPN, of who may relay
==========================================  =================  ==========================
a user, or an alias, whom a table has       250, the address   250, a line for each
at a domain of ours where all are welcome   252                252
nobody of ours                              550 5.1.1          550 5.1.1
elsewhere, and the client may relay         252                252
elsewhere, and it may not                   550 5.7.1          252
==========================================  =================  ==========================

That holds where the listener has ``vrfy``; elsewhere both say 252, and so does EXPN to all who may not relay
(checklist SEC-2, SEC-3).  Raises TableError or Needs.
"""

from __future__ import annotations

from mether.address import AddressError, parse
from mether.receive import turns, words
from mether.receive.named import mailbox_name
from mether.reply import Reply
from mether.routing.expand import resolve
from mether.routing.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.receive.client import Client
    from mether.receive.reception import Reception
    from mether.routing.resolution import Resolution

SHOWN: Final = 100
"""Members that EXPN shows; of a longer list none."""

NO_ADDRESS: Final = Reply(501, "5.1.3", "that is no address")


def vrfy(reception: Reception, client: Client, argument: str) -> Reply:
    """Answer VRFY."""
    if not reception.vrfy:
        return words.CANNOT_VERIFY
    found = _found(reception, client, argument)
    if isinstance(found, Reply):
        return found
    return Reply(250, "2.1.5", f"<{argument.strip('<>')}>")


def expn(reception: Reception, client: Client, argument: str) -> Reply:
    """Answer EXPN."""
    if not (reception.vrfy and client.may_relay):
        return words.NO_EXPANSION
    found = _found(reception, client, argument)
    if isinstance(found, Reply):
        return found
    members = list(dict.fromkeys(f"<{one.address}>" for one in found.deliveries))
    if not members or len(members) > SHOWN:
        return words.NO_EXPANSION
    return Reply(250, "2.1.5", *members)


def _found(reception: Reception, client: Client, argument: str) -> Resolution | Reply:
    """What the argument comes to where it is somebody for sure, or the reply."""
    try:
        path = parse(argument.strip("<>"), utf8=True)
    except AddressError:
        return NO_ADDRESS
    if not path.domain:
        return Reply(250, "2.1.5", f"<{reception.postmaster}>")
    request = Request(path, client=client.address, login=client.login, listener=reception.name)
    decision = reception.router.decide(request)
    if not decision.open:
        return words.CANNOT_VERIFY if client.may_relay else words.NO_RELAY
    found = turns.take(
        client, reception.turns, lambda turn: resolve(reception.router, request, decision, turn=turn)
    )
    if found.reply is not None:
        return found.reply
    rule = decision.rule
    if found.how == "direct" and not found.discard and (rule is None or rule.users is None):
        # Whoever that is, mail is taken; but nobody knows of him.
        return words.CANNOT_VERIFY if mailbox_name(path.local_part) else words.NO_SUCH_USER
    return found
