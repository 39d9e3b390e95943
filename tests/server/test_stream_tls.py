"""The server's shell under TLS, with clients of Python's own: STARTTLS, implicit TLS, and what must not get
through.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates
import loops
import pytest
import tlspeer
from loops import both
from wirepair import Taker, dialogue

from mether.net.tlsserver import ServerTls
from mether.server import stream
from mether.server.dialogue import Dialogue
from mether.server.proxied import Proxied
from mether.server.stream import Connection


class Talker:
    """A client on a blocking socket."""

    def __init__(self, port: int) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), 20)
        self._data = b""

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, *error: object) -> None:
        self.sock.close()

    def reply(self) -> str:
        """The last line of the next reply, "" at the end."""
        while True:
            while b"\r\n" not in self._data:
                try:
                    data = self.sock.recv(65536)
                except OSError:
                    return ""
                if not data:
                    return ""
                self._data += data
            line, _, self._data = self._data.partition(b"\r\n")
            if line[3:4] != b"-":
                return line.decode()

    def ask(self, line: bytes) -> str:
        self.sock.sendall(line)
        return self.reply()

    def shake(self) -> None:
        """Begin TLS here and now."""
        assert self._data == b"", "words behind the 220"
        self.sock = tlspeer.client_context().wrap_socket(self.sock)


def serve(
    loop_name: str,
    tmp_path: Path,
    work: Callable[[Talker], Any],
    *,
    implicit: bool = False,
    timeout: float = 20,
) -> tuple[Taker, str, Any]:
    """Let one client work: what the server's decider saw, how the session ended, and what `work` returned."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])
    taker = Taker()

    def talk(port: int) -> Any:
        with Talker(port) as talker:
            return work(talker)

    async def main() -> tuple[str, Any]:
        loop = asyncio.get_running_loop()
        made: list[Connection] = []
        gone = asyncio.Event()

        class Seen(Connection):
            def lost(self) -> None:
                super().lost()
                gone.set()

        def begin(connection: Connection) -> Dialogue:
            return dialogue(taker)

        def make() -> Connection:
            made.append(
                Seen(loop, begin, lambda one: None, timeout=timeout, terms=tls.terms, implicit=implicit)
            )
            return made[-1]

        server = await loop.create_server(make, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await loop.run_in_executor(None, talk, port)
        await gone.wait()
        server.close()
        return made[0].why, result

    why, result = loops.run(loop_name, main())
    return taker, why, result


@both
def test_starttls(loop_name: str, tmp_path: Path):
    """TLS-2: what was said in clear is forgotten: MAIL before a new EHLO is 503 5.5.1."""

    def work(client: Talker) -> list[str]:
        client.reply()
        client.ask(b"EHLO a.example\r\n")
        assert client.ask(b"STARTTLS\r\n").startswith("220")
        client.shake()
        said = [client.ask(b"MAIL FROM:<a@x.test>\r\n"), client.ask(b"EHLO b.example\r\n")]
        return [
            line[:9] for line in (*said, client.ask(b"MAIL FROM:<a@x.test>\r\n"), client.ask(b"QUIT\r\n"))
        ]

    taker, _, said = serve(loop_name, tmp_path, work)
    assert [line[:3] for line in said] == ["503", "250", "250", "221"]
    assert said[0] == "503 5.5.1"
    assert ("secured", "TLSv1.3") in taker.events


@both
def test_implicit_tls(loop_name: str, tmp_path: Path):
    """SUB: the greeting comes under TLS (RFC 8314 section 3)."""

    def work(client: Talker) -> list[str]:
        client.shake()
        return [client.reply()[:3], client.ask(b"EHLO a.example\r\n")[:3], client.ask(b"QUIT\r\n")[:3]]

    assert serve(loop_name, tmp_path, work, implicit=True)[2] == ["220", "250", "221"]


@both
def test_a_command_behind_starttls_is_never_taken(loop_name: str, tmp_path: Path):
    """TLS-3 (CVE-2011-0411): in one segment with STARTTLS it ends the session, without a handshake."""

    def work(client: Talker) -> list[str]:
        client.reply()
        client.ask(b"EHLO a.example\r\n")
        return [client.ask(b"STARTTLS\r\nMAIL FROM:<injected@x.test>\r\n")[:3], client.reply()]

    taker, _, said = serve(loop_name, tmp_path, work)
    assert said == ["554", ""]
    assert not any("MAIL" in verb or verb == "secured" for verb, _ in taker.events)


@both
@pytest.mark.parametrize(
    "octets", [b"MAIL FROM:<injected@x.test>\r\n", b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 99]
)
def test_plaintext_in_place_of_a_handshake(loop_name: str, octets: bytes, tmp_path: Path):
    """TLS-3: after the 220 it is a handshake that fails, and no command."""

    def work(client: Talker) -> str:
        client.reply()
        client.ask(b"EHLO a.example\r\n")
        client.ask(b"STARTTLS\r\n")
        client.sock.sendall(octets)
        client.sock.shutdown(socket.SHUT_WR)
        while True:
            try:
                data = client.sock.recv(65536)
            except OSError:
                return ""
            if not data:
                return ""
            assert data[:1] == b"\x15", "an answer in clear"

    taker, why, _ = serve(loop_name, tmp_path, work)
    assert why.startswith("TLS handshake failed: ")
    assert not any("MAIL" in verb or verb == "secured" for verb, _ in taker.events)


@both
@pytest.mark.parametrize("implicit", [True, False])
def test_a_handshake_that_stalls(loop_name: str, implicit: bool, tmp_path: Path):
    """TMO: it has no more than the time of a command, and the connection then ends."""

    def work(client: Talker) -> str:
        if not implicit:
            client.reply()
            client.ask(b"EHLO a.example\r\n")
            client.ask(b"STARTTLS\r\n")
        return client.reply()

    _, why, said = serve(loop_name, tmp_path, work, implicit=implicit, timeout=0.2)
    assert said == ""
    assert why == "TLS handshake failed: the TLS handshake took too long"


@both
@pytest.mark.parametrize("implicit", [True, False])
def test_a_handshake_has_less_time_than_a_command(
    loop_name: str, implicit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """TMO: who waits for a greeting where TLS comes first is not kept waiting for minutes."""
    monkeypatch.setattr(stream, "HANDSHAKE_SECONDS", 0.2)

    def work(client: Talker) -> str:
        if not implicit:
            client.reply()
            client.ask(b"EHLO a.example\r\n")
            client.ask(b"STARTTLS\r\n")
        return client.reply()

    _, why, said = serve(loop_name, tmp_path, work, implicit=implicit, timeout=300)
    assert (said, why) == ("", "TLS handshake failed: the TLS handshake took too long")


@both
def test_an_old_client_is_told_by_an_alert(loop_name: str, tmp_path: Path):
    """TLS-7: TLS 1.1 is not negotiated, whatever the client would take."""

    def work(client: Talker) -> str:
        context = tlspeer.client_context()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(client.sock)
        return str(caught.value.reason)

    _, why, reason = serve(loop_name, tmp_path, work, implicit=True)
    assert "PROTOCOL_VERSION" in reason
    assert "no TLS version in common" in why


@both
def test_a_large_message_under_tls(loop_name: str, tmp_path: Path):
    """DAT-4: octet for octet, in records of any size."""
    content = b"".join(b"line %d\r\n" % number for number in range(100_000))

    def work(client: Talker) -> str:
        client.shake()
        client.reply()
        client.ask(b"EHLO a.example\r\n")
        for line in (b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<b@x.test>\r\n", b"DATA\r\n"):
            client.ask(line)
        view, size = memoryview(content), 1
        while view:
            client.sock.sendall(view[:size])
            view, size = view[size:], min(size * 2 + 1, 1 << 17)
        return client.ask(b".\r\n")[:3]

    taker, _, said = serve(loop_name, tmp_path, work, implicit=True)
    assert said == "250"
    assert taker.messages[0].content == content


@both
def test_a_changed_certificate_is_shown_to_the_next_client(loop_name: str, tmp_path: Path):
    """TLS: without a restart, and whoever is connected already goes on."""
    now = 0.0
    chain, key = certificates.pair(tmp_path, "mx.example.com")
    tls = ServerTls([(chain, key)], clock=lambda: now)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(
                loop,
                lambda one: dialogue(Taker()),
                lambda one: None,
                timeout=20,
                terms=tls.terms,
                implicit=True,
            ),
            "127.0.0.1",
            0,
        )
        port = server.sockets[0].getsockname()[1]

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
            context = tlspeer.client_context()
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            assert (await reader.readline()).startswith(b"220 ")
            return reader, writer, writer.get_extra_info("ssl_object").getpeercert(True)

        def der(path: str) -> bytes:
            pem, end, _ = Path(path).read_text().partition("-----END CERTIFICATE-----")
            return ssl.PEM_cert_to_DER_cert(pem + end)

        nonlocal now
        reader, before, shown = await connect()
        assert shown == der(chain)
        other = certificates.pair(tmp_path, "other.example.com")
        Path(chain).write_bytes(Path(other[0]).read_bytes())
        Path(key).write_bytes(Path(other[1]).read_bytes())
        now += 3600.0
        _, after, shown = await connect()
        assert shown == der(other[0])
        before.write(b"NOOP\r\n")
        assert (await reader.readline()).startswith(b"250 ")
        for writer in (before, after):
            writer.close()
        server.close()

    loops.run(loop_name, main())


@both
def test_a_stop_in_the_middle_of_a_handshake(loop_name: str, tmp_path: Path):
    """SES: the handshake goes on, and the 421 comes under TLS as soon as it is done."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[Connection] = []

        def make() -> Connection:
            made.append(
                Connection(loop, lambda one: dialogue(Taker()), lambda one: None, timeout=20, terms=tls.terms)
            )
            return made[-1]

        server = await loop.create_server(make, "127.0.0.1", 0)

        def begin() -> Talker:
            client = Talker(server.sockets[0].getsockname()[1])
            client.reply()
            client.ask(b"EHLO a.example\r\n")
            client.ask(b"STARTTLS\r\n")
            return client

        def end(client: Talker) -> list[str]:
            client.shake()
            return [client.reply()[:9], client.reply()]

        with await loop.run_in_executor(None, begin) as client:
            made[0].stop()
            assert await loop.run_in_executor(None, end, client) == ["421 4.3.2", ""]
        server.close()

    loops.run(loop_name, main())


@both
def test_a_client_that_is_not_let_in_behind_a_proxy(loop_name: str, tmp_path: Path):
    """PRX: its handshake may come with the header; nobody reads it, and nothing goes wrong."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])

    async def main() -> list[dict[str, Any]]:
        loop = asyncio.get_running_loop()
        problems: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, what: problems.append(what))

        def make() -> Connection:
            return Connection(
                loop,
                lambda one: dialogue(Taker()),
                lambda one: None,
                timeout=20,
                terms=tls.terms,
                implicit=True,
                enter=lambda one: False,
            )

        server = await loop.create_server(
            lambda: Proxied(loop, lambda address: True, make, lambda *said: None), "127.0.0.1", 0
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 465\r\n\x16\x03\x01")
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
        server.close()
        return problems

    assert loops.run(loop_name, main()) == []


@both
def test_a_failed_handshake_behind_replies_that_are_not_taken(loop_name: str, tmp_path: Path):
    """TMO: the connection ends in its time, though what was said before it never left."""
    tls = ServerTls([certificates.pair(tmp_path, "mx.example.com")])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()

        class Seen(Connection):
            def lost(self) -> None:
                super().lost()
                gone.set()

        made: list[Connection] = []

        def make() -> Connection:
            made.append(
                Seen(loop, lambda one: dialogue(Taker()), lambda one: None, timeout=0.3, terms=tls.terms)
            )
            return made[-1]

        server = await loop.create_server(make, "127.0.0.1", 0)
        sock = socket.create_connection(("127.0.0.1", server.sockets[0].getsockname()[1]))
        with sock:
            while not made:
                await asyncio.sleep(0)
            # More than the kernel holds for a client that reads nothing.
            made[0].write(b"250 2.0.0 said before\r\n" * 400_000)
            made[0].start_tls(tls.terms(), 20)
            sock.sendall(b"no handshake at all\r\n" * 20)
            await asyncio.wait_for(gone.wait(), 20)
        server.close()

    loops.run(loop_name, main())
