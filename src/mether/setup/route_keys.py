"""What each key of ``[[route]]`` takes, and how its value is kept.

An element ``table:NAME`` or ``file:PATH`` of a list stands for what is in that table or file.  `ROUTE` is the
shape (`setup.decode`); what the keys say together is looked at by `setup.route_check`.
"""

from __future__ import annotations

from mether import reply
from mether.address import AddressError, literal_ip
from mether.address import parse as parse_address
from mether.relay import failover
from mether.routing import target
from mether.routing.match import Addresses, normalize
from mether.routing.request import address_key
from mether.setup import decode, endpoint, relaying, rewriting, sending
from mether.setup.routes import LOCAL, REFERENCES
from mether.setup.spelling import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from mether.setup.decode import Shape


def name(value: object) -> str:
    """What something is called."""
    text = decode.text(value)
    if len(text) > 100 or " " in text:
        raise ValueError("expected a name without spaces, of at most 100 characters")
    return text


def _referred(text: str) -> bool:
    """Whether it stands for a table or a file."""
    for prefix in REFERENCES:
        if text.startswith(prefix):
            if text == prefix:
                raise ValueError(f'expected a name behind {prefix}, such as "{prefix}{_SUCH[prefix]}"')
            return True
    kind, colon, rest = text.partition(":")
    meant = nearest(f"{kind}:", REFERENCES) if colon else ""
    if meant:
        raise ValueError(f'expected "table:NAME" or "file:PATH" (did you mean "{meant}{rest[:60]}"?)')
    return False


_SUCH: Final = {"table:": "people", "file:": "domains.txt"}


def _domain(value: object) -> str:
    domain = decode.text(value)
    if not _referred(domain):
        normalize(domain)
    return domain


def _address(value: object) -> str:
    pattern = decode.text(value)
    if not _referred(pattern):
        if pattern not in _WHOLE and not any(char in pattern for char in "@.["):
            raise ValueError(
                'expected "ann@example.org", "example.org", ".example.org", "ann@*" or "<>"; '
                f'{pattern[:80]!r} would be a domain: write "{pattern[:80]}@*" for whoever is called so, or '
                f'"@{pattern[:80]}" for the host'
            )
        Addresses((pattern,))
    return pattern


_WHOLE: Final = ("*", "<>", "localhost")
"""Patterns of addresses that have neither an @ nor a dot."""


def _client(value: object) -> str:
    if value == LOCAL:
        return LOCAL
    try:
        return endpoint.parse_network(decode.text(value))
    except ValueError as error:
        raise ValueError(f'{error}, or "local" for the programs of this host') from None


def _login_pattern(value: object) -> str:
    pattern = decode.text(value)
    _referred(pattern)
    return pattern


def _authenticated(value: object) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise ValueError("expected true (who has logged in), false (who has not), or a list of logins")
    logins: tuple[str, ...] = decode.list_of(_login_pattern, "logins")(value)
    return logins


def _hosts(one: Callable[[object], str]) -> Callable[[object], str | tuple[str, ...]]:
    """A function that reads a host, as `one` does, or a list of them."""
    several = decode.list_of(one, "targethosts")

    def hosts(value: object) -> str | tuple[str, ...]:
        if isinstance(value, str):
            return one(value)
        if not isinstance(value, list):
            raise ValueError("expected a targethost in quotes, or a list of them")
        found: tuple[str, ...] = several(value)
        for index, host in enumerate(found):
            if host in found[:index]:
                raise decode.Value(index, f"{host} is there already")
        return found if len(found) > 1 else found[0]

    return hosts


def _host(value: object) -> str:
    found = target.parse(decode.text(value))
    if found.lmtp:
        raise ValueError("this target speaks LMTP: write lmtp = ... for it")
    return str(found)


def _lmtp(value: object) -> str:
    name = decode.text(value)
    return str(target.parse(f"lmtp:{name.removeprefix('lmtp:')}")).removeprefix("lmtp:")


def _maildir(value: object) -> str:
    from mether.relay import maildir

    path = decode.text(value)
    maildir.check_template(path)
    return path


def _pipe(value: object) -> tuple[str, ...]:
    from mether.relay import pipe

    argv: tuple[str, ...] = decode.argv(value)
    pipe.check_template(argv)
    return argv


def _refuse(value: object) -> str:
    text = decode.text(value)
    found = reply.from_text(text)
    if found is None or found.digit not in (4, 5) or found.code == 421 or not found.text:
        raise ValueError('expected a reply that refuses, such as "550 5.7.1 not wanted here"')
    if not text.isascii():
        raise ValueError("expected a reply in ASCII: not every client takes more")
    if found.status is None:
        word = found.text.partition(" ")[0]
        if reply.is_status(word):
            raise ValueError(f"{word} contradicts {found.code}: both begin with the same digit")
        found = reply.Reply(found.code, f"{found.digit}.7.1", found.text)
    return str(found)


