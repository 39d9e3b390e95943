"""``[[listen]]`` and ``[auth]``: their structs, the defaults that follow from the role, and contradictions.

A listener has a `role`, and most of what it does follows from that:

| role | by default on | relays for | AUTH |
|---|---|---|---|
| mx | port 25 | nobody | no |
| submission | 587, 465 | who logs in | yes |
| lmtp | 24 | nobody | no |
| local | any other | loopback | no |

A Unix socket has by default the role lmtp.  Its clients have no address, so no key that names networks can
mean them; with the role local they are programs of this host that may write to the socket, and are trusted.

`complete` fills in what a table does not say, `check` raises ConfigError where what it says cannot be:
an option that would do nothing, or a listener that nobody could use, is an error and no warning.
"""

from __future__ import annotations

from mether.setup import endpoint
from mether.setup.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mether.setup.decode import Document

MIB: Final = 1 << 20
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
SOCKET_MODE: Final = "0660"
"""The built-in mode of a Unix socket: its owner and group may connect."""
_NETWORKS: Final = ("relay_from", "etrn_from", "proxy_from", "xclient_from")
ROLES: Final = ("mx", "submission", "local", "lmtp")
_ROLE_OF_PORT: Final = {25: "mx", 587: "submission", 465: "submission", 24: "lmtp"}


class Listen(Struct):
    """``[[listen]]``: one address, its role, who may relay through it, and the limits of its sessions.

    `name` is what routes call it, None: by its address.  Networks and hosts are as the file has them.  0
    means no limit for `max_connections_per_client`, the three rates and `min_rate` (octets a second).
    Time-outs are in seconds.  `tls` is "none", "starttls" or "implicit"; `bare_newlines` is "refuse" or
    "normalize"; `socket_mode` is in octal, None on the network.
    """

    address: str
    name: str | None = None
    role: str
    relay_from: tuple[str, ...]
    tls: str
    require_tls: bool = False
    auth: bool
    add_sender: bool = False
    max_size: int = 50 * MIB
    max_recipients: int = 1000
    max_connections: int = 1000
    max_connections_per_client: int = 250
    max_commands: int = 10_000
    max_errors: int = 20
    max_connections_per_minute: int = 0
    max_messages_per_minute: int = 0
    max_recipients_per_minute: int = 0
    command_timeout: float = 300.0
    session_timeout: float = 1800.0
    min_rate: int = 16
    bare_newlines: str = "refuse"
    vrfy: bool = False
    check_sender_domain: bool = False
    check_recipient_domain: bool
    etrn_from: tuple[str, ...] = ()
    proxy_from: tuple[str, ...] = ()
    xclient_from: tuple[str, ...] = ()
    extensions_off: tuple[str, ...] = ()
    socket_mode: str | None = None

    @property
    def label(self) -> str:
        """What routes call it: its name, else its address."""
        return self.name or self.address

    @property
    def path(self) -> str:
        """The path of the Unix socket, ``""`` for a listener on the network."""
        return self.address[len(endpoint.UNIX) :] if self.address.startswith(endpoint.UNIX) else ""

    @property
    def mode(self) -> int:
        """The mode of the Unix socket."""
        return int(self.socket_mode or SOCKET_MODE, 8)

    @property
    def host(self) -> str:
        """The host or IP address, ``""`` for every address; ``unix:/path`` for a Unix socket."""
        return endpoint.parse_listen(self.address)[0]

    @property
    def port(self) -> int:
        """The port, 0 for any that is free."""
        return endpoint.parse_listen(self.address)[1]


class Auth(Struct):
    """``[auth]``: who checks logins: `passwords` (a file), `dovecot` (a socket), `program`,
    `checkpassword` and `oauth` (argument vectors), asked in this order.

    `mechanisms` are the SASL mechanisms offered, none named: all that those can do.  `clear_from` are the
    networks that may log in without TLS.  `max_failures` (0: no limit) is for one client.  `senders` is a
    file: which login may use which reverse-paths.
    """

    passwords: str | None = None
    dovecot: str | None = None
    program: tuple[str, ...] | None = None
    checkpassword: tuple[str, ...] | None = None
    oauth: tuple[str, ...] | None = None
    mechanisms: tuple[str, ...] = ()
    clear_from: tuple[str, ...] = ()
    max_failures: int = 10
    senders: str | None = None


