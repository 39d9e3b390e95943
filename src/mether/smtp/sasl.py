"""SASL in SMTP, the server's half and the values of both: pure, without socket, clock or randomness.

A `ServerExchange` is one AUTH command (RFC 4954 section 4, RFC 4422).  Each step of it gives one of:

* `Challenge`: to be sent as a 334 (`Challenge.reply`); what the client says goes to `respond`;
* `CheckPassword`, `FindKeys`, `CheckToken`: a question for whoever keeps the users; what they say is an
  `Answer` and goes to `answer`;
* `Done`: the client is who `Done.login` says; its reply is `SUCCESS`;
* `Failed`: the reply says why, in the codes of RFC 4954 section 6.

No input makes it raise: a malformed message is `Failed`, an unknown name and a wrong password get the same
reply.  Every length has a limit.

    exchange = server("PLAIN", random=os.urandom, secret=secret)     # SaslError: 504 5.5.4
    step = exchange.begin(decode_initial(argument))                  # SaslError: 501 5.5.2, 500 5.5.6
    while not isinstance(step, (Done, Failed)):
        if isinstance(step, Challenge):
            step = exchange.respond(decode(send(step.reply)))        # SaslError: 501 5.7.0 for "*"
        else:
            step = exchange.answer(ask(step))

The client's half is `mether.smtp.sasl_client`.  The mechanisms are in modules of their own, loaded when one
is asked for.
"""

from __future__ import annotations

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeAlias

    Random: TypeAlias = Callable[[int], bytes]
    """Gives so many octets that nobody can guess: os.urandom."""

MAX_LINE: Final = 12288
"""Octets of base64 in one line of an exchange (RFC 4954 section 4); above it is 500 5.5.6."""

MAX_LOGIN: Final = 255
"""Octets of a name."""

MAX_PASSWORD: Final = 1024
"""Octets of a password."""

SCRAM: Final = "SCRAM-SHA-256"
SCRAM_PLUS: Final = "SCRAM-SHA-256-PLUS"

