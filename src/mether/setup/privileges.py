"""Giving root up: the service binds its ports as root, and goes on as the user that ``[service]`` names.

`leave` does it all when the sockets are open; it is made of `wanted`, which says who that is, `ready`,
whether the queue is that user's, and `become`, which makes this process that user with all groups, in a way
that cannot be undone.  What the service is to read, now and after a reload (keys, password files, tables),
that user has to be able to read; and a reload can open no port below 1024.

Where routes deliver as their users, the process that does so (`setup.deliverer`) is forked before.

Where no process of ours stays root, `no_new` has the kernel refuse any privilege that a program could give,
by set-user-id and the like, to this process and all that it starts.

Fails with ConfigError, one line.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import signal

from mether.relay.letter import Person
from mether.setup.locate import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from mether.relay.asuser import Helper
    from mether.setup.config import Config
    from mether.setup.places import Key, Place

_PDEATHSIG: Final = 1
_NO_NEW_PRIVS: Final = 38


def leave(config: Config, opened: Mapping[Key, Place] | None = None, workers: int = 1) -> Helper | None:
    """Become whom the configuration names, where it names one and that is not who this is already.

    `opened` are the places that are listened on: the files of Unix sockets go to that user.  The result
    delivers as users, None where no route asks for that.  To be called before there are threads or an event
    loop.  Raises ConfigError; then nothing is listened on any more.
    """
    places = [] if opened is None else list(opened.values())
    try:
        return _leave(config, [place.listen.path for place in places if place.listen.path], workers)
    except ConfigError:
        for place in places:
            place.end()
        raise


def _leave(config: Config, files: Iterable[str], workers: int) -> Helper | None:
    person = wanted(config)
    if person is None:
        return None
    from mether.setup import deliverer, delivering

    ready(config, person)
    try:
        for path in files:
            os.chown(path, person.uid, -1, follow_symlinks=False)
        helper = deliverer.start(
            delivering.ways(config, config.router()),
            config.service.hostname,
            workers,
            delivering.variables(config),
        )
        become(person)
    except OSError as error:
        where = config.origins.get("service.user", config.path)
        raise ConfigError(f"{where}: service.user: cannot become {person.name}: {error.strerror}") from None
    if helper is None:
        no_new()
    return helper


def wanted(config: Config) -> Person | None:
    """Who this process is to become; None where it is to stay who it is.  Raises ConfigError."""
    user, group = config.service.user, config.service.group
    if user is None:
        return None
    where = config.origins.get("service.user", config.path)
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(f"{where}: service.user: there is no user {user!r} on this host") from None
    gid = found.pw_gid
    if group is not None:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            where = config.origins.get("service.group", config.path)
            raise ConfigError(f"{where}: service.group: there is no group {group!r} on this host") from None
    if found.pw_uid == 0:
        raise ConfigError(f"{where}: service.user: {user} is root; expected a user without privileges")
    if os.geteuid() == found.pw_uid:
        return None
    if os.geteuid() != 0:
        name = _name(os.geteuid())
        raise ConfigError(
            f"{where}: service.user: only root can become {user}, and this is {name}: start it as root, or "
            f"as {user}"
        )
    return Person(found.pw_name, found.pw_uid, gid, found.pw_dir, found.pw_shell)


def ready(config: Config, person: Person) -> None:
    """Make the spool for that user where there is none.  Raises ConfigError where it is another's."""
    scheme, _, path = config.queue.spool.partition(":")
    if scheme == "memory" or not path:
        return
    where = config.origins.get("queue.spool", config.path)
    try:
        missing = []
        at = os.path.abspath(path)
        while not os.path.isdir(at) and not os.path.lexists(at):
            missing.append(at)
            at = os.path.dirname(at)
        for directory in reversed(missing):
            os.mkdir(directory, 0o755)
        if missing:
            os.chmod(path, 0o700)
            os.chown(path, person.uid, person.gid)
            return
        found = os.stat(path)
        names = [path, *(entry.path for entry in os.scandir(path))] if os.path.isdir(path) else [path]
        others = [(one, os.lstat(one).st_uid) for one in names]
    except OSError as error:
        raise ConfigError(f"{where}: queue.spool: {error.filename or path}: {error.strerror}") from None
    for one, uid in others:
        if uid != person.uid:
            raise ConfigError(
                f"{where}: queue.spool: {one} belongs to {_name(uid)}, and the service runs as "
                f"{person.name}: chown -R {person.name} {path}"
            )
    if not found.st_mode & 0o700 == 0o700:
        raise ConfigError(f"{where}: queue.spool: {path} is closed to its owner: chmod 0700 {path}")


def become(person: Person) -> None:
    """Be that user from now on, with the groups that the system gives it.  Raises OSError."""
    os.initgroups(person.name, person.gid)
    os.setresgid(person.gid, person.gid, person.gid)
    os.setresuid(person.uid, person.uid, person.uid)
    if os.getresuid() != (person.uid,) * 3 or os.getresgid() != (person.gid,) * 3:
        raise PermissionError(1, "the kernel did not let go of root")
    try:
        os.setresuid(0, 0, 0)
    except OSError:
        return
    raise PermissionError(1, "root could be taken back")


def no_new() -> None:
    """Have the kernel give no privilege to this process, and to what it starts, ever again."""
    _prctl(_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent`, which started this one, dies; ends at once where it has."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def descriptors() -> int:
    """A number above those of all descriptors that are open."""
    try:
        return max(map(int, os.listdir("/proc/self/fd"))) + 1
    except (OSError, ValueError):
        return int(os.sysconf("SC_OPEN_MAX"))


def _prctl(option: int, value: int) -> None:
    """Where the kernel has no such thing there is one wall less, and the others stand."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
