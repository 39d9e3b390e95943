"""Logging in: the AUTH exchange as both clients speak it (RFC 4954).

`exchange` is a generator: it yields (verb, line) to be sent, takes the reply, and returns the last one, a 2yz
when we are logged in.  What goes wrong on our side of the exchange is a 454 4.7.0 in our words, `said` False:
no mechanism in common, a server that breaks the exchange or does not prove that it knows our password.

A password or a token is shown only to a server that was verified, or over a connection that leaves no host.
Servers quote what they do not take, and a refusal is told to the log, the queue and the sender: the words of
one that shows something of our credentials are left out.
"""

from __future__ import annotations

import os

from mether.reply import Reply
from mether.smtp import command, sasl, sasl_client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Final

    from mether.net.tls import Security
    from mether.smtp.extension import Offer

    Exchange = Generator[tuple[str, bytes], Reply, tuple[Reply, bool]]

PIECE: Final = 6
"""Characters in a row that show something of a secret."""


def exchange(
    offer: Offer,
    credentials: sasl_client.Credentials,
    secure: Security | None,
    address: str,
    *,
    host: str = "",
    port: int = 0,
    random: Callable[[int], bytes] = os.urandom,
) -> Exchange:
    """The exchange with a server whose latest offer is `offer`; returns (reply, whether the server said it).

    `address` is the IP address or path that we are connected to; `host` and `port` are what we tell the
    server that we mean (OAUTHBEARER).
    """
    verified = secure is not None and secure.verified
    trusted = verified or stays_here(address)
    binding = (secure.end_point or None) if secure is not None else None
    chosen = sasl_client.choose(
        offer.mechanisms,
        credentials,
        secure=trusted,
        binding=binding,
        random=random,
        host=host,
        port=port,
    )
    if chosen is None:
        return Reply(454, "4.7.0", _why(offer, trusted)), False
    mechanism, _, initial = chosen.line().partition(" ")
    secrets = [one for one in (initial, credentials.password, credentials.token) if one]
    reply = yield "AUTH", command.auth(mechanism, initial or None)
    problem = ""
    while reply.code == 334:
        try:
            line = sasl.encode(chosen.respond(sasl.decode(reply.text)))
        except ValueError as error:
            problem = problem or str(error)
            line = "*"
        else:
            secrets.append(line)
        reply = yield "RESPONSE", command.response(line)
        if problem and reply.code == 334:
            break  # told once that it is over; a server that goes on anyway has lost count
    if problem:
        return Reply(454, "4.7.0", f"the AUTH exchange ({mechanism}) is broken: {problem}"), False
    if reply.ok and not chosen.finished:
        return Reply(454, "4.7.0", f"the server did not prove that it knows us ({mechanism})"), False
    return _discreet(reply, secrets), True


def advance(steps: Exchange, reply: Reply | None) -> tuple[str, bytes] | tuple[Reply, bool]:
    """The next command of an exchange, or its end; `reply` is that to the command before, None at first."""
    try:
        return next(steps) if reply is None else steps.send(reply)
    except StopIteration as ended:
        result: tuple[Reply, bool] = ended.value
        return result


def stays_here(address: str) -> bool:
    """Whether a connection to this IP address or path goes over no wire."""
    return address.startswith(("/", "127.")) or address == "::1"


def _discreet(reply: Reply, secrets: Iterable[str]) -> Reply:
    """The reply, without words where they show a piece of a secret."""
    # Servers break long words over lines.
    text = "".join(reply.lines).replace(" ", "")
    for secret in secrets:
        whole = secret.replace(" ", "")
        pieces = (whole[at : at + PIECE] for at in range(max(1, len(whole) - PIECE + 1)))
        if whole and any(piece in text for piece in pieces):
            return Reply(reply.code, reply.status, "(its words show our credentials, and are left out)")
    return reply


def _why(offer: Offer, trusted: bool) -> str:
    if not offer.mechanisms:
        return "we are to log in, and the server does not offer AUTH"
    said = " ".join(offer.mechanisms)[:200]
    unless = "" if trusted else ", and a password is not shown without TLS and a verified certificate"
    return f"no way to log in that both have: the server offers {said}{unless}"
