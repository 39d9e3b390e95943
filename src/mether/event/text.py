"""The mail log as text, in the shape of Postfix's: one or more lines per event, through `logging`.

The shape is kept so that pflogsumm, fail2ban and people's greps work: ``component[pid]: QID: to=<a@b>,
relay=host[ip]:25, delay=1.2, delays=0/0/0.1/1.1, dsn=2.0.0, status=sent (250 2.0.0 ok)``.  Components are
loggers named ``mether.smtpd``, ``mether.smtp`` and so on; `install` gives them a handler that writes to
stderr as ``TIME HOST mether/smtpd[PID]: ...`` with the time of RFC 3339 (under systemd's journal, which
knows time and host, without these).  An embedding program that has its own handlers attaches `sink`
alone.

A line never holds a line end or another control character, whatever a peer said: each is written as
``?``.  A line is built only when its logger takes its level.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from mether.event.mail import INFO, LEVELS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final, TextIO

    from mether.event.mail import Sink

    Fields = Mapping[str, Any]
    Lines = Sequence[tuple[str, str]]

STATUS: Final = {
    "delivered": "sent",
    "relayed": "sent",
    "expanded": "sent",
    "delayed": "deferred",
    "failed": "bounced",
}
"""Postfix's word for each action of RFC 3464."""

MAX_LINE: Final = 2000
"""Characters of a line; a peer that says more is cut."""


def sink(name: str, fields: Fields) -> None:
    """Write an event to the loggers of its components."""
    level = LEVELS.get(name, INFO)
    if not _ROOT.isEnabledFor(level):
        return
    make = _LINES.get(name)
    if make is None:
        return
    for component, text in make(fields):
        logger = _logger(component)
        if logger.isEnabledFor(level):
            # A record made by hand: finding the caller would cost more than all the rest.
            logger.handle(logging.LogRecord(logger.name, level, "", 0, clean(text), None, None))


def writer(
    stream: TextIO, level: int = INFO, *, host: str, pid: int, bare: bool = False, lazy: bool = False
) -> Sink:
    """A sink that writes lines to `stream` itself, as `install` would have them look; with `lazy` it flushes
    only what is more than INFO.

    For a daemon: a record of `logging` for every line would cost as much as receiving a message does.
    """
    stamp, now = Formatter(host, pid).stamp, time.time
    before, after = ("mether/", "") if bare else ("", f" {host} mether/")
    known: dict[str, tuple[Callable[[Fields], Lines], str, bool]] = {}
    for name, make in _LINES.items():
        at = LEVELS.get(name, INFO)
        if at >= level:
            word = "" if at <= INFO else f"{logging.getLevelName(at).lower()}: "
            known[name] = make, f"[{pid}]: {word}", at > INFO or not lazy

    def write(name: str, fields: Fields) -> None:
        found = known.get(name)
        if found is None:
            return
        make, tag, flush = found
        front = before or stamp(now()) + after
        lines = ""
        for component, text in make(fields):
            if len(text) > MAX_LINE or not text.isprintable():
                text = clean(text)
            lines += f"{front}{component}{tag}{text}\n"
        if lines:
            stream.write(lines)
            if flush:
                stream.flush()

    return write


def lines(name: str, fields: Fields) -> list[tuple[str, str]]:
    """The (component, text) lines of an event, as `sink` would write them."""
    make = _LINES.get(name)
    return [(component, clean(text)) for component, text in make(fields)] if make else []


def clean(text: str) -> str:
    """The text without control characters, and cut to MAX_LINE."""
    if len(text) > MAX_LINE:
        text = text[: MAX_LINE - 3] + "..."
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


class Formatter(logging.Formatter):
    """``2026-01-31T12:00:00.123456+00:00 host mether/smtpd[123]: text``; with `bare`, from ``mether/`` on."""

    def __init__(self, host: str, pid: int, *, bare: bool = False) -> None:
        super().__init__()
        self.host = host
        self.pid = pid
        self.bare = bare
        self._second = -1
        self._clock = self._zone = ""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; a traceback, if it has one, follows it."""
        component = record.name.partition(".")[2] or "master"
        level = "" if record.levelno <= INFO else f"{record.levelname.lower()}: "
        text = f"mether/{component}[{self.pid}]: {level}{record.getMessage()}"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            text += "\n" + record.exc_text
        return text if self.bare else f"{self.stamp(record.created)} {self.host} {text}"

    def stamp(self, at: float) -> str:
        """A time in Unix seconds as RFC 3339 has it, local."""
        second = int(at)
        if second != self._second:  # most lines of a second share all but the fraction
            zone = time.strftime("%z", time.localtime(second))
            self._second = second
            self._clock = time.strftime("%Y-%m-%dT%H:%M:%S.", time.localtime(second))
            self._zone = f"{zone[:3]}:{zone[3:]}"
        return f"{self._clock}{int((at - second) * 1e6):06d}{self._zone}"


def install(stream: TextIO, level: int = INFO, *, host: str, pid: int, bare: bool = False) -> logging.Handler:
    """Have everything under the logger ``mether`` written to `stream`; returns the handler."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter(host, pid, bare=bare))
    _ROOT.addHandler(handler)
    _ROOT.setLevel(level)
    _ROOT.propagate = False
    return handler


