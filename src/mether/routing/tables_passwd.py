"""The users of this host, as getpwnam(3) knows them: ``/etc/passwd`` and whatever else nsswitch.conf names.

Every name there is a user, whatever its shell or number: mail for ``root``, ``postmaster`` or ``www-data`` is
that of a mailbox of this host, as Postfix (local_recipient_maps) and OpenSMTPD have it.  Who wants fewer
lists them.  The value is the name as the system has it.  One in capital letters is not found: keys have none.

An answer is kept for `KEEP` seconds.  Look-ups do not wait for anything where users are in a file; a
directory service that is asked over the network should have a cache on this host (nscd, sssd).
"""

from __future__ import annotations

import errno
import os
import time

from mether.routing.kept import Kept
from mether.routing.source import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pwd
    from collections.abc import Callable
    from typing import Final

KEEP: Final = 5.0
"""Seconds for which an answer is kept."""
_FILE: Final = "/etc/passwd"
_ENTRY: Final = 512
"""Octets that hold a struct passwd on any system."""
_NOBODY: Final = frozenset((0, errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EPERM))
"""With which getpwnam_r(3) says that there is no such user, depending on where it looks."""
LONGEST: Final = 255
"""Characters of a name that is asked for."""


class Passwd:
    """A `routing.source.Source`: names, or addresses of which the local-part is one.

    `find` gives the name of a user as the system has it, or raises KeyError; `clock` gives seconds.
    """

    __slots__ = ("_find", "_kept", "name")

    def __init__(
        self, find: Callable[[str], str] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = "passwd"
        self._find = find or _name
        self._kept = Kept(KEEP, clock)

    def get(self, key: str) -> str | None:
        """The user's name, None when there is none.  Raises TableError."""
        local = key.rpartition("@")[0] if "@" in key else key
        if not local or len(local) > LONGEST or not local.isprintable():
            return None
        known = self._kept.get(local)
        return self._kept.put(local, self._ask(local)) if known is None else known.value

    async def learn(self, key: str) -> None:
        """Nothing has to be waited for."""

    def check(self) -> None:
        """Whether users can be looked up.  Raises TableError."""
        self._ask("root")

    def _ask(self, local: str) -> str | None:
        try:
            return self._find(local)
        except KeyError:
            return None
        except OSError as error:
            raise TableError(f"{self.name}: {error.strerror or error}") from None


def _name(name: str) -> str:
    return entry(name).pw_name


def entry(name: str) -> pwd.struct_passwd:
    """The user's entry.  Raises KeyError when there is none, OSError when that cannot be found out."""
    import pwd

    try:
        return pwd.getpwnam(name)
    except KeyError:
        # The module says so where the users cannot be read, too, and so does the system when the last of its
        # services knows of nobody: with no descriptor left nobody would be here.
        os.close(os.open(_FILE, os.O_RDONLY | os.O_CLOEXEC))
        if number := _trouble(name.encode("utf-8", "surrogateescape")):
            raise OSError(number, os.strerror(number)) from None
        raise


def _trouble(name: bytes) -> int:
    """The error number with which a user is not found, 0 where there is none of that name."""
    import ctypes

    number: int = 0
    for size in (1 << 12, 1 << 20):
        found = ctypes.c_void_p()
        entry, buffer = ctypes.create_string_buffer(_ENTRY), ctypes.create_string_buffer(size)
        number = ctypes.CDLL(None).getpwnam_r(
            ctypes.c_char_p(name), entry, buffer, ctypes.c_size_t(size), ctypes.byref(found)
        )
        if number != errno.ERANGE:
            break
    return 0 if number in _NOBODY else number
