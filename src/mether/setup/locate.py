"""Where the configuration and the spool are, and what holds when there is no configuration.

The configuration file is the first of: what ``-C`` names; ``$METHER_CONFIG``;
``$XDG_CONFIG_HOME/mether/mether.toml`` (``~/.config`` by default); ``/etc/mether/mether.toml``.  A file that
was named must be there; the last two need not.  For root the last two are in the other order, as the home
that sudo leaves may be another's.  The spool is the first of: ``--spool``; ``$METHER_SPOOL``; the
configuration; ``sqlite:/var/spool/smtpq`` for root, ``sqlite:$XDG_STATE_HOME/mether/smtpq``
(``~/.local/state``) for anyone else.

`basics` is what a one-shot program calls.  Without a configuration file it imports nothing; with one it
pays for the decoder.  Fails with `ConfigError`, whose text is one line.
"""

from __future__ import annotations

import os

from mether.address import MAX_DOMAIN, AddressError, check_domain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from mether.setup.config import Config

SYSTEM: Final = "/etc/mether/mether.toml"
SYSTEM_SPOOL: Final = "sqlite:/var/spool/smtpq"
EXPIRE: Final = 5 * 86400.0
"""Seconds after which a message that still waits is returned (RFC 5321 section 4.5.4.1: 4-5 days)."""
WARN: Final = (4 * 3600.0,)
"""The ages in seconds at which its sender is told that a message still waits."""


class ConfigError(Exception):
    """The configuration cannot be used; str() is one line: file, line, key, and what was expected."""

    sysexit = 78


class Basics:
    """What even a one-shot program needs to know.

    `config` is the configuration file's path or None, `loaded` what it says; `hostname` our own name;
    `postmaster` an address as text; `spool` a store's URL; `expire` and the ages `warn` in seconds.
    """

    __slots__ = ("config", "expire", "hostname", "loaded", "postmaster", "spool", "warn")

    def __init__(
        self,
        config: str | None,
        hostname: str,
        postmaster: str,
        spool: str,
        expire: float = EXPIRE,
        warn: tuple[float, ...] = WARN,
        loaded: Config | None = None,
    ) -> None:
        self.loaded = loaded
        self.config = config
        self.hostname = hostname
        self.postmaster = postmaster
        self.spool = spool
        self.expire = expire
        self.warn = warn


def basics(
    config: str | None = None, spool: str | None = None, environ: Mapping[str, str] = os.environ
) -> Basics:
    """The basics, given what ``-C`` and ``--spool`` said.  Raises ConfigError."""
    path = find_config(config, environ)
    if path is None:
        name = hostname()
        return Basics(None, name, f"postmaster@{name}", find_spool(spool, environ) or default_spool(environ))
    from mether.setup.config import load

    loaded = load(path, spool=spool, environ=environ)
    service, retry = loaded.service, loaded.retry
    return Basics(
        path, service.hostname, service.postmaster, loaded.queue.spool, retry.expire, retry.warn, loaded
    )


def find_config(named: str | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The configuration file's path, or None when there is none.  Raises ConfigError."""
    if named is None:
        named = environ.get("METHER_CONFIG")
    if named:
        if not os.path.isfile(named):
            what = "is not a file" if os.path.exists(named) else "there is no such configuration file"
            raise ConfigError(f"{named}: {what}")
        return named
    if named is not None:
        return None  # an empty name asks for the built-in defaults
    paths = [user_path("XDG_CONFIG_HOME", ".config", environ, "mether/mether.toml"), SYSTEM]
    for path in paths if os.geteuid() else reversed(paths):
        if path and os.path.isfile(path):
            return path
    return None


def find_spool(named: str | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """The spool's URL that ``--spool`` or ``$METHER_SPOOL`` gives, or None when neither does."""
    return named or environ.get("METHER_SPOOL") or None


def default_spool(environ: Mapping[str, str] = os.environ) -> str:
    """The spool's URL when nothing names one.  Raises ConfigError for a user without a home."""
    if os.geteuid() == 0:
        return SYSTEM_SPOOL
    path = user_path("XDG_STATE_HOME", ".local/state", environ, "mether/smtpq")
    if path is None:
        raise ConfigError("no spool: there is no home directory; give --spool or $METHER_SPOOL")
    return f"sqlite:{path}"


def user_path(variable: str, under_home: str, environ: Mapping[str, str], name: str) -> str | None:
    """`name` in a directory of the XDG base directory specification, or None without a home."""
    base = environ.get(variable, "")
    if not base.startswith("/"):  # a relative one is to be ignored, says the specification
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = f"{home}/{under_home}"
    return f"{base}/{name}"


def mailname(path: str = "/etc/mailname") -> str | None:
    """What Debian's administrator has said once for all mailers: the domain of names that have none.

    None where there is no such file, or no domain in it.
    """
    try:
        with open(path, "rb") as file:
            name = file.readline(MAX_DOMAIN + 2).decode("ascii", "replace").strip()
        check_domain(name)
    except (OSError, AddressError):
        return None
    return None if name.startswith("[") else name


def hostname(hosts: str = "/etc/hosts", node: str | None = None) -> str:
    """The host's own name, fully qualified where that can be had without asking the DNS.

    A name without a dot is looked for in the hosts file, whose first name with a dot on that line is
    the full one.  What can be no domain (a container's ``web_1``) becomes ``localhost``.
    """
    name = (os.uname().nodename if node is None else node).rstrip(".")
    try:
        check_domain(name)
    except AddressError:
        return "localhost"
    if "." in name:
        return name
    try:
        with open(hosts, "rb") as file:
            for line in file:
                names = line.partition(b"#")[0].decode("utf-8", "replace").split()[1:]
                if name in names:
                    full = [each for each in names if each.startswith(f"{name}.")]
                    if full:
                        return full[0].rstrip(".")
    except OSError:
        pass
    return name


def octets(path: str, most: int) -> bytes:
    """The beginning of a file that the configuration names.  Raises OSError; of what is no file too, as who
    opens a FIFO waits for its writer."""
    import errno
    import stat

    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        kind = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "Is a directory" if stat.S_ISDIR(kind) else "expected a file")
        return file.read(most)
