"""The process that delivers as Unix users: root, small, and forked before the service gives root up.

It does nothing but take requests (`relay.asuser`) over a socket, of which it believes nothing: the rule must
be one that the configuration it was started with delivers as its users, and the user is found in the
recipient's address.  For each request it forks.  The child looks the user up, becomes that user with all
groups and for good, and only then touches a file, runs a program or reads the message; its last word is the
reply.  Nothing is delivered as root: neither uid 0 nor gid 0.

At most `most` children live at a time; more requests wait in the socket.  A child that takes too long is
killed.  The process ends when the last process of the service has closed the socket or, by the kernel's hand,
when the one that started it dies.  Signals do not end it: a service manager sends them to all, and what the
service has in hand is still to be delivered.

A newer configuration does not reach it, since nobody outside is believed: the service says that it needs a
new start (`relay.local`).
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import sys
import time
from importlib import import_module

from mether.relay import asuser, way
from mether.relay.letter import Person, split
from mether.relay.pipe import NONE
from mether.reply import Reply
from mether.routing.tables_passwd import entry
from mether.setup import privileges

# What a delivery loads when it needs it is loaded here: a child may have become a user who cannot read where
# Python's modules lie.
for _name in ("idna", "selectors", "subprocess", "unicodedata"):
    import_module(_name)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Callable, Mapping
    from typing import Final

    from mether.relay.asuser import Request
    from mether.relay.way import Way

CHILDREN: Final = 16
"""Deliveries as users at a time, for each worker: as many as it has threads for."""

NO_USER: Final = Reply(550, "5.1.1", "there is no such user here")
NOT_ROOT: Final = Reply(451, "4.3.5", "no mail is delivered as root: it needs an alias")
NO_RULE: Final = Reply(451, "4.3.5", "no route of that name delivers as its users")
FAULT: Final = Reply(451, "4.3.0", "cannot deliver as the user now")

_KEPT: Final = 3
"""Descriptors of a process that everybody expects."""


def start(
    ways: Mapping[str, Way], hostname: str, workers: int, variables: Mapping[str, str] = NONE
) -> asuser.Helper | None:
    """Fork the process that knows these ways; the service's end of its socket, None where there is no way.
    Programs find `variables` in their environment.

    To be called by root, before there are threads or an event loop.  Raises OSError.
    """
    if not ways:
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    if os.fork():
        theirs.close()
        return asuser.Helper(ours, ways)
    status = 70
    try:
        _settle_in(theirs, parent)
        Deliverer(theirs, ways, hostname, CHILDREN * workers, variables).run()
        status = 0
    except BaseException as error:
        tell(f"internal error: {error!r}")
    finally:
        os._exit(status)


def tell(what: str) -> None:
    """A line on standard error, where the service has its log."""
    text = "".join(char if char.isprintable() else "?" for char in what)[:1000]
    try:
        os.write(2, f"mether/deliverer[{os.getpid()}]: error: {text}\n".encode("utf-8", "replace"))
    except OSError:
        pass


def _settle_in(sock: socket.socket, parent: int) -> None:
    """Let go of all that is the service's, and live as long as it does."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    mine = sock.fileno()
    os.closerange(_KEPT, mine)
    os.closerange(mine + 1, privileges.descriptors())
    privileges.die_with_parent(parent)
    os.chdir("/")
    os.umask(0o077)


class _Child:
    """A delivery under way, and when it has taken too long."""

    __slots__ = ("pid", "until")

    def __init__(self, pid: int, until: float) -> None:
        self.pid = pid
        self.until = until


