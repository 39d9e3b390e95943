"""Verifiers: what a password file keeps in place of a password.

Two schemes, written as Dovecot writes them:

* ``{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH``: Argon2id (RFC 9106) in the PHC format.  The best
  there is should the file be lost; it can check PLAIN and LOGIN alone.  Needs the package cryptography.
* ``{SCRAM-SHA-256}ITERATIONS,SALT,STOREDKEY,SERVERKEY``, three of them base64: the keys of RFC 5802, for
  SCRAM and for PLAIN and LOGIN.

`parse` raises `VerifierError`, whose text is for a person and never holds the verifier.  `check` is slow on
purpose (tens of milliseconds) and belongs in a thread.  Costs are bounded, so that a line in a file cannot
stop a server.

    verifier = parse(make("scram-sha-256", "password", os.urandom))
    assert verifier.check("password")
"""

from __future__ import annotations

import hmac

from mether.smtp import sasl_scram
from mether.smtp.sasl import ScramKeys, encode, octets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeAlias

SCHEMES: Final = ("argon2id", "scram-sha-256")

MEMORY: Final = 19456
TIME: Final = 2
LANES: Final = 1
"""What a new Argon2id verifier costs: 19 MiB, two passes, one lane (OWASP's recommendation)."""

_MOST: Final = {"m": 1 << 20, "t": 64, "p": 16}
"""The most a line may cost: 1 GiB, 64 passes, 16 lanes."""


class VerifierError(ValueError):
    """The text is no verifier, or one that cannot be used here; str() says why."""


class Argon2id:
    """An Argon2id verifier in the PHC format."""

    __slots__ = ("phc",)

    def __init__(self, phc: str) -> None:
        self.phc = phc

    def check(self, password: str) -> bool:
        """Whether this is the password.  Raises VerifierError where Argon2id cannot be computed."""
        from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Primitive

        try:
            Primitive.verify_phc_encoded(password.encode(), self.phc)
        except InvalidKey:
            return False
        except (ValueError, MemoryError, UnsupportedAlgorithm) as error:
            raise VerifierError(f"Argon2id cannot be computed: {error}") from None
        return True


class Scram:
    """The keys of SCRAM-SHA-256."""

    __slots__ = ("keys",)

    def __init__(self, keys: ScramKeys) -> None:
        self.keys = keys

    def check(self, password: str) -> bool:
        """Whether this is the password."""
        made = sasl_scram.keys(password, self.keys.salt, self.keys.iterations)
        return hmac.compare_digest(made.stored_key, self.keys.stored_key)


if TYPE_CHECKING:
    Verifier: TypeAlias = Argon2id | Scram


def parse(text: str) -> Verifier:
    """The verifier that is written so.  Raises VerifierError."""
    scheme, brace, rest = text.partition("}")
    if not (scheme.startswith("{") and brace):
        raise VerifierError(
            "expected {ARGON2ID} or {SCRAM-SHA-256} and a verifier, as mether passwd writes it"
        )
    name = scheme[1:].upper()
    if name == "ARGON2ID":
        return _argon2id(rest)
    if name == "SCRAM-SHA-256":
        return _scram(rest)
    raise VerifierError(f"the scheme {scheme[1:]!r} is not one of ARGON2ID, SCRAM-SHA-256")


def _argon2id(phc: str) -> Argon2id:
    parts = phc.split("$")
    if len(parts) != 6 or parts[:3] != ["", "argon2id", "v=19"]:
        raise VerifierError("expected $argon2id$v=19$m=MEMORY,t=TIME,p=LANES$SALT$HASH")
    costs = dict(part.partition("=")[::2] for part in parts[3].split(","))
    if list(costs) != ["m", "t", "p"]:
        raise VerifierError("expected the costs of Argon2id as m=MEMORY,t=TIME,p=LANES")
    for key, value in costs.items():
        if not (value.isascii() and value.isdigit() and len(value) < 9 and 0 < int(value) <= _MOST[key]):
            raise VerifierError(f"the cost {key} of Argon2id must be 1 to {_MOST[key]}")
    for what in parts[4:]:
        data = octets(what + "=" * (-len(what) % 4))
        if data is None or not 8 <= len(data) <= 64:
            raise VerifierError("salt and hash of Argon2id must be base64 of 8 to 64 octets, without padding")
    _need_argon2id()
    return Argon2id(phc)


def _scram(text: str) -> Scram:
    parts = text.split(",")
    if len(parts) != 4:
        raise VerifierError("expected ITERATIONS,SALT,STOREDKEY,SERVERKEY")
    count = parts[0]
    least, most = sasl_scram.LEAST_ITERATIONS, sasl_scram.MOST_ITERATIONS
    if not (count.isascii() and count.isdigit() and len(count) < 9 and least <= int(count) <= most):
        raise VerifierError(f"the iteration count must be {least} to {most}")
    salt, stored, server = map(octets, parts[1:])
    if not salt or len(salt) > sasl_scram.MAX_SALT:
        raise VerifierError(f"the salt must be base64 of 1 to {sasl_scram.MAX_SALT} octets")
    if stored is None or server is None or len(stored) != 32 or len(server) != 32:
        raise VerifierError("each key must be base64 of 32 octets")
    return Scram(ScramKeys(int(count), salt, stored, server))


def make(scheme: str, password: str, random: Callable[[int], bytes]) -> str:
    """A new verifier for a password that was prepared with SASLprep, as it is written in the file.

    `scheme` is one of SCHEMES.  Raises VerifierError where it cannot be computed.
    """
    if scheme == "scram-sha-256":
        keys = sasl_scram.keys(password, random(16))
        fields = (keys.salt, keys.stored_key, keys.server_key)
        return "{SCRAM-SHA-256}" + ",".join([str(keys.iterations), *map(encode, fields)])
    _need_argon2id()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Primitive

    try:
        phc = Primitive(
            salt=random(16), length=32, iterations=TIME, lanes=LANES, memory_cost=MEMORY
        ).derive_phc_encoded(password.encode())
    except (MemoryError, UnsupportedAlgorithm) as error:
        raise VerifierError(f"Argon2id cannot be computed: {error}") from None
    return "{ARGON2ID}" + phc


def _need_argon2id() -> None:
    """Raise VerifierError when the package is missing: at once, and not at the first login."""
    try:
        import cryptography.hazmat.primitives.kdf.argon2  # noqa: F401
    except ImportError:
        raise VerifierError(
            "Argon2id needs the package cryptography, 45 or newer: pip install 'mether[auth]'"
        ) from None