def complete(values: dict[str, Any], *, tls: bool, auth: bool) -> dict[str, Any]:
    """The values of a ``[[listen]]`` with what follows from its role and port filled in.

    `tls` and `auth` say whether the file has a certificate and an ``[auth]``.
    """
    if values["address"].startswith(endpoint.UNIX):
        role = values.get("role") or "lmtp"
        return {
            "role": role,
            "relay_from": (),
            "tls": "none",
            "auth": role == "submission" and auth,
            "max_connections_per_client": 0,  # they all are one: none has an address
            "check_recipient_domain": role == "submission",
            "socket_mode": SOCKET_MODE,
            **values,
        }
    port = endpoint.parse_listen(values["address"])[1]
    role = values.get("role") or _ROLE_OF_PORT.get(port, "local")
    return {
        "role": role,
        "relay_from": LOOPBACK if role == "local" else (),
        "tls": "implicit" if port == 465 else "starttls" if tls else "none",
        "auth": role == "submission" and auth,
        "check_recipient_domain": role == "submission",
        **values,
    }


def check(
    document: Document, number: int, given: dict[str, Any], *, tls: bool, auth: Auth | None, dns: bool = True
) -> dict[str, Any]:
    """The complete values of the ``[[listen]]`` with that number; `dns` tells whether there is one to ask.

    Raises ConfigError.
    """
    values = complete(given, tls=tls, auth=auth is not None)

    def wrong(key: str, what: str) -> Exception:
        return document.wrong(("listen", number, key if key in given else "address"), what)

    port = endpoint.parse_listen(values["address"])[1]
    role = values["role"]
    unix = values["address"].startswith(endpoint.UNIX)
    for key in _NETWORKS if unix else ():
        if values.get(key):
            raise wrong(key, "names networks, and the clients of a Unix socket have no address")
    if "socket_mode" in values and not unix:
        raise wrong("socket_mode", "is for a Unix socket only")
    if role == "lmtp" and port == 25:
        raise wrong("role", "LMTP must not be spoken on port 25 (RFC 2033 section 5)")
    if values["tls"] != "none" and not tls:
        raise wrong("tls", f'{values["tls"]} TLS needs a certificate in [tls]; or say tls = "none"')
    if values.get("require_tls") and values["tls"] == "none":
        raise wrong("require_tls", "contradicts tls: there is none on this listener")
    if values["auth"]:
        if auth is None:
            raise wrong("auth", "needs an [auth] that says how logins are checked")
        if values["tls"] == "none" and (unix or not auth.clear_from):
            raise wrong(
                "auth",
                "nobody could log in: there is no TLS here, and "
                + (
                    "no auth.clear_from can mean a Unix socket"
                    if unix
                    else "auth.clear_from names no network"
                ),
            )
    elif role == "submission" and not values["relay_from"]:
        raise wrong(
            "role", "nobody could send through a submission listener with neither [auth] nor relay_from"
        )
    if values.get("check_sender_domain") and not dns:
        raise wrong("check_sender_domain", "needs the DNS, and [dns] enabled = false")
    if values.get("add_sender") and not values["auth"]:
        raise wrong("add_sender", "needs auth = true: Sender is the login")
    if values.get("etrn_from") and role in ("submission", "lmtp"):
        raise wrong("etrn_from", f"a {role} listener does not offer ETRN (RFC 6409 section 7)")
    return values


BACKENDS: Final = ("passwords", "dovecot", "program", "checkpassword", "oauth")
_PASSWORDS: Final = ("passwords", "dovecot", "program", "checkpassword")
_MADE_BY: Final = {
    "PLAIN": _PASSWORDS,
    "LOGIN": _PASSWORDS,
    "SCRAM-SHA-256": ("passwords",),
    "SCRAM-SHA-256-PLUS": ("passwords",),
    "OAUTHBEARER": ("oauth", "dovecot"),
    "XOAUTH2": ("oauth", "dovecot"),
}
MECHANISMS: Final = (*_MADE_BY, "EXTERNAL")


def check_auth(document: Document, values: dict[str, Any], listen: list[dict[str, Any]]) -> None:
    """Whether ``[auth]`` can be.  Raises ConfigError."""
    given = [key for key in BACKENDS if key in values]
    mechanisms = values.get("mechanisms", ())
    if not given and "EXTERNAL" not in mechanisms:
        raise document.wrong(("auth",), f"expected one of {', '.join(BACKENDS)}")
    for index, name in enumerate(mechanisms):
        makers = _MADE_BY.get(name)
        if makers and not set(makers).intersection(given):
            raise document.wrong(("auth", "mechanisms", index), f"{name} needs {' or '.join(makers)}")
        keyless = [key for key in ("dovecot", "program", "checkpassword") if key in given]
        if makers == ("passwords",) and keyless:
            # Offered, it would be what most clients take, and lock out whoever is known only there.
            raise document.wrong(
                ("auth", "mechanisms", index),
                f"{name} cannot be offered beside {keyless[0]}, which has no keys for it",
            )
    if not any(each.get("auth", complete(each, tls=True, auth=True)["auth"]) for each in listen):
        raise document.wrong(("auth",), "no listener uses it: none has auth = true or the role submission")
