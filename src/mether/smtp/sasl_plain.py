"""PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login) and EXTERNAL (RFC 4422 appendix A), both roles.

An authorization identity must be empty or the login itself: nobody acts for another.  LOGIN is a mechanism
in which the server speaks first, yet clients in wide use (Python's smtplib, msmtp) send the name
with the command; it is taken.
"""

from __future__ import annotations

from mether.smtp.sasl import (
    REJECTION,
    Answer,
    Challenge,
    CheckPassword,
    Done,
    Failed,
    ServerExchange,
    malformed,
    name_from,
    password_from,
    refused,
)
from mether.smtp.sasl_client import BadServer, ClientExchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.smtp.sasl import Step


class _ServerPassword(ServerExchange):
    """What PLAIN and LOGIN have in common: a question about a password, and one answer to it."""

    __slots__ = ("_login", "_stage")

    def __init__(self, mechanism: str) -> None:
        super().__init__(mechanism)
        self._stage = "first"
        self._login = ""

    def _ask(self, login: bytes, password: bytes) -> Step:
        name, secret = name_from(login), password_from(password)
        if name is None or secret is None:
            return Failed(REJECTION)
        self._login, self._stage = name, "asked"
        return CheckPassword(name, secret)

    def answer(self, answer: Answer) -> Step:
        stage, self._stage = self._stage, "over"
        if stage != "asked":
            return malformed("nothing was asked")
        return refused(answer) or Done(answer.login or self._login)


class ServerPlain(_ServerPassword):
    """``[authzid] NUL login NUL password`` (RFC 4616 section 2)."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("PLAIN")

    def respond(self, data: bytes) -> Step:
        stage, self._stage = self._stage, "over"
        parts = data.split(b"\0", 3)
        if len(parts) != 3 or stage != "first":
            return malformed("PLAIN is [authorization identity] NUL login NUL password")
        authzid, login, password = parts
        if authzid and (name_from(authzid) is None or name_from(authzid) != name_from(login)):
            return Failed(REJECTION)
        return self._ask(login, password)


class ServerLogin(_ServerPassword):
    """The name is asked for, then the password."""

    __slots__ = ("_name",)

    def __init__(self) -> None:
        super().__init__("LOGIN")
        self._name = b""

    def begin(self, initial: bytes | None) -> Step:
        return Challenge(b"Username:") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        stage, self._stage = self._stage, "over"
        if stage == "first":
            self._name, self._stage = data, "named"
            return Challenge(b"Password:")
        if stage == "named":
            return self._ask(self._name, data)
        return malformed("LOGIN has no third response")


class ServerExternal(ServerExchange):
    """The client is who its verified certificate says; it may name itself, and nobody else."""

    __slots__ = ("_certificate", "_over")

    def __init__(self, certificate: str) -> None:
        super().__init__("EXTERNAL")
        self._certificate = certificate
        self._over = False

    def respond(self, data: bytes) -> Step:
        over, self._over = self._over, True
        if over:
            return malformed("EXTERNAL has no second response")
        if data and name_from(data) != self._certificate:
            return Failed(REJECTION)
        return Done(self._certificate)

    def answer(self, answer: Answer) -> Step:
        self._over = True  # nothing was asked: that ends it for good
        return super().answer(answer)


class ClientPlain(ClientExchange):
    """Everything is in the initial response."""

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        super().__init__("PLAIN", b"\0" + user.encode() + b"\0" + password.encode())


class ClientExternal(ClientExchange):
    """An empty initial response: be who the certificate says."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("EXTERNAL", b"")


class ClientLogin(ClientExchange):
    """The name, then the password, whatever the server's prompts say: there are several."""

    __slots__ = ("_left",)

    def __init__(self, user: str, password: str) -> None:
        super().__init__("LOGIN", None)
        self._left = [user.encode(), password.encode()]

    def next(self, challenge: bytes) -> bytes:
        if not self._left:
            raise BadServer("the server goes on asking after name and password")
        said = self._left.pop(0)
        self.finished = not self._left
        return said
