"""The certificates of the listeners, made from ``[tls]``.

`server_tls` fails with ConfigError, one line that names the file and what is wrong with it, before anything
listens; `complaints` is about what works and should not stay so.
"""

from __future__ import annotations

import os
import time

from mether.event import mail as event
from mether.setup.locate import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.net.certificate import Certificate
    from mether.net.tlsserver import ServerTls
    from mether.setup.config import Config

MAX_FILE: Final = 1 << 20
"""Octets of a file that is looked through for a key."""


def server_tls(config: Config) -> ServerTls | None:
    """The certificates, None when there are none.  Raises ConfigError."""
    tls = config.tls
    if not tls.certificate:
        return None
    from mether.net.tlserror import TlsError
    from mether.net.tlsserver import ServerTls

    try:
        return ServerTls(
            tls.pairs,
            client_ca=tls.client_ca,
            minimum=tls.minimum,
            log=event.warning,
            loaded=lambda path: event.noted(f"{path}: the certificate was read anew"),
        )
    except TlsError as error:
        raise ConfigError(explained(config, str(error))) from None


def explained(config: Config, trouble: str) -> str:
    """What is wrong with a file of ``[tls]``, with the place of the key that names it."""
    tls = config.tls
    key = "certificate"
    for name, paths in (
        ("ca", (tls.ca,)),
        ("client_ca", (tls.client_ca,)),
        ("key", tls.key),
    ):
        if any(path and trouble.startswith(f"{path}: ") for path in paths):
            key = name
    for chain in tls.certificate if not tls.key else ():
        if trouble.startswith(f"{chain} and {chain}: ") and not _has_key(chain):
            trouble = f"no key in {chain}: set tls.key"
    return f"{place(config, key)}: {trouble}"


def complaints(config: Config, tls: ServerTls | None, now: float) -> Iterator[str]:
    """A line for each certificate that does not hold `now` (Unix seconds), and each key that all may read."""
    if tls is None:
        return
    for (chain, key), made in zip(config.tls.pairs, tls.certificates, strict=True):
        why = _invalid(made, now)
        if why:
            yield f"{place(config, 'certificate')}: {chain}: the certificate {why}"
        try:
            mode = os.stat(key).st_mode & 0o7777
        except OSError:
            continue
        if mode & 0o006:
            where = place(config, "key" if config.tls.key else "certificate")
            yield f"{where}: {key}: everyone may read or write the key (mode {mode:04o}): chmod o= {key}"


def place(config: Config, key: str) -> str:
    """Where a key of ``[tls]`` stands, with its name."""
    return f"{config.origins.get(f'tls.{key}', config.path)}: tls.{key}"


def _has_key(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"PRIVATE KEY-----" in file.read(MAX_FILE)
    except OSError:
        return False


def _invalid(certificate: Certificate, now: float) -> str:
    """Why a certificate does not hold now, "" when it does."""
    try:
        begin, end = certificate.validity
    except ValueError as error:
        return f"can't be read: {error}"
    if now >= end:
        return f"expired on {_date(end)}"
    return f"is not valid before {_date(begin)}" if now < begin else ""


def _date(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))
