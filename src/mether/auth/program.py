"""A program that is asked about each login, in one of two conventions.

* ``checkpassword`` (D. J. Bernstein's): on descriptor 3 it reads ``login NUL password NUL NUL``, checks it,
  and then runs the rest of its argument vector; so a vector is ``["checkpassword", "true"]``.
* ``lines``: on descriptor 0 it reads two lines, the login (empty, where a token shall tell it) and the
  password or token.  It may print the login that it found, on one line.

Exit status 0 accepts, 111 and 75 are *temporary*, as is a signal, the time limit, a program that cannot be
started or 2 of checkpassword (used wrongly); 77 says that the account is disabled; anything else
rejects.  The program runs without a shell, leads a session of its own, which is killed when the time is up,
and has in its environment only PATH, LANG, AUTH_KIND (password or token), AUTH_MECHANISM for a token, and
TCPREMOTEIP, the client's address.  What it writes on standard error goes where ours goes.

`Program.check` blocks for as long as the program takes (`mether.auth.threads`), and never raises.

    backend = InThread(Program(["/usr/local/bin/check-token"], tokens=True, passwords=False, complain=log))
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import time

from mether.smtp.sasl import (
    ACCEPTED,
    DISABLED,
    REJECTED,
    TEMPORARY,
    Answer,
    CheckPassword,
    CheckToken,
    name_from,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from mether.smtp.sasl import Question

CONVENTIONS: Final = ("checkpassword", "lines")
LIMIT: Final = 30.0
"""Seconds that the program may take."""

MAX_OUTPUT: Final = 1024
"""Octets that are read of what it prints."""

PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_ORDINARY: Final = (
    signal.SIGPIPE,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that the program shall take as any program does, whatever we do with them."""


class Program:
    """The backend, which blocks.  Raises ValueError for an argument vector or a convention that cannot be."""

    keys = False
    iterations = 0

    def __init__(
        self,
        argv: Sequence[str],
        *,
        complain: Callable[[str], None],
        convention: str = "lines",
        passwords: bool = True,
        tokens: bool = False,
        limit: float = LIMIT,
    ) -> None:
        if not argv or not argv[0] or any("\0" in argument for argument in argv):
            raise ValueError("the first argument must be the program's name or path, and none holds a NUL")
        if convention not in CONVENTIONS:
            raise ValueError(f"{convention!r} is not one of {', '.join(CONVENTIONS)}")
        if tokens and convention == "checkpassword":
            raise ValueError("checkpassword is a convention for passwords; tokens need lines")
        self.passwords = passwords
        self.tokens = tokens
        self._argv = list(argv)
        self._name = os.path.basename(argv[0])
        self._complain = complain
        self._descriptor = 3 if convention == "checkpassword" else 0
        self._limit = limit

    def check(self, question: Question, remote: str = "") -> Answer:
        """Answer the question.  Blocks."""
        secret = self._secret(question)
        if secret is None:
            return REJECTED
        try:
            status, printed = self._run(secret, self._environment(question, remote))
        except OSError as error:
            self._complain(f"cannot run {self._name}: {error.strerror or error}")
            return TEMPORARY
        if status is None:
            self._complain(f"{self._name} did not finish within {self._limit:g} seconds")
            return TEMPORARY
        return self._verdict(status, printed)

    def _secret(self, question: Question) -> bytes | None:
        """What the program reads; None for what cannot be asked so."""
        if isinstance(question, CheckPassword) and self.passwords:
            said = question.password
        elif isinstance(question, CheckToken) and self.tokens:
            said = question.token
        else:
            return None
        if any(char in text for text in (question.login, said) for char in "\0\r\n"):
            return None
        if self._descriptor == 3:
            return f"{question.login}\0{said}\0\0".encode()
        return f"{question.login}\n{said}\n".encode()

    def _environment(self, question: Question, remote: str) -> dict[str, str]:
        environment = {"PATH": PATH, "LANG": os.environ.get("LANG", "C.UTF-8"), "AUTH_KIND": "password"}
        if isinstance(question, CheckToken):
            environment.update(AUTH_KIND="token", AUTH_MECHANISM=question.mechanism)
        if remote and "\0" not in remote:
            environment["TCPREMOTEIP"] = remote
        return environment

    def _verdict(self, status: int, printed: bytes) -> Answer:
        if status == 0:
            line = printed.split(b"\n", 1)[0].strip()
            if self._descriptor == 3 or not line:
                return ACCEPTED  # what checkpassword runs may print what it likes
            login = name_from(line)
            if login is None:
                self._complain(f"{self._name} printed what is not a login")
                return TEMPORARY
            return Answer("accepted", login=login)
        if status < 0:
            self._complain(f"{self._name} was ended by signal {-status}")
            return TEMPORARY
        if status in (75, 111) or (status == 2 and self._descriptor == 3):
            self._complain(f"{self._name} exited with status {status}")
            return TEMPORARY
        return DISABLED if status == 77 else REJECTED

    def _run(self, secret: bytes, environment: dict[str, str]) -> tuple[int | None, bytes]:
        """Run it: its exit status (negative: a signal; None: out of time) and what it printed.

        By posix_spawn, which alone puts a pipe on descriptor 3 without code of ours between fork and
        exec: there are other threads here.
        """
        path = shutil.which(self._argv[0], path=PATH)
        if path is None:
            raise FileNotFoundError(2, os.strerror(2))
        ends = [*_pipe(), *_pipe()]
        secret_end, give_end, take_end, print_end = ends
        try:
            # It is far below a pipe's 64 KiB, so that this does not wait for a reader.
            os.set_blocking(give_end, False)
            os.write(give_end, secret)
            os.close(ends.pop(1))
            actions: list[tuple[int, int] | tuple[int, int, int] | tuple[int, int, str, int, int]]
            actions = [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inheritable()]
            if self._descriptor == 3:
                actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
            actions.append((os.POSIX_SPAWN_DUP2, secret_end, self._descriptor))
            actions.append((os.POSIX_SPAWN_DUP2, print_end, 1))
            process = os.posix_spawn(
                path,
                self._argv,
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_ORDINARY,
            )
            os.close(ends.pop())
            return _wait(process, take_end, time.monotonic() + self._limit)
        finally:
            for descriptor in ends:
                os.close(descriptor)


