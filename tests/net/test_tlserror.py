"""Every failure of TLS is one line with a kind; real handshakes show most of them in test_tls."""

from __future__ import annotations

import ssl

import pytest

from mether.net.tlserror import TlsError, explain


def odd(reason: str) -> ssl.SSLError:
    """What `ssl` raises for a reason of OpenSSL's."""
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower()} (_ssl.c:1000)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    "error", [ssl.SSLError(1, "odd"), OSError(5, "Input/output error"), ValueError("odd")]
)
def test_any_error_is_explained_in_one_line(error: Exception):
    assert explain(error).kind == "protocol"
    assert "\n" not in str(explain(error))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (odd("TLSV1_ALERT_UNKNOWN_CA"), "alert", "refused the TLS handshake (alert unknown ca)"),
        (odd("TLSV1_ALERT_PROTOCOL_VERSION"), "version", "no TLS version in common"),
        (odd("WRONG_VERSION_NUMBER"), "protocol", "does not speak TLS (wrong version number)"),
        (ssl.SSLEOFError(8, "EOF"), "closed", "ended the connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "closed", "ended the connection"),
        (TimeoutError(), "timeout", "took too long"),
        (TlsError("name", "as it was said"), "name", "as it was said"),
    ],
)
def test_what_the_kind_is(error: Exception, kind: str, words: str):
    assert explain(error).kind == kind
    assert words in str(explain(error))
