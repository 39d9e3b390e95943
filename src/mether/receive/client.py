"""Who a client is, as far as the session has shown: where it connects from, what it said, who logged in.

What a client says of itself counts only until it is said anew: TLS makes forget what came before it (RFC 3207
section 4.2), and a front end may say for whom it speaks from now on (XCLIENT).
"""

from __future__ import annotations

from mether.routing.request import UNKNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.net.tls import Security
    from mether.receive.turns import Turn
    from mether.routing.networks import Networks
    from mether.smtp.xclient import Override


class Client:
    """One client, at `address` (an IP address, "" for a program of this host, or `routing.request.UNKNOWN`).

    `peer` is the address that it really connects from; `host` its verified name or ""; `hello` what it said
    in EHLO or HELO, and `esmtp` whether it was EHLO or LHLO; `login` who logged in or ""; `security` the TLS
    it speaks under.  A `trusted` client may relay wherever it connects from, and so may those in `relay_from`
    and those who logged in: `may_relay`.  `turn` is its place in the line for large lists (`receive.turns`).
    """

    __slots__ = (
        "_relay_from",
        "address",
        "esmtp",
        "hello",
        "host",
        "login",
        "may_relay",
        "peer",
        "security",
        "trusted",
        "turn",
    )

    def __init__(self, address: str, relay_from: Networks, *, trusted: bool = False) -> None:
        self.address = self.peer = address
        self.trusted = trusted
        self._relay_from = relay_from
        self.may_relay = trusted or address in relay_from
        self.host = ""
        self.hello = ""
        self.esmtp = False
        self.security: Security | None = None
        self.login = ""
        self.turn: Turn | None = None

    def secured(self, security: Security) -> None:
        """TLS has begun: what the client said before does not count (RFC 3207 section 4.2)."""
        self.security = security
        self.hello = ""
        self.esmtp = False
        self.login = ""
        self.may_relay = self.trusted or self.address in self._relay_from

    def logged_in(self, login: str) -> None:
        """It has shown who it is (RFC 4954), and may relay."""
        self.login = login
        self.may_relay = True

    def speaks_for(self, said: Override) -> None:
        """A front end says for whom it speaks: XCLIENT."""
        if said.address is not None:
            self.address = said.address or UNKNOWN
        self.host = said.name if said.name is not None else self.host
        self.hello = said.helo or ""
        self.login = said.login or ""
        self.may_relay = bool(self.login) or self.address in self._relay_from

    def protocol(self, *, utf8: bool, lmtp: bool) -> str:
        """The ``with`` keyword (RFC 3848, RFC 6531 section 4.3)."""
        if not self.esmtp:
            return "SMTP"
        if lmtp:
            name = "UTF8LMTP" if utf8 else "LMTP"
        else:
            name = "UTF8SMTP" if utf8 else "ESMTP"
        if self.security is None and not self.login:
            return name
        return f"{name}{'S' if self.security is not None else ''}{'A' if self.login else ''}"
