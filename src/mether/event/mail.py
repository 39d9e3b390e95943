"""What happens to mail, one function per event; logs, counters and webhooks are sinks.

Whoever does something with mail says so by calling the function named for it.  A function does
nothing but look whether `sinks` is empty, so that an event costs next to nothing where nobody listens;
otherwise it gathers its arguments under their names and hands them to every sink.  Text is built by a
sink, and only when it is written.

A sink is called as ``sink(name, fields)``: `name` is the function's name (for `tried` it is the outcome's
action), `fields` maps names to plain values: str, int, float, bool, None, tuples and dicts of these, and
the values `Address`, `Reply` and `Route`.  A sink must not keep or change `fields`, and must not wait.

Nothing here fails: a sink that raises loses that event, is counted in `lost`, and harms neither the mail
nor the other sinks.

Times are Unix seconds; durations are seconds.  A client's `host` is its verified name, ``""`` when it has
none; `ident` is a queue id.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from mether.address import Address, ReversePath
    from mether.outcome import Outcome, Route
    from mether.reply import Reply

    Sink = Callable[[str, Mapping[str, Any]], None]

INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40

LEVELS: Final[dict[str, int]] = {
    "warning": WARNING,
    "error": ERROR,
    "reclaimed": WARNING,
    "dropped": WARNING,
    "held": WARNING,
}
"""The levels (those of `logging`) of the events that are not INFO."""

_WITH_SENDER: Final = frozenset(("MAIL", "RCPT", "DATA", "BDAT", "END-OF-MESSAGE"))
"""What may be refused once there is a sender."""

sinks: list[Sink] = []
"""Who is told.  Empty until `setup` attaches something."""

lost = 0
"""Events that a sink did not take."""


def _emit(name: str, fields: dict[str, Any]) -> None:
    global lost
    for sink in sinks:
        try:
            sink(name, fields)
        except Exception:
            lost += 1


# The life of a program.


def started(
    program: str,
    *,
    version: str = "",
    addresses: tuple[str, ...] = (),
    spool: str = "",
    queued: int | None = None,
) -> None:
    """A daemon is ready; `addresses` are what it listens on, `queued` counts the messages that it found."""
    if sinks:
        _emit(
            "started",
            {
                "program": program,
                "version": version,
                "addresses": addresses,
                "spool": spool,
                "queued": queued,
            },
        )


def stopping(program: str, *, reason: str = "") -> None:
    """A daemon begins to end in good order."""
    if sinks:
        _emit("stopping", {"program": program, "reason": reason})


def stopped(program: str) -> None:
    """A daemon has ended in good order."""
    if sinks:
        _emit("stopped", {"program": program})


def noted(what: str, *, ident: str = "") -> None:
    """Something happened that is as it should be, and that a person may want to know of."""
    if sinks:
        _emit("noted", {"queue_id": ident, "what": what})


def warning(what: str, *, ident: str = "") -> None:
    """Something is not as it should be, and mail goes on."""
    if sinks:
        _emit("warning", {"queue_id": ident, "what": what})


def error(what: str, *, ident: str = "") -> None:
    """Something failed that a person must look at."""
    if sinks:
        _emit("error", {"queue_id": ident, "what": what})


# A session with a client.


def connected(address: str, *, host: str = "", port: int = 0, local: str = "") -> None:
    """A client connected from `address`; `local` is our end, ``address:port``."""
    if sinks:
        _emit("connected", {"address": address, "host": host, "port": port, "local": local})


def disconnected(
    address: str,
    *,
    host: str = "",
    commands: Mapping[str, tuple[int, int]],
    seconds: float = 0.0,
) -> None:
    """A session ended.  `commands` maps verbs in lower case to (accepted, given) counts."""
    if sinks:
        _emit(
            "disconnected",
            {"address": address, "host": host, "commands": dict(commands), "seconds": seconds},
        )


def cut(address: str, why: str, *, host: str = "", after: str = "") -> None:
    """A session ended without QUIT.

    `why` is "lost connection", "timeout", "too many errors", "too many commands" or "shutdown", or says what
    a proxy sent in place of its header; `after` is the last verb in upper case ("CONNECT" when there was
    none).
    """
    if sinks:
        _emit("cut", {"address": address, "host": host, "why": why, "after": after or "CONNECT"})


def secured(
    peer: str,
    version: str,
    cipher: str,
    bits: int,
    *,
    outgoing: bool = False,
    verified: bool = False,
    name: str = "",
) -> None:
    """A session went on under TLS: with a client at the IP address `peer`, or when `outgoing` with a host.

    `verified`: the peer is who it should be, by `name` or fingerprint, or as a client by an authority.
    """
    if sinks:
        _emit(
            "secured",
            {
                "peer": peer,
                "version": version,
                "cipher": cipher,
                "bits": bits,
                "outgoing": outgoing,
                "verified": verified,
                "name": name,
            },
        )


def rejected(
    address: str,
    stage: str,
    reply: Reply,
    *,
    host: str = "",
    ident: str = "",
    reverse_path: ReversePath = None,
    forward_path: Address | None = None,
    protocol: str = "",
    helo: str = "",
    login: str = "",
    mechanism: str = "",
) -> None:
    """A command was refused.

    `stage` is what was refused: "CONNECT", "END-OF-MESSAGE", or a verb in upper case.  The reverse-path is
    told only from the stage MAIL on.  `login` is who logged in, or for "AUTH" who the client says that it
    is, by the SASL `mechanism`; either may be "".
    """
    if sinks:
        _emit(
            "rejected",
            {
                "queue_id": ident,
                "address": address,
                "host": host,
                "stage": stage,
                "reply": reply,
                "sender": reverse_path or "" if stage in _WITH_SENDER else None,
                "recipient": forward_path,
                "protocol": protocol,
                "helo": helo,
                "login": login,
                "mechanism": mechanism,
            },
        )


# The life of a message.


def queued(
    ident: str,
    reverse_path: ReversePath,
    recipients: int,
    size: int,
    *,
    address: str = "",
    host: str = "",
    protocol: str = "local",
    helo: str = "",
    login: str = "",
    uid: int | None = None,
    message_id: str = "",
) -> None:
    """A message is durable: its commit returned.

    `recipients` counts them; `size` is in octets; `address` is the client's, ``""`` for a message given by
    a local program, whose `uid` may be told instead; `message_id` is that field's text.
    """
    if sinks:
        _emit(
            "queued",
            {
                "queue_id": ident,
                "sender": reverse_path or "",
                "recipients": recipients,
                "size": size,
                "address": address,
                "host": host,
                "protocol": protocol,
                "helo": helo,
                "login": login,
                "uid": uid,
                "message_id": message_id,
            },
        )


def tried(
    ident: str,
    forward_path: Address,
    route: Route,
    outcome: Outcome,
    *,
    orcpt: str | None = None,
    arrival: float,
    started: float = 0.0,
    connected: float = 0.0,
    attempts: int = 1,
    retry_at: float | None = None,
    kind: str | None = None,
) -> None:
    """One recipient was tried; the event's name is ``outcome.action``.

    `arrival` is when the message came, `started` when the attempt began and `connected` when it had
    its connection (each 0 when not known); the attempt ended at ``outcome.at``, or where nothing was
    tried any more, as for what has expired, when it began.  `attempts` counts
    this one; `retry_at` is when it is tried again.  `kind` is the class of what was wrong
    (`content.classify`), told as ``class``.
    """
    if sinks:
        _emit(
            outcome.action,
            {
                "queue_id": ident,
                "recipient": forward_path,
                "orcpt": orcpt,
                "route": route,
                "remote_mta": outcome.remote_mta,
                "reply": outcome.reply,
                "status": outcome.status,
                "class": kind,
                "scope": outcome.scope,
                "uncertain": outcome.uncertain,
                "arrival": arrival,
                "started": started or outcome.at,
                "connected": connected or started or outcome.at,
                "ended": max(outcome.at, started, connected),
                "attempts": attempts,
                "retry_at": retry_at,
            },
        )


def unreachable(route: Route, remote_mta: str, why: str, *, not_before: float = 0.0) -> None:
    """A host of a next hop could not be used; the next hop is left alone until `not_before`."""
    if sinks:
        _emit(
            "unreachable",
            {"route": route, "remote_mta": remote_mta, "why": why, "not_before": not_before},
        )


def expired(ident: str, reverse_path: ReversePath) -> None:
    """A message waited too long, and what was left of it is returned."""
    if sinks:
        _emit("expired", {"queue_id": ident, "sender": reverse_path or ""})


def reported(ident: str, report: str, kind: str) -> None:
    """A report about `ident` was queued as `report`; `kind` is RFC 3464's "failed", "delayed" or
    "delivered"."""
    if sinks:
        _emit("reported", {"queue_id": ident, "report": report, "kind": kind})


def merged(idents: Sequence[str], reader: str) -> None:
    """These reports, which had to wait for another hour, go to their reader as one message."""
    if sinks:
        _emit("merged", {"queue_id": idents[0], "reports": list(idents), "to": reader})


def dropped(ident: str, why: str) -> None:
    """A message ends unreported: an undeliverable report, where the configuration says "drop"."""
    if sinks:
        _emit("dropped", {"queue_id": ident, "why": why})


def held(ident: str, why: str) -> None:
    """A message is not tried until a person releases it."""
    if sinks:
        _emit("held", {"queue_id": ident, "why": why})


def reclaimed(ident: str) -> None:
    """A claim outlived its owner: the message may have been delivered, and is tried again."""
    if sinks:
        _emit("reclaimed", {"queue_id": ident})


def refused(ident: str) -> None:
    """A settlement came too late: another owner has the message, and what we did may be done twice."""
    if sinks:
        _emit("refused", {"queue_id": ident})


def removed(ident: str) -> None:
    """Every recipient is settled, and the message is gone from the queue."""
    if sinks:
        _emit("removed", {"queue_id": ident})


def changed(action: str, count: int, by: str = "") -> None:
    """A person changed messages of the queue: `action` is "hold", "release", "retry" or "remove"."""
    if sinks:
        _emit("changed", {"action": action, "count": count, "by": by})
