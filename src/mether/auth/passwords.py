"""The password file: a line for each login, made by ``mether passwd``.

    # comment
    ann@example.org:{ARGON2ID}$argon2id$v=19$...
    scanner:{SCRAM-SHA-256}100000,...:scanner@example.org,@devices.example.org

The third field, which may be left out, says which reverse-paths the login may use (`mether.auth.senders`).
Logins are compared as SASLprep makes them, in their own case.  The file must not be readable by
everyone.

`read` raises `PasswordFileError`, one line with file and line.  `PasswordFile` is a backend that blocks: put
it in a `mether.auth.threads.InThread`.  It looks at the file's time and size at each question and reads it
again when they have changed; a new file with a mistake in it is complained about once, and the last good
one stays in force.  While there is no file that may be read, every answer is *temporary*.

An unknown login takes as long as a known one: the password is held against another's verifier.  SCRAM is
offered only when all logins have keys for it: a client takes the strongest mechanism it sees, and few try
another when that fails, so that one login more must not lock the others out.

    file = PasswordFile("/etc/mether/passwords", complain=log)
    users = Authenticator([InThread(file)], random=os.urandom, complain=log)
    senders.may(login, reverse_path, file.senders(login))
"""

from __future__ import annotations

import os
import stat
import threading

from mether.auth import textfile
from mether.auth.verifier import Scram, VerifierError, parse
from mether.smtp.sasl import (
    ACCEPTED,
    MAX_LOGIN,
    REJECTED,
    TEMPORARY,
    Answer,
    CheckPassword,
    CheckToken,
    FindKeys,
)
from mether.smtp.saslprep import SaslprepError, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.auth.verifier import Verifier
    from mether.smtp.sasl import Question

MAX_LINE: Final = 4096


class PasswordFileError(Exception):
    """The file cannot be used; str() is one line: file, line, what, and what was expected."""


class Entry:
    """One login: its verifier, and the patterns of its reverse-paths (None: not tied to any)."""

    __slots__ = ("senders", "verifier")

    def __init__(self, verifier: Verifier, senders: tuple[str, ...] | None) -> None:
        self.verifier = verifier
        self.senders = senders


def check_login(login: str) -> str:
    """The login as it is compared.  Raises ValueError, for a person, unless it can be in the file."""
    try:
        name = prepare(login, stored=True)
    except SaslprepError as error:
        raise ValueError(f"the login {login!r} cannot be used: {error}") from None
    if not name or len(name.encode()) > MAX_LOGIN:
        raise ValueError(f"a login has 1 to {MAX_LOGIN} octets")
    if ":" in name or name.startswith("#") or any(char.isspace() for char in name):
        raise ValueError(f"a login holds no colon and no space, and does not begin with #: {login!r}")
    return name


def parse_lines(text: str, name: str) -> dict[str, Entry]:
    """The logins in the file's text; `name` is the file in errors.  Raises PasswordFileError."""
    entries: dict[str, Entry] = {}
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{name}:{number}"
        if len(line) > MAX_LINE:
            raise PasswordFileError(f"{where}: a line of more than {MAX_LINE} characters")
        login, colon, rest = line.partition(":")
        if not colon:
            raise PasswordFileError(f"{where}: expected LOGIN:VERIFIER or LOGIN:VERIFIER:SENDERS")
        written, tied, patterns = rest.partition(":")
        try:
            login = check_login(login)
            verifier = parse(written)
        except ValueError as error:
            raise PasswordFileError(f"{where}: {error}") from None
        if login in entries:
            raise PasswordFileError(f"{where}: {login} is already in line {seen[login]}")
        senders: tuple[str, ...] | None = None
        if tied:
            from mether.auth.senders import SendersError, check_pattern

            senders = tuple(patterns.replace(",", " ").split())
            try:
                for pattern in senders:
                    check_pattern(pattern)
            except SendersError as error:
                raise PasswordFileError(f"{where}: {error}") from None
        seen[login] = number
        entries[login] = Entry(verifier, senders)
    return entries


