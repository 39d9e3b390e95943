"""Globs as people write them on a command line: without case, ``*`` and ``?`` alone being special.

`next_hop_like` takes a next hop in every spelling in which people meet it: as `str` of a Route has it, with
the transport in front (``smtp:[192.0.2.1]:2525``), without that, without brackets, as a bare host or
address, which is meant at every port, and by the name of the rule whose own connections it has.  Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.outcome import Route

_PORTS = {"smtp": "25", "lmtp": "24"}
"""The ports that a next hop's name does not tell."""


def glob(pattern: str, text: str) -> bool:
    """Whether the text is like the pattern, without case; ``*`` and ``?`` alone are special."""
    pattern, text = pattern.lower(), text.lower()
    at = place = 0
    star = -1
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, back = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[place]):
            at += 1
            place += 1
        elif star >= 0:
            back += 1
            at, place = star + 1, back
        else:
            return False
    return not pattern[at:].strip("*")


def next_hop_like(pattern: str, route: Route) -> bool:
    """Whether a person may mean this next hop; of a list, one of its hosts will do."""
    if glob(pattern, str(route)) or glob(pattern, route.next_hop):
        return True
    if route.via and (glob(pattern, route.via) or glob(pattern, f"{route} via {route.via}")):
        return True
    if route.transport not in _PORTS:
        return False
    transport, colon, rest = pattern.partition(":")
    if colon and transport.lower() == route.transport:
        pattern = rest
    wanted = _bare(pattern)
    for one in route.next_hop.split(","):  # a list of hosts, each of which may have a weight
        weighted, star, weight = one.rpartition("*")
        host, port = _parted(weighted if star and weight.isdigit() else one)
        if glob(wanted, host) or glob(wanted, f"{host}:{port or _PORTS[route.transport]}"):
            return True
    return False


def _parted(next_hop: str) -> tuple[str, str]:
    """Host, without brackets, and port, "" when it is not told."""
    before, colon, port = next_hop.rpartition(":")
    if colon and port.isdigit() and (":" not in before or before.endswith("]")):
        return _bare(before), port
    return _bare(next_hop), ""


def _bare(text: str) -> str:
    text = text.replace("[", "").replace("]", "")
    return text[5:] if text[:5].lower() == "ipv6:" else text
