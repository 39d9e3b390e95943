"""targethost: where a person says that mail shall go, on a command line or in a route.

======================  ==================================================================
``192.0.2.1``           that address, port 25; IPv6 too, with or without brackets
``[mail.example.org]``  that host itself, whatever its MX; also ``[192.0.2.1]``, ``[IPv6:...]``
``host:2525``           that host and port; brackets may be used: ``[host]:2525``
``mailhub``             a name without a dot, or one in the hosts file: that host
``example.org``         any other name: a domain, looked up by MX (RFC 5321 section 5.1)
``unix:/path``          LMTP over a Unix socket
``lmtp:host:port``      LMTP (RFC 2033); port 24 when none is given; ``lmtp:unix:/path`` too
``a:587,b:587``         a list of these: the next one is tried when one cannot be used
``a*3,b*1``             a list in which the first is chosen three times as often as the other
======================  ==================================================================

`parse` and `parse_list` fail with `TargetError`, a ValueError whose text is for a person.  A `Target`, or
`Targets` for a list, is written back by str() in one canonical form, and becomes the `Route` under which the
queue schedules.  Whether a name stands in the hosts file is asked with `needs_mx`, so that nothing here opens
a file.

Limits: MAX_TARGETS in a list, weights to MAX_WEIGHT.
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain, check_domain, literal_ip
from mether.outcome import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Final, Literal

    Kind = Literal["direct", "mx", "unix"]

SMTP_PORT: Final = 25
LMTP_PORT: Final = 24
MAX_SOCKET_PATH: Final = 107
"""Octets of a Unix socket's path (sockaddr_un)."""
MAX_TARGETS: Final = 32
MAX_WEIGHT: Final = 1000


class TargetError(ValueError):
    """The text is no targethost; str() says what was expected."""


class Target:
    """Where to connect: `kind` "direct" (to `host`, a name or an IP address, at `port`), "mx" (`host` is a
    domain) or "unix" (`host` is a path, `port` 0); `lmtp` tells which protocol is spoken."""

    __slots__ = ("host", "kind", "lmtp", "port")

    def __init__(self, kind: Kind, host: str, port: int = SMTP_PORT, *, lmtp: bool = False) -> None:
        self.kind: Kind = kind
        self.host = host
        self.port = port
        self.lmtp = lmtp

    @property
    def targets(self) -> tuple[Target, ...]:
        """Itself, as a list."""
        return (self,)

    def order(self, random: Callable[[], float]) -> tuple[Target, ...]:
        """Itself, as `Targets.order` has it."""
        return (self,)

    @property
    def is_ip(self) -> bool:
        """Whether `host` is an IP address."""
        return self.kind == "direct" and _ip(self.host) is not None

    @property
    def next_hop(self) -> str:
        """The target without its protocol, as `Route.next_hop` has it."""
        if self.kind == "mx":
            return self.host
        if self.kind == "unix":
            return f"unix:{self.host}"
        if self.is_ip:
            host = f"[{self.host}]"
        elif self.port == SMTP_PORT and not self.lmtp and "." in self.host:
            return f"[{self.host}]"  # without brackets it would be a domain
        else:
            host = self.host
        return host if self.port == (LMTP_PORT if self.lmtp else SMTP_PORT) else f"{host}:{self.port}"

    def route(self, helo: str = "", via: str = "") -> Route:
        """The next hop under which the queue schedules mail for this target."""
        return Route("lmtp" if self.lmtp else "smtp", self.next_hop, helo, via)

    def __str__(self) -> str:
        return f"lmtp:{self.next_hop}" if self.lmtp and self.kind != "unix" else self.next_hop

    def __repr__(self) -> str:
        return f"Target({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and (self.kind, self.host, self.port, self.lmtp) == (
            other.kind,
            other.host,
            other.port,
            other.lmtp,
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.host, self.port, self.lmtp))


