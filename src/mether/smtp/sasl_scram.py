"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both roles.

The password never crosses the wire, and the server keeps only keys from which it cannot be had.  Each side
proves to the other that it knows them; with -PLUS also that they are the two ends of one TLS connection, by
tls-server-end-point (RFC 5929), the only binding that Python's ssl gives.

The server holds that a login exists until the last step: one that does not gets keys made from a secret, the
same every time, and fails as a wrong password does.  SMTP has no data with its success, so that the
server's proof goes in a 334 of its own, and the client answers with an empty line (RFC 4954 section 4).
"""

from __future__ import annotations

import hashlib
import hmac

from mether.smtp.sasl import (
    MAX_LOGIN,
    NOT_NOW,
    REJECTION,
    SCRAM,
    SCRAM_PLUS,
    Answer,
    Challenge,
    Done,
    Failed,
    FindKeys,
    ScramKeys,
    ServerExchange,
    encode,
    malformed,
    name_from,
    octets,
)
from mether.smtp.sasl_client import BadServer, ClientExchange
from mether.smtp.saslprep import SaslprepError, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.smtp.sasl import Random, Step

ITERATIONS: Final = 100_000
"""What new verifiers take: some 30 ms of a client's time, and of the server's for a PLAIN of such a login."""

LEAST_ITERATIONS: Final = 4096
MOST_ITERATIONS: Final = 2_000_000
"""A count above would be a way to burn the other side's time (a second or so)."""

MAX_SALT: Final = 64
MAX_NONCE: Final = 128
"""Characters of a client's nonce.  With MAX_SALT it keeps the server's first message in one reply line."""

