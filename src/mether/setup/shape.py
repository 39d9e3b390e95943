"""What each key of the configuration takes, and how its value is written.

A shape maps the keys of one table to functions that check and keep a value, or raise ValueError with
what they expected: see `decode`.
"""

from __future__ import annotations

from mether.setup import (
    decode,
    endpoint,
    listen,
    relaying,
    reports,
    resolving,
    rewriting,
    route_keys,
    sending,
    suppress,
    tables,
)
from mether.setup.spelling import nearest
from mether.setup.struct import Struct, fields
from mether.setup.units import duration_text, size_text
from mether.smtp.extension import KNOWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.setup.decode import Shape

SPOOLS: Final = ("sqlite", "directory", "memory")
LEVELS: Final = {"info": 20, "warning": 30, "error": 40}


def _hostname(value: object) -> str:
    return endpoint.parse_hostname(decode.text(value))


def _spool(value: object) -> str:
    url = decode.text(value)
    scheme, _, place = url.partition(":")
    if url != "memory:" and (scheme not in ("sqlite", "directory") or not place):
        meant = nearest(scheme, SPOOLS) if scheme not in SPOOLS else ""
        raise ValueError(
            'expected "sqlite:DIR", "directory:DIR" or "memory:"'
            + (f" (did you mean {meant}:?)" if meant else "")
        )
    return url


def _window_memory(value: object) -> int:
    octets: int = decode.size(value)
    if octets < 1 << 20:
        raise ValueError('expected "1MiB" or more')
    return octets


def _listen(value: object) -> str:
    return endpoint.written(*endpoint.parse_listen(decode.text(value)))


def _mode(value: object) -> str:
    mode = decode.text(value)
    if not (len(mode) in (3, 4) and set(mode) <= set("01234567") and int(mode, 8) <= 0o777):
        raise ValueError('expected a file mode in octal, such as "0660"')
    return f"0{mode[-3:]}"


def _network(value: object) -> str:
    return endpoint.parse_network(decode.text(value))


def _keyword(value: object) -> str:
    keyword = decode.text(value).upper()
    if instead := _OWN_KEYS.get(keyword):
        raise ValueError(f"{keyword} is not switched off here: {instead}")
    if keyword not in KNOWN:
        meant = nearest(keyword, [name.lower() for name in KNOWN if name not in _OWN_KEYS]).upper()
        guess = f' (did you mean "{meant}"?)' if meant else ""
        raise ValueError(f"expected the keyword of an extension{guess}")
    return keyword


def _send(value: object) -> str:
    if value == "fingerprint":
        raise ValueError('"fingerprint" is for routes: a fingerprint is that of one server')
    level: str = decode.one_of(*sending.SEND)(value)
    return level


SERVICE: Final[Shape] = {
    "hostname": _hostname,
    "origin": _hostname,
    "postmaster": decode.mailbox("postmaster@example.org"),
    "undeliverable_reports": decode.one_of("postmaster", "hold", "drop"),
    "unsupported_content": decode.one_of("convert", "return"),
    "workers": decode.whole(1, 256),
    "user": decode.text,
    "group": decode.text,
}
QUEUE: Final[Shape] = {
    "spool": _spool,
    "memory": decode.size,
    "window": decode.whole(1, 100_000),
    "window_memory": _window_memory,
}
_networks: Final = decode.list_of(_network, "networks", empty=True)
_rate: Final = decode.whole(0, 1_000_000)
_OWN_KEYS: Final = {
    "AUTH": "say auth = false",
    "STARTTLS": 'say tls = "none"',
    "ETRN": "leave out etrn_from",
    "XCLIENT": "leave out xclient_from",
}