class Deliverer:
    """Takes requests from `sock` until nobody can send any."""

    def __init__(
        self,
        sock: socket.socket,
        ways: Mapping[str, Way],
        hostname: str,
        most: int,
        variables: Mapping[str, str] = NONE,
    ) -> None:
        self._sock = sock
        self._ways = ways
        self._hostname = hostname
        self._most = most
        self._variables = variables
        self._children: dict[int, _Child] = {}

    def run(self) -> None:
        """Work; returns at the end of the socket, and leaves what is under way to end by itself."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        while True:
            poll = select.poll()
            poll.register(reading, select.POLLIN)
            if len(self._children) < self._most:
                poll.register(self._sock, select.POLLIN)
            soonest = min((one.until for one in self._children.values()), default=None)
            wait = None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000 + 1
            ready = [fd for fd, _ in poll.poll(wait)]
            if reading in ready:
                os.read(reading, 4096)
            self._reap()
            if self._sock.fileno() in ready and not self._take():
                return

    def _reap(self) -> None:
        while self._children:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            self._children.pop(pid, None)
        now = time.monotonic()
        for child in self._children.values():
            if now >= child.until:
                os.kill(child.pid, signal.SIGKILL)
                child.until = now + asuser.SLACK

    def _take(self) -> bool:
        """Take a request, and fork for it; False when there will be no more."""
        room = socket.CMSG_SPACE(2 * array.array("i").itemsize)
        try:
            packet, rights, flags, _ = self._sock.recvmsg(
                asuser.MAX_REQUEST + 1, room, socket.MSG_CMSG_CLOEXEC
            )
        except InterruptedError:
            return True
        except OSError:
            return False
        fds = array.array("i")
        for level, kind, octets in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(octets[: len(octets) - len(octets) % fds.itemsize])
        try:
            if not packet and not fds:
                return False
            self._fork(packet, list(fds), bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _fork(self, packet: bytes, fds: list[int], cut: bool) -> None:
        """Have a child do what was asked.  A request that is none gets no answer but the end of its pipe."""
        if cut or len(fds) != 2:
            tell("refused a request: it is too long, or has not two descriptors")
            return
        content, answer = fds
        try:
            request = asuser.decode(packet, asuser.handed(content))
        except (OSError, ValueError) as error:
            tell(f"refused a request: {error}")
            return
        found = self._ways.get(request.rule)
        if found is None:
            tell(f"refused a request: route {request.rule[:80]!r} does not deliver as its users")
            _answer(answer, NO_RULE)
            return
        try:
            pid = os.fork()
        except OSError as error:
            tell(f"cannot fork: {error.strerror}")
            return
        if pid:
            until = time.monotonic() + found.terms.limit + asuser.SLACK / 2
            self._children[pid] = _Child(pid, until)
            return
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self._sock.close()
            _answer(answer, self._delivered(request, found))
        except BaseException as error:
            tell(f"internal error: {error!r}")
        finally:
            os._exit(0)

    def _delivered(self, request: Request, found: Way) -> Reply:
        """In the child: become the user and deliver."""
        user, _ = split(request.recipient.forward_path, found.delimiter)
        reply, person = look_up(user)
        if person is None:
            if reply is NOT_ROOT:
                tell(f"{request.letter.ident}: refused to deliver as root, for {user[:80]!r}")
            return reply
        try:
            privileges.become(person)
            try:
                os.chdir(person.home)
            except OSError:
                os.chdir("/")
        except OSError as error:
            tell(f"cannot become user {person.name}: {error.strerror}")
            return FAULT
        [reply] = way.deliver(
            found,
            [request.recipient],
            request.letter,
            now=time.time(),
            hostname=self._hostname,
            tell=lambda what: tell(f"{request.letter.ident}: as {person.name}: {what}"),
            person=person,
            variables=self._variables,
        )
        return reply


def look_up(user: str, find: Callable[[str], pwd.struct_passwd] = entry) -> tuple[Reply, Person | None]:
    """The Unix user with that name, in lower case; with None, the reply that says why there is none."""
    name = user.lower()
    if not name or not name.isascii() or not name.isprintable() or "/" in name or ":" in name:
        return NO_USER, None
    try:
        found = find(name)
    except (KeyError, ValueError):
        return NO_USER, None
    except OSError:
        return FAULT, None
    if found.pw_uid == 0 or found.pw_gid == 0:
        return NOT_ROOT, None
    home = found.pw_dir if found.pw_dir.startswith("/") else "/"
    return FAULT, Person(found.pw_name, found.pw_uid, found.pw_gid, home, found.pw_shell)


def _answer(fd: int, reply: Reply) -> None:
    try:
        os.write(fd, asuser.encode_answer(reply))
    except OSError:
        pass  # who asked is gone
