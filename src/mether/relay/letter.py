"""What a delivery on this host is given: the message, and what is known of how it came.

A `Letter` is the same for all recipients and all transports.  A `Person` is the Unix user as whom a delivery
is made, where it is (`relay.asuser`).  `split` takes the user out of a local-part with a sub-address
(RFC 5233): all before the first delimiter, which nobody's name begins with.
"""

from __future__ import annotations

from mether.address import unquote
from mether.queue.message import Arrival

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.address import Address, ReversePath
    from mether.queue.content import Content
    from mether.queue.message import Message


class Letter:
    """A message: `reverse_path`, the trace prefix, `content`, whether it came with SMTPUTF8 (`utf8`), its
    queue id and its `arrival`."""

    __slots__ = ("arrival", "content", "ident", "prefix", "reverse_path", "utf8")

    def __init__(
        self,
        reverse_path: ReversePath,
        prefix: bytes,
        content: Content,
        *,
        utf8: bool = False,
        ident: str = "",
        arrival: Arrival | None = None,
    ) -> None:
        self.reverse_path = reverse_path
        self.prefix = prefix
        self.content = content
        self.utf8 = utf8
        self.ident = ident
        self.arrival = arrival if arrival is not None else Arrival(0.0)

    @classmethod
    def of(cls, message: Message, content: Content) -> Letter:
        """A queued message."""
        envelope = message.envelope
        return cls(
            envelope.reverse_path,
            message.trace,
            content,
            utf8=envelope.smtputf8,
            ident=message.ident,
            arrival=message.arrival,
        )


class Person:
    """A Unix user: login `name`, `uid`, `gid`, `home` directory and `shell`."""

    __slots__ = ("gid", "home", "name", "shell", "uid")

    def __init__(self, name: str, uid: int, gid: int, home: str, shell: str) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.home = home
        self.shell = shell


def split(address: Address, delimiter: str) -> tuple[str, str]:
    """The local-part without quotes, as user and detail; without `delimiter` ("") there is no detail."""
    local = unquote(address.local_part)
    if delimiter:
        at = local.find(delimiter, 1)
        if at > 0:
            return local[:at], local[at + len(delimiter) :]
    return local, ""
