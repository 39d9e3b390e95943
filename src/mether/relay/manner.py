"""How mail of one next hop goes out, where its rule of the configuration says more than where to.

A `Manner` is plain values: the name for EHLO, the addresses to send from, the login, the replies for which
the next host is tried; and `trouble` where the queue names a rule that the configuration has no longer, so
that nobody knows any more how its mail may go out.

`source` chooses the address to connect from, by the family of the one that is connected to.  An address of a
family for which there is none is not connected to: its mail would come from an address that nobody chose.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mether.address import ReversePath
    from mether.relay.credentials import Login, Logins
    from mether.relay.failover import Failover
    from mether.relay.hosts import Host
    from mether.reply import Reply
    from mether.routing.target import Target


class Manner:
    """`helo` is what EHLO says, "" for our own name; `sources` the IP addresses to connect from, at most one
    of each family, none for any; `login` goes before all others; `failover` are the replies for which the
    next host is tried; `trouble` is why nothing can be sent at all."""

    __slots__ = ("failover", "helo", "login", "sources", "trouble")

    def __init__(
        self,
        *,
        helo: str = "",
        sources: Iterable[str] = (),
        login: Login | None = None,
        failover: Failover | None = None,
        trouble: Reply | None = None,
    ) -> None:
        self.helo = helo
        self.sources = tuple(sources)
        self.login = login
        self.failover = failover
        self.trouble = trouble

    def chooses(self, logins: Logins, sender: ReversePath) -> Callable[[Target], Login | None]:
        """Who we are at a target for mail from a sender: by the login of the rule, else by one of all."""

        def choose(where: Target) -> Login | None:
            if self.login is None and not logins:
                return None
            written = "" if sender is None else str(sender)
            if self.login is not None and self.login.fits(where, written):
                return self.login
            return logins.choose(where, written)

        return choose

    def source(self, address: str) -> str:
        """The address from which this one is connected to, "" for any or none."""
        for one in self.sources:
            if (":" in one) == (":" in address):
                return one
        return ""

    def unreachable(self, host: Host) -> list[str]:
        """Those of a host's addresses for which there is no source."""
        if not self.sources or not host.port:
            return []
        return [address for address in host.addresses if not self.source(address)]


PLAIN = Manner()
"""Nothing in particular."""
