"""Every dialogue of this directory, in memory and over TCP against one running smtpd.

README.md says how a dialogue is written.  In memory the session is `receive.session` behind
`server.dialogue`, with a queue that takes everything; what it took is held against the ``Q:`` lines.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import Daemon

from mether.address import path_text
from mether.queue.store import Committed, Draft
from mether.receive.budget import Budget
from mether.receive.session import Session
from mether.reply import Reply
from mether.server.dialogue import Dialogue
from mether.setup import config as config_
from mether.setup import wiring
from mether.smtp.command import VERBS
from mether.smtp.server import ServerProtocol

DIALOGUES = sorted(Path(__file__).parent.glob("*.txt"))
LINE = re.compile(r"([CSQ])(?:\*(\d+))?:(?: (.*))?", re.DOTALL)
OCTETS = {"NUL": b"\0", "CR": b"\r", "LF": b"\n", "DEL": b"\x7f", "SP": b" "}
MARK = re.compile(rb"<(?:(NUL|CR|LF|DEL|SP)|octet-([0-9A-F]{2})|(.) x (\d+))>")
CLOSED = "(closed)"

Step = tuple[int, str, str]


def read(path: Path) -> tuple[str, list[Step]]:
    """A dialogue: the configuration of its listener, and its lines as (number, who, text)."""
    config, steps = ["relay_from = []"], []
    for number, line in enumerate(path.read_text(encoding="ascii").split("\n"), 1):
        if line.startswith("#"):
            word, colon, setting = line[1:].strip().partition(": ")
            if colon and word == "config":
                config = [one for one in config if one.split(" ")[0] != setting.split(" ")[0]] + [setting]
        elif line:
            found = LINE.fullmatch(line)
            assert found, f"{path.name}:{number}: neither C:, S:, Q: nor #"
            steps += [(number, found[1], found[3] or "")] * int(found[2] or 1)
    return "\n".join(config), steps


def octets(text: str) -> bytes:
    """What the text stands for."""

    def one(found: re.Match[bytes]) -> bytes:
        name, number, letter, times = found.groups()
        if name:
            return OCTETS[name.decode()]
        return bytes.fromhex(number.decode()) if number else letter * int(times)

    return MARK.sub(one, text.encode())


def groups(steps: list[Step], who: str) -> Iterator[tuple[str, list[Step]]]:
    """The dialogue in turns: lines of one side that follow each other, for the sides in `who`."""
    turn: list[Step] = []
    for step in [step for step in steps if step[1] in who]:
        if turn and turn[0][1] != step[1]:
            yield turn[0][1], turn
            turn = []
        turn.append(step)
    if turn:
        yield turn[0][1], turn


def agree(expected: str, said: str) -> bool:
    """Whether the server said what the file says."""
    if expected.endswith("..."):
        return said.startswith(expected[:-3].rstrip(" "))
    return said == expected


class Memory:
    """A listener with this configuration, and a client of it at 127.0.0.1, without a socket."""

    def __init__(self, listener: str) -> None:
        text = (
            '[service]\nhostname = "mx.example.com"\npostmaster = "postmaster@example.com"\n'
            f'[[listen]]\naddress = "127.0.0.1:0"\n{listener}\n'
            '[[route]]\ndomains = ["example.com"]\nmaildir = "mail/{user}"\n'
        )
        config = config_.loads(text, environ={"METHER_SPOOL": "memory:"})
        self.drafts: list[Draft] = []
        reception = wiring.reception(
            config,
            config.listen[0],
            config.table(),
            Budget(1 << 24),
            stage=self._stage,
            commit=self._commit,
        )
        self.dialogue = Dialogue(
            ServerProtocol(reception.grammar, max_size=config.listen[0].max_size),
            Session(reception, "127.0.0.1", self._decided),
        )
        self.said = self.dialogue.open()

    def _stage(self, ident: str) -> Writer:
        return Writer()

    def _commit(self, draft: Draft, done: Callable[[Committed], None]) -> None:
        self.drafts.append(draft)
        done(Committed(draft.message.ident))

    def _decided(self, reply: Reply) -> None:
        self.said += self.dialogue.resume(reply)

    def send(self, data: bytes) -> None:
        self.said += self.dialogue.receive(data)


class Writer:
    """Content of more than a draft in memory may have."""

    def __init__(self) -> None:
        self.data = b""
        self.size = 0

    def write(self, data: bytes) -> None:
        self.data += data
        self.size += len(data)

    def sync(self) -> None:
        pass

    def discard(self) -> None:
        pass


def queued(draft: Draft) -> list[bytes]:
    """A draft as its ``Q:`` lines."""
    envelope, content = draft.message.envelope, draft.content
    data = content if isinstance(content, bytes) else content.data  # type: ignore[attr-defined]
    recipients = " ".join(f"<{one.forward_path}>" for one in envelope.recipients)
    head = f"<{path_text(envelope.reverse_path)}> to {recipients}".encode()
    lines = data.split(b"\r\n")
    assert lines.pop() == b"", "the content's last line has no end"
    return [head, *lines]


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_in_memory(path: Path) -> None:
    config, steps = read(path)
    server = Memory(config)
    for who, turn in groups(steps, "CSQ"):
        if who == "C":
            assert server.said == b"", f"{path.name}:{turn[0][0]}: before it: {server.said!r}"
            server.send(b"".join(octets(text) + b"\r\n" for _, _, text in turn))
        elif who == "Q":
            assert server.drafts, f"{path.name}:{turn[0][0]}: nothing is queued"
            assert [octets(text) for _, _, text in turn] == queued(server.drafts.pop(0))
        else:
            for number, _, text in turn:
                if text == CLOSED:
                    assert server.dialogue.closing, f"{path.name}:{number}: the session is open"
                    continue
                line, _, server.said = server.said.partition(b"\r\n")
                assert agree(text, line.decode()), f"{path.name}:{number}: {line!r}"
    assert server.said == b""
    assert server.drafts == [], "queued, and not in the file"
    assert server.dialogue.closing == (steps[-1][2] == CLOSED)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ports of one smtpd that listens with every configuration that a dialogue asks for."""
    listeners = list(dict.fromkeys(read(path)[0] for path in DIALOGUES))
    more = '\n[[listen]]\naddress = "127.0.0.1:0"\n'.join(listeners)
    daemon = Daemon(tmp_path_factory.mktemp("dialogs"), listen=more)
    found = re.findall(r"127\.0\.0\.1:(\d+)", daemon.lines[-1])
    assert len(found) == len(listeners)
    yield dict(zip(listeners, map(int, found), strict=True))
    assert daemon.stop() == 0


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_over_tcp(path: Path, ports: dict[str, int]) -> None:
    config, steps = read(path)
    with socket.create_connection(("127.0.0.1", ports[config]), timeout=60) as connection:
        lines = connection.makefile("rb")
        for who, turn in groups(steps, "CS"):
            if who == "C":
                connection.sendall(b"".join(octets(text) + b"\r\n" for _, _, text in turn))
                continue
            for number, _, text in turn:
                if text == CLOSED:
                    assert lines.read() == b"", f"{path.name}:{number}: the connection is open"
                    return
                line = lines.readline()
                assert line.endswith(b"\r\n"), f"{path.name}:{number}: {line!r}"
                assert agree(text, line[:-2].decode()), f"{path.name}:{number}: {line!r}"
        connection.shutdown(socket.SHUT_WR)
        assert lines.read() == b"", "the server says more than the file"


def test_every_command_has_its_dialogue() -> None:
    """A postmaster finds each of them here."""
    said = {text.split(" ")[0].upper() for path in DIALOGUES for _, who, text in read(path)[1] if who == "C"}
    assert said >= VERBS