class Targets:
    """A list of `targets`, two at least, that all speak the same protocol: the order in which they are
    tried, or with `weights` how often each comes first.  Raises TargetError.
    """

    __slots__ = ("lmtp", "targets", "weights")

    kind: Final = "list"

    def __init__(self, targets: Iterable[Target], weights: Sequence[int] | None = None) -> None:
        self.targets = tuple(targets)
        self.weights = None if weights is None else tuple(weights)
        if not 1 < len(self.targets) <= MAX_TARGETS:
            raise TargetError(
                f"a list of target hosts has 2 to {MAX_TARGETS} of them, not {len(self.targets)}"
            )
        self.lmtp = self.targets[0].lmtp
        for number, one in enumerate(self.targets):
            if one.lmtp is not self.lmtp:
                raise TargetError(f"{one} and {self.targets[0]}: a list is all SMTP or all LMTP")
            if one in self.targets[:number]:
                raise TargetError(f"{one} stands in the list twice; to have it used more often, give weights")
            if one.kind == "unix" and "*" in one.host:
                raise TargetError(f"{one}: in a list no socket's path has a *, behind which a weight stands")
        if self.weights is None:
            return
        if len(self.weights) != len(self.targets):
            raise TargetError(
                f"expected a weight for each of {len(self.targets)} target hosts, not {len(self.weights)}"
            )
        if not all(0 < weight <= MAX_WEIGHT for weight in self.weights):
            raise TargetError(f"expected weights from 1 to {MAX_WEIGHT}")

    def order(self, random: Callable[[], float]) -> tuple[Target, ...]:
        """The order in which to try them this time; `random` gives numbers from 0 up to 1.

        Each place goes to one of those that are left with a chance that is its part of their weights.
        """
        if self.weights is None:
            return self.targets
        left = list(zip(self.targets, self.weights, strict=True))
        chosen = []
        while left:
            place, point = 0, random() * sum(weight for _, weight in left)
            while place < len(left) - 1 and point >= left[place][1]:
                point -= left[place][1]
                place += 1
            chosen.append(left.pop(place)[0])
        return tuple(chosen)

    @property
    def next_hop(self) -> str:
        """The list without its protocol, as `Route.next_hop` has it."""
        if self.weights is None:
            return ",".join(one.next_hop for one in self.targets)
        pairs = zip(self.targets, self.weights, strict=True)
        return ",".join(f"{one.next_hop}*{weight}" for one, weight in pairs)

    def route(self, helo: str = "", via: str = "") -> Route:
        """The next hop under which the queue schedules mail for this list."""
        return Route("lmtp" if self.lmtp else "smtp", self.next_hop, helo, via)

    def __str__(self) -> str:
        return f"lmtp:{self.next_hop}" if self.lmtp and self.targets[0].kind != "unix" else self.next_hop

    def __repr__(self) -> str:
        return f"Targets({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Targets) and (self.targets, self.weights) == (other.targets, other.weights)

    def __hash__(self) -> int:
        return hash((self.targets, self.weights))


def parse(text: str) -> Target:
    """Read a targethost.  Raises TargetError."""
    if not text:
        raise TargetError("the target host is empty; expected a host, a domain or an address")
    if not text.isprintable() or " " in text:
        raise TargetError(f"{_shown(text)}: a target host holds no space or control character")
    if "://" in text:
        raise TargetError(f"{_shown(text)} is a URL; expected a host, such as mail.example.net:25")
    if text[:5].lower() == "lmtp:":
        return _parse(text, text[5:], lmtp=True)
    return _parse(text, text, lmtp=False)


