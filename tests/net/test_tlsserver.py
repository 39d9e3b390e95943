"""A server's certificates: SNI, changed files, clients that show one of their own."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates
import handshake
import loops
import pytest
import tlspeer
from loops import both

from mether.net.certificate import Certificate
from mether.net.tls import CHECK_SECONDS, Security
from mether.net.tlserror import TlsError
from mether.net.tlsserver import ServerTls


def greet(
    loop_name: str, tls: ServerTls, client: Callable[[int], Any], *, expect: str = ""
) -> tuple[Security | None, Any]:
    """Let Python's own client shake hands with our server: what each has at the end.

    `expect` is the kind of error that our side is to see.
    """

    async def main() -> tuple[Security | None, Any]:
        loop = asyncio.get_running_loop()
        made: list[handshake.Kept] = []

        class Accepted(handshake.Kept):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                made.append(self)
                self.start_tls(tls.terms(), 20)

            def data_received(self, data: bytes) -> None:
                self.write(data)

            def ended(self) -> None:
                self.close()

        server = await loop.create_server(lambda: Accepted(loop), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        theirs = await asyncio.gather(loop.run_in_executor(None, client, port), return_exceptions=True)
        await asyncio.wait({made[0].shaken})
        problem = made[0].shaken.exception()
        assert problem is None or (isinstance(problem, TlsError) and problem.kind == expect), problem
        await made[0].gone
        server.close()
        return made[0].secure, theirs[0]

    result: tuple[Security | None, Any] = loops.run(loop_name, main())
    return result


def asking(name: str | None, context: ssl.SSLContext | None = None) -> Callable[[int], tuple[str, ...]]:
    """A client that asks for this name and returns those of the certificate that it is shown."""

    def work(port: int) -> tuple[str, ...]:
        with (
            socket.create_connection(("127.0.0.1", port), 20) as sock,
            (context or tlspeer.client_context()).wrap_socket(sock, server_hostname=name) as secure,
        ):
            secure.sendall(b"x" * 100_000)
            taken = 0
            while taken < 100_000:
                taken += len(secure.recv(65536))
            return Certificate(secure.getpeercert(True) or b"").dns_names

    return work


@both
def test_the_certificate_is_chosen_by_name(loop_name: str, tmp_path: Path):
    """TLS-9: by the names in the certificates; for an unknown or absent name the first."""
    tls = ServerTls(
        [
            certificates.pair(tmp_path, "mx.example.com", "mail.example.com"),
            certificates.pair(tmp_path, "*.example.net"),
            certificates.pair(tmp_path, "mail.example.com"),
        ]
    )
    first = ("mx.example.com", "mail.example.com")
    for name, expected in [
        (None, first),
        ("unknown.example", first),
        ("mail.example.com", first),
        ("a.example.net", ("*.example.net",)),
        ("A.Example.NET", ("*.example.net",)),
        ("a.b.example.net", first),
    ]:
        security, names = greet(loop_name, tls, asking(name))
        assert names == expected
        assert security is not None
        assert security.version == "TLSv1.3"
        own = next(one for one in tls.certificates if one.dns_names == expected)
        assert security.end_point == own.end_point
        assert not security.verified


@both
def test_a_client_that_does_not_verify_us(loop_name: str, tmp_path: Path):
    """One that does not trust us ends the handshake; we are told so."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])
    context = ssl.create_default_context(cafile=certificates.ca_file(tmp_path, "stranger"))
    security, theirs = greet(loop_name, tls, asking("mx.example.com", context), expect="alert")
    assert isinstance(theirs, ssl.SSLCertVerificationError)
    # In TLS 1.3 our side is done before the client has looked at the certificate.
    assert security is None or security.version == "TLSv1.3"


@both
def test_a_client_may_show_a_certificate(loop_name: str, tmp_path: Path):
    """AUT (EXTERNAL): asked for and not demanded; one of another authority is refused."""
    tls = ServerTls(
        [certificates.pair(tmp_path, "mx.example.com")], client_ca=certificates.ca_file(tmp_path, "clients")
    )
    security, _ = greet(loop_name, tls, asking(None))
    assert security is not None
    assert (security.verified, security.peer) == (False, None)
    ann = certificates.pair(tmp_path, "ann@example.com", by="clients")
    security, _ = greet(loop_name, tls, asking(None, tlspeer.client_context(pair=ann)))
    assert security is not None
    assert security.verified
    assert security.peer is not None
    assert security.peer.emails == ("ann@example.com",)
    assert security.end_point == tls.certificates[0].end_point
    stranger = certificates.pair(tmp_path, "eve@example.com", by="stranger")
    security, theirs = greet(
        loop_name, tls, asking(None, tlspeer.client_context(pair=stranger)), expect="untrusted"
    )
    assert security is None
    assert isinstance(theirs, OSError)


