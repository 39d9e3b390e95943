"""Dialogues as files: what tests/dialogs/README.md describes, read into steps.

dialogue = read(path)
dialogue.listen, dialogue.auth      lines for [[listen]] and [auth]
dialogue.steps                      (number of the line, who, text)
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from pathlib import Path

LINE = re.compile(r"([CSQ])(?:\*(\d+))?:(?: (.*))?", re.DOTALL)
OCTETS = {"NUL": b"\0", "CR": b"\r", "LF": b"\n", "DEL": b"\x7f", "SP": b" "}
MARK = re.compile(rb"<(?:(NUL|CR|LF|DEL|SP)|octet-([0-9A-F]{2})|(.) x (\d+)|base64 ([^>]*))>")
LATER = re.compile(r"\((\d+) minutes later\)")

CLOSED = "(closed)"
REST = "(the rest)"
TLS = "(TLS)"
NO_END = "(no CRLF)"

Step = tuple[int, str, str]


class Dialogue:
    """One file.

    `listen` and `auth` are lines of configuration; `tls` is what the file says of TLS, None for nothing;
    `certificate` the address that the client's certificate is for, `refusal` the reply to give in place of
    the greeting (both "" for none); with `memory` the file says why it is held in memory only.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self.steps: list[Step] = []
        self.certificate = self.refusal = self.memory = ""
        listen = {"relay_from": "[]", "tls": '"none"'}
        auth: dict[str, str] = {}
        self.tls: str | None = None
        for number, line in enumerate(path.read_text(encoding="ascii").split("\n"), 1):
            if line.startswith("#"):
                word, colon, said = line[1:].strip().partition(": ")
                key, _, value = said.partition(" = ")
                if not colon:
                    continue
                if word == "config":
                    listen[key] = value
                    if key == "tls":
                        self.tls = value.strip('"')
                elif word == "auth":
                    auth[key] = value
                elif word == "certificate":
                    self.certificate = said
                elif word == "refuse":
                    self.refusal = said
                elif word == "in memory only":
                    self.memory = said
            elif line:
                found = LINE.fullmatch(line)
                assert found, f"{path.name}:{number}: neither C:, S:, Q: nor #"
                self.steps += [(number, found[1], found[3] or "")] * int(found[2] or 1)
        self._listen = listen
        self.auth = ""
        if auth or listen.get("role") == '"submission"' or listen.get("auth") == "true":
            auth = {"passwords": '"passwords"', "oauth": '["./tokens"]', **auth}
            self.auth = "[auth]\n" + _lines(auth)

    def listen(self, tls: str | None = None) -> str:
        """The lines of ``[[listen]]``, with this `tls` where the file says nothing of it."""
        return _lines(self._listen if tls is None else {**self._listen, "tls": f'"{tls}"'})

    def groups(self, who: str) -> Iterator[tuple[str, list[Step]]]:
        """The dialogue in turns: lines of one side that follow each other, for the sides in `who`.

        What the client does besides sending (a handshake, waiting) is a turn of its own.
        """
        turn: list[Step] = []
        for step in self.steps:
            if step[1] not in who:
                continue
            if turn and (turn[0][1] != step[1] or is_act(step[2]) or is_act(turn[-1][2])):
                yield turn[0][1], turn
                turn = []
            turn.append(step)
        if turn:
            yield turn[0][1], turn


def _lines(values: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in values.items())


def is_act(text: str) -> bool:
    """Whether a client's line is no line, but something that it does."""
    return text == TLS or LATER.fullmatch(text) is not None


def octets(text: str) -> bytes:
    """What the text stands for."""

    def one(found: re.Match[bytes]) -> bytes:
        name, number, letter, times, encoded = found.groups()
        if name:
            return OCTETS[name.decode()]
        if encoded is not None:
            return b64encode(encoded.replace(b"\\0", b"\0").replace(b"\\1", b"\1"))
        return bytes.fromhex(number.decode()) if number else letter * int(times)

    return MARK.sub(one, text.encode())


def sent(turn: Iterable[Step]) -> bytes:
    """What the client sends in a turn."""
    parts = []
    for _, _, text in turn:
        line = text.removesuffix(NO_END)
        parts.append(octets(line) + (b"\r\n" if line == text else b""))
    return b"".join(parts)


def agree(expected: str, said: str) -> bool:
    """Whether the server said what the file says."""
    if expected.endswith("..."):
        return said.startswith(octets(expected[:-3].rstrip(" ")).decode())
    return said == octets(expected).decode()
