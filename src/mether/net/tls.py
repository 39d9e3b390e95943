"""TLS as a client: what is demanded of a server, and what a finished handshake amounts to (RFC 3207, 9325).

    tls = ClientTls(ca=None, minimum="1.2")
    terms = tls.terms("verify", server_name="mx.example.org", names=["mx.example.org"])
    stream.start_tls(terms, timeout)         or Blocking.start_tls, which wait each in its own way

The levels, each demanding more than the one before, but for the last two, which differ in kind:

| level | demands |
|---|---|
| none | no TLS at all: there are no terms for it |
| may | TLS where it is offered; any certificate.  What a failure means is the caller's to say |
| encrypt | TLS; any certificate |
| verify | a certificate that a known authority signed, for one of the `names` (RFC 9525: `net.identity`) |
| fingerprint | a certificate or a key whose SHA-256 is one of the `fingerprints`, whoever signed it |

`Terms` are what either side brings to a handshake: `net.tlsserver` has the server's.  Handshakes fail with
`TlsError` (`net.tlserror`), one line with a kind that `relay.failure` can judge.  TLS 1.2 is the least, there
is no compression and no renegotiation (RFC 9325 section 3), and no ALPN, which SMTP has not.
"""

from __future__ import annotations

import os
import ssl
import time

