"""Every dialogue of this directory, in memory, and over TCP and TLS against a running smtpd.

README.md says how a dialogue is written.  In memory the session is `receive.session` behind
`server.dialogue`, with a queue that takes everything; what it took is held against the ``Q:`` lines.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import certificates
import pytest
from daemon import Daemon
from memory_server import MemoryServer
from transcript import CLOSED, LATER, REST, TLS, Dialogue, Step, agree, is_act, octets, sent

from mether.address import path_text
from mether.auth.verifier import make
from mether.net.certificate import Certificate
from mether.net.tls import Security
from mether.queue.message import Draft
from mether.reply import Reply
from mether.setup import config as config_
from mether.smtp.command import VERBS

DIALOGUES = [Dialogue(path) for path in sorted(Path(__file__).parent.glob("*.txt"))]
HOSTED = [one for one in DIALOGUES if not one.memory]
ANN = "ann@example.com"
TOKENS = f"""\
#!{sys.executable}
import sys
login, token = sys.stdin.read().split("\\n")[:2]
print("{ANN}")
sys.exit(token != "good-token")
"""

every = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda one: one.name)


def files(base: Path) -> None:
    """What ``[auth]`` names: ann's password is "secret", her token "good-token"."""
    verifier = make("scram-sha-256", "secret", lambda size: bytes(range(size)))
    (base / "passwords").write_text(f"{ANN}:{verifier}\n")
    (base / "passwords").chmod(0o600)
    (base / "tokens").write_text(TOKENS)
    (base / "tokens").chmod(0o755)
    (base / "senders").write_text(f"{ANN} {{login}}\n")


def tls(base: Path) -> str:
    """``[tls]``."""
    chain, key = certificates.pair(base, "mx.example.com")
    ca = certificates.ca_file(base)
    return f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]\nclient_ca = "{ca}"\n'


def queued(draft: Draft) -> list[bytes]:
    """A draft as its ``Q:`` lines."""
    envelope, content = draft.message.envelope, draft.content
    data = content if isinstance(content, bytes) else content.data  # type: ignore[attr-defined]
    recipients = " ".join(f"<{one.forward_path}>" for one in envelope.recipients)
    head = f"<{path_text(envelope.reverse_path)}> to {recipients}".encode()
    lines = data.split(b"\r\n")
    assert lines.pop() == b"", "the content's last line has no end"
    return [head, *lines]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("memory")
    files(made)
    return made


@every
def test_in_memory(dialogue: Dialogue, base: Path) -> None:
    where = base / "mether.toml"
    where.write_text(
        '[service]\nhostname = "mx.example.com"\npostmaster = "postmaster@example.com"\n'
        f'[[listen]]\naddress = "127.0.0.1:0"\n{dialogue.listen()}'
        f'[[route]]\ndomains = ["example.com"]\nmaildir = "mail/{{user}}"\n{dialogue.auth}{tls(base)}'
    )
    security = Security(
        "TLSv1.3",
        "TLS_AES_256_GCM_SHA384",
        256,
        own=Certificate(certificates.der("mx.example.com")),
        der=certificates.der(dialogue.certificate) if dialogue.certificate else None,
        verified=bool(dialogue.certificate),
    )
    refusal = None
    if dialogue.refusal:
        code, status, text = dialogue.refusal.split(" ", 2)
        refusal = Reply(int(code), status, text)
    config = config_.load(str(where), environ={"METHER_SPOOL": "memory:"})
    with contextlib.closing(MemoryServer(config, refuse=refusal, tls=security)) as server:
        play_in_memory(dialogue, server)


def play_in_memory(dialogue: Dialogue, server: MemoryServer) -> None:
    name = dialogue.path.name
    for who, turn in dialogue.groups("CSQ"):
        number, _, text = turn[0]
        if who == "C":
            assert server.said == b"", f"{name}:{number}: before it: {server.said!r}"
            if text == TLS:
                assert server.dialogue.securing, f"{name}:{number}: the server awaits no handshake"
                server.handshake()
            elif later := LATER.fullmatch(text):
                server.later(60 * int(later[1]))
            else:
                server.send(sent(turn))
        elif who == "Q":
            assert server.drafts, f"{name}:{number}: nothing is queued"
            assert [octets(text) for _, _, text in turn] == queued(server.drafts.pop(0))
        else:
            for number, _, text in turn:
                if text == CLOSED:
                    assert server.dialogue.closing, f"{name}:{number}: the session is open"
                    continue
                line = b"NNN-"
                while line[3:4] == b"-":
                    line, _, server.said = server.said.partition(b"\r\n")
                    if text != REST:
                        break
                assert text == REST or agree(text, line.decode()), f"{name}:{number}: {line!r}"
    assert server.said == b""
    assert server.drafts == [], "queued, and not in the file"
    assert server.dialogue.closing == (dialogue.steps[-1][2] == CLOSED)


