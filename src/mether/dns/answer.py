"""What the DNS says, as values: answers, and the three ways in which there is none.

An answer is `authenticated` when the name server says that it has checked the signatures (the AD bit, RFC
4035 section 3.2.3) and is one that is believed: on this host, or trusted by configuration.  DANE stands on
that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Resolver(Protocol):
        """What is asked of the DNS.  Names are A-labels in lower case, without a last dot.

        Each question raises NoSuchName, Unavailable or Shortage.
        """

        async def mx(self, domain: str) -> Answer:
            """The MX records of a domain."""

        async def addresses(self, host: str, *, search: bool = False) -> Addresses:
            """The IP addresses of a host in the order of trying, empty when it has none.

            With `search` the name may be completed from the system's search list.
            """


class NoSuchName(Exception):
    """The DNS says that the name does not exist (NXDOMAIN)."""


class Unavailable(Exception):
    """The DNS gave no answer; str() says how, for the log."""


class Shortage(Exception):
    """We have no descriptor, memory or port left to ask with, which says nothing of the DNS."""


class Answer:
    """MX records: `records` are (preference, host) pairs, the null MX having the host ``""``; `name` is
    the domain they belong to once aliases are followed."""

    __slots__ = ("authenticated", "name", "records")

    def __init__(
        self, name: str, records: Iterable[tuple[int, str]] = (), authenticated: bool = False
    ) -> None:
        self.name = name
        self.records = list(records)
        self.authenticated = authenticated


class Addresses(tuple[str, ...]):
    """The IP addresses of a host, in the order of trying."""

    authenticated: bool = False

    @classmethod
    def of(cls, addresses: Iterable[str], *, authenticated: bool = False) -> Addresses:
        """These addresses."""
        made = cls(addresses)
        made.authenticated = authenticated
        return made
