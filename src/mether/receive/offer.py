"""What a listener offers: the lines of its EHLO reply (RFC 5321 section 4.1.1.1), decided by who asks.

Offered is what would be done: STARTTLS only before TLS (RFC 3207 section 4.2), REQUIRETLS only after it (RFC
8689 section 4), AUTH only with a mechanism that may be used now.  FUTURERELEASE, DELIVERBY and MT-PRIORITY
are for those who submit mail (RFC 4865 section 3, RFC 6710 section 3), ETRN for those who may start a
queue, and never on a submission listener (RFC 6409 section 7).  A configuration may keep extensions back.

The lines are remembered, as the same few are asked for again and again.  Nothing here fails.
"""

from __future__ import annotations

from mether.content.trace import civil
from mether.receive.hold import MAX_HOLD, latest
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_REMEMBERED: Final = 256


class Who:
    """Who says EHLO: under TLS or not, a submitter or not, with which `mechanisms` for AUTH.

    `local` is a trusted program of this host, on no network: what it says was protected all the way, and it
    may say who submitted a message first.
    """

    __slots__ = ("etrn", "local", "mechanisms", "secure", "submitter", "xclient")

    def __init__(
        self,
        *,
        secure: bool = False,
        submitter: bool = False,
        mechanisms: tuple[str, ...] = (),
        etrn: bool = False,
        xclient: bool = False,
        local: bool = False,
    ) -> None:
        self.secure = secure
        self.submitter = submitter
        self.mechanisms = mechanisms
        self.etrn = etrn
        self.xclient = xclient
        self.local = local

    @property
    def key(self) -> tuple[object, ...]:
        """What two askers who are offered the same have in common."""
        return (self.secure, self.submitter, self.mechanisms, self.etrn, self.xclient, self.local)


class Offers:
    """The offers of a listener.

    `size` and `recipients` are its limits (octets, 0 for none; recipients in a transaction); with `starttls`
    TLS may be begun; `off` are keywords that are kept back.
    """

    __slots__ = ("_known", "_off", "_recipients", "_replies", "_size", "_starttls")

    def __init__(
        self, *, size: int, recipients: int, starttls: bool = False, off: Iterable[str] = ()
    ) -> None:
        self._size = size
        self._recipients = recipients
        self._starttls = starttls
        self._off = frozenset(keyword.upper() for keyword in off)
        self._known: dict[tuple[object, ...], tuple[str, ...]] = {}
        self._replies: dict[tuple[str, tuple[str, ...]], Reply] = {}

    def lines(self, who: Who, now: float) -> tuple[str, ...]:
        """The lines after the first; `now` is Unix time in seconds."""
        key = (*who.key, now // 86400)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = tuple(
                line for line in self._all(who, now) if line.partition(" ")[0] not in self._off
            )
        return found

    def reply(self, hostname: str, who: Who, now: float) -> Reply:
        """The reply to EHLO or LHLO."""
        key = (hostname, self.lines(who, now))
        found = self._replies.get(key)
        if found is None:
            if len(self._replies) >= _REMEMBERED:
                self._replies.clear()
            found = self._replies[key] = Reply(250, None, hostname, *key[1])
        return found

    def _all(self, who: Who, now: float) -> Iterable[str]:
        yield "PIPELINING"
        yield f"SIZE {self._size}"
        yield "8BITMIME"
        yield "ENHANCEDSTATUSCODES"
        if "8BITMIME" not in self._off:
            yield "SMTPUTF8"  # RFC 6531 section 3.1: never without 8BITMIME
        yield "DSN"
        yield "CHUNKING"
        if "CHUNKING" not in self._off:
            yield "BINARYMIME"  # RFC 3030 section 3: never without CHUNKING
        if self._starttls and not who.secure:
            yield "STARTTLS"
        if who.secure or who.local:
            yield "REQUIRETLS"
        if who.mechanisms:
            yield f"AUTH {' '.join(who.mechanisms)}"
        elif who.local:
            yield "AUTH"  # nobody to log in as, but MAIL may carry AUTH= (RFC 4954 section 5)
        yield f"LIMITS RCPTMAX={min(self._recipients, 999_999)}"
        if who.submitter:
            yield "DELIVERBY"
            yield f"FUTURERELEASE {MAX_HOLD} {_date(latest(now))}"
            yield "MT-PRIORITY"
        if who.etrn:
            yield "ETRN"
        if who.xclient:
            from mether.smtp.xclient import KEYWORD

            yield KEYWORD
        yield "VRFY"
        yield "HELP"


def etrn_domain(argument: str) -> str | None:
    """The domain that ETRN names: a name, or ``@name`` for all below it; None for what is neither."""
    from mether.address import AddressError, check_domain

    name = argument.removeprefix("@")
    try:
        check_domain(name)
    except AddressError:
        return None
    return None if name.startswith("[") else argument.lower()


def _date(at: float) -> str:
    """The day of a time, as RFC 3339 has its beginning."""
    year, month, day = civil(int(at // 86400))
    return f"{year:04d}-{month:02d}-{day:02d}T00:00:00Z"