LISTENER: Final[Shape] = {
    "address": _listen,
    "name": route_keys.name,
    "role": decode.one_of(*listen.ROLES),
    "relay_from": _networks,
    "tls": decode.one_of("none", "starttls", "implicit"),
    "require_tls": decode.boolean,
    "auth": decode.boolean,
    "add_sender": decode.boolean,
    "max_size": decode.size,
    "max_recipients": decode.whole(1, 100_000),
    "max_connections": decode.whole(1, 1_000_000),
    "max_connections_per_client": decode.whole(0, 1_000_000),
    "max_commands": decode.whole(10, 10_000_000),
    "max_errors": decode.whole(1, 10_000),
    "max_connections_per_minute": _rate,
    "max_messages_per_minute": _rate,
    "max_recipients_per_minute": _rate,
    "command_timeout": decode.duration,
    "session_timeout": decode.duration,
    "min_rate": _rate,
    "bare_newlines": decode.one_of("refuse", "normalize"),
    "vrfy": decode.boolean,
    "check_sender_domain": decode.boolean,
    "check_recipient_domain": decode.boolean,
    "etrn_from": _networks,
    "proxy_from": _networks,
    "xclient_from": _networks,
    "extensions_off": decode.list_of(_keyword, "keywords", empty=True),
    "socket_mode": _mode,
}
AUTH: Final[Shape] = {
    "passwords": decode.text,
    "dovecot": decode.text,
    "program": decode.argv,
    "checkpassword": decode.argv,
    "oauth": decode.argv,
    "mechanisms": decode.list_of(decode.mechanism(listen.MECHANISMS), "SASL mechanisms", empty=True),
    "clear_from": _networks,
    "max_failures": decode.whole(0, 1000),
    "senders": decode.text,
}
TLS: Final[Shape] = {
    "certificate": decode.list_of(decode.text, "files", empty=True),
    "key": decode.list_of(decode.text, "files", empty=True),
    "client_ca": decode.text,
    "minimum": decode.one_of("1.2", "1.3"),
    "send": _send,
    "ca": decode.text,
}
RETRY: Final[Shape] = {
    "intervals": decode.list_of(decode.duration, "durations"),
    "jitter": decode.fraction,
    "expire": decode.duration,
    "warn": decode.list_of(decode.duration, "durations", empty=True),
    "uncertain": decode.one_of("retry", "hold"),
    "greylisted": decode.duration,
    "mailbox_full": decode.duration,
    "reply_rules": decode.text,
}
LOG: Final[Shape] = {
    "level": decode.one_of(*LEVELS),
    "format": decode.one_of("text", "json"),
}
SHAPES: Final[dict[str, Shape]] = {
    "service": SERVICE,
    "queue": QUEUE,
    "listen": LISTENER,
    "auth": AUTH,
    "tls": TLS,
    "srs": rewriting.SRS,
    "table": tables.TABLE,
    "route": route_keys.ROUTE,
    "login": sending.LOGIN,
    "relay": relaying.RELAY,
    "retry": RETRY,
    "reports": reports.SHAPE,
    "suppress": suppress.SHAPE,
    "dns": resolving.SHAPE,
    "log": LOG,
}
_SIZES: Final = frozenset(("memory", "window_memory", "max_size"))
_DURATIONS: Final = frozenset(
    (
        "command_timeout",
        "session_timeout",
        "timeout",
        "expire",
        "intervals",
        "idle",
        "max_age",
        "warn",
        "greylisted",
        "mailbox_full",
        "cache",
        "keep",
    )
)


def written(key: str, value: object) -> str:
    """A value as the file would write it; `key` decides between numbers, sizes and durations."""
    if isinstance(value, Struct):
        pairs = ((name, getattr(value, name), default) for name, default in fields(value).items())
        said = (f"{name} = {written(name, one)}" for name, one, default in pairs if one != default)
        return "{ " + ", ".join(said) + " }"
    if isinstance(value, dict):
        entries = (f"{written('', name)} = {written('', one)}" for name, one in value.items())
        return "{ " + ", ".join(entries) + " }"
    if isinstance(value, tuple):
        return f"[{', '.join(written(key, each) for each in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if key in _SIZES and isinstance(value, int):
        return f'"{size_text(value)}"'
    if key in _DURATIONS and isinstance(value, float):
        return f'"{duration_text(value)}"'
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
