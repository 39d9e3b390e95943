"""The Sender Rewriting Scheme: a reverse-path of our own for mail that is forwarded.

Whoever forwards mail under its author's reverse-path sends in the name of a domain that does not list this
host (SPF, RFC 7208).  So the reverse-path becomes one at a domain of ours that holds the first one::

    ann@example.net                                       came here
    SRS0=HHHH=TT=example.net=ann@fwd.example.org          leaves here
    SRS1=HHHH=fwd.example.org==HHHH=TT=example.net=ann@next.example.com      leaves the next forwarder

TT is the day, HHHH a hash (HMAC-SHA1) made with a secret, so that nobody else makes addresses by which mail
would be relayed here.  A report to such an address goes to the address in it: from SRS1 straight to the first
forwarder, who knows its own hash.  This is the "guard" scheme of M. S. Wong's paper (2004), in the octets
of Mail::SRS, libsrs2 and PostSRSd, so that a site that changes from those keeps its secret, and reports that
are under way arrive.  Hash, tag and day are compared without case, as some hosts change it.

Pure: the time is an argument.  `Srs.reverse` fails with `SrsError`, whose reply is for the client.
"""

from __future__ import annotations

from binascii import b2a_base64

from mether.address import MAX_LOCAL_PART, Address, AddressError, parse, quote, unquote
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_AGE: Final = 21 * 86400.0
"""Seconds for which an address is good: longer than any queue keeps a message."""
HASH: Final = 4
"""Characters of the hash."""

_DAY: Final = 86400
_DAYS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SEPARATORS: Final = "=+-"


class SrsError(Exception):
    """The address is none of ours, or not any more; `reply` says so to a client."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


FORGED: Final = Reply(550, "5.1.1", "this address was not made here: its hash is wrong")
OLD: Final = Reply(550, "5.1.1", "this address is too old: it was for reports about a message sent long ago")
MALFORMED: Final = Reply(550, "5.1.1", "this address holds no address to send to")


class Srs:
    """The scheme at `domain`, with `secrets`, of which the first signs and all are believed.

    `max_age` is in seconds; `length` the characters of the hash, 4 to 27.  Raises ValueError without a
    secret.
    """

    __slots__ = ("_length", "_max_age", "_secrets", "ascii_domain", "domain")

    def __init__(
        self, domain: str, secrets: Sequence[bytes], *, max_age: float = MAX_AGE, length: int = HASH
    ) -> None:
        if not secrets or not all(secrets):
            raise ValueError("SRS needs a secret, and none that is empty")
        if not 4 <= length <= 27:
            raise ValueError("the hash of SRS has 4 to 27 characters")
        self.domain = domain
        self.ascii_domain = Address("srs", domain).ascii_domain
        self._secrets = tuple(secrets)
        self._max_age = max_age
        self._length = length

    def forward(self, sender: Address, now: float) -> Address:
        """The reverse-path under which mail of `sender` is forwarded at `now` (Unix seconds).

        One at `domain` stays as it is, and so does one for which a local-part has no room (RFC 5321 section
        4.5.3.1.1: 64 octets): what no server takes would bring no report back.
        """
        try:
            domain = sender.ascii_domain
        except AddressError:
            return sender
        if domain == self.ascii_domain or not domain:
            return sender
        local = unquote(sender.local_part)
        tag, separator = local[:4].upper(), local[4:5]
        if tag == "SRS1" and separator and separator in _SEPARATORS and "=" in local[5:]:
            # One more forwarder needs to know only the first one, who made the SRS0 in it.
            _, host, rest = [*local[5:].split("=", 2), ""][:3]
            made = f"SRS1={self._hash(host, rest)}={host}={rest}"
        elif tag == "SRS0" and separator and separator in _SEPARATORS:
            made = f"SRS1={self._hash(domain, local[4:])}={domain}={local[4:]}"
        else:
            day = _day(now)
            made = f"SRS0={self._hash(day, domain, local)}={day}={domain}={local}"
        made = quote(made)
        return sender if len(made.encode()) > MAX_LOCAL_PART else Address(made, self.domain)

    def is_ours(self, address: Address) -> bool:
        """Whether it looks like an address that `forward` made."""
        local = unquote(address.local_part)
        if local[:4].upper() not in ("SRS0", "SRS1") or not local[4:5] or local[4] not in _SEPARATORS:
            return False
        try:
            return address.ascii_domain == self.ascii_domain
        except AddressError:
            return False

    def reverse(self, address: Address, now: float) -> Address:
        """Who is meant by an address that `is_ours`.  Raises SrsError when it was not made here, or too
        long ago."""
        local = unquote(address.local_part)
        if local[:4].upper() == "SRS1":
            given, _, rest = local[5:].partition("=")
            host, equals, rest = rest.partition("=")
            self._check(given, host, rest)
            if not equals or not rest or rest[0] not in _SEPARATORS:
                raise SrsError(MALFORMED)
            return _address(f"SRS0{rest}", host)
        parts = local[5:].split("=", 3)
        if len(parts) < 4:
            raise SrsError(MALFORMED)
        given, day, host, user = parts
        self._check(given, day, host, user)
        if not self._is_fresh(day, now):
            raise SrsError(OLD)
        return _address(user, host)

    def _hash(self, *parts: str) -> str:
        return _hashed(self._secrets[0], parts)[: self._length]

    def _check(self, given: str, *parts: str) -> None:
        """Raise SrsError unless one of the secrets gives that hash."""
        from hmac import compare_digest

        wanted = given.lower().encode("utf-8", "surrogatepass")
        good = False
        for secret in self._secrets:
            made = _hashed(secret, parts)[: self._length].lower().encode()
            good |= compare_digest(made, wanted)
        if not good:
            raise SrsError(FORGED)

    def _is_fresh(self, day: str, now: float) -> bool:
        then = 0
        for char in day.upper():
            place = _DAYS.find(char)
            if place < 0 or len(day) != 2:
                return False
            then = then * 32 + place
        age = (int(now // _DAY) - then) % 1024
        # A day ahead is a clock that was set back over midnight.
        return age * _DAY <= self._max_age or age == 1023


def _hashed(secret: bytes, parts: Sequence[str]) -> str:
    from hmac import digest

    text = "".join(parts).lower().encode("utf-8", "surrogatepass")
    return b2a_base64(digest(secret, text, "sha1"), newline=False).decode()


def _day(now: float) -> str:
    day = int(now // _DAY) % 1024
    return _DAYS[day >> 5] + _DAYS[day & 31]


def _address(local: str, host: str) -> Address:
    """Raises SrsError for what is no address: nobody but us could have signed it."""
    try:
        return parse(f"{quote(local)}@{host}", utf8=True)
    except AddressError:
        raise SrsError(MALFORMED) from None
