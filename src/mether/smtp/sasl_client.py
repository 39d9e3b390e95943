"""SASL in SMTP, the client's half: which mechanism, and what to say (RFC 4954, RFC 4422).  Pure.

`choose` takes the strongest mechanism that the server offers and the credentials allow.  A password or a
token is shown only to a server whose certificate and name were verified (`secure`; RFC 4954 section 14);
without that, SCRAM alone is left.

    exchange = choose(offered, Credentials("ann", password="..."), secure=True, binding=None,
                      random=os.urandom)
    reply = send("AUTH", exchange.line())
    while reply.code == 334:
        try:
            response = encode(exchange.respond(decode(reply.text)))
        except ValueError:                                # BadServer, SaslError
            response = "*"
        reply = send("RESPONSE", response)
    accepted = reply.code == 235 and exchange.finished    # else the server never proved that it knows us

"""

from __future__ import annotations

from mether.smtp.sasl import MAX_LOGIN, MAX_PASSWORD, MECHANISMS, PLAINTEXT, SCRAM, SCRAM_PLUS, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mether.smtp.sasl import Random

MAX_COMMAND: Final = 512
"""Octets of an AUTH command line with its CRLF; a longer initial response waits for a 334."""

MAX_TOKEN: Final = 8192
"""Characters of a bearer token."""


class BadServer(ValueError):
    """The server broke the exchange, or did not prove that it knows us; str() says how."""


class Credentials:
    """Who we are to a next hop: a `user` and a `password`, a bearer `token`, or both.

    `mechanisms` limits what may be used; EXTERNAL is used only when it is named there.  Raises ValueError
    for what no mechanism could send."""

    __slots__ = ("mechanisms", "password", "token", "user")

    def __init__(
        self,
        user: str,
        password: str | None = None,
        token: str | None = None,
        mechanisms: Iterable[str] | None = None,
    ) -> None:
        for text, what, limit in (
            (user, "user", MAX_LOGIN),
            (password, "password", MAX_PASSWORD),
            (token, "token", MAX_TOKEN),
        ):
            if text is not None and ("\0" in text or not 0 <= _octets(text) <= limit):
                raise ValueError(f"the {what} holds a NUL, is not UTF-8, or is longer than {limit} octets")
        if password == "" or token == "":
            raise ValueError("an empty password or token")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("the token is not printable ASCII without spaces")
        self.user = user
        self.password = password
        self.token = token
        self.mechanisms = None if mechanisms is None else frozenset(name.upper() for name in mechanisms)
        unknown = (self.mechanisms or frozenset()) - frozenset(MECHANISMS)
        if unknown:
            raise ValueError(f"unknown mechanism {min(unknown)}; there are {', '.join(MECHANISMS)}")
        if not user and "EXTERNAL" not in (self.mechanisms or ()):
            raise ValueError("an empty user")

    def __repr__(self) -> str:
        return f"Credentials({self.user!r})"


class ClientExchange:
    """One exchange: `line` for the AUTH command, `respond` for each 334.  The mechanisms are subclasses.

    `finished` says whether the server has done all that the mechanism demands of it; a 235 before is a
    lie."""

    __slots__ = ("_held", "finished", "initial", "mechanism")

    def __init__(self, mechanism: str, initial: bytes | None) -> None:
        self.mechanism = mechanism
        self.initial = initial
        self.finished = initial is not None
        self._held = False

    def line(self) -> str:
        """What stands behind ``AUTH``: the mechanism, and the initial response where there is room for it."""
        if self.initial is None:
            return self.mechanism
        line = f"{self.mechanism} {encode(self.initial) or '='}"
        if len(line) + len("AUTH \r\n") <= MAX_COMMAND:
            return line
        self._held = True
        return self.mechanism

    def respond(self, challenge: bytes) -> bytes:
        """The response to a challenge.  Raises BadServer: then ``*`` is to be sent."""
        if self._held:
            self._held = False
            if challenge:
                raise BadServer("the server speaks where it is for the client to speak")
            assert self.initial is not None
            return self.initial
        return self.next(challenge)

    def next(self, challenge: bytes) -> bytes:
        """The response to a challenge behind the initial response."""
        raise BadServer(f"a challenge for which {self.mechanism} has no place")


def choose(
    offered: Iterable[str],
    credentials: Credentials,
    *,
    secure: bool,
    binding: bytes | None,
    random: Random,
    host: str = "",
    port: int = 0,
) -> ClientExchange | None:
    """The exchange to try, by the strongest mechanism in common; None when there is none.

    `offered` are the words of the server's AUTH line; `secure` says that TLS is up and that the server's
    certificate and name were verified; `binding` is the tls-server-end-point data of the connection, if
    it has any; `host` and `port` are told in OAUTHBEARER.
    """
    names = {word.upper() for word in offered}
    for mechanism in MECHANISMS:
        allowed = credentials.mechanisms is None or mechanism in credentials.mechanisms
        if mechanism not in names or not allowed or (mechanism in PLAINTEXT and not secure):
            continue
        exchange = _exchange(mechanism, credentials, names, secure, binding, random, host, port)
        if exchange is not None:
            return exchange
    return None


def _exchange(
    mechanism: str,
    credentials: Credentials,
    names: set[str],
    secure: bool,
    binding: bytes | None,
    random: Random,
    host: str,
    port: int,
) -> ClientExchange | None:
    from mether.smtp import sasl_plain

    user, password, token = credentials.user, credentials.password, credentials.token
    if mechanism == "EXTERNAL":
        asked = credentials.mechanisms is not None and secure
        return sasl_plain.ClientExternal() if asked else None
    if mechanism in ("OAUTHBEARER", "XOAUTH2"):
        if token is None:
            return None
        from mether.smtp import sasl_oauth

        if mechanism == "XOAUTH2":
            return sasl_oauth.ClientXoauth2(user, token)
        return sasl_oauth.ClientBearer(user, token, host, port)
    if password is None:
        return None
    if mechanism not in (SCRAM, SCRAM_PLUS):
        kind = sasl_plain.ClientPlain if mechanism == "PLAIN" else sasl_plain.ClientLogin
        return kind(_prepared(user), _prepared(password))
    if mechanism == SCRAM_PLUS and binding is None:
        return None
    from mether.smtp import sasl_scram
    from mether.smtp.saslprep import SaslprepError

    # "y" tells the server that we could bind and saw no -PLUS: if it did offer it, someone took it out.
    flag = "y" if binding is not None and SCRAM_PLUS not in names else "n"
    try:
        return sasl_scram.ClientScram(
            user, password, random, binding if mechanism == SCRAM_PLUS else None, flag
        )
    except SaslprepError:
        return None


def _octets(text: str) -> int:
    """The length as UTF-8, -1 for what has none (an argument in another encoding)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1


def _prepared(text: str) -> str:
    """The prepared form (RFC 4616 section 2), or the text itself where it has none."""
    from mether.smtp.saslprep import SaslprepError, prepare

    try:
        return prepare(text) or text
    except SaslprepError:
        return text