@both
@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"EHLO x\r\n", "protocol"),
        (b"GET / HTTP/1.1\r\n\r\n", "protocol"),
        (b"", "closed"),
        (b"\x16\x03", "closed"),
    ],
)
def test_a_client_that_does_not_speak_tls(loop_name: str, octets: bytes, expected: str, tmp_path: Path):
    def work(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(octets)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])
    security, _ = greet(loop_name, tls, work, expect=expected)
    assert security is None


class Files:
    """Certificate files that change, under a clock that the test turns."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.loaded: list[str] = []
        self.now = 0.0
        self.paths = (str(directory / "chain"), str(directory / "key"))
        self._stamp = 10**18

    def write(self, chain: str | None = None, key: str | None = None) -> None:
        """Replace a file, or both, by those of a certificate for that name."""
        for path, name, which in ((self.paths[0], chain, 0), (self.paths[1], key, 1)):
            if name is not None:
                made = certificates.pair(self.directory, name)[which]
                Path(path).write_bytes(Path(made).read_bytes())
                self.touch(path)

    def touch(self, path: str) -> None:
        """Give a file a time of change that it never had."""
        self._stamp += 1_000_000
        os.utime(path, ns=(self._stamp, self._stamp))

    def serve(self, **how: Any) -> ServerTls:
        return ServerTls(
            [self.paths], log=self.lines.append, loaded=self.loaded.append, clock=lambda: self.now, **how
        )

    def names(self, tls: ServerTls, later: float = CHECK_SECONDS) -> tuple[str, ...]:
        """What is shown so much later."""
        self.now += later
        tls.terms()
        return tls.certificates[0].dns_names


def test_changed_files_are_read_anew(tmp_path: Path):
    """TLS: without a restart, at a handshake, and not more often than every few seconds."""
    files = Files(tmp_path)
    files.write("a.example", "a.example")
    tls = files.serve()
    before = tls.terms()
    files.write("b.example", "b.example")
    assert files.names(tls, later=1) == ("a.example",)
    assert files.names(tls) == ("b.example",)
    assert files.names(tls) == ("b.example",)
    assert files.loaded == [files.paths[0]]
    assert before.object(ssl.MemoryBIO(), ssl.MemoryBIO()).context is not tls.terms()._context
    files.write("c.example", "c.example")
    tls.reload()
    assert tls.certificates[0].dns_names == ("c.example",)
    assert files.lines == []


def test_a_file_that_is_not_ready_changes_nothing(tmp_path: Path):
    """The old certificate stays in use, one line says why, and what is mended is taken."""
    files = Files(tmp_path)
    files.write("a.example", "a.example")
    tls = files.serve()
    files.write(chain="b.example")
    assert [files.names(tls) for _ in range(3)] == [("a.example",)] * 3
    assert len(files.lines) == 1
    assert "not the key of the certificate" in files.lines[0]
    Path(files.paths[0]).write_text("half a fi")
    files.touch(files.paths[0])
    assert files.names(tls) == ("a.example",)
    os.unlink(files.paths[1])
    assert files.names(tls) == ("a.example",)
    assert len(files.lines) == 3
    assert files.lines[2].startswith(f"TLS: {files.paths[1]}: No such file")
    files.write("b.example", "b.example")
    assert files.names(tls) == ("b.example",)
    assert len(files.lines) == 3


def test_a_changed_client_authority_is_read_anew(tmp_path: Path):
    files = Files(tmp_path)
    files.write("a.example", "a.example")
    authority = certificates.ca_file(tmp_path)
    tls = files.serve(client_ca=authority)
    Path(authority).write_text("junk")
    files.touch(authority)
    assert files.names(tls) == ("a.example",)
    assert files.lines == [
        f"TLS: {authority}: not a file of PEM certificates; the certificate loaded before stays in use"
    ]


def test_files_that_can_not_be_used_from_the_start(tmp_path: Path):
    chain, key = certificates.pair(tmp_path, "a.example")
    with pytest.raises(TlsError, match="no certificate is given"):
        ServerTls([])
    with pytest.raises(TlsError, match="none: No such file"):
        ServerTls([(chain, key), (str(tmp_path / "none"), key)])
    with pytest.raises(TlsError, match="none: No such file"):
        ServerTls([(chain, key)], client_ca=str(tmp_path / "none"))
    with pytest.raises(TlsError, match="not a file of PEM"):
        ServerTls([(key, key)])
