"""What can go wrong with TLS, in one line and one word (RFC 5246 section 7.2, RFC 8446 section 6).

`explain` makes a `TlsError` of whatever `ssl` or the connection raised in a handshake; `trouble` finds words
for a file that can't be used.  `relay.failure` judges by the kind, and people read the line.
"""

from __future__ import annotations

import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    Kind = Literal[
        "untrusted",
        "expired",
        "name",
        "fingerprint",
        "alert",
        "version",
        "protocol",
        "timeout",
        "closed",
        "setup",
    ]

_EXPIRED: Final = {9: "is not valid yet", 10: "has expired"}
_VERSION: Final = (
    "UNSUPPORTED_PROTOCOL",
    "PROTOCOL_VERSION",
    "INAPPROPRIATE_FALLBACK",
    "NO_PROTOCOLS_AVAILABLE",
)
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


class TlsError(Exception):
    """No TLS, or not what was demanded; str() is one line.

    `kind`: "untrusted", "expired" (or not yet valid), "name" and "fingerprint" are about the server's
    certificate; "alert" is the peer's refusal of us; "version" no version in common; "protocol" anything else
    that is not TLS as we know it; "timeout" and "closed" a peer that went silent or away; "setup" is our own
    trouble, such as a file that can't be read.
    """

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind: Kind = kind


def explain(error: Exception) -> TlsError:
    """What went wrong in a handshake, in one line."""
    if isinstance(error, TlsError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _EXPIRED:
            return TlsError("expired", f"the peer's certificate {_EXPIRED[error.verify_code]}")
        return TlsError("untrusted", f"the peer's certificate is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return TlsError("closed", "the peer ended the connection in the TLS handshake")
    if isinstance(error, TimeoutError):
        return TlsError("timeout", "the TLS handshake took too long")
    reason = getattr(error, "reason", None) or ""
    said = _words(reason) or getattr(error, "strerror", None) or str(error)[:200]
    if any(one in reason for one in _VERSION):
        return TlsError("version", f"no TLS version in common ({said})")
    if reason in _NOT_TLS:
        return TlsError("protocol", f"the peer does not speak TLS ({said})")
    if "ALERT" in reason:
        return TlsError("alert", f"the peer refused the TLS handshake ({said})")
    return TlsError("protocol", f"the TLS handshake failed ({said})")


def trouble(error: Exception) -> str:
    """Why a file of certificates or keys can't be used, in a few words."""
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in ("NO_START_LINE", "NO_CERTIFICATE_OR_CRL_FOUND", "PEM_LIB", "") or "PEM" in str(error):
            return "not a file of PEM certificates and keys"
        return _words(reason)
    return getattr(error, "strerror", None) or str(error)


def _words(reason: str) -> str:
    for prefix in ("TLSV1_", "TLSV13_", "SSLV3_"):
        reason = reason.removeprefix(prefix)
    return reason.lower().replace("_", " ")
