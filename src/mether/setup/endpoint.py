"""Hosts, networks and addresses with ports, as the configuration and `smtpd -l` write them.

``127.0.0.1:25``, ``[::1]:25``, ``localhost:2525``, ``:25`` for every address of the host, and ``unix:/path``
for a Unix socket.  Fails with ValueError, whose text says what was expected.
"""

from __future__ import annotations

from mether.address import AddressError, check_domain, literal_ip
from mether.routing.target import MAX_SOCKET_PATH

UNIX = "unix:"


def parse_listen(text: str) -> tuple[str, int]:
    """The (host, port) to listen on; the host is ``""`` for all, the port 0 for any that is free.

    For a Unix socket they are ``unix:/path`` and 0.
    """
    if text.startswith(UNIX):
        path = text[len(UNIX) :]
        if not path.startswith("/") or path.endswith("/") or not path.isprintable():
            raise ValueError('expected an absolute path after unix:, such as "unix:/run/mether/lmtp"')
        if len(path.encode()) > MAX_SOCKET_PATH:
            raise ValueError(f"a socket's path is at most {MAX_SOCKET_PATH} octets long")
        return text, 0
    host, colon, digits = text.rpartition(":")
    port = _port(digits)
    if colon and port is not None:
        if not host:
            return "", port
        if ip := _bracketed(host):
            return ip, port
        if ":" not in host:
            try:
                check_domain(host)
                return host, port
            except AddressError:
                pass
    raise ValueError(
        'expected an address and a port, such as "127.0.0.1:25", "[::1]:25" or ":25", or "unix:/path"'
    )


def parse_server(text: str) -> tuple[str, int]:
    """The (IP address, port) of a name server; port 53 when none is given."""
    if ip := _ip(text) or _bracketed(text):
        return ip, 53
    host, _, digits = text.rpartition(":")
    port = _port(digits)
    ip = _bracketed(host) or ("" if ":" in host else _ip(host))
    if ip and port:
        return ip, port
    raise ValueError('expected an IP address, such as "127.0.0.1", "127.0.0.1:5353" or "[::1]:53"')


def parse_network(text: str) -> str:
    """An IP address or a network."""
    import ipaddress  # slow to load, and for none of those that say no more than a smart host

    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        why = " (bits are set after the prefix)" if "host bits" in str(error) else ""
        raise ValueError(f'expected an IP address or a network such as "192.0.2.0/24"{why}') from None


def parse_hostname(text: str) -> str:
    """A host name, and no address literal."""
    try:
        check_domain(text)
    except AddressError:
        text = "["
    if text.startswith("["):
        raise ValueError('expected a host name such as "mx.example.org"')
    return text


def written(host: str, port: int) -> str:
    """The two as one text, an IPv6 address in brackets."""
    if host.startswith(UNIX):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _port(digits: str) -> int | None:
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) < 65536:
        return int(digits)
    return None


def _bracketed(text: str) -> str:
    return _ip(text[1:-1]) if text[:1] == "[" and text[-1:] == "]" else ""


def _ip(text: str) -> str:
    return literal_ip(f"[IPv6:{text}]" if ":" in text else f"[{text}]") or ""
