"""SRS with its secrets in a file, which is read anew when it has changed.

A line is a secret: the first signs, and all are believed, so that a new one is put on top and the old one
stays below it for `max_age`, until the last address that it signed has become too old.  Empty lines, and
those that begin with ``#``, are passed over.

Fails with TableError, which names the file: mail waits for it (`routing.source`).  A file that everybody may
read is an error, too.
"""

from __future__ import annotations

import os

from mether.routing.source import TableError
from mether.routing.srs import HASH, MAX_AGE, Srs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.address import Address

MAX_FILE: Final = 16 * 1024
"""Octets of the file."""


class SrsFile:
    """The scheme at `domain` with the secrets in the file at `path`; `clock` gives Unix seconds.

    `max_age` and `length` are those of `routing.srs`.
    """

    __slots__ = ("_clock", "_domain", "_length", "_made", "_max_age", "_stamp", "path")

    def __init__(
        self,
        domain: str,
        path: str,
        clock: Callable[[], float],
        *,
        max_age: float = MAX_AGE,
        length: int = HASH,
    ) -> None:
        self.path = path
        self._domain = domain
        self._clock = clock
        self._max_age = max_age
        self._length = length
        self._stamp: tuple[int, int, int] | None = None
        # Whether an address is ours is known without any secret.
        self._made = Srs(domain, [b"none"], max_age=max_age, length=length)

    @property
    def domain(self) -> str:
        """The domain of the addresses, in lower case with A-labels."""
        return self._made.ascii_domain

    def forward(self, sender: Address) -> Address:
        """The reverse-path under which mail of `sender` is forwarded.  Raises TableError."""
        return self.check().forward(sender, self._clock())

    def reverse(self, recipient: Address) -> Address | None:
        """Who is meant by an address that was made here; None: it is no such address.

        Raises SrsError when it only looks like one, and TableError.
        """
        return self.check().reverse(recipient, self._clock()) if self._made.is_ours(recipient) else None

    def check(self) -> Srs:
        """The scheme with the secrets that are in the file now.  Raises TableError."""
        try:
            found = os.stat(self.path)
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if stamp != self._stamp:
                self._made = self._read()
                self._stamp = stamp
        except OSError as error:
            raise TableError(f"{self.path}: {error.strerror}") from None
        return self._made

    def _read(self) -> Srs:
        with open(self.path, "rb", buffering=0) as file:
            mode = os.fstat(file.fileno()).st_mode & 0o7777
            if mode & 0o007:
                raise TableError(
                    f"{self.path}: everybody may read it (mode {mode:04o}); expected mode 0600 or 0640"
                )
            data = file.read(MAX_FILE + 1) or b""
        if len(data) > MAX_FILE:
            raise TableError(f"{self.path}: longer than {MAX_FILE // 1024} KiB; are these secrets?")
        lines = [line.strip() for line in data.splitlines()]
        secrets = [line for line in lines if line and not line.startswith(b"#")]
        if not secrets:
            raise TableError(f"{self.path}: no secret in it; expected a line of random characters")
        return Srs(self._domain, secrets, max_age=self._max_age, length=self._length)
