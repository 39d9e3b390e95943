"""Delivery as the Unix user whose mail it is, asked for over a socket from a small process that is root.

The service gave up root before it spoke to anybody.  `Helper` is its end: for one recipient and one route it
sends a request with two descriptors, the content and the end of a pipe on which the answer comes, and waits.
The other end (`setup.deliverer`) finds the route in the configuration that it was started with, and the user
in the recipient's address; it forks, becomes that user for good, and delivers.  So whoever took over the
service could write into mailboxes what the configuration lets it write there, and run what that names: there
is no field for a user, a path or a program in a request.

A request is FIELDS, separated by NUL, of at most MAX_REQUEST octets together; `decode` takes nothing else and
raises ValueError.  An answer is one reply, of at most MAX_ANSWER octets.

When the process at the other end is gone, or one that it forked, the answer is 451 4.3.0 and the mail waits.
`Helper` is used by many threads and processes at once: a packet is whole, and each answer comes on its own
pipe.
"""

from __future__ import annotations

import array
import os
import select
import socket
import tempfile
import time

from mether import reply as replies
from mether.address import Address, parse, parse_reverse_path, path_text
from mether.envelope import Recipient
from mether.queue.content import Content
from mether.queue.message import Arrival
from mether.relay.letter import Letter
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from mether.relay.way import Way

MAX_REQUEST: Final = 16 * 1024
MAX_ANSWER: Final = 2048
SLACK: Final = 60.0
"""Seconds that an answer may take beyond those that the delivery has."""
ROOM: Final = 10.0
"""Seconds that the socket may be full of requests."""
IN_MEMORY: Final = 1024 * 1024
"""Octets of content that are handed over in memory; more are in a file without a name."""

VERSION: Final = b"mether 1"
FIELDS: Final = (
    "version",
    "rule",
    "recipient",
    "orcpt",
    "sender",
    "utf8",
    "ident",
    "protocol",
    "address",
    "host",
    "helo",
    "login",
    "prefix",
)

GONE: Final = Reply(451, "4.3.0", "cannot deliver as the user now")


class HelperGone(Exception):
    """Nobody takes requests any more."""


class Request:
    """A delivery to one `recipient` of a `letter` by the route with the name `rule`."""

    __slots__ = ("letter", "recipient", "rule")

    def __init__(self, rule: str, recipient: Recipient, letter: Letter) -> None:
        self.rule = rule
        self.recipient = recipient
        self.letter = letter


def encode(request: Request) -> bytes:
    """The request without its content.  Raises ValueError where it has no room in one."""
    letter, arrival = request.letter, request.letter.arrival
    fields = (
        request.rule,
        str(request.recipient.forward_path),
        request.recipient.orcpt or "",
        path_text(letter.reverse_path),
        "1" if letter.utf8 else "0",
        letter.ident,
        arrival.protocol,
        arrival.address,
        arrival.host,
        arrival.helo,
        arrival.login,
    )
    octets = [VERSION, *(one.encode("utf-8", "replace") for one in fields), letter.prefix]
    packet = b"\0".join(octets)
    if packet.count(b"\0") != len(FIELDS) - 1 or len(packet) > MAX_REQUEST:
        raise ValueError("the envelope is too large to be handed over, or holds a NUL")
    return packet