def _inheritable() -> list[int]:
    """Descriptors above 2 that whoever started us left open, for us and not for this program."""
    found = []
    for name in os.listdir("/dev/fd"):
        descriptor = int(name)
        try:
            if descriptor > 2 and os.get_inheritable(descriptor):
                found.append(descriptor)
        except OSError:
            pass  # the directory's own, and what another thread has closed since
    return found


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are above 3, so that no end of it stands where another is to be put."""
    ends = os.pipe()
    try:
        return (
            fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 10),
            fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 10),
        )
    finally:
        for end in ends:
            os.close(end)


def _wait(process: int, output: int, deadline: float) -> tuple[int | None, bytes]:
    """Wait for the end of the process and of what it prints, and reap it.

    What its own children hold open is not waited for.
    """
    os.set_blocking(output, False)
    printed = b""
    poll = select.poll()  # and not select(), which knows no descriptor above 1023
    poll.register(output, select.POLLIN)
    # Where the kernel cannot tell when a process ends it has to be asked again and again.
    handle = os.pidfd_open(process) if hasattr(os, "pidfd_open") else -1
    if handle >= 0:
        poll.register(handle, select.POLLIN)
    try:
        while True:
            left = max(0.0, deadline - time.monotonic())
            for descriptor, _ in poll.poll(1000 * (left if handle >= 0 else min(left, 0.02))):
                if descriptor == output:
                    piece = os.read(output, MAX_OUTPUT)
                    printed = (printed + piece)[:MAX_OUTPUT]
                    if not piece:
                        poll.unregister(output)
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                printed = (printed + _rest(output))[:MAX_OUTPUT]
                return os.waitstatus_to_exitcode(status), printed
            if time.monotonic() >= deadline:
                try:
                    os.killpg(process, signal.SIGKILL)
                except OSError:
                    pass
                os.waitpid(process, 0)
                return None, printed
    finally:
        if handle >= 0:
            os.close(handle)


def _rest(output: int) -> bytes:
    try:
        return os.read(output, MAX_OUTPUT)
    except BlockingIOError:
        return b""
