"""``mether passwd LOGIN``: a line of the password file, made, checked or taken out.

The password is asked for twice on a terminal, else it is the first line of standard input; it is never an
argument, which others could see.  Fails with `Failure` and `UsageError`, one line each: 65 for a password
that cannot be used, 67 for a login that is not there, 69 where Argon2id is missing, 77 for a wrong password
(``--check``), 78 for a password file that cannot be used.
"""

from __future__ import annotations

import os
import sys

from mether.programs.errors import CONFIG, DATAERR, NOPERM, UNAVAILABLE, Failure
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.programs.options import Parsed

NOUSER: Final = 67
NAME: Final = "passwords"
"""The file's name, beside the configuration file."""


def work(options: Parsed, operands: list[str]) -> int:
    """Do what the arguments after ``passwd`` say; returns the exit status."""
    from mether.auth.passwords import PasswordFileError, check_login

    if len(operands) != 1:
        raise UsageError(
            f"passwd needs one LOGIN; there are {len(operands)}" if operands else "LOGIN is missing"
        )
    if options.flag("delete") and (options.flag("check") or options.flag("scheme")):
        raise UsageError("--delete goes with neither --check nor --scheme")
    if options.flag("check") and options.flag("scheme"):
        raise UsageError("--check does not go with --scheme")
    try:
        login = check_login(operands[0])
    except ValueError as error:
        raise UsageError(str(error)) from None
    path = _path(options)
    try:
        if options.flag("delete"):
            return _delete(path, login)
        if options.flag("check"):
            return _check(path, login)
        return _set(path, login, options.text("scheme") or "argon2id")
    except PasswordFileError as error:
        raise Failure(CONFIG, str(error)) from None


def _path(options: Parsed) -> str:
    named = options.text("file")
    if named is not None:
        if not named:
            raise UsageError("--file: an empty name; expected FILE")
        return named
    from mether.setup import locate

    return os.path.join(os.path.dirname(locate.find_config(options.text("config")) or locate.SYSTEM), NAME)


def _delete(path: str, login: str) -> int:
    from mether.auth.passwords_edit import remove

    if not remove(path, login):
        raise Failure(NOUSER, f"{path}: there is no login {login}")
    return 0


def _check(path: str, login: str) -> int:
    from mether.auth.passwords import read
    from mether.auth.verifier import VerifierError

    entry = read(path).get(login)
    if entry is None:
        raise Failure(NOUSER, f"{path}: there is no login {login}")
    try:
        right = entry.verifier.check(_password(twice=False))
    except VerifierError as error:
        raise Failure(UNAVAILABLE, str(error)) from None
    if not right:
        raise Failure(NOPERM, f"this is not the password of {login}")
    return 0


def _set(path: str, login: str, scheme: str) -> int:
    from mether.auth.passwords_edit import put
    from mether.auth.verifier import VerifierError, make

    password = _password(twice=True)
    try:
        verifier = make(scheme, password, os.urandom)
    except VerifierError as error:
        raise Failure(UNAVAILABLE, f"{error}; --scheme scram-sha-256 needs no package") from None
    put(path, login, verifier)
    return 0


def _password(*, twice: bool) -> str:
    """The password, prepared with SASLprep.  Raises Failure."""
    from mether.smtp.sasl import MAX_PASSWORD
    from mether.smtp.saslprep import SaslprepError, prepare

    text = _asked(twice) if sys.stdin.isatty() else _read(MAX_PASSWORD)
    try:
        password = prepare(text, stored=True)
    except SaslprepError as error:
        raise Failure(DATAERR, f"the password cannot be used: {error}") from None
    if not password:
        raise Failure(DATAERR, "the password is empty")
    if len(password.encode()) > MAX_PASSWORD:
        raise Failure(DATAERR, f"the password is longer than {MAX_PASSWORD} octets")
    return password


def _asked(twice: bool) -> str:
    from getpass import getpass

    try:
        text = getpass("Password: ")
        if twice and getpass("Again: ") != text:
            raise Failure(DATAERR, "the two passwords differ")
    except EOFError:
        raise Failure(DATAERR, "no password was given") from None
    return text


def _read(limit: int) -> str:
    line = sys.stdin.buffer.readline(2 * limit)
    if not line:
        raise Failure(DATAERR, "standard input is empty; expected the password on its first line")
    try:
        return line.rstrip(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise Failure(DATAERR, "the password is not UTF-8") from None