_BINDING: Final = b"tls-server-end-point"
_NONCE: Final = 18
"""Octets of a nonce of ours, before base64."""


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def salted(password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of a prepared password.  Slow on purpose; releases the GIL."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)


def keys(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """The keys to keep for a prepared password."""
    base = salted(password, salt, iterations)
    stored = hashlib.sha256(_hmac(base, b"Client Key")).digest()
    return ScramKeys(iterations, salt, stored, _hmac(base, b"Server Key"))


def made_up(login: str, secret: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """Keys for a login that has none: the same every time, and of no password."""
    seed = _hmac(secret, b"SCRAM\0" + login.encode("utf-8", "replace"))
    return ScramKeys(iterations, _hmac(seed, b"salt")[:16], _hmac(seed, b"stored"), _hmac(seed, b"server"))


def _attributes(message: bytes) -> list[tuple[str, str]] | None:
    """The ``x=value`` pairs of a message in order; None when it is not made of such."""
    try:
        parts = message.decode("utf-8").split(",")
    except UnicodeDecodeError:
        return None
    pairs = []
    for part in parts:
        if part[1:2] != "=" or not (part[0].isascii() and part[0].isalpha()):
            return None
        pairs.append((part[0], part[2:]))
    return pairs


def _is_nonce(text: str) -> bool:
    return text != "" and text.isascii() and all("!" <= char <= "~" for char in text)


def saslname(text: str) -> str | None:
    """The name that was written with ``=2C`` and ``=3D``; None when another ``=`` is in it."""
    out = text.replace("=2C", ",").replace("=3D", "=")
    return out if text.count("=") == text.count("=2C") + text.count("=3D") else None


def gs2_header(message: bytes) -> tuple[str, str, str, bytes] | None:
    """Flag, binding's name, authzid and what follows ``flag,[a=authzid],`` (RFC 5802 section 7), or None."""
    first, comma, rest = message.partition(b",")
    second, other, rest = rest.partition(b",")
    if not comma or not other:
        return None
    try:
        flag, authzid = first.decode("ascii"), second.decode("utf-8")
    except UnicodeDecodeError:
        return None
    name = ""
    if flag.startswith("p="):
        flag, name = "p", flag[2:]
    if flag not in ("n", "y", "p") or (flag == "p") != (name != ""):
        return None
    if authzid:
        decoded = saslname(authzid[2:]) if authzid.startswith("a=") else None
        if not decoded:
            return None
        authzid = decoded
    return flag, name, authzid, rest


class ServerScram(ServerExchange):
    """client-first, the question for the keys, server-first, client-final, server-final, an empty line."""

    __slots__ = (
        "_bare",
        "_binding",
        "_first",
        "_header",
        "_iterations",
        "_keys",
        "_known",
        "_login",
        "_nonce",
        "_random",
        "_secret",
        "_stage",
    )

    def __init__(
        self, mechanism: str, random: Random, secret: bytes, binding: bytes | None, iterations: int = 0
    ) -> None:
        super().__init__(mechanism)
        self._random = random
        self._secret = secret
        self._binding = binding
        self._iterations = iterations or ITERATIONS
        self._stage = "first"
        self._login = ""
        self._nonce = ""
        self._header = self._bare = self._first = b""
        self._keys: ScramKeys | None = None
        self._known = False

    def respond(self, data: bytes) -> Step:
        stage, self._stage = self._stage, "over"
        if stage == "first":
            return self._client_first(data)
        if stage == "final":
            return self._client_final(data)
        if stage == "proved" and not data:
            return Done(self._login)
        return malformed("expected an empty line" if stage == "proved" else "nothing was asked")

    def _client_first(self, data: bytes) -> Step:
        header = gs2_header(data)
        if header is None:
            return malformed("not a client's first message of SCRAM")
        flag, name, authzid, bare = header
        pairs = _attributes(bare)
        if pairs is None:
            return malformed("not a client's first message of SCRAM")
        if pairs[0][0] == "m":
            return Failed(REJECTION)  # a mandatory extension: nothing is one that we know
        if [key for key, _ in pairs[:2]] != ["n", "r"]:
            return malformed("a client's first message of SCRAM has n= and r=")
        nonce = pairs[1][1]
        if not _is_nonce(nonce) or len(nonce) > MAX_NONCE:
            return malformed(f"a nonce is 1 to {MAX_NONCE} printable characters")
        if (flag == "p") != (self.mechanism == SCRAM_PLUS) or (flag == "p" and name.encode() != _BINDING):
            return Failed(REJECTION)
        if flag == "y" and self._binding is not None:
            return Failed(REJECTION)  # -PLUS is offered, and someone took that out of our reply
        written = saslname(pairs[0][1])
        login = name_from(written.encode()) if written else None
        if login is None or (authzid and name_from(authzid.encode()) != login):
            return Failed(REJECTION)
        self._login, self._bare, self._nonce = login, bare, nonce
        self._header = data[: len(data) - len(bare)]
        self._stage = "keys"
        return FindKeys(login)

    def answer(self, answer: Answer) -> Step:
        stage, self._stage = self._stage, "over"
        if stage != "keys":
            return malformed("nothing was asked")
        if answer.verdict == "temporary":
            return Failed(NOT_NOW)
        # Nobody has shown yet that he knows a password: a disabled login is one that does not exist.
        self._known = answer.verdict == "accepted" and answer.keys is not None
        self._keys = answer.keys if self._known else None
        if self._keys is None:
            self._keys = made_up(self._login, self._secret, self._iterations)
        self._nonce += encode(self._random(_NONCE))
        self._first = f"r={self._nonce},s={encode(self._keys.salt)},i={self._keys.iterations}".encode()
        self._stage = "final"
        return Challenge(self._first)

    def _client_final(self, data: bytes) -> Step:
        without, _, proof_text = data.rpartition(b",p=")
        pairs = _attributes(without) if without else None
        proof = octets(proof_text.decode("ascii", "replace"))
        if pairs is None or proof is None or [key for key, _ in pairs[:2]] != ["c", "r"]:
            return malformed("not a client's final message of SCRAM")
        bound = self._header
        if self.mechanism == SCRAM_PLUS:
            bound += self._binding or b""
        if octets(pairs[0][1]) != bound or pairs[1][1] != self._nonce or any(key == "m" for key, _ in pairs):
            return Failed(REJECTION)
        assert self._keys is not None
        message = self._bare + b"," + self._first + b"," + without
        signature = _hmac(self._keys.stored_key, message)
        if len(proof) != len(signature):
            return Failed(REJECTION)
        right = hmac.compare_digest(hashlib.sha256(_xor(proof, signature)).digest(), self._keys.stored_key)
        if not (right and self._known):
            return Failed(REJECTION)
        self._stage = "proved"
        return Challenge(b"v=" + encode(_hmac(self._keys.server_key, message)).encode())


class ClientScram(ClientExchange):
    """The client's side; `finished` when the server's signature was right.  Raises SaslprepError."""

    __slots__ = ("_bare", "_bound", "_expected", "_header", "_nonce", "_password")

    def __init__(
        self, user: str, password: str, random: Random, binding: bytes | None, flag: str = "n"
    ) -> None:
        name = prepare(user)
        self._password = prepare(password)
        if not name or not self._password or len(name.encode()) > MAX_LOGIN:
            raise SaslprepError("nothing is left of the name or the password")
        self._nonce = encode(random(_NONCE))
        self._header = b"p=" + _BINDING + b",," if binding is not None else flag.encode() + b",,"
        self._bound = self._header + (binding or b"")
        name = name.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}".encode()
        self._expected: bytes | None = None
        super().__init__(SCRAM if binding is None else SCRAM_PLUS, self._header + self._bare)
        self.finished = False

    def next(self, challenge: bytes) -> bytes:
        if self._expected is None:
            return self._final(challenge)
        if self.finished:
            raise BadServer("a challenge behind the server's last message")
        pairs = _attributes(challenge)
        if pairs is not None and pairs[0][0] == "e":
            raise BadServer(f"the server says: {pairs[0][1][:80]}")
        proof = octets(pairs[0][1]) if pairs is not None and pairs[0][0] == "v" else None
        if proof is None or not hmac.compare_digest(proof, self._expected):
            raise BadServer("the server does not know the password: its signature is wrong")
        self.finished = True
        return b""

    def _final(self, challenge: bytes) -> bytes:
        pairs = _attributes(challenge)
        if pairs is not None and pairs[0][0] == "e":
            raise BadServer(f"the server says: {pairs[0][1][:80]}")
        if pairs is None or [key for key, _ in pairs[:3]] != ["r", "s", "i"]:
            raise BadServer("not a server's first message of SCRAM")
        nonce, salt, count = pairs[0][1], octets(pairs[1][1]), pairs[2][1]
        if not _is_nonce(nonce) or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise BadServer("the server's nonce does not continue ours")
        if not salt or not (count.isascii() and count.isdigit() and len(count) < 8):
            raise BadServer("the server's salt or iteration count is malformed")
        iterations = int(count)
        if not LEAST_ITERATIONS <= iterations <= MOST_ITERATIONS:
            raise BadServer(f"an iteration count of {iterations} is not taken")
        without = f"c={encode(self._bound)},r={nonce}".encode()
        message = self._bare + b"," + challenge + b"," + without
        base = salted(self._password, salt, iterations)
        client_key = _hmac(base, b"Client Key")
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), message))
        self._expected = _hmac(_hmac(base, b"Server Key"), message)
        return without + b",p=" + encode(proof).encode()