from mether.net import identity
from mether.net.certificate import Certificate
from mether.net.tlserror import TlsError, trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, Protocol

    Stamp = tuple[int, int, int]
    Sessions = dict[tuple[object, ...], tuple[ssl.SSLSession, float]]

    class Terms(Protocol):
        """What one side brings to a handshake."""

        def object(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
            """The TLS machine between the two buffers.  Raises TlsError."""

        def judge(self, made: ssl.SSLObject) -> Security:
            """What the finished handshake amounts to.  Raises TlsError when that is too little."""

        def ending(self, made: ssl.SSLObject) -> None:
            """The session ends; keep of it what another may begin with."""


MINIMUMS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
OPPORTUNISTIC: Final = "DEFAULT:!aNULL:!eNULL:@SECLEVEL=1"
"""What is taken for TLS 1.2 where nobody asks who the server is."""
PROVEN: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""What is taken for TLS 1.2 where it is asked: CPython's own choice, which distributions widen."""
CHECK_SECONDS: Final = 5.0
"""Files are not looked at for changes more often than this."""
SESSIONS: Final = 1000
"""Servers whose latest TLS session is remembered, to be resumed."""
RESUMED_SECONDS: Final = 3600.0
"""How long after a certificate was shown a session may go on from it: resuming checks no dates."""


class Security:
    """A session under TLS: `version` ("TLSv1.3"), `cipher`, `bits`, `group` ("" where Python can't tell it).

    `verified` tells whether the peer is who it should be: of a server, by name or fingerprint; of a client,
    by an authority.  `name` is the name that matched, or for a server the SNI that was asked for.  `peer` is
    the peer's certificate, None for none; `resumed` whether an earlier session went on.
    """

    __slots__ = ("_der", "_own", "_peer", "bits", "cipher", "group", "name", "resumed", "verified", "version")

    def __init__(
        self,
        version: str,
        cipher: str,
        bits: int = 0,
        *,
        group: str = "",
        verified: bool = False,
        name: str = "",
        der: bytes | None = None,
        own: Certificate | None = None,
        resumed: bool = False,
    ) -> None:
        self.version = version
        self.cipher = cipher
        self.bits = bits
        self.group = group
        self.verified = verified
        self.name = name
        self.resumed = resumed
        self._der = der
        self._own = own
        self._peer: Certificate | None = None

    @property
    def peer(self) -> Certificate | None:
        """The peer's certificate, None for none or one that can't be read; whether to trust it says
        `verified`.
        """
        if self._peer is None and self._der:
            try:
                self._peer = Certificate(self._der)
            except ValueError:
                self._der = None
        return self._peer

    @property
    def end_point(self) -> bytes:
        """The channel binding tls-server-end-point (RFC 5929), the same on both sides; b"" where there is
        none.
        """
        certificate = self._own or self.peer
        if certificate is None:
            return b""
        try:
            return certificate.end_point
        except ValueError:
            return b""

    def __str__(self) -> str:
        return f"{self.version} with {self.cipher}"


class ClientTls:
    """Contexts for connecting to servers, made when first used, and anew when a file has changed.

    `ca` is a file of authorities, None for the system's; `minimum` is "1.2" or "1.3"; `certificate` (chain
    file, key file) is shown to servers that ask for one.  `terms` raises TlsError("setup") when a file can't
    be read.
    """

    def __init__(
        self,
        *,
        ca: str | None = None,
        minimum: str = "1.2",
        certificate: tuple[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ca = ca
        self._minimum = minimum
        self._certificate = certificate
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._clock = clock
        self._looked = clock()
        self._stamps = self._stamp()
        self._sessions: Sessions = {}

    def terms(
        self,
        level: str,
        *,
        server_name: str = "",
        names: Iterable[str] = (),
        fingerprints: Iterable[str] = (),
        resume: object = None,
    ) -> ClientTerms:
        """What to demand of one server.

        `server_name` is what SNI says, "" for none.  `names` are the reference identities of level verify,
        any of which is enough; `fingerprints` the SHA-256 in hexadecimal digits (`net.level` reads them) of
        level fingerprint.  `resume` stands for the server, such as (address, port): sessions are resumed
        among those with the same one and the same demands; None: never.
        """
        self._look()
        kind = level if level in ("verify", "fingerprint") else "any"
        context = self._contexts.get(kind)
        if context is None:
            context = self._contexts[kind] = self._context(kind)
        return ClientTerms(
            context,
            level,
            server_name,
            tuple(names),
            frozenset(fingerprints),
            self._sessions,
            resume,
            self._clock(),
        )

    def _look(self) -> None:
        """Forget the contexts, and the sessions that began in them, when a file has changed."""
        now = self._clock()
        if now - self._looked < CHECK_SECONDS:
            return
        self._looked = now
        stamps = self._stamp()
        if stamps != self._stamps:
            self._stamps = stamps
            self._contexts.clear()
            # Anew, not emptied: what is still open keeps its session in the old one, and no context takes
            # another's.
            self._sessions = {}

    def _stamp(self) -> list[Stamp]:
        return [stamp(path) for path in (self._ca, *(self._certificate or ())) if path is not None]

    def _context(self, kind: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        prepare(context, self._minimum)
        context.check_hostname = False  # several names, addresses, and an error with what was found: `judge`
        if kind == "any":
            # An old cipher hides more than clear text does (RFC 7435 section 3), and nothing is proven here.
            context.set_ciphers(OPPORTUNISTIC)
        else:
            context.set_ciphers(PROVEN)
        if kind != "verify":
            context.verify_mode = ssl.CERT_NONE
        elif self._ca is None:
            context.set_default_verify_paths()
        else:
            try:
                context.load_verify_locations(self._ca)
            except (OSError, ValueError) as error:
                raise TlsError("setup", f"{self._ca}: {trouble(error)}") from None
            # Whoever names a file trusts what is in it, whether or not it signed itself.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self._certificate is not None:
            load_pair(context, *self._certificate)
        return context


class ClientTerms:
    """What is demanded of one server; made by `ClientTls.terms`."""

    __slots__ = (
        "_began",
        "_context",
        "_fingerprints",
        "_key",
        "_names",
        "_sessions",
        "_since",
        "level",
        "server_name",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        level: str,
        server_name: str,
        names: tuple[str, ...],
        fingerprints: frozenset[str],
        sessions: Sessions,
        resume: object,
        now: float,
    ) -> None:
        self._began = self._since = now
        self._context = context
        self.level = level
        self.server_name = server_name
        self._names = names
        self._fingerprints = fingerprints
        self._sessions = sessions
        self._key = None if resume is None else (resume, level, server_name, names, fingerprints)

    def object(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """The TLS machine, with SNI, and the latest session with this server where there is one."""
        session = self._session()
        name = self.server_name.removesuffix(".")
        if name and identity.address_octets(name) is None:
            try:
                return self._context.wrap_bio(incoming, outgoing, server_hostname=name, session=session)
            except (ValueError, ssl.SSLError):
                pass  # a name that can't be said in SNI (RFC 6066 section 3): the default certificate will do
        return self._context.wrap_bio(incoming, outgoing, session=session)

    def _session(self) -> ssl.SSLSession | None:
        """The session to go on with."""
        if self._key is None:
            return None
        session, began = self._sessions.get(self._key, (None, 0.0))
        if session is None or self._began - began >= RESUMED_SECONDS:
            return None
        self._since = began
        return session

    def judge(self, made: ssl.SSLObject) -> Security:
        """Check the certificate against the demands; OpenSSL has checked the chain for level verify."""
        der = made.getpeercert(True)
        verified, matched = False, ""
        if self.level in ("verify", "fingerprint"):
            try:
                certificate = Certificate(der or b"")
            except ValueError:
                raise TlsError("protocol", "the server's certificate can't be read") from None
            if self.level == "verify":
                matched = identity.first_presented(self._names, certificate)
                if not matched:
                    wanted = ", ".join(self._names[:5]) or "no name"
                    found = identity.names_found(certificate)
                    raise TlsError(
                        "name", f"the server's certificate is not for {wanted}; its names: {found}"
                    )
            elif not {certificate.fingerprint, certificate.key_fingerprint} & self._fingerprints:
                raise TlsError(
                    "fingerprint",
                    f"the server's certificate has another fingerprint: sha256:{certificate.fingerprint}"
                    f" (its key: sha256:{certificate.key_fingerprint})",
                )
            verified = True
        return security(made, der, verified=verified, name=matched)

    def ending(self, made: ssl.SSLObject) -> None:
        """Remember the session, if the server lets it be resumed."""
        if self._key is None:
            return
        session = made.session
        if session is not None and session.has_ticket:
            self._sessions.pop(self._key, None)
            if len(self._sessions) >= SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[self._key] = (session, self._since if made.session_reused else self._began)


def prepare(context: ssl.SSLContext, minimum: str) -> None:
    """Give a context of either side what all have: the least version, and nothing that is not wanted."""
    context.minimum_version = MINIMUMS[minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def security(
    made: ssl.SSLObject,
    der: bytes | None,
    *,
    verified: bool,
    name: str = "",
    own: Certificate | None = None,
) -> Security:
    """The Security of a finished handshake."""
    cipher = made.cipher() or ("", "", 0)
    group = getattr(made, "group", None)
    return Security(
        made.version() or "",
        cipher[0],
        cipher[2],
        group=(group() or "") if group is not None else "",
        verified=verified,
        name=name,
        der=der,
        own=own,
        resumed=bool(made.session_reused),
    )


def stamp(path: str) -> Stamp:
    """What changes when a file is written or replaced."""
    try:
        found = os.stat(path)
    except OSError as error:
        return 0, 0, -(error.errno or 1)
    return found.st_mtime_ns, found.st_size, found.st_ino


def load_pair(context: ssl.SSLContext, chain: str, key: str) -> None:
    """Load a certificate chain and its key.  Raises TlsError("setup") with the file's name."""

    def no_password() -> str:
        raise TlsError("setup", f"{key}: the key is encrypted; expected one without a passphrase")

    for path in (chain, key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise TlsError("setup", f"{path}: {error.strerror}") from None
    try:
        context.load_cert_chain(chain, key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError("setup", f"{key}: not the key of the certificate in {chain}") from None
        raise TlsError("setup", f"{chain} and {key}: {trouble(error)}") from None
    except (OSError, ValueError) as error:
        raise TlsError("setup", f"{chain} and {key}: {trouble(error)}") from None