def decode(packet: bytes, content: Content) -> Request:
    """The request that `encode` wrote, with its content.  Raises ValueError, for a log, for anything else."""
    if len(packet) > MAX_REQUEST:
        raise ValueError(f"more than {MAX_REQUEST} octets")
    octets = packet.split(b"\0")
    if len(octets) != len(FIELDS) or octets[0] != VERSION:
        raise ValueError(f"not {len(FIELDS)} fields of this version")
    texts = dict(zip(FIELDS[1:-1], (one.decode() for one in octets[1:-1]), strict=True))
    for name, text in texts.items():
        if not text.isprintable():
            raise ValueError(f"a control character in {name}")
    if texts["utf8"] not in ("0", "1") or not texts["rule"]:
        raise ValueError("no rule, or a flag that is none")
    letter = Letter(
        parse_reverse_path(texts["sender"], utf8=True),
        octets[-1],
        content,
        utf8=texts["utf8"] == "1",
        ident=texts["ident"],
        arrival=Arrival(
            0.0,
            texts["protocol"],
            address=texts["address"],
            host=texts["host"],
            helo=texts["helo"],
            login=texts["login"],
        ),
    )
    recipient: Address = parse(texts["recipient"], utf8=True)
    return Request(texts["rule"], Recipient(recipient, orcpt=texts["orcpt"] or None), letter)


def encode_answer(reply: Reply) -> bytes:
    """A reply on its way back."""
    return str(reply).encode("utf-8", "replace")[:MAX_ANSWER]


def decode_answer(octets: bytes) -> Reply:
    """The reply that `encode_answer` wrote; GONE for what is none, or nothing."""
    text = octets[:MAX_ANSWER].decode("utf-8", "replace")
    reply = replies.from_text(text) if text.isprintable() else None
    return reply if reply is not None and reply.code // 100 in (2, 4, 5) else GONE


class Helper:
    """The service's end: the `sock` to the process that is root, with the `ways` it knows by their names."""

    def __init__(self, sock: socket.socket, ways: Mapping[str, Way]) -> None:
        self._sock = sock
        self._ways = ways
        sock.settimeout(ROOM)

    def knows(self, rule: str, way: Way) -> bool:
        """Whether it would go this way for the rule; not if the configuration is newer than it is."""
        return self._ways.get(rule) == way

    def deliver(self, rule: str, recipient: Recipient, letter: Letter, limit: float) -> Reply:
        """Have it delivered, within `limit` seconds; never waits much longer.  Raises HelperGone."""
        try:
            packet = encode(Request(rule, recipient, letter))
        except ValueError as error:
            return Reply(451, "4.3.0", str(error))
        try:
            content = _handed(letter.content)
        except OSError as error:
            return Reply(451, "4.3.0", f"cannot read the message: {error.strerror or error}")
        answers, answer = os.pipe()
        try:
            rights = array.array("i", (content, answer))
            self._sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except TimeoutError:
            os.close(answers)
            return Reply(451, "4.3.2", "too many deliveries to users wait")
        except OSError as error:
            os.close(answers)
            raise HelperGone(error.strerror or str(error)) from None
        finally:
            os.close(content)
            os.close(answer)
        try:
            return decode_answer(_answered(answers, time.monotonic() + limit + SLACK))
        finally:
            os.close(answers)

    def close(self) -> None:
        """Let go of it; it ends when nobody holds it."""
        self._sock.close()


def _handed(content: Content) -> int:
    """A descriptor of a file with the content that nobody else has.  Raises OSError."""
    if content.size <= IN_MEMORY and hasattr(os, "memfd_create"):
        fd = os.memfd_create("message", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        for piece in content.chunks():
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
    except BaseException:
        os.close(fd)
        raise
    return fd


def _answered(fd: int, until: float) -> bytes:
    """What comes on the pipe until its end, or its time is up."""
    octets = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while len(octets) <= MAX_ANSWER:
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            break
        piece = os.read(fd, MAX_ANSWER + 1)
        if not piece:
            break
        octets += piece
    return octets


class Handed:
    """Content in a descriptor that somebody handed over; each reader has its own place in it."""

    __slots__ = ("_at", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        """The next octets, at most `size`."""
        data = os.pread(self._fd, size if size >= 0 else 1 << 30, self._at)
        self._at += len(data)
        return data

    def __enter__(self) -> Handed:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def handed(fd: int) -> Content:
    """The content in a descriptor; the size is what the file has now.  Raises OSError."""
    return Content(None, os.fstat(fd).st_size, lambda: Handed(fd))  # type: ignore[arg-type, return-value]
