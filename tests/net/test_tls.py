"""What our client demands of a server, and what it says when it does not get it; in all three shells."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import certificates
import handshake
import pytest
import tlspeer

from mether.net import level, tls
from mether.net.certificate import Certificate
from mether.net.tls import ClientTls
from mether.net.tlserror import TlsError

kinds = pytest.mark.parametrize("kind", handshake.KINDS)


def serve(context: ssl.SSLContext):
    """Echo under TLS; gives the SNI-less facts that the test asks for."""

    def work(sock: socket.socket) -> str:
        with context.wrap_socket(sock, server_side=True) as secure:
            while data := secure.recv(65536):
                secure.sendall(data)
            return secure.version() or ""

    return work


def shake(kind: str, context: ssl.SSLContext, terms: tls.ClientTerms, send: bytes = b"") -> tls.Security:
    """Our client against a server with this context."""
    with tlspeer.peer(serve(context)) as there:
        security, back = handshake.client(kind, there.port, terms, send=send)
        assert back == send
        return security


@kinds
def test_encrypted_without_asking_who(kind: str, tmp_path: Path):
    """TLS-7, TLS-8: opportunistic TLS takes any certificate, and TLS 1.3 where both have it."""
    context = tlspeer.server_context(
        certificates.pair(tmp_path, "other.example", by="stranger", expired=True)
    )
    seen = []
    context.sni_callback = lambda made, name, before: seen.append(name)
    terms = ClientTls().terms("encrypt", server_name="mx.example.com")
    security = shake(kind, context, terms, send=b"x" * 300_000)
    assert (security.version, security.verified, security.resumed) == ("TLSv1.3", False, False)
    assert "AES" in security.cipher or "CHACHA" in security.cipher
    assert security.bits >= 128
    assert str(security) == f"TLSv1.3 with {security.cipher}"
    assert seen == ["mx.example.com"]
    assert security.peer is not None
    assert security.peer.dns_names == ("other.example",)


@pytest.mark.parametrize("level", ["may", "encrypt", "fingerprint"])
def test_an_old_cipher_is_better_than_clear_text(level: str, tmp_path: Path):
    """TLS-7: one with SHA-1 (an old Exchange's), where nobody asks who the server is; and there only."""
    pair = certificates.pair(tmp_path, "mx.example.com")
    context = tlspeer.server_context(pair, most=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    prints = [Certificate(certificates.der("mx.example.com")).fingerprint]
    terms = ClientTls().terms(level, fingerprints=prints)
    if level == "fingerprint":
        with pytest.raises(TlsError) as caught:
            shake("blocking", context, terms)
        assert caught.value.kind == "alert"
    else:
        assert shake("blocking", context, terms).cipher == "ECDHE-ECDSA-AES128-SHA"


@kinds
@pytest.mark.parametrize("names", [["mx.example.com"], ["no.example", ".example.com"], ["127.0.0.1"]])
def test_verified_by_name(kind: str, names: list[str], tmp_path: Path):
    """TLS-8: by any of the names, or by address."""
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com", "127.0.0.1"))
    tls_ = ClientTls(ca=certificates.ca_file(tmp_path))
    security = shake(kind, context, tls_.terms("verify", server_name="mx.example.com", names=names))
    assert security.verified
    assert security.name == names[-1]
    assert len(security.end_point) == 32


@kinds
def test_another_name_is_told_with_the_names_found(kind: str, tmp_path: Path):
    """TLS-8: a name that is not in the certificate fails it, and the error says which are."""
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.org", "*.example.net"))
    terms = ClientTls(ca=certificates.ca_file(tmp_path)).terms("verify", names=["mx.example.com"])
    with pytest.raises(TlsError, match=r"not for mx\.example\.com; its names: mx\.example\.org") as caught:
        shake(kind, context, terms)
    assert caught.value.kind == "name"


@kinds
@pytest.mark.parametrize(
    ("how", "expected", "words"),
    [
        ({"expired": True}, "expired", "has expired"),
        ({"by": "stranger"}, "untrusted", "not trusted: .*issuer|not trusted: .*self"),
    ],
    ids=["expired", "unknown authority"],
)
def test_a_chain_that_does_not_hold(
    kind: str, how: dict[str, object], expected: str, words: str, tmp_path: Path
):
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com", **how))
    terms = ClientTls(ca=certificates.ca_file(tmp_path)).terms("verify", names=["mx.example.com"])
    with pytest.raises(TlsError, match=words) as caught:
        shake(kind, context, terms)
    assert caught.value.kind == expected
    assert "\n" not in str(caught.value)


@kinds
@pytest.mark.parametrize("which", ["fingerprint", "key_fingerprint"])
def test_a_fingerprint_is_enough(kind: str, which: str, tmp_path: Path):
    """Of the certificate or of its key; who signed it and when does not matter."""
    context = tlspeer.server_context(certificates.pair(tmp_path, "x.example", by="stranger", expired=True))
    leaf = certificates.issued("x.example", by="stranger", expired=True).cert_chain_pems[0].bytes()
    made = Certificate(ssl.PEM_cert_to_DER_cert(leaf.decode()))
    prints = ["00" * 32, level.fingerprint("SHA256:" + getattr(made, which).upper())]
    assert shake(kind, context, ClientTls().terms("fingerprint", fingerprints=prints)).verified
    with pytest.raises(TlsError, match=rf"another fingerprint: sha256:{made.fingerprint}") as caught:
        shake(kind, context, ClientTls().terms("fingerprint", fingerprints=["00" * 32]))
    assert caught.value.kind == "fingerprint"


@kinds
def test_old_versions_are_never_spoken(kind: str, tmp_path: Path):
    """TLS-7: TLS 1.1 is refused, TLS 1.2 taken, and refused too where 1.3 is the least."""
    files = certificates.pair(tmp_path, "mx.example.com")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old = tlspeer.server_context(files, least=ssl.TLSVersion.TLSv1_1, most=ssl.TLSVersion.TLSv1_1)
    with pytest.raises(TlsError) as caught:
        shake(kind, old, ClientTls().terms("may"))
    assert caught.value.kind in ("version", "alert")
    middle = tlspeer.server_context(files, most=ssl.TLSVersion.TLSv1_2)
    assert shake(kind, middle, ClientTls().terms("may")).version == "TLSv1.2"
    with pytest.raises(TlsError) as caught:
        shake(kind, middle, ClientTls(minimum="1.3").terms("may"))
    assert caught.value.kind in ("version", "alert")


@kinds
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"220 still in clear\r\n", "protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (bytes(range(256)) * 8, "protocol"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "alert"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "version"),
        (b"", "closed"),
    ],
)
def test_a_server_that_does_not_speak_tls(kind: str, octets: bytes, expected: str):
    def work(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(octets)
        if octets:
            while sock.recv(65536):
                pass

    with tlspeer.peer(work) as there, pytest.raises(TlsError) as caught:
        handshake.client(kind, there.port, ClientTls().terms("may"))
    assert caught.value.kind == expected
    assert "\n" not in str(caught.value)


@kinds
def test_a_server_that_stalls(kind: str):
    """TMO: the handshake has a time of its own, however it drips."""

    def work(sock: socket.socket) -> None:
        while sock.recv(65536):
            pass

    with tlspeer.peer(work) as there, pytest.raises(TlsError, match="too long") as caught:
        handshake.client(kind, there.port, ClientTls().terms("may"), timeout=0.05)
    assert caught.value.kind == "timeout"


@kinds
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(kind: str, version: ssl.TLSVersion, tmp_path: Path):
    """With the same server and the same demands only; and the name is checked again."""
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com"), most=version)
    client = ClientTls(ca=certificates.ca_file(tmp_path))

    def once(**how: object) -> tls.Security:
        terms = client.terms("verify", server_name="mx.example.com", names=["mx.example.com"], **how)
        security, _ = handshake.client(kind, there.port, terms, send=b"NOOP\r\n")
        return security

    with tlspeer.peer(serve(context)) as there:
        assert [once(resume="here").resumed for _ in range(3)] == [False, True, True]
        assert not once(resume="elsewhere").resumed
        assert not once().resumed
        again = once(resume="here")
        assert (again.verified, again.name) == (True, "mx.example.com")
        other = client.terms("verify", server_name="mx.example.com", names=["x.example"], resume="here")
        with pytest.raises(TlsError, match="not for x"):
            handshake.client(kind, there.port, other)


def test_a_session_goes_on_for_an_hour_at_most(tmp_path: Path):
    """Counted from the handshake that showed the certificate: resuming checks no dates."""
    now = [0.0]
    client = ClientTls(clock=lambda: now[0])
    with tlspeer.peer(serve(tlspeer.server_context(certificates.pair(tmp_path, "a.example")))) as there:
        found = []
        for _ in range(6):
            terms = client.terms("may", resume=1)
            found.append(handshake.client("blocking", there.port, terms, send=b"x")[0].resumed)
            now[0] += tls.RESUMED_SECONDS / 4
    assert found == [False, True, True, True, False, True]


def test_sessions_are_remembered_for_so_many_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tls, "SESSIONS", 2)
    client = ClientTls()
    with tlspeer.peer(serve(tlspeer.server_context(certificates.pair(tmp_path, "a.example")))) as there:

        def resumed(which: int) -> bool:
            terms = client.terms("may", resume=which)
            return handshake.client("blocking", there.port, terms, send=b"x")[0].resumed

        assert [resumed(which) for which in (1, 2, 3, 3, 1)] == [False, False, False, True, False]


