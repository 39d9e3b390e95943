"""From ``[auth]`` to what checks logins: backends, mechanisms, throttle, and who may use which sender.

`Logins` belongs to a service: its listeners share the backends, and so the count of failures.  Files are
read here for the first time, so what is wrong with them is a ConfigError before anything is listened on.
"""

from __future__ import annotations

import os

from mether.auth.authenticator import Authenticator
from mether.auth.passwords import PasswordFile, PasswordFileError
from mether.auth.senders import Senders, SendersError
from mether.auth.senders import read as read_senders
from mether.auth.threads import InThread
from mether.auth.throttle import Throttle
from mether.event import mail as event
from mether.receive.access import Networks
from mether.receive.login import Authentication
from mether.setup.locate import ConfigError
from mether.smtp.sasl import MECHANISMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from typing import Final

    from mether.address import ReversePath
    from mether.auth.authenticator import Backend
    from mether.setup.config import Config
    from mether.setup.listen import Auth

SESSION_FAILURES: Final = 3
"""Failed logins after which a session ends (RFC 4954 section 9: not fewer)."""


class Logins:
    """The logins of a service: `authentication` is what its sessions need."""

    def __init__(self, config: Config, auth: Auth, loop: asyncio.AbstractEventLoop) -> None:
        """Raises ConfigError."""

        def complain(line: str) -> None:
            # Backends that work in threads complain from there; sinks belong to the loop.
            loop.call_soon_threadsafe(event.warning, f"auth: {line}")

        def wrong(key: str, error: Exception) -> ConfigError:
            return ConfigError(f"{config.origins.get(f'auth.{key}', config.path)}: auth.{key}: {error}")

        self._passwords: PasswordFile | None = None
        if auth.passwords is not None:
            try:
                self._passwords = PasswordFile(auth.passwords, complain)
            except PasswordFileError as error:
                raise wrong("passwords", error) from None
        self._senders = Senders({})
        if auth.senders is not None:
            try:
                self._senders = read_senders(auth.senders)
            except SendersError as error:
                raise wrong("senders", error) from None
        self._authenticator = Authenticator(
            _backends(auth, self._passwords, complain),
            random=os.urandom,
            complain=complain,
            # A certificate names a login only where that was asked for: many have one for other ends.
            allowed=auth.mechanisms or [name for name in MECHANISMS if name != "EXTERNAL"],
        )
        self.authentication = Authentication(
            self._authenticator,
            Throttle(limit=auth.max_failures),
            clear_from=Networks(auth.clear_from),
            may_use=self.may_use,
            later=loop.call_later,
            clock=loop.time,
            max_failures=SESSION_FAILURES,
        )

    def may_use(self, login: str, reverse_path: ReversePath) -> bool:
        """Whether a login may use a reverse-path: the password file's third field goes before the table."""
        tied = self._passwords.senders(login) if self._passwords is not None else None
        return self._senders.may(login, reverse_path, tied)

    async def close(self) -> None:
        """End the backends."""
        await self._authenticator.close()


def complaints(config: Config) -> Iterator[str]:
    """A line where mechanisms are named and not offered.  Raises ConfigError for a file that is wrong."""
    auth = config.auth
    if auth is None or auth.passwords is None:
        return
    from mether.auth import passwords
    from mether.auth.verifier import Scram

    try:
        entries = passwords.read(auth.passwords)
    except PasswordFileError as error:
        where = config.origins.get("auth.passwords", config.path)
        raise ConfigError(f"{where}: auth.passwords: {error}") from None
    without = sum(not isinstance(entry.verifier, Scram) for entry in entries.values())
    named = [name for name in auth.mechanisms if name.startswith("SCRAM-")]
    if named and (without or not entries):
        why = f"{without} of {len(entries)} logins have no keys for it" if entries else "it has no login"
        where = config.origins.get("auth.mechanisms", config.path)
        yield (
            f"{where}: auth.mechanisms: {named[0]} is not offered, as of {auth.passwords} {why} "
            "(mether passwd --scheme scram-sha-256 makes them)"
        )


def _backends(auth: Auth, passwords: PasswordFile | None, complain: Callable[[str], None]) -> list[Backend]:
    backends: list[Backend] = []
    if passwords is not None:
        backends.append(InThread(passwords))
    if auth.dovecot is not None:
        from mether.auth.dovecot import Dovecot

        tokens = auth.oauth is None and not {"OAUTHBEARER", "XOAUTH2"}.isdisjoint(auth.mechanisms)
        backends.append(Dovecot(auth.dovecot, complain=complain, tokens=tokens))
    if auth.program is not None or auth.checkpassword is not None or auth.oauth is not None:
        from mether.auth.program import Program

        if auth.program is not None:
            backends.append(InThread(Program(auth.program, complain=complain)))
        if auth.checkpassword is not None:
            backends.append(
                InThread(Program(auth.checkpassword, complain=complain, convention="checkpassword"))
            )
        if auth.oauth is not None:
            backends.append(InThread(Program(auth.oauth, complain=complain, passwords=False, tokens=True)))
    return backends
