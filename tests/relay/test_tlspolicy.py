"""What TLS an attempt needs, and what a shortfall means."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.envelope import Envelope
from mether.net.tls import Security
from mether.relay import failure, tlspolicy
from mether.relay.tlspolicy import Policy, need
from mether.routing import target


def wanted(policy: Policy, where: str, host: str = "mx1.example.net", port: int = 25, **how: bool):
    return need(policy, target.parse(where), host, port, **how)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("none", "none"),
        ("may", "may"),
        ("encrypt", "encrypt"),
        ("verify", "verify"),
        ("fingerprint", "fingerprint"),
    ],
)
def test_the_configured_level(level: str, expected: str):
    """TLS-5, TLS-6: the level is configuration; clear text will do for none and may alone."""
    made = wanted(Policy(level), "example.org")
    assert made.level == expected
    assert made.fall_back == (level == "may")


@pytest.mark.parametrize(
    ("where", "names", "expected", "sni"),
    [
        ("example.org", (), ("example.org", ".example.org"), "mx1.example.net"),
        ("[smart.example.net]", (), ("smart.example.net",), "mx1.example.net"),
        ("smart.example.net:587", (), ("smart.example.net",), "mx1.example.net"),
        ("192.0.2.1", (), ("192.0.2.1",), ""),
        ("192.0.2.1", (".example.net", "a.example.net"), (".example.net", "a.example.net"), "a.example.net"),
        ("example.org", ("mx1.example.net",), ("mx1.example.net",), "mx1.example.net"),
    ],
)
def test_whose_certificate_it_must_be(
    where: str, names: tuple[str, ...], expected: tuple[str, ...], sni: str
):
    """TLS-8: what the configuration names; never a name that DNS gave."""
    made = wanted(Policy("verify", names=names), where)
    assert made.names == expected
    assert made.server_name == sni


def test_implicit_tls():
    """SUB: port 465 begins with TLS, and never falls back to clear."""
    made = wanted(Policy("may"), "smart.example.net:465", port=465)
    assert made.implicit
    assert not made.fall_back
    assert not wanted(Policy("none"), "smart.example.net:465", port=465).implicit


def test_a_login_is_worth_a_verified_server():
    """RFC 8314 section 5.3: unless the route says itself what it wants."""
    assert wanted(Policy("may"), "smart.example.net:587", login=True).level == "verify"
    assert wanted(Policy("encrypt", given=True), "smart.example.net:587", login=True).level == "encrypt"
    assert wanted(Policy("none"), "smart.example.net:587", login=True).level == "none"


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify", "fingerprint"])
def test_requiretls(level: str):
    """DAN (REQUIRETLS): a verified server that offers it, whatever is configured."""
    made = wanted(Policy(level), "example.org", requiretls=True)
    assert made.level == ("fingerprint" if level == "fingerprint" else "verify")
    assert made.required
    assert not made.fall_back


@pytest.mark.parametrize(
    ("secure", "offer", "expected"),
    [
        (None, {"REQUIRETLS"}, False),
        (Security("TLSv1.3", "x"), {"REQUIRETLS"}, False),
        (Security("TLSv1.3", "x", verified=True), {"SIZE"}, False),
        (Security("TLSv1.3", "x", verified=True), {"REQUIRETLS"}, True),
    ],
)
def test_which_kept_session_will_do(secure: Security | None, offer: set[str], expected: bool):
    """DAN (REQUIRETLS): the same is asked of a session that is there already."""
    assert tlspolicy.good_enough(secure, offer, requiretls=True) is expected
    assert tlspolicy.good_enough(secure, offer, requiretls=False)


def test_requiretls_is_about_relaying():
    """RFC 8689 section 4.4: LMTP delivers, a report goes as any mail, and a Unix socket is no wire."""
    envelope = Envelope(parse("a@b.example"), [], requiretls=True)
    assert tlspolicy.asks(envelope, lmtp=False)
    assert not tlspolicy.asks(envelope, lmtp=True)
    assert not tlspolicy.asks(Envelope(None, [], requiretls=True), lmtp=False)
    assert not tlspolicy.asks(Envelope(parse("a@b.example"), []), lmtp=False)
    unix = need(Policy("verify"), target.parse("unix:/run/lmtp"), "/run/lmtp", 0, requiretls=True)
    assert unix.level == "none"


@pytest.mark.parametrize(
    ("reply", "action", "status"),
    [
        (tlspolicy.not_offered(wanted(Policy("encrypt"), "a.example")), "delayed", "4.7.4"),
        (tlspolicy.not_offered(wanted(Policy(), "a.example", requiretls=True)), "failed", "5.7.10"),
        (tlspolicy.failed(wanted(Policy("verify"), "a.example"), "name", "x"), "delayed", "4.7.5"),
        (tlspolicy.failed(wanted(Policy(), "a.example", requiretls=True), "name", "x"), "failed", "5.7.10"),
        (
            tlspolicy.failed(wanted(Policy(), "a.example", requiretls=True), "timeout", "x"),
            "delayed",
            "4.7.5",
        ),
        (tlspolicy.requiretls_missing(), "failed", "5.7.30"),
    ],
)
def test_what_a_shortfall_means(reply, action: str, status: str):
    """TLS-5, ENH-25, ENH-30: our own demand is tried again; the sender's, REQUIRETLS, goes back."""
    outcome = failure.of_host(0, reply)
    assert (outcome.action, outcome.status) == (action, status)
