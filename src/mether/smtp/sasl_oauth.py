"""OAUTHBEARER (RFC 7628) and XOAUTH2 (the form from before it), both roles.

The client sends a bearer token, which only its issuer can judge: the question is `CheckToken`.  A token
that is rejected gets a challenge in JSON that says so, the client answers with anything at all (``^A``, or
nothing), and then the exchange fails (RFC 7628 section 3.2.3).
"""

from __future__ import annotations

from mether.smtp.sasl import (
    REJECTION,
    Answer,
    Challenge,
    CheckToken,
    Done,
    Failed,
    ServerExchange,
    malformed,
    name_from,
    refused,
)
from mether.smtp.sasl_client import MAX_TOKEN, BadServer, ClientExchange
from mether.smtp.sasl_scram import gs2_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.smtp.sasl import Step

_SEPARATOR: Final = b"\x01"


def _pairs(written: bytes) -> dict[str, str] | None:
    """``key=value^A`` ... and a last ``^A`` (RFC 7628 section 3.1); None when it is not that."""
    if not written.endswith(_SEPARATOR):
        return None
    pairs: dict[str, str] = {}
    for part in written[:-1].split(_SEPARATOR):
        if not part:
            continue
        key, equals, value = part.partition(b"=")
        name = key.decode("ascii", "replace").lower()
        if not equals or not name.isalpha() or name in pairs:
            return None
        try:
            pairs[name] = value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return pairs


def _token(auth: str) -> str | None:
    """The token in ``Bearer TOKEN``, a scheme in any case (RFC 6750 section 2.1)."""
    scheme, _, token = auth.partition(" ")
    token = token.strip(" ")
    fine = token.isascii() and token.isprintable() and " " not in token and 0 < len(token) <= MAX_TOKEN
    return token if scheme.lower() == "bearer" and fine else None


class _ServerToken(ServerExchange):
    """The question and what follows it."""

    __slots__ = ("_login", "_stage")
    refusal = b""

    def __init__(self, mechanism: str) -> None:
        super().__init__(mechanism)
        self._stage = "first"
        self._login = ""

    def read(self, data: bytes) -> tuple[str, str] | Failed:
        """Name (empty: the token tells) and token of the client's message."""
        raise AssertionError("each mechanism has its own")

    def respond(self, data: bytes) -> Step:
        stage, self._stage = self._stage, "over"
        if stage == "refused":
            return Failed(REJECTION)
        if stage != "first":
            return malformed("nothing was asked")
        found = self.read(data)
        if isinstance(found, Failed):
            return found
        self._login, token = found
        self._stage = "asked"
        return CheckToken(self._login, token, self.mechanism)

    def answer(self, answer: Answer) -> Step:
        stage, self._stage = self._stage, "over"
        if stage != "asked":
            return malformed("nothing was asked")
        login = answer.login or self._login
        if answer.verdict == "rejected" or (answer.verdict == "accepted" and not login):
            self._stage = "refused"
            return Challenge(self.refusal)
        return refused(answer) or Done(login)


class ServerBearer(_ServerToken):
    """``n,a=user,^Ahost=...^Aport=...^Aauth=Bearer TOKEN^A^A``."""

    __slots__ = ()
    refusal = b'{"status":"invalid_token","schemes":"bearer"}'

    def __init__(self) -> None:
        super().__init__("OAUTHBEARER")

    def read(self, data: bytes) -> tuple[str, str] | Failed:
        header = gs2_header(data)
        pairs = _pairs(header[3]) if header is not None and header[3][:1] == _SEPARATOR else None
        if header is None or pairs is None:
            return malformed("not a client's message of OAUTHBEARER")
        if header[0] == "p":
            return Failed(REJECTION)  # the mechanism has no channel binding
        token = _token(pairs.get("auth", ""))
        if token is None:
            return malformed("auth= must be Bearer and a token")
        if not header[2]:
            return "", token
        login = name_from(header[2].encode())
        return Failed(REJECTION) if login is None else (login, token)


class ServerXoauth2(_ServerToken):
    """``user=NAME^Aauth=Bearer TOKEN^A^A``."""

    __slots__ = ()
    refusal = b'{"status":"401","schemes":"bearer"}'

    def __init__(self) -> None:
        super().__init__("XOAUTH2")

    def read(self, data: bytes) -> tuple[str, str] | Failed:
        pairs = _pairs(data)
        token = _token(pairs.get("auth", "")) if pairs is not None else None
        if pairs is None or token is None:
            return malformed("not a client's message of XOAUTH2")
        login = name_from(pairs.get("user", "").encode())
        return Failed(REJECTION) if login is None else (login, token)


class _ClientToken(ClientExchange):
    """A challenge behind the token is the server's refusal; it wants one more message before it says so."""

    __slots__ = ("_dummy", "refusal")

    def __init__(self, mechanism: str, initial: bytes, dummy: bytes) -> None:
        super().__init__(mechanism, initial)
        self._dummy = dummy
        self.refusal = b""

    def next(self, challenge: bytes) -> bytes:
        if not self.finished:
            raise BadServer("the server goes on after it has refused the token")
        self.finished = False
        self.refusal = challenge
        return self._dummy


class ClientBearer(_ClientToken):
    """`refusal` is the JSON with which the server refused the token."""

    __slots__ = ()

    def __init__(self, user: str, token: str, host: str = "", port: int = 0) -> None:
        name = user.replace("=", "=3D").replace(",", "=2C")
        parts = [f"n,a={name},"]
        if host:
            parts.append(f"host={host}")
        if port:
            parts.append(f"port={port}")
        parts += [f"auth=Bearer {token}", "", ""]
        super().__init__("OAUTHBEARER", "\x01".join(parts).encode(), _SEPARATOR)


class ClientXoauth2(_ClientToken):
    """`refusal` is the JSON with which the server refused the token."""

    __slots__ = ()

    def __init__(self, user: str, token: str) -> None:
        super().__init__("XOAUTH2", f"user={user}\x01auth=Bearer {token}\x01\x01".encode(), b"")