class Hosts:
    """An smtpd for each ``[auth]`` that a dialogue asks for, with a listener for each ``[[listen]]``."""

    def __init__(self, make_base: pytest.TempPathFactory) -> None:
        wanted: dict[str, dict[str, None]] = {}
        for one in HOSTED:
            listeners = wanted.setdefault(one.auth, {})
            for kind in (None,) if one.tls is not None else ("none", "starttls", "implicit"):
                listeners[one.listen(kind)] = None
        self._ports: dict[tuple[str, str], int] = {}
        self._daemons = []
        for auth, listeners in wanted.items():
            base = make_base.mktemp("dialogs")
            files(base)
            text = '\n[[listen]]\naddress = "127.0.0.1:0"\n'.join(listeners)
            daemon = Daemon(base, listen=text, routes=auth + tls(base))
            self._daemons.append(daemon)
            ports = re.findall(r"127\.0\.0\.1:(\d+)", daemon.lines[-1])
            assert len(ports) == len(listeners)
            self._ports.update({(auth, one): int(port) for one, port in zip(listeners, ports, strict=True)})

    def port(self, dialogue: Dialogue, kind: str | None = None) -> int:
        return self._ports[dialogue.auth, dialogue.listen(kind)]

    def stop(self) -> list[int]:
        return [daemon.stop() for daemon in self._daemons]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    made = Hosts(tmp_path_factory)
    yield made
    assert set(made.stop()) == {0}


class Client:
    """A client on a socket; `number` makes its address, so that none pays for what another did."""

    def __init__(self, port: int, number: int, dialogue: Dialogue, base: Path) -> None:
        self.name = dialogue.path.name
        self._socket = socket.create_connection(
            ("127.0.0.1", port), timeout=60, source_address=(f"127.1.{number // 250}.{number % 250 + 1}", 0)
        )
        self._lines = self._socket.makefile("rb")
        self._context = ssl.create_default_context(cafile=certificates.ca_file(base))
        if dialogue.certificate:
            self._context.load_cert_chain(*certificates.pair(base, dialogue.certificate))

    def handshake(self) -> None:
        self._lines.close()
        self._socket = self._context.wrap_socket(self._socket, server_hostname="mx.example.com")
        self._lines = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> bytes:
        return self._lines.readline()

    def skip(self) -> None:
        """Read one reply."""
        while self.line()[3:4] == b"-":
            pass

    def play(self, groups: Iterator[tuple[str, list[Step]]]) -> bool:
        """Hold the conversation; whether it is still open."""
        for who, turn in groups:
            if who == "C":
                if is_act(turn[0][2]):
                    self.handshake()
                else:
                    self.send(sent(turn))
                continue
            for number, _, text in turn:
                if text == CLOSED:
                    assert self._lines.read() == b"", f"{self.name}:{number}: the connection is open"
                    return False
                if text == REST:
                    self.skip()
                    continue
                line = self.line()
                assert line.endswith(b"\r\n"), f"{self.name}:{number}: {line!r}"
                assert agree(text, line[:-2].decode()), f"{self.name}:{number}: {line!r}"
        return True

    def end(self) -> None:
        """Hear that the server says no more."""
        if not isinstance(self._socket, ssl.SSLSocket):
            self._socket.shutdown(socket.SHUT_WR)
            assert self._lines.read() == b"", "the server says more than the file"

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


hosted = pytest.mark.parametrize(
    ("number", "dialogue"), list(enumerate(HOSTED)), ids=[one.name for one in HOSTED]
)
anyhow = pytest.mark.parametrize(
    ("number", "dialogue"),
    [(number, one) for number, one in enumerate(HOSTED) if one.tls is None],
    ids=[one.name for one in HOSTED if one.tls is None],
)


@hosted
def test_over_tcp(number: int, dialogue: Dialogue, hosts: Hosts, base: Path) -> None:
    port = hosts.port(dialogue, "none" if dialogue.tls is None else None)
    with contextlib.closing(Client(port, number, dialogue, base)) as client:
        if dialogue.tls == "implicit":
            client.handshake()
        if client.play(dialogue.groups("CS")):
            client.end()


@anyhow
def test_over_tls(number: int, dialogue: Dialogue, hosts: Hosts, base: Path) -> None:
    """TLS from the first octet on (RFC 8314)."""
    port = hosts.port(dialogue, "implicit")
    with contextlib.closing(Client(port, number, dialogue, base)) as client:
        client.handshake()
        client.play(dialogue.groups("CS"))


@anyhow
def test_after_starttls(number: int, dialogue: Dialogue, hosts: Hosts, base: Path) -> None:
    """After STARTTLS everything begins anew, but that there is no second greeting (TLS-2)."""
    port = hosts.port(dialogue, "starttls")
    lmtp = 'role = "lmtp"' in dialogue.listen()
    with contextlib.closing(Client(port, number, dialogue, base)) as client:
        greeting, *rest = list(dialogue.groups("CS"))
        assert client.play(iter([greeting]))
        for line in (b"LHLO client.example\r\n" if lmtp else b"EHLO client.example\r\n", b"STARTTLS\r\n"):
            client.send(line)
            client.skip()
        client.handshake()
        client.play(iter(rest))


def test_every_command_has_its_dialogue() -> None:
    """A postmaster finds each of them here."""
    said = {text.split(" ")[0].upper() for one in DIALOGUES for _, who, text in one.steps if who == "C"}
    assert said >= VERBS