_ROOT: Final = logging.getLogger("mether")
_loggers: dict[str, logging.Logger] = {}


def _logger(component: str) -> logging.Logger:
    logger = _loggers.get(component)
    if logger is None:
        logger = _loggers[component] = logging.getLogger("mether." + component)
    return logger


def _client(fields: Fields) -> str:
    if not fields["address"]:
        return "local"  # a program of this host, on a pipe
    return f"{fields['host'] or 'unknown'}[{fields['address']}]"


def _number(seconds: float) -> str:
    """A duration as Postfix writes it: two significant digits below ten, none after the point above."""
    if seconds < 0.005:
        return "0"
    if seconds >= 10:
        return f"{seconds:.0f}"
    return f"{seconds:.2g}" if seconds >= 0.01 else "0.01"


def _started(fields: Fields) -> Lines:
    where = f", listening on {', '.join(fields['addresses'])}" if fields["addresses"] else ""
    spool = f", spool {fields['spool']}" if fields["spool"] else ""
    version = f" (mether {fields['version']})" if fields["version"] else ""
    count = fields["queued"]
    queued = f", {count} message{'s' if count != 1 else ''} queued" if count is not None else ""
    return (("master", f"{fields['program']} started{version}{where}{spool}{queued}"),)


def _stopping(fields: Fields) -> Lines:
    reason = f": {fields['reason']}" if fields["reason"] else ""
    return (("master", f"{fields['program']} stopping{reason}"),)


def _stopped(fields: Fields) -> Lines:
    return (("master", f"{fields['program']} stopped"),)


def _said(fields: Fields) -> Lines:
    ident = f"{fields['queue_id']}: " if fields["queue_id"] else ""
    return (("master", f"{ident}{fields['what']}"),)


def _connected(fields: Fields) -> Lines:
    return (("smtpd", f"connect from {_client(fields)}"),)


def _secured(fields: Fields) -> Lines:
    trust = "Verified" if fields["verified"] else "Untrusted" if fields["outgoing"] else "Anonymous"
    component, way = ("smtp", "to") if fields["outgoing"] else ("smtpd", "from")
    peer = fields["peer"] if fields["outgoing"] else f"unknown[{fields['peer']}]"
    what = f"{fields['version']} with cipher {fields['cipher']} ({fields['bits']} bits)"
    return ((component, f"{trust} TLS connection established {way} {peer}: {what}"),)


def _disconnected(fields: Fields) -> Lines:
    counts = _counts(tuple(fields["commands"].items()))
    return (("smtpd", f"disconnect from {_client(fields)} {counts}"),)


@lru_cache(256)
def _counts(commands: tuple[tuple[str, tuple[int, int]], ...]) -> str:
    """The counts of a session; most sessions have the same as others."""
    words, accepted, given = [], 0, 0
    for verb, (good, all_) in commands:
        words.append(f"{verb}={good}" if good == all_ else f"{verb}={good}/{all_}")
        accepted += good
        given += all_
    words.append(f"commands={accepted}" if accepted == given else f"commands={accepted}/{given}")
    return " ".join(words)


def _cut(fields: Fields) -> Lines:
    return (("smtpd", f"{fields['why']} after {fields['after']} from {_client(fields)}"),)


def _rejected(fields: Fields) -> Lines:
    words = []
    if fields["sender"] is not None:
        words.append(f"from=<{fields['sender']}>")
    if fields["recipient"] is not None:
        words.append(f"to=<{fields['recipient']}>")
    if fields["protocol"]:
        words.append(f"proto={fields['protocol']}")
    if fields["helo"]:
        words.append(f"helo=<{fields['helo']}>")
    ident = fields["queue_id"] or "NOQUEUE"
    text = str(fields["reply"])
    # A recipient that the reply does not name is put where pflogsumm and fail2ban look for it.
    if fields["recipient"] is not None and "<" not in text:
        code, _, rest = text.partition(" ")
        status = fields["reply"].status
        if status:
            code, rest = f"{code} {status}", rest[len(status) :].lstrip()
        text = f"{code} <{fields['recipient']}>: {rest}"
    tail = f"; {' '.join(words)}" if words else ""
    if fields["mechanism"]:
        tail += f", sasl_method={fields['mechanism']}"
    if fields["login"]:
        tail += f", sasl_username={fields['login']}"
    return (("smtpd", f"{ident}: reject: {fields['stage']} from {_client(fields)}: {text}{tail}"),)


