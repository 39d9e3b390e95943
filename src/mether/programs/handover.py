"""A message handed over to the service by its Unix socket: for who may not write into its queue.

The service takes mail of this host's programs at a ``[[listen]]`` with ``address = "unix:..."`` and the role
local; who may write to that socket is said by its mode.  `deliver` speaks SMTP there, and gives the status
for sendmail to exit with, as its replies say.  `session` lets a program that speaks SMTP itself (``sendmail
-bs``) speak there, octet for octet.  Nothing is queued here.
"""

from __future__ import annotations

import os

from mether.outcome import DONE
from mether.programs import errors, message
from mether.programs.talk import Manner, Talk
from mether.relay import failure
from mether.routing import target

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as socket_
    from typing import Final

    from mether.envelope import Envelope, Recipient
    from mether.outcome import Outcome
    from mether.programs.message import Scratch
    from mether.queue.content import Content
    from mether.setup.config import Config

CHUNK: Final = 64 * 1024
"""Octets that wait to be written on either side, and at most as many of a line that is not at its end."""


def socket(config: Config) -> str | None:
    """The path of the socket at which the service takes mail of this host's programs."""
    return next((one.path for one in config.listen if one.path and one.role == "local"), None)


def deliver(program: str, path: str, envelope: Envelope, data: bytes | Scratch, config: Config) -> int:
    """Hand the message over; the exit status.  What is refused is said on stderr, a line a recipient.

    Where the others are taken, the sender gets a report of those that are refused, as when they are queued
    from here, and the status is 0: whoever called has nothing to send again.
    """
    content, eight_bit = message.content(data)
    outcomes = _talk(path, envelope, content, config.service.hostname, eight_bit=eight_bit)
    said = set()
    refused = []
    for recipient, outcome in zip(envelope.recipients, outcomes, strict=True):
        if outcome.action in DONE:
            continue
        refused.append((recipient, outcome))
        # Where there is no service, one line is enough.
        what = (
            str(outcome.reply) if outcome.scope == "host" else f"<{recipient.forward_path}>: {outcome.reply}"
        )
        if what not in said:
            errors.complain(program, what)
        said.add(what)
    some = 0 < len(refused) < len(outcomes) and all(one.action == "failed" for _, one in refused)
    if some and _told(path, envelope, content, refused, config):
        return errors.OK
    return failure.exit_status(outcomes)


def _talk(
    path: str, envelope: Envelope, content: Content, hostname: str, *, eight_bit: bool
) -> list[Outcome]:
    manner = Manner(lambda local: hostname, lambda direction, text: None)
    return Talk(target.parse(f"unix:{path}"), envelope, content, eight_bit, manner).outcomes()


def _told(
    path: str,
    envelope: Envelope,
    content: Content,
    refused: list[tuple[Recipient, Outcome]],
    config: Config,
) -> bool:
    """Whether the sender is told of these recipients, or did not want to be: a report goes to the service."""
    import time

    from mether.address import parse
    from mether.content import dsn, header
    from mether.programs import queueing, submission
    from mether.queue.content import in_memory
    from mether.runner.notify import wants
    from mether.setup import reports

    hostname = config.service.hostname
    sender = envelope.reverse_path
    owed = [(one, outcome) for one, outcome in refused if wants(one.notify, outcome)]
    if sender is None or not owed:
        return True
    for _, outcome in owed:
        outcome.remote_mta, outcome.said = "", False  # the service is no other host
    texts, rules = reports.at_once(config, lambda what: errors.complain("sendmail", what))
    now = time.time()
    head = content.read(submission.MAX_HEADER)
    octets = dsn.report(
        reporting_mta=hostname,
        ident=queueing.new_id(now),
        boundary=os.urandom(12).hex(),
        to=sender,
        postmaster=parse(config.service.postmaster, utf8=True),
        at=now,
        about=dsn.About(
            envelope,
            "",
            arrival=now,
            original=head[: header.split(head)] + b"\r\n",
            complete=False,
        ),
        items=[dsn.Item(one, outcome) for one, outcome in owed],
        offset=time.localtime(now).tm_gmtoff,
        texts=texts,
        rules=rules,
    )
    its = dsn.envelope(sender, envelope)
    (outcome,) = _talk(path, its, in_memory(octets), hostname, eight_bit=not octets.isascii())
    return outcome.action in DONE


