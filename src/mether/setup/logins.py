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
from mether.receive.login import Authentication
from mether.routing.networks import Networks
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
    """The logins of a service: `authentication` is what its sessions need.

    `throttle` is one that has counted before, for a newer configuration of the same service.
    """

    def __init__(
        self,
        config: Config,
        auth: Auth,
        loop: asyncio.AbstractEventLoop,
        *,
        throttle: Throttle | None = None,
    ) -> None:
        """Raises ConfigError."""

        def complain(line: str) -> None:
            # Backends that work in threads complain from there; sinks belong to the loop.
            loop.call_soon_threadsafe(event.warning, f"auth: {line}")

        self._passwords = password_file(config, auth, complain)
        self._senders = senders(config, auth)
        self._authenticator = Authenticator(
            _backends(auth, self._passwords, complain),
            random=os.urandom,
            complain=complain,
            # A certificate names a login only where that was asked for: many have one for other ends.
            allowed=auth.mechanisms or [name for name in MECHANISMS if name != "EXTERNAL"],
        )
        self.throttle = throttle or Throttle(limit=auth.max_failures)
        self.authentication = Authentication(
            self._authenticator,
            self.throttle,
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


def password_file(config: Config, auth: Auth, complain: Callable[[str], None]) -> PasswordFile | None:
    """The password file, None without one.  Raises ConfigError."""
    if auth.passwords is None:
        return None
    try:
        return PasswordFile(auth.passwords, complain)
    except PasswordFileError as error:
        raise _wrong(config, "passwords", error) from None


def senders(config: Config, auth: Auth) -> Senders:
    """The table of senders, an empty one without a file.  Raises ConfigError."""
    if auth.senders is None:
        return Senders({})
    try:
        return read_senders(auth.senders)
    except SendersError as error:
        raise _wrong(config, "senders", error) from None


def _wrong(config: Config, key: str, error: Exception) -> ConfigError:
    return ConfigError(f"{config.origins.get(f'auth.{key}', config.path)}: auth.{key}: {error}")


def complaints(config: Config) -> Iterator[str]:
    """A line where mechanisms are named and not offered, and for a socket that is not there.

    Raises ConfigError for a password file that is wrong.
    """
    auth = config.auth
    if auth is not None and auth.dovecot is not None and not os.path.exists(auth.dovecot):
        where = config.origins.get("auth.dovecot", config.path)
        yield f"{where}: auth.dovecot: {auth.dovecot}: no such socket: nobody can log in by it now"
    passwords = None if auth is None else password_file(config, auth, lambda line: None)
    if auth is None or passwords is None:
        return
    count, without = passwords.count, passwords.without_keys
    named = [name for name in auth.mechanisms if name.startswith("SCRAM-")]
    if named and not passwords.keys:
        why = f"{without} of {count} logins have no keys for it" if count else "it has no login"
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
