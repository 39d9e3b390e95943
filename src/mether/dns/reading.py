"""What a name server's response says about the question, believed no further than it must be.

`read` is pure: a response of dnspython in, a `Reading` out.  Records of other names than the one asked for
and those its aliases lead to are passed over; a chain of aliases that is longer than MAX_ALIASES, or runs in
a circle, is a failure; of an answer with very many records the first are kept, of MX the best.

A response code other than NOERROR and NXDOMAIN, and one that merely points elsewhere (a lame server's), are
failures of that server: another may know (RFC 5321 section 5.1: temporary).
"""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Literal

    import dns.rrset

    Says = Literal["found", "empty", "absent", "alias", "failed"]

MAX_ALIASES: Final = 8
"""Aliases that are followed from one name."""

MAX_RECORDS: Final = 100
"""Records of an answer that are looked at."""

_NO_SOA: Final = 60
"""Seconds for which a negative answer holds that does not say it."""


class Reading:
    """What was learnt: it `says` "found", "empty" (the name has no such record), "absent" (there is no such
    name), "alias" (ask for `name` next), or "failed", and then `why`.

    `name` is the one the records belong to, in lower case without a last dot; `records` are addresses or
    (preference, host) pairs; `ttl` is in seconds.
    """

    __slots__ = ("authenticated", "name", "records", "says", "ttl", "why")

    def __init__(
        self,
        says: Says,
        name: str = "",
        records: tuple[Any, ...] = (),
        ttl: float = 0.0,
        *,
        authenticated: bool = False,
        why: str = "",
    ) -> None:
        self.says: Says = says
        self.name = name
        self.records = records
        self.ttl = ttl
        self.authenticated = authenticated
        self.why = why


def failed(why: str) -> Reading:
    """A question without an answer."""
    return Reading("failed", why=why)


def read(response: dns.message.Message, name: str, kind: str, *, trusted: bool = False) -> Reading:
    """What the response to a question says; with `trusted` its AD bit is believed."""
    code = response.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return failed(dns.rcode.to_text(code))
    rdtype = dns.rdatatype.from_text(kind)
    at = dns.name.from_text(name)
    authenticated = trusted and bool(response.flags & dns.flags.AD)
    ttl = float("inf")
    seen = {at}
    while True:
        found = _rrset(response.answer, at, rdtype)
        if found is not None:
            if code == dns.rcode.NXDOMAIN:
                return failed("an answer for a name that is said not to exist")
            return Reading(
                "found",
                text(at),
                _records(found, kind),
                min(ttl, found.ttl),
                authenticated=authenticated,
            )
        alias = _rrset(response.answer, at, dns.rdatatype.CNAME)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        at = alias[0].target
        if at in seen or len(seen) > MAX_ALIASES:
            return failed(f"the aliases of {name} lead nowhere")
        seen.add(at)
    return _nothing(response, at, ttl, authenticated, asked=len(seen) == 1)


def _nothing(
    response: dns.message.Message, at: dns.name.Name, ttl: float, authenticated: bool, *, asked: bool
) -> Reading:
    """A response without such records; `asked` tells whether the name is the one in the question."""
    soa = [one for one in response.authority if one.rdtype == dns.rdatatype.SOA and at.is_subdomain(one.name)]
    for one in soa:
        ttl = min(ttl, one.ttl, one[0].minimum)
    if response.rcode() == dns.rcode.NXDOMAIN:
        return Reading("absent", text(at), ttl=ttl if soa else min(ttl, _NO_SOA), authenticated=authenticated)
    if not soa and not asked:
        return Reading("alias", text(at), ttl=ttl, authenticated=authenticated)
    pointed = any(one.rdtype == dns.rdatatype.NS for one in response.authority)
    if pointed and not soa and not response.flags & (dns.flags.AA | dns.flags.RA):
        return failed("it only points to other name servers")
    return Reading("empty", text(at), ttl=ttl if soa else min(ttl, _NO_SOA), authenticated=authenticated)


def text(name: dns.name.Name) -> str:
    """A name in lower case, without the last dot; "" for the root."""
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def _rrset(
    section: list[dns.rrset.RRset], name: dns.name.Name, rdtype: dns.rdatatype.RdataType
) -> dns.rrset.RRset | None:
    for one in section:
        if one.rdtype == rdtype and one.name == name and one.rdclass == dns.rdataclass.IN and len(one):
            return one
    return None


def _records(rrset: dns.rrset.RRset, kind: str) -> tuple[Any, ...]:
    if kind == "MX":
        pairs = sorted(((one.preference, text(one.exchange)) for one in rrset), key=lambda pair: pair[0])
        return tuple(pairs[:MAX_RECORDS])
    return tuple(one.address for one in list(rrset)[:MAX_RECORDS])