MECHANISMS: Final = (SCRAM_PLUS, SCRAM, "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "PLAIN", "LOGIN")
"""All there are, the strongest first."""

PLAINTEXT: Final = frozenset({"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"})
"""Those that show a password or a token to whoever reads along: for use inside TLS (RFC 4954 section 4)."""

SUCCESS: Final = Reply(235, "2.7.0", "Authentication successful")
REJECTION: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")
BAD_BASE64: Final = Reply(501, "5.5.2", "Cannot decode the base64 of this line")
TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")
UNKNOWN_MECHANISM: Final = Reply(504, "5.5.4", "Unrecognized authentication mechanism")
NOT_NOW: Final = Reply(454, "4.7.0", "Temporary authentication failure")
DISABLED_ACCOUNT: Final = Reply(525, "5.7.13", "User account disabled")


class SaslError(ValueError):
    """What the client sent cannot be used; `reply` is what it gets."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Challenge:
    """Octets for the client."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def reply(self) -> Reply:
        """The 334 with the octets in base64; an empty one keeps its space (RFC 4954 section 4)."""
        return Reply(334, None, encode(self.data))


class CheckPassword:
    """Question: is this the password of this login?  Both are prepared with SASLprep, and not empty."""

    __slots__ = ("login", "password")

    def __init__(self, login: str, password: str) -> None:
        self.login = login
        self.password = password


class FindKeys:
    """Question: with which SCRAM keys is this login checked?  The answer is `Answer.found` or REJECTED."""

    __slots__ = ("login",)

    def __init__(self, login: str) -> None:
        self.login = login


class CheckToken:
    """Question: is this the bearer token of this login?  `login` may be empty: the answer then names it.

    `mechanism` is OAUTHBEARER or XOAUTH2."""

    __slots__ = ("login", "mechanism", "token")

    def __init__(self, login: str, token: str, mechanism: str = "OAUTHBEARER") -> None:
        self.login = login
        self.token = token
        self.mechanism = mechanism


class Done:
    """The client has shown that it is `login`."""

    __slots__ = ("login",)

    def __init__(self, login: str) -> None:
        self.login = login

    @property
    def reply(self) -> Reply:
        """235."""
        return SUCCESS


class Failed:
    """The exchange is over without success; `reply` is the end of it."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class ScramKeys:
    """What a server keeps to check a login by SCRAM-SHA-256 (RFC 5802 section 3): no password."""

    __slots__ = ("iterations", "salt", "server_key", "stored_key")

    def __init__(self, iterations: int, salt: bytes, stored_key: bytes, server_key: bytes) -> None:
        self.iterations = iterations
        self.salt = salt
        self.stored_key = stored_key
        self.server_key = server_key


class Answer:
    """What the keeper of the users said: `verdict` is accepted, rejected, temporary or disabled.

    `login` of an accepted one names the user where that is not the name asked for; `keys` answers
    `FindKeys`."""

    __slots__ = ("keys", "login", "verdict")

    def __init__(self, verdict: str, *, login: str = "", keys: ScramKeys | None = None) -> None:
        self.verdict = verdict
        self.login = login
        self.keys = keys

    @staticmethod
    def found(keys: ScramKeys) -> Answer:
        """The login has these keys."""
        return Answer("accepted", keys=keys)

    def __repr__(self) -> str:
        return f"Answer({self.verdict!r}, login={self.login!r})"  # never the keys: this may be logged


ACCEPTED: Final = Answer("accepted")
REJECTED: Final = Answer("rejected")
TEMPORARY: Final = Answer("temporary")
DISABLED: Final = Answer("disabled")

if TYPE_CHECKING:
    Question: TypeAlias = CheckPassword | FindKeys | CheckToken
    Step: TypeAlias = Challenge | Question | Done | Failed


class ServerExchange:
    """One exchange, from the AUTH command to its last reply.  The mechanisms are subclasses.

    Used out of turn (an answer where nothing was asked) it fails like anything malformed."""

    __slots__ = ("mechanism",)

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism

    def begin(self, initial: bytes | None) -> Step:
        """The first step; `initial` is the initial response, None when there was none.

        In all mechanisms but LOGIN the client speaks first, so without one it is asked for it."""
        return Challenge(b"") if initial is None else self.respond(initial)

    def respond(self, data: bytes) -> Step:
        """The step after the client's response."""
        return malformed(f"{self.mechanism} has no place for this response")

    def answer(self, answer: Answer) -> Step:
        """The step after the answer to a question."""
        return malformed("nothing was asked")


def server(
    mechanism: str,
    *,
    random: Random,
    secret: bytes,
    binding: bytes | None = None,
    certificate: str | None = None,
    iterations: int = 0,
) -> ServerExchange:
    """The exchange for a mechanism, named in any case.

    `random` makes nonces; `secret` is the same for all exchanges of a server and makes up the keys of
    logins that do not exist; `binding` is the tls-server-end-point data (RFC 5929) where SCRAM-SHA-256-PLUS
    is offered, else None; `certificate` is the name that the client's verified certificate gives it;
    `iterations` is the count that unknown logins are given (0: that of new verifiers).

    Raises SaslError (504 5.5.4) for a mechanism that does not exist or cannot be had.
    """
    name = mechanism.upper()
    if name in ("PLAIN", "LOGIN"):
        from mether.smtp.sasl_plain import ServerLogin, ServerPlain

        return ServerPlain() if name == "PLAIN" else ServerLogin()
    if name in (SCRAM, SCRAM_PLUS) and not (name == SCRAM_PLUS and binding is None):
        from mether.smtp.sasl_scram import ServerScram

        return ServerScram(name, random, secret, binding, iterations)
    if name in ("OAUTHBEARER", "XOAUTH2"):
        from mether.smtp.sasl_oauth import ServerBearer, ServerXoauth2

        return ServerBearer() if name == "OAUTHBEARER" else ServerXoauth2()
    if name == "EXTERNAL" and certificate:
        from mether.smtp.sasl_plain import ServerExternal

        return ServerExternal(certificate)
    raise SaslError(UNKNOWN_MECHANISM)


def decode(line: str) -> bytes:
    """The octets of a response line.  Raises SaslError: ``*`` is 501 5.7.0, what is not base64 501 5.5.2.

    The alphabet and the padding are those of RFC 4648 section 4 exactly, as RFC 4954 section 4 demands."""
    if line == "*":
        raise SaslError(CANCELLED)
    if len(line) > MAX_LINE:
        raise SaslError(TOO_LONG)
    data = octets(line)
    if data is None:
        raise SaslError(BAD_BASE64)
    return data


def octets(text: str) -> bytes | None:
    """What the base64 says, None when it is not base64 exactly."""
    from binascii import Error, a2b_base64

    # strict_mode lets wrong amounts of padding through, differently in each version of Python.
    if len(text) % 4 or text[-3:] == "===":
        return None
    try:
        return a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, Error):
        return None


def decode_initial(text: str) -> bytes | None:
    """The initial response in an AUTH command: ``""`` is none, ``=`` an empty one.  Raises SaslError."""
    if not text:
        return None
    if text == "=":
        return b""
    if text == "*":
        raise SaslError(BAD_BASE64)
    return decode(text)


def encode(data: bytes) -> str:
    """Base64 on one line."""
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode("ascii")


def malformed(why: str) -> Failed:
    """501 5.5.2: the message is not one of the mechanism's."""
    return Failed(Reply(501, "5.5.2", why))


def refused(answer: Answer) -> Failed | None:
    """The failure that an answer means, None when it accepts."""
    if answer.verdict == "accepted":
        return None
    if answer.verdict == "temporary":
        return Failed(NOT_NOW)
    if answer.verdict == "disabled":
        return Failed(DISABLED_ACCOUNT)
    return Failed(REJECTION)


def name_from(written: bytes) -> str | None:
    """A login as it is compared, from its UTF-8; None when it can be none (then nobody has it)."""
    from mether.smtp.saslprep import SaslprepError, prepare

    if not 0 < len(written) <= MAX_LOGIN:
        return None
    try:
        return prepare(written.decode("utf-8")) or None
    except (UnicodeDecodeError, SaslprepError):
        return None


def password_from(written: bytes) -> str | None:
    """A password as it is compared, from its UTF-8; None when it can be none."""
    from mether.smtp.saslprep import SaslprepError, prepare

    if not 0 < len(written) <= MAX_PASSWORD:
        return None
    try:
        return prepare(written.decode("utf-8")) or None
    except (UnicodeDecodeError, SaslprepError):
        return None
