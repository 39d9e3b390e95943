"""Variable envelope return paths: a reverse-path that tells which message a bounce is about.

A message of ann@example.org to bob@example.net, with queue id 0D5K3H7M2Q9XA, leaves with the reverse-path::

    ann+0D5K3H7M2Q9XA=bob=example.net@example.org

and whatever comes back to that address is about this message at that recipient, however little the report
itself says (D. J. Bernstein's VERP, 1997).  It still is ann's address to every host that takes what stands
behind "+" for a sub-address (RFC 5233), as mether does with ``delimiter = "+"``.

A local-part has 64 octets (RFC 5321 section 4.5.3.1.1): where the recipient has no room in it only the
queue id stands there, and where that has none either, the reverse-path stays what it was.  Nobody is refused
for having a long name.

`encode` makes such a path and `decode` reads it.  Pure; nothing here fails.
"""

from __future__ import annotations

import re

from mether.address import MAX_LOCAL_PART, Address, quote, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

DELIMITER: Final = "+"
"""What stands before the queue id."""

_VERP: Final = re.compile(r"(.+?)\+([0-9A-HJKMNP-TV-Z]{13})=(.*)", re.IGNORECASE | re.DOTALL)


class Sent:
    """What a reverse-path tells: the `sender` it was made of, the `queue_id` of the message in capitals, and
    the `recipient` or ""."""

    __slots__ = ("queue_id", "recipient", "sender")

    def __init__(self, sender: str, queue_id: str, recipient: str) -> None:
        self.sender = sender
        self.queue_id = queue_id
        self.recipient = recipient

    def __repr__(self) -> str:
        return f"Sent({self.sender!r}, {self.queue_id!r}, {self.recipient!r})"


def encode(sender: Address, queue_id: str, recipient: Address | None) -> Address:
    """The reverse-path for the message of that queue id, at that recipient, or at several with None.

    The sender as it is when there is no room, when it has no domain, or when it is such a path already: then
    whoever made that waits for what comes back.
    """
    local = unquote(sender.local_part)
    if not sender.domain or _VERP.fullmatch(local):
        return sender
    start = f"{local}{DELIMITER}{queue_id}="
    whole = f"{unquote(recipient.local_part)}={recipient.domain}" if recipient and recipient.domain else ""
    if not whole.isascii() and sender.is_ascii:
        whole = ""  # that would ask the next host for SMTPUTF8, which the message does not need
    for end in (whole, ""):
        made = quote(start + end)
        if len(made.encode("utf-8", "surrogatepass")) <= MAX_LOCAL_PART:
            return Address(made, sender.domain)
    return sender


def decode(address: str) -> Sent | None:
    """What an address tells that `encode` may have made; None for any other."""
    local, sign, domain = address.strip().strip("<>").rpartition("@")
    if not sign or not domain or len(address) > 1000:
        return None
    quoted = len(local) > 1 and local[0] == local[-1] == '"'
    match = _VERP.fullmatch(unquote(local) if quoted else local)
    if match is None:
        return None
    user, equals, host = match[3].rpartition("=")
    recipient = f"{quote(user)}@{host}" if equals and user and host else ""
    return Sent(f"{quote(match[1])}@{domain}", match[2].upper(), recipient)
