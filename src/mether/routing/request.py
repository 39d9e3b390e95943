"""What is known of one recipient when its way is sought.

A `Request` is made from a session's facts while mail comes in, and from what the queue keeps of them when a
next hop is decided again.  Both say the same of the same message, so that a rule takes it whenever it is
asked.  Plain values; nothing here fails.
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.address import Address, ReversePath
    from mether.queue.message import Message

UNKNOWN: Final = "unknown"
"""The address of a client whose proxy or front end does not know it: it is in no network, and is no program
of this host either."""


class Request:
    """One recipient, with what a rule may ask about.

    `sender` is the reverse-path as the client gave it, None the null one; `client` its IP address, "" for a
    program of this host, UNKNOWN for who is none; `login` who logged in, "" for nobody; `listener` the name
    of the ``[[listen]]`` by which it came, "" for none.  `domain` is the recipient's in lower case with
    A-labels, or as written where it has no such form; `key` and `sender_key` are the addresses as tables and
    patterns know them.
    """

    __slots__ = ("_key", "_sender_key", "client", "domain", "listener", "login", "recipient", "sender")

    def __init__(
        self,
        recipient: Address,
        *,
        sender: ReversePath = None,
        client: str = "",
        login: str = "",
        listener: str = "",
    ) -> None:
        self.recipient = recipient
        self.sender = sender
        self.client = client
        self.login = login
        self.listener = listener
        self.domain = domain_key(recipient)
        self._key = ""
        self._sender_key: str | None = None

    @classmethod
    def of(cls, recipient: Address, message: Message) -> Request:
        """The request for a recipient of a queued message."""
        arrival = message.arrival
        return cls(
            recipient,
            sender=message.envelope.reverse_path,
            client=arrival.address,
            login=arrival.login,
            listener=arrival.listener,
        )

    def to(self, recipient: Address) -> Request:
        """The same for another recipient, such as what an alias stands for."""
        return Request(
            recipient, sender=self.sender, client=self.client, login=self.login, listener=self.listener
        )

    @property
    def key(self) -> str:
        """The recipient's `address_key`."""
        if not self._key:
            self._key = address_key(self.recipient)
        return self._key

    @property
    def sender_key(self) -> str:
        """The reverse-path's `address_key`, "<>" for the null one."""
        if self._sender_key is None:
            self._sender_key = "<>" if self.sender is None else address_key(self.sender)
        return self._sender_key


def domain_key(address: Address) -> str:
    """The domain in lower case with A-labels; one without that form (RFC 5891) in lower case as it is."""
    try:
        return ascii_domain(address.domain)
    except AddressError:
        return address.domain.lower()


def address_key(address: Address) -> str:
    """An address as tables and patterns have it: ``local-part@domain`` in lower case, without quotes, the
    domain as A-labels.

    That a host may tell local-parts apart by case (RFC 5321 section 2.4) is of no use to who writes a table.
    """
    local = unquote(address.local_part).lower()
    return f"{local}@{domain_key(address)}" if address.domain else local
