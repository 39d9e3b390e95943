"""TLS as a server: our certificates, chosen by SNI, and read anew when their files change (RFC 3207, 6066).

    tls = ServerTls([("chain.pem", "key.pem"), ...], log=print)
    stream.start_tls(tls.terms(), timeout)

Each certificate says itself which names it is for.  A client that asks for a name which none has, or for
none, gets the first (checklist TLS-9); where several have the name, the first of them is shown.

Files are looked at for changes when a handshake begins, at most every CHECK_SECONDS, or by `reload`.  What
can't be loaded then (a certificate whose key has not been written yet, a damaged file) leaves the old one in
place, tells `log` one line, and is looked at again.  Sessions keep what they began with.

With `client_ca`, a file of authorities, clients are asked for a certificate but need none (SASL EXTERNAL).
One that shows a certificate of another authority is refused in the handshake: Python's ssl knows no other
way.
"""

from __future__ import annotations

import ssl
import time

from mether.net import identity
from mether.net.certificate import Certificate
from mether.net.tls import CHECK_SECONDS, Security, load_pair, prepare, security, stamp
from mether.net.tlserror import TlsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from mether.net.tls import Stamp

    Stamps = tuple[Stamp, ...]

MAX_FILE: Final = 1 << 20
"""Octets of a certificate chain that are read for its names."""


class _Context(ssl.SSLContext):
    """A context that knows its own certificate."""

    own: Certificate


class _Pair:
    """One certificate with its key, the context made of them, and the state of the files then."""

    __slots__ = ("chain", "complained", "context", "key", "stamp")

    def __init__(self, chain: str, key: str, context: _Context, stamp: Stamps) -> None:
        self.chain = chain
        self.key = key
        self.context = context
        self.stamp = stamp
        self.complained: Stamps | None = None


class ServerTls:
    """The certificates of a server.

    `pairs` are (chain file, key file), the first the default; `client_ca` is a file; `minimum` "1.2" or
    "1.3"; `log` is told a line when a changed file can't be used, and `loaded` the chain file that was read
    anew; `clock` gives seconds from anywhere.  Raises TlsError("setup"), one line, when a file is unusable
    from the start.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        client_ca: str | None = None,
        minimum: str = "1.2",
        log: Callable[[str], None] = lambda line: None,
        loaded: Callable[[str], None] = lambda path: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not pairs:
            raise TlsError("setup", "no certificate is given")
        self._client_ca = client_ca
        self._minimum = minimum
        self._log = log
        self._loaded = loaded
        self._clock = clock
        self._pairs = [_Pair(*one, *self._load(*one)) for one in pairs]
        self._checked = clock()
        self._by_name: dict[str, _Context] = {}
        self._index()

    @property
    def certificates(self) -> list[Certificate]:
        """The certificates in use, the default first."""
        return [pair.context.own for pair in self._pairs]

    def terms(self) -> ServerTerms:
        """What to bring to the next handshake."""
        if self._clock() - self._checked >= CHECK_SECONDS:
            self.reload()
        return ServerTerms(self._pairs[0].context)

    def reload(self) -> None:
        """Look at the files now, and load what has changed; never raises."""
        self._checked = self._clock()
        changed = False
        for pair in self._pairs:
            now = self._stamp(pair.chain, pair.key)
            if now == pair.stamp:
                pair.complained = None
                continue
            try:
                pair.context, pair.stamp = self._load(pair.chain, pair.key)
            except TlsError as error:
                if pair.complained != now:
                    pair.complained = now
                    self._log(f"TLS: {error}; the certificate loaded before stays in use")
            else:
                changed = True
                pair.complained = None
                self._loaded(pair.chain)
        if changed:
            self._index()

    def _index(self) -> None:
        by_name: dict[str, _Context] = {}
        for pair in self._pairs:
            for name in pair.context.own.dns_names:
                by_name.setdefault(name.lower(), pair.context)
            pair.context.sni_callback = self._chosen
        self._by_name = by_name

    def _chosen(self, made: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Show the certificate that was asked for; an unknown name is no error."""
        if not name:
            return
        name = name.lower().removesuffix(".")
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        # Setting a context resets what the handshake has settled: only where it is another one.
        if found is not None and found is not context and identity.first_presented((name,), found.own):
            made.context = found

    def _load(self, chain: str, key: str) -> tuple[_Context, Stamps]:
        # The stamp is taken first: a file that changes while it is read is read again.
        then = self._stamp(chain, key)
        context = _Context(ssl.PROTOCOL_TLS_SERVER)
        prepare(context, self._minimum)
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        load_pair(context, chain, key)
        context.own = _first(chain)
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) if not isinstance(error, ssl.SSLError) else None
                raise TlsError(
                    "setup", f"{self._client_ca}: {why or 'not a file of PEM certificates'}"
                ) from None
            context.verify_mode = ssl.CERT_OPTIONAL
        return context, then

    def _stamp(self, *paths: str) -> Stamps:
        return tuple(map(stamp, (*paths, self._client_ca) if self._client_ca else paths))


class ServerTerms:
    """What a server brings to one handshake; made by `ServerTls.terms`."""

    __slots__ = ("_context",)

    def __init__(self, context: _Context) -> None:
        self._context = context

    def object(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """The TLS machine."""
        return self._context.wrap_bio(incoming, outgoing, server_side=True)

    def judge(self, made: ssl.SSLObject) -> Security:
        """All is well; a client's certificate, if it showed one, was verified."""
        context = made.context
        der = made.getpeercert(True) if context.verify_mode != ssl.CERT_NONE else None
        own = context.own if isinstance(context, _Context) else None
        return security(made, der, verified=der is not None, own=own)

    def ending(self, made: ssl.SSLObject) -> None:
        """Servers keep nothing: their tickets are with the clients."""


def _first(chain: str) -> Certificate:
    """The first certificate of a PEM file, which is the server's own."""
    try:
        with open(chain, "rb") as file:
            text = file.read(MAX_FILE).decode("latin-1")
        begin = text.index(ssl.PEM_HEADER)
        end = text.index(ssl.PEM_FOOTER, begin) + len(ssl.PEM_FOOTER)
        return Certificate(ssl.PEM_cert_to_DER_cert(text[begin:end]))
    except OSError as error:
        raise TlsError("setup", f"{chain}: {error.strerror}") from None
    except ValueError:
        raise TlsError("setup", f"{chain}: not a file of PEM certificates") from None