def _queued(fields: Fields) -> Lines:
    ident, sender = fields["queue_id"], str(fields["sender"])
    if fields["address"]:
        login = f", sasl_username={fields['login']}" if fields["login"] else ""
        first = "smtpd", f"{ident}: client={_client(fields)}{login}"
    else:
        uid = f"uid={fields['uid']} " if fields["uid"] is not None else ""
        first = "pickup", f"{ident}: {uid}from=<{sender}>"
    facts = f"size={fields['size']}, nrcpt={fields['recipients']}"
    last = "qmgr", f"{ident}: from=<{sender}>, {facts} (queue active)"
    if fields["message_id"]:
        return first, ("cleanup", f"{ident}: message-id={fields['message_id']}"), last
    return first, last


def _tried(status: str) -> Callable[[Fields], Lines]:
    def make(fields: Fields) -> Lines:
        route = fields["route"]
        orcpt, recipient = fields["orcpt"], str(fields["recipient"])
        orig = "" if orcpt is None else _orcpt(orcpt, recipient)
        arrival, started = fields["arrival"], fields["started"]
        connected, ended = fields["connected"], fields["ended"]
        # Postfix's a/b/c/d: before the queue manager, in it, connecting, sending.  Ours begins queued.
        parts = f"0/{_number(started - arrival)}/{_number(connected - started)}/{_number(ended - connected)}"
        doubt = "; may have been delivered" if fields["uncertain"] else ""
        kind = f"; class={fields['class'].replace(' ', '-')}" if fields["class"] else ""
        relay = fields["remote_mta"] or ("none" if route.transport in ("smtp", "lmtp") else route.transport)
        text = (
            f"{fields['queue_id']}: to=<{recipient}>,{orig} relay={relay}, "
            f"delay={_number(ended - arrival)}, delays={parts}, dsn={fields['status']}, "
            f"status={status} ({fields['reply']}{doubt}{kind})"
        )
        return ((route.transport, text),)

    return make


def _orcpt(orcpt: str, recipient: str) -> str:
    address = orcpt.partition(";")[2]
    return f" orig_to=<{address}>," if address and address.lower() != recipient.lower() else ""


def _unreachable(fields: Fields) -> Lines:
    route = fields["route"]
    return ((route.transport, f"connect to {fields['remote_mta'] or route.next_hop}: {fields['why']}"),)


def _expired(fields: Fields) -> Lines:
    return (("qmgr", f"{fields['queue_id']}: from=<{fields['sender']}>, status=expired, returned to sender"),)


def _reported(fields: Fields) -> Lines:
    kind = {"failed": "non-delivery", "delayed": "delay"}.get(fields["kind"], "delivery")
    return (("bounce", f"{fields['queue_id']}: sender {kind} notification: {fields['report']}"),)


def _merged(fields: Fields) -> Lines:
    reports = fields["reports"]
    text = f"{fields['queue_id']}: {len(reports)} reports for <{fields['to']}> go as one: {' '.join(reports)}"
    return (("bounce", text),)


def _dropped(fields: Fields) -> Lines:
    return (("bounce", f"{fields['queue_id']}: dropped: {fields['why']}"),)


def _held(fields: Fields) -> Lines:
    return (("qmgr", f"{fields['queue_id']}: hold: {fields['why']}"),)


def _reclaimed(fields: Fields) -> Lines:
    return (("qmgr", f"{fields['queue_id']}: taken over from a process that died; may have been delivered"),)


def _refused(fields: Fields) -> Lines:
    return (("qmgr", f"{fields['queue_id']}: settled too late; another process has taken it over"),)


def _removed(fields: Fields) -> Lines:
    return (("qmgr", f"{fields['queue_id']}: removed"),)


def _changed(fields: Fields) -> Lines:
    by = f" by {fields['by']}" if fields["by"] else ""
    return (("smtpq", f"{fields['action']}: {fields['count']} message(s){by}"),)


_LINES: Final[dict[str, Callable[[Fields], Lines]]] = {
    "started": _started,
    "stopping": _stopping,
    "stopped": _stopped,
    "noted": _said,
    "warning": _said,
    "error": _said,
    "connected": _connected,
    "secured": _secured,
    "disconnected": _disconnected,
    "cut": _cut,
    "rejected": _rejected,
    "queued": _queued,
    **{action: _tried(status) for action, status in STATUS.items()},
    "unreachable": _unreachable,
    "expired": _expired,
    "reported": _reported,
    "merged": _merged,
    "dropped": _dropped,
    "held": _held,
    "reclaimed": _reclaimed,
    "refused": _refused,
    "removed": _removed,
    "changed": _changed,
}