@kinds
@pytest.mark.parametrize("name", ["", "127.0.0.1", ".example.com", "x" * 70 + ".example", "a b", "ex..com"])
def test_a_name_that_sni_can_not_say(kind: str, name: str, tmp_path: Path):
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com"))
    seen = []
    context.sni_callback = lambda made, asked, before: seen.append(asked)
    shake(kind, context, ClientTls().terms("may", server_name=name))
    assert seen[0] in (None, name)


@kinds
def test_our_certificate_is_shown_to_who_asks(kind: str, tmp_path: Path):
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com"))
    context.load_verify_locations(certificates.ca_file(tmp_path))
    context.verify_mode = ssl.CERT_REQUIRED
    ours = ClientTls(certificate=certificates.pair(tmp_path, "us.example.com"))
    assert shake(kind, context, ours.terms("may"), send=b"x").version == "TLSv1.3"


def test_changed_files_are_read_anew(tmp_path: Path):
    """An authority that is added is trusted without a restart, within seconds."""
    now = [0.0]
    authority = Path(certificates.ca_file(tmp_path, "stranger"))
    client = ClientTls(ca=str(authority), clock=lambda: now[0])
    context = tlspeer.server_context(certificates.pair(tmp_path, "mx.example.com"))
    with pytest.raises(TlsError, match="not trusted"):
        shake("blocking", context, client.terms("verify", names=["mx.example.com"]))
    authority.write_bytes(authority.read_bytes() + Path(certificates.ca_file(tmp_path)).read_bytes())
    now[0] = tls.CHECK_SECONDS
    assert shake("blocking", context, client.terms("verify", names=["mx.example.com"])).verified