def parse_list(text: str) -> Target | Targets:
    """Read a targethost, or a list of them with commas between.  Raises TargetError.

    A list that begins with ``lmtp:`` or ``unix:`` is one of LMTP hosts.
    """
    if "," not in text:
        return parse(text)
    first, *rest = text.split(",")
    if first[:5].lower() in ("lmtp:", "unix:"):
        rest = [one if one[:5].lower() in ("lmtp:", "unix:") else f"lmtp:{one}" for one in rest]
    if len(rest) >= MAX_TARGETS:
        raise TargetError(f"a list of target hosts has 2 to {MAX_TARGETS} of them, not {len(rest) + 1}")
    targets, weights = [], []
    for one in (first, *rest):
        host, star, weight = one.rpartition("*")
        if star and not (weight.isascii() and weight.isdigit() and len(weight) < 9):
            raise TargetError(f"{_shown(one)}: expected a weight from 1 to {MAX_WEIGHT} after the *")
        targets.append(parse(host if star else one))
        if star:
            weights.append(int(weight))
    if weights and len(weights) != len(targets):
        raise TargetError(f"{_shown(text)}: expected a weight for each target host, or for none")
    return Targets(targets, weights or None)


def from_route(route: Route) -> Target | Targets:
    """What a Route of transport "smtp" or "lmtp" stands for.  Raises TargetError."""
    return parse_list(f"lmtp:{route.next_hop}" if route.transport == "lmtp" else route.next_hop)


def needs_mx(target: Target, in_hosts: Callable[[str], bool]) -> bool:
    """Whether the target is a domain whose MX is to be looked up; `in_hosts` asks the hosts file."""
    return target.kind == "mx" and not in_hosts(target.host)


def _parse(text: str, rest: str, *, lmtp: bool) -> Target:
    default = LMTP_PORT if lmtp else SMTP_PORT
    if rest[:5].lower() == "unix:":
        return Target("unix", _socket_path(text, rest[5:]), 0, lmtp=True)
    if ip := _ip(rest):
        return Target("direct", ip, default, lmtp=lmtp)
    if rest.startswith("["):
        inner, bracket, after = rest[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise TargetError(f"{_shown(text)}: expected [host] or [host]:port")
        port = _port(text, after[1:]) if after else default
        if ip := literal_ip(f"[{inner}]") or _ip(inner):
            return Target("direct", ip.lower(), port, lmtp=lmtp)
        return Target("direct", _name(text, inner), port, lmtp=lmtp)
    host, colon, digits = rest.partition(":")
    if colon:
        port = _port(text, digits)
        return Target("direct", _ip(host) or _name(text, host), port, lmtp=lmtp)
    name = _name(text, host)
    if lmtp:
        return Target("direct", name, default, lmtp=True)  # RFC 2033 section 5: LMTP never goes by MX
    return Target("mx" if "." in name else "direct", name)


def _name(text: str, name: str) -> str:
    """A host or domain name in lower case with A-labels."""
    name = name.removesuffix(".")
    try:
        # Hosts inside a site do have underscores in their names, though mail domains may not.
        check_domain(name.replace("_", "x"), utf8=True)
        if name.startswith("["):
            raise AddressError("too many brackets")
        name = ascii_domain(name)
    except AddressError as error:
        raise TargetError(f"{_shown(text)} is no target host: {error}") from None
    if name.replace(".", "").isdigit():
        raise TargetError(f"{_shown(text)} is neither an IP address nor a host name")
    return name


def _port(text: str, digits: str) -> int:
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) < 65536:
        return int(digits)
    raise TargetError(f"{_shown(text)}: expected a port from 1 to 65535 after the colon")


def _socket_path(text: str, path: str) -> str:
    if not path.startswith("/"):
        raise TargetError(f"{_shown(text)}: expected unix: and an absolute path")
    if "," in path:
        raise TargetError(
            f"{_shown(text)}: a socket's path has no comma here, as one parts the hosts of a list"
        )
    if len(path.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
        raise TargetError(f"{_shown(text)}: a socket's path is at most {MAX_SOCKET_PATH} octets long")
    return path


def _ip(text: str) -> str | None:
    """The IP address in lower case, if `text` is one without brackets."""
    if ":" in text:
        return text.lower() if literal_ip(f"[IPv6:{text}]") else None
    return literal_ip(f"[{text}]")


def _shown(text: str) -> str:
    return repr(text[:80])