def session(program: str, path: str, source: int = 0, sink: int = 1) -> int:
    """Carry a session from descriptor `source` to the service, and its replies to `sink`; the exit status.

    Input whose first line ends in LF is a person's or a file's: each line then gets a CRLF, and chunks
    (BDAT), whose octets are counted in the file, are refused.  Raises Failure where there is no service.
    """
    import socket as sockets

    far = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    with far:
        try:
            far.connect(path)
        except OSError as error:
            what = f"connecting to {path}: {error.strerror or error}"
            raise errors.Failure(errors.TEMPFAIL, what) from None
        try:
            return _carry(program, far, source, sink)
        except OSError as error:
            errors.complain(program, f"the session was lost: {error.strerror or error}")
            return errors.IOERR


def _carry(program: str, far: socket_.socket, source: int, sink: int) -> int:
    """Both ways at once, with a bounded buffer each, until the service hangs up."""
    import select

    far.setblocking(False)
    lines = Lines()
    there, here = b"", b""
    open_ = True
    while True:
        want = {far.fileno(): select.POLLIN if len(here) < CHUNK else 0}
        if there:
            want[far.fileno()] |= select.POLLOUT
        if open_ and len(there) < CHUNK:
            want[source] = select.POLLIN
        if here:
            want[sink] = want.get(sink, 0) | select.POLLOUT
        poll = select.poll()
        for fd, events in want.items():
            poll.register(fd, events)
        ready = dict(poll.poll())
        if open_ and ready.get(source, 0) & ~select.POLLOUT:
            data = os.read(source, CHUNK)
            open_ = bool(data)
            try:
                there += lines.feed(data)
            except ValueError as error:
                errors.complain(program, str(error))
                return errors.DATAERR
            if not open_ and not there:
                _end(far)
        if there and ready.get(far.fileno(), 0) & select.POLLOUT:
            try:
                there = there[far.send(there) :]
            except ConnectionError:
                open_, there = False, b""  # what it said last is still to be read
            if not open_ and not there:
                _end(far)
        if ready.get(far.fileno(), 0) & ~select.POLLOUT:
            data = far.recv(CHUNK)
            here += data
            if not data:
                while here:
                    here = here[os.write(sink, here) :]
                return errors.OK
        if here and ready.get(sink, 0) & ~select.POLLIN:
            here = here[os.write(sink, here) :]


def _end(far: socket_.socket) -> None:
    """Say that no more comes."""
    try:
        far.shutdown(1)
    except OSError:
        pass  # it has hung up already


class Lines:
    """Input as the service takes it: where its first line ends in CRLF as it is, else with CRLF for LF."""

    __slots__ = ("_content", "_held", "_whole")

    def __init__(self) -> None:
        self._held = b""
        self._whole: bool | None = None
        self._content = False

    def feed(self, data: bytes) -> bytes:
        """Take octets, b"" at their end; gives those that are known.  Raises ValueError, for a person."""
        text, self._held = self._held + data, b""
        if self._whole is None and b"\n" in text:
            self._whole = text[: text.index(b"\n")].endswith(b"\r")
        if self._whole or not data:
            return text
        *lines, self._held = text.split(b"\n")
        if len(self._held) > CHUNK:
            raise ValueError(f"a line is longer than {CHUNK} octets")
        return b"".join(map(self._line, lines))

    def _line(self, line: bytes) -> bytes:
        line = line.removesuffix(b"\r")
        if self._content:
            self._content = line != b"."
        elif line[:4].upper() == b"BDAT":
            raise ValueError("BDAT counts octets: give it in a session whose lines end in CRLF")
        else:
            self._content = line.upper() == b"DATA"
        return line + b"\r\n"