def open_private(path: str) -> int:
    """A descriptor of a file that not everyone may read.  Raises PasswordFileError or OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang us
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PasswordFileError(f"{path}: not a file")
        if status.st_mode & 0o006:
            mode = stat.S_IMODE(status.st_mode)
            raise PasswordFileError(
                f"{path}: everyone may read or write it (mode {mode:04o}): chmod o= {path}"
            )
        if status.st_size > textfile.MAX_FILE:
            raise PasswordFileError(f"{path}: larger than {textfile.MAX_FILE >> 20} MiB")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_text(path: str) -> str:
    """The text of a private file.  Raises PasswordFileError."""
    try:
        with open(open_private(path), "rb") as file:
            return textfile.read(file, path, PasswordFileError)
    except OSError as error:
        raise PasswordFileError(f"{path}: {error.strerror or error}") from None


def read(path: str) -> dict[str, Entry]:
    """The logins of a file.  Raises PasswordFileError."""
    return parse_lines(read_text(path), path)


class PasswordFile:
    """A file as a backend that blocks.

    `complain` is called with one line when a changed file cannot be used, from whatever thread asked.
    Raises PasswordFileError when the file cannot be used at first.
    """

    passwords = True
    tokens = False

    def __init__(self, path: str, complain: Callable[[str], None]) -> None:
        self.path = path
        self._complain = complain
        self._lock = threading.Lock()
        self._seen = _signature(path)
        self._there = True
        self._take(read(path))

    def _take(self, entries: dict[str, Entry]) -> None:
        counts: dict[int, int] = {}
        for entry in entries.values():
            if isinstance(entry.verifier, Scram):
                count = entry.verifier.keys.iterations
                counts[count] = counts.get(count, 0) + 1
        self._entries = entries
        self.count = len(entries)
        """How many logins there are."""
        self.without_keys = len(entries) - sum(counts.values())
        """How many of them can't use SCRAM."""
        self.keys = not self.without_keys and self.count > 0
        """Whether every login can use SCRAM."""
        self.iterations = max(counts, key=counts.__getitem__) if counts else 0
        """The iteration count of most logins, so that unknown ones do not differ; 0 without any."""

    def refresh(self) -> bool:
        """Read the file again if it has changed; whether there is something to answer from."""
        with self._lock:
            signature = _signature(self.path)
            if signature == self._seen:
                return self._there
            self._seen = signature
            try:
                text = read_text(self.path)
            except PasswordFileError as error:
                self._there = False
                self._complain(str(error))
                return False
            self._there = True
            try:
                self._take(parse_lines(text, self.path))
            except PasswordFileError as error:
                self._complain(f"{error}; what was read before stays in force")
            return True

    def senders(self, login: str) -> tuple[str, ...] | None:
        """The patterns of the reverse-paths that a login is tied to, None for any."""
        entry = self._entries.get(login)
        return None if entry is None else entry.senders

    def check(self, question: Question, remote: str = "") -> Answer:
        """Answer a question.  Blocks."""
        if isinstance(question, CheckToken):
            return REJECTED
        if not self.refresh():
            return TEMPORARY
        entries = self._entries
        entry = entries.get(question.login)
        if isinstance(question, FindKeys):
            if entry is not None and isinstance(entry.verifier, Scram):
                return Answer.found(entry.verifier.keys)
            return REJECTED
        assert isinstance(question, CheckPassword)
        verifier = entry.verifier if entry is not None else _some(entries)
        if verifier is None:
            return REJECTED
        try:
            right = verifier.check(question.password)
        except VerifierError as error:
            self._complain(f"{self.path}: {question.login}: {error}")
            return TEMPORARY
        return ACCEPTED if right and entry is not None else REJECTED


def _some(entries: dict[str, Entry]) -> Verifier | None:
    """A verifier to hold an unknown login's password against; its answer does not count."""
    for entry in entries.values():
        return entry.verifier
    return None


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode)