def _alias_file(value: object) -> str:
    text = decode.text(value)
    return text.removeprefix("file:") if _referred(text) else text


def _user(value: object) -> str:
    text = decode.text(value)
    if text in ("passwd", "callahead") or _referred(text):
        return text
    try:
        address = parse_address(text if "@" in text else f"{text}@users.invalid", utf8=True)
    except AddressError as error:
        raise ValueError(
            f'expected "passwd", "callahead", "file:PATH", "table:NAME", a local-part or an address: {error}'
        ) from None
    return address_key(address).removesuffix("@users.invalid")


def _delimiter(value: object) -> str:
    char = decode.text(value)
    if len(char) != 1 or not char.isascii() or char.isalnum() or char in '@"/\\(),:;<>[] .':
        raise ValueError('expected one character that parts a user from the rest, such as "+" or "-"')
    return char


def _failover(value: object) -> str:
    text = decode.text(value)
    failover.parse(text)
    return text


def _failovers(value: object) -> tuple[str, ...]:
    patterns: tuple[str, ...] = decode.list_of(_failover, "replies")(value)
    failover.Failover(patterns)
    return patterns


def _source(value: object) -> str:
    text = decode.text(value)
    found = literal_ip(f"[IPv6:{text}]" if ":" in text else f"[{text}]")
    if found is None:
        raise ValueError('expected an IP address of this host, such as "192.0.2.7" or "2001:db8::7"')
    import ipaddress

    return str(ipaddress.ip_address(found))


def _sources(value: object) -> tuple[str, ...]:
    addresses: tuple[str, ...] = decode.list_of(_source, "IP addresses")(value)
    for index, one in enumerate(addresses):
        if any((":" in one) == (":" in other) for other in addresses[:index]):
            raise decode.Value(index, "expected one IPv4 and one IPv6 address at most")
    return addresses


def _helo(value: object) -> str:
    text = decode.text(value)
    return text if literal_ip(text) else endpoint.parse_hostname(text)


def _rewrite(value: object) -> str | dict[str, str]:
    if isinstance(value, dict):
        return rewriting.pairs(value)
    text = decode.text(value) if isinstance(value, str) else ""
    if not _referred(text):
        raise ValueError('expected "table:NAME", "file:PATH" or { "@host.example" = "ann@example.org" }')
    return text


def _login(value: object) -> dict[str, Any]:
    values: dict[str, Any] = decode.inline(_LOGIN, '{ user = "ann", password_file = "password" }')(value)
    return values


def _no_next_hop(value: object) -> str:
    raise ValueError("does nothing here: the next hop is the route's")


_LOGIN: Final[Shape] = {**sending.LOGIN, "next_hop": _no_next_hop}

ROUTE: Final[Shape] = {
    "name": name,
    "domains": decode.list_of(_domain, "domains"),
    "recipient": decode.list_of(_address, "addresses or patterns"),
    "sender": decode.list_of(_address, "addresses or patterns"),
    "client": decode.list_of(_client, "networks"),
    "authenticated": _authenticated,
    "listener": decode.list_of(decode.text, "names of [[listen]]"),
    "open": decode.boolean,
    "smtp": _hosts(_host),
    "lmtp": _hosts(_lmtp),
    "mx": decode.true,
    "maildir": _maildir,
    "pipe": _pipe,
    "forward": decode.list_of(decode.mailbox("ann@example.org"), "addresses"),
    "refuse": _refuse,
    "discard": decode.true,
    "hold": decode.text,
    "aliases": decode.list_of(_alias_file, "files of aliases or tables"),
    "alias_programs": decode.boolean,
    "alias_files": decode.boolean,
    "users": decode.list_of(_user, "users"),
    "delimiter": _delimiter,
    "as_user": decode.boolean,
    "timeout": decode.duration,
    "from_line": decode.boolean,
    "delivered_to": decode.boolean,
    "weights": decode.list_of(decode.whole(1, 1000), "whole numbers"),
    "failover": _failovers,
    "source": _sources,
    "helo": _helo,
    "login": _login,
    "masquerade": decode.list_of(rewriting.masqueraded, "domains"),
    "masquerade_exceptions": decode.list_of(decode.text, "names of users"),
    "rewrite": _rewrite,
    "srs": decode.boolean,
    "verp": decode.list_of(rewriting.sender_domain, "domains"),
    "suppress": decode.boolean,
    **sending.ROUTE_TLS,
    **relaying.ROUTE,
}
