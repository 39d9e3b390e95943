"""What TLS an attempt needs, and what it means when there is less (RFC 3207, 8314, 8689; RFC 7435).

Pure.  `need` takes what the configuration says of a next hop (`Policy`), the host to be connected to, and
whether the message asks for REQUIRETLS; it gives a `Need`: the level, whose certificate it must be, and
whether clear text will do when TLS can't be had.  The functions behind it word each shortfall as the reply
that `relay.failure` judges: 4yz is tried again later, 5yz goes back to the sender.

Names for level verify, where the configuration names none: the host that it names; for a domain that is
looked up by MX the domain itself and every name below it.  The MX hosts' own names are no use, as whoever can
forge DNS answers chooses them (RFC 9525).

REQUIRETLS (RFC 8689 section 4.2.1) wants MX records that are proven by DNSSEC or MTA-STS.  Here the names
above take their place: a certificate for the recipient's domain, or one that the configuration names, proves
more than the way to it would.  A message with a null reverse-path goes as any other.  Delivery by LMTP is
delivery, not relaying (section 4.4), and a Unix socket is no wire.
"""

from __future__ import annotations

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Final

    from mether.envelope import Envelope
    from mether.net.tls import Security
    from mether.routing.target import Target

IMPLICIT_PORT: Final = 465
"""The port where TLS begins with the connection (RFC 8314 section 3.3)."""

_PASSING: Final = frozenset(("timeout", "closed", "setup"))
"""Kinds of failed handshakes that may well go better the next time."""


class Policy:
    """What is configured for a next hop: the `level`, the `names` of level verify, the `fingerprints`.

    `given` tells that the level was written for this next hop, and is not the one for all.
    """

    __slots__ = ("fingerprints", "given", "level", "names")

    def __init__(
        self,
        level: str = "may",
        *,
        names: tuple[str, ...] = (),
        fingerprints: tuple[str, ...] = (),
        given: bool = False,
    ) -> None:
        self.level = level
        self.names = names
        self.fingerprints = fingerprints
        self.given = given


class Need:
    """What one connection needs.

    `level` as in net.tls; `server_name` for SNI, `names` and `fingerprints` of the certificate; `implicit`:
    TLS begins with the connection; `required`: the message says REQUIRETLS, so that the server must offer it
    and a shortfall concerns this message alone; `fall_back`: clear text will do where TLS fails.
    """

    __slots__ = ("fall_back", "fingerprints", "implicit", "level", "names", "required", "server_name")

    def __init__(
        self,
        level: str,
        *,
        server_name: str = "",
        names: tuple[str, ...] = (),
        fingerprints: tuple[str, ...] = (),
        implicit: bool = False,
        required: bool = False,
    ) -> None:
        self.level = level
        self.server_name = server_name
        self.names = names
        self.fingerprints = fingerprints
        self.implicit = implicit
        self.required = required
        self.fall_back = level == "may" and not implicit


def asks(envelope: Envelope, *, lmtp: bool) -> bool:
    """Whether a message must go by REQUIRETLS on its way to this next hop."""
    return envelope.requiretls and envelope.reverse_path is not None and not lmtp


def good_enough(secure: Security | None, offer: Container[str], *, requiretls: bool) -> bool:
    """Whether a session that is kept, opened as the next hop's policy has it, will do for another message."""
    return not requiretls or (secure is not None and secure.verified and "REQUIRETLS" in offer)


def need(
    policy: Policy, target: Target, host: str, port: int, *, requiretls: bool = False, login: bool = False
) -> Need:
    """What a connection to `host` at `port` (0: a Unix socket) needs, for mail to `target`.

    `requiretls` is what `asks` says of the message; `login` tells that we are going to log in there: then
    a level that was not written for this next hop is at least verify (RFC 8314 section 5.3).
    """
    if not port:
        return Need("none")
    level = policy.level
    if (requiretls and level in ("none", "may", "encrypt")) or (
        login and not policy.given and level in ("may", "encrypt")
    ):
        level = "verify"
    implicit = port == IMPLICIT_PORT and level != "none"
    names = policy.names
    if not names:
        names = (target.host,) if target.kind == "direct" else (target.host, f".{target.host}")
    shown = host
    if target.is_ip:
        shown = next((name for name in policy.names if not name.startswith(".")), "")
    return Need(
        level,
        server_name=shown.strip("[]"),
        names=names,
        fingerprints=policy.fingerprints,
        implicit=implicit,
        required=requiretls,
    )


def not_offered(need: Need) -> Reply:
    """The server has no STARTTLS, or would not begin."""
    if need.required:
        return Reply(
            550, "5.7.10", "the message must go by TLS (REQUIRETLS), and the server does not offer STARTTLS"
        )
    return Reply(
        451, "4.7.4", f"TLS is needed here (level {need.level}), and the server does not offer STARTTLS"
    )


def failed(need: Need, kind: str, text: str) -> Reply:
    """The handshake failed; `kind` and `text` are the TlsError's."""
    if need.required and kind not in _PASSING:
        return Reply(550, "5.7.10", f"the message must go by verified TLS (REQUIRETLS): {text}")
    return Reply(451, "4.7.5", text)


def requiretls_missing() -> Reply:
    """The server is verified and does not offer REQUIRETLS."""
    return Reply(
        550,
        "5.7.30",
        "the message must go by servers that support REQUIRETLS, and this one does not offer it",
    )