def test_a_session_that_outlives_its_file_is_not_resumed_in_another_context(tmp_path: Path):
    """A connection that was open when a file changed leaves nothing behind that spoils the next handshake."""
    now = [0.0]
    authority = Path(certificates.ca_file(tmp_path))
    client = ClientTls(ca=str(authority), clock=lambda: now[0])
    context = tlspeer.server_context(certificates.pair(tmp_path, "a.example"))

    def shaken(terms: tls.ClientTerms) -> ssl.SSLObject:
        ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
        made = terms.object(ours, theirs)
        there = context.wrap_bio(theirs, ours, server_side=True)
        for one in (made, there, made, there):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                pass
        there.write(b"x")
        assert made.read(1) == b"x"
        return made

    before = client.terms("may", resume=1)
    still_open = shaken(before)
    authority.write_bytes(authority.read_bytes() + b"\n")
    now[0] = tls.CHECK_SECONDS
    client.terms("may", resume=1)
    before.ending(still_open)
    assert not shaken(client.terms("may", resume=1)).session_reused


def test_files_that_can_not_be_used(tmp_path: Path):
    """One line each, with the file's name."""
    chain, key = certificates.pair(tmp_path, "a.example")
    _, other = certificates.pair(tmp_path, "b.example")
    (tmp_path / "junk").write_text("junk")
    junk, none = str(tmp_path / "junk"), str(tmp_path / "none")
    locked = tmp_path / "locked.key"
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    locked.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for made, words in [
        (ClientTls(ca=none), f"{none}: No such file"),
        (ClientTls(ca=junk), f"{junk}: not a file of PEM"),
        (ClientTls(certificate=(none, key)), f"{none}: No such file"),
        (ClientTls(certificate=(chain, junk)), f"{chain} and {junk}: not a file of PEM"),
        (ClientTls(certificate=(chain, other)), f"{other}: not the key of the certificate in {chain}"),
        (ClientTls(certificate=(chain, str(locked))), f"{locked}: the key is encrypted"),
    ]:
        with pytest.raises(TlsError) as caught:
            made.terms("verify")
        assert str(caught.value).startswith(words)
        assert caught.value.kind == "setup"
        assert "\n" not in str(caught.value)
