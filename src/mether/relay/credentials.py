"""Logins at next hops: which one a message goes by, and where its password is kept (RFC 4954; RFC 8314).

`Logins.choose` takes the first `Login` whose patterns fit the next hop and the sender; `Logins.credentials`
reads its secret.  A secret comes from exactly one source:

| source | is | read |
|---|---|---|
| file | a file that only its owner, who is us or root, may read | when it has changed |
| credential | a systemd credential: a file in $CREDENTIALS_DIRECTORY | when it has changed |
| env | an environment variable | each time |
| command | what a program prints, run without a shell | when KEPT_SECONDS have passed |

The last newline of a secret does not belong to it.  With source "none" there is no secret, for EXTERNAL.

Fails with `CredentialsError`, one line, in which the secret never is.  It is a passing trouble: whoever
repairs the file gets the mail delivered.
"""

from __future__ import annotations

import os

from mether.smtp.sasl_client import Credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Final, Literal

    from mether.routing.target import Target

    Source = Literal["file", "credential", "env", "command", "none"]

MAX_SECRET: Final = 16 * 1024
"""Octets of a secret."""
COMMAND_SECONDS: Final = 30.0
"""How long a program may take."""
KEPT_SECONDS: Final = 60.0
"""How long what a program printed is used again."""


class CredentialsError(Exception):
    """The secret can't be had; str() is one line for a person."""


class NotOurs(CredentialsError):
    """The secret is another user's: whoever runs as that user can have it."""


class Login:
    """One login: for next hops and senders that fit the patterns `next_hop` and `sender` (``*`` and ``?``).

    `source` and `where` say where its secret is: a path, a credential's or a variable's name, an argument
    vector; `token` that it is a bearer token and no password.  `mechanisms` limits those that are used.
    """

    __slots__ = ("_next_hop", "_sender", "mechanisms", "shared", "source", "token", "user", "where")

    def __init__(
        self,
        user: str,
        source: Source = "none",
        where: str | tuple[str, ...] = "",
        *,
        next_hop: str = "*",
        sender: str = "*",
        token: bool = False,
        mechanisms: Iterable[str] | None = None,
    ) -> None:
        self.user = user
        self.source = source
        self.where = where
        self.token = token
        self.mechanisms = None if mechanisms is None else tuple(mechanisms)
        self._next_hop = _pattern(bare(next_hop))
        self._sender = _pattern(sender)
        self.shared = sender == "*"

    def fits(self, target: Target, sender: str) -> bool:
        """Whether it is for mail from `sender` ("" for the null reverse-path) by this next hop.

        The next hop's pattern is compared with its name or address alone, and with ``:port`` behind it.
        """
        from fnmatch import fnmatchcase

        return self.leads(target) and (self.shared or fnmatchcase(sender.lower(), self._sender))

    def leads(self, target: Target) -> bool:
        """Whether it is for this next hop, for some sender."""
        from fnmatch import fnmatchcase

        host = target.host
        return fnmatchcase(host, self._next_hop) or fnmatchcase(f"{host}:{target.port}", self._next_hop)

    def __repr__(self) -> str:
        return f"Login({self.user!r}, {self.source} {self.where!r})"


class Logins:
    """All logins, in order.  `environ` and `clock` (seconds from anywhere) are for tests to give."""

    def __init__(
        self,
        logins: Iterable[Login],
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] | None = None,
    ) -> None:
        import time

        self._logins = tuple(logins)
        self._environ = environ
        self._clock = clock or time.monotonic
        self._files: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._printed: dict[tuple[str, ...], tuple[float, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._logins)

    def choose(self, target: Target, sender: str) -> Login | None:
        """The first login for this next hop and sender; None: the mail goes without."""
        for login in self._logins:
            if login.fits(target, sender):
                return login
        return None

    async def credentials(self, login: Login) -> Credentials:
        """The login with its secret.  Raises CredentialsError."""
        secret = None
        if login.source == "command":
            assert isinstance(login.where, tuple)
            secret = await self._command(login.where)
        elif login.source != "none":
            secret = self._still(login)
        try:
            return Credentials(
                login.user,
                None if login.token else secret,
                secret if login.token else None,
                login.mechanisms,
            )
        except ValueError as error:
            raise CredentialsError(f"the login {login.user!r} can't be used: {error}") from None

    def refused(self, login: Login) -> None:
        """The server did not take it: a program is asked again the next time."""
        if isinstance(login.where, tuple):
            self._printed.pop(login.where, None)

    def _still(self, login: Login) -> str:
        where = login.where
        assert isinstance(where, str)
        if login.source == "env":
            value = self._environ.get(where)
            if value is None:
                raise CredentialsError(f"the environment variable {where} is not set")
            return _secret(value.encode("utf-8", "surrogateescape"), f"the environment variable {where}")
        private = login.source == "file"
        path = where if private else credential_path(where, self._environ)
        try:
            stamp = _stamp(os.stat(path))
        except OSError as error:
            raise CredentialsError(f"{path}: {error.strerror}") from None
        known = self._files.get(path)
        if known is None or known[0] != stamp:
            known = self._files[path] = (stamp, read_file(path, private=private))
        return known[1]

    async def _command(self, argv: tuple[str, ...]) -> str:
        import asyncio

        now = self._clock()
        known = self._printed.get(argv)
        if known is not None and now < known[0]:
            return known[1]
        shown = os.path.basename(argv[0])
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except (OSError, ValueError) as error:
            raise CredentialsError(f"{shown}: {getattr(error, 'strerror', None) or error}") from None
        assert process.stdout is not None
        data = bytearray()
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                while len(data) <= MAX_SECRET and (piece := await process.stdout.read(MAX_SECRET + 1)):
                    data += piece
                if len(data) <= MAX_SECRET:
                    await process.wait()
        except TimeoutError:
            raise CredentialsError(f"{shown} took longer than {COMMAND_SECONDS:.0f} seconds") from None
        finally:
            if process.returncode is None:
                try:
                    process.kill()
                except ProcessLookupError:
                    pass
                await process.wait()
        if process.returncode and len(data) <= MAX_SECRET:
            raise CredentialsError(f"{shown} ended with status {process.returncode}")
        secret = _secret(bytes(data), f"what {shown} printed")
        self._printed[argv] = (now + KEPT_SECONDS, secret)
        return secret


def read_file(path: str, *, private: bool = True) -> str:
    """The secret in a file; `private` demands that nobody but its owner may read it.  Raises
    CredentialsError.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            if private:
                found = os.fstat(file.fileno())
                if found.st_mode & 0o077:
                    mode = f"{found.st_mode & 0o7777:04o}"
                    raise CredentialsError(f"{path}: others may read it (mode {mode}); expected mode 0600")
                if found.st_uid not in (0, os.geteuid()):
                    raise NotOurs(f"{path}: it belongs to neither us nor root")
            data = file.read(MAX_SECRET + 1) or b""
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from None
    return _secret(data, path)


def bare(next_hop: str) -> str:
    """A pattern of next hops as it is compared: without ``lmtp:`` and ``unix:``, and without the brackets of
    ``[host]:port``.
    """
    for prefix in ("lmtp:", "unix:"):
        if next_hop[:5].lower() == prefix:
            next_hop = next_hop[5:]
    if next_hop.startswith("["):
        host, bracket, port = next_hop[1:].partition("]")
        if bracket:
            return f"{host}{port}"
    return next_hop


def _pattern(text: str) -> str:
    """A pattern in which only ``*`` and ``?`` stand for others; a bracket, as in a literal, is one."""
    return text.lower().replace("[", "[[]")


def credential_path(name: str, environ: Mapping[str, str]) -> str:
    """Where systemd put a credential.  Raises CredentialsError where it gave none."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise CredentialsError(
            f"the credential {name}: systemd gave none ($CREDENTIALS_DIRECTORY is not set)"
        )
    return os.path.join(directory, name)


def _secret(data: bytes, what: str) -> str:
    if len(data) > MAX_SECRET:
        raise CredentialsError(f"{what}: longer than {MAX_SECRET // 1024} KiB; is this a secret?")
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        raise CredentialsError(f"{what}: empty; expected a secret")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CredentialsError(f"{what}: not UTF-8") from None


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mtime_ns, found.st_size, found.st_ino
