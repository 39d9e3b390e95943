"""Collected mail goes in by DATA and by BDAT, through the queue, and out again byte for byte.

Every message of the collection beside this repository, to a Maildir and to next hops with and without
8BITMIME, SMTPUTF8, and CHUNKING with BINARYMIME, from both kinds of spool.  What must be converted for a next
hop is read by the standard library before and after.
"""

from __future__ import annotations

import email
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest
from daemon import Client, Daemon

MAIL = Path(__file__).parents[3] / "shared" / "testdata" / "mail"

HOPS = {
    "seven": (),
    "eight": ("PIPELINING", "8BITMIME"),
    "international": ("PIPELINING", "8BITMIME", "SMTPUTF8"),
    "full": ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME"),
}
TRACE = re.compile(rb"Received: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")

RETURN_PATH = re.compile(rb"(?im)^return-path[ \t]*:.*\n(?:[ \t].*\n)*")


class Sink:
    """A next hop that offers these extensions; `taken` has by recipient the line of MAIL and the octets."""

    def __init__(self, offer: tuple[str, ...]) -> None:
        self.offer = offer
        self.taken: dict[str, tuple[str, bytes]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._work, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _work(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(client,), daemon=True).start()

    def _session(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:

            def say(text: str) -> None:
                client.sendall(text.replace("\n", "\r\n").encode() + b"\r\n")

            say("220 sink ESMTP")
            mail, recipients, content = "", [], b""
            for octets in lines:
                line = octets.decode().removesuffix("\r\n")
                verb = line.split(" ")[0]
                if verb == "EHLO":
                    say("".join(f"250-{word}\n" for word in ("sink", *self.offer)) + "250 HELP")
                    continue
                if verb == "MAIL":
                    mail, recipients, content = line, [], b""
                elif verb == "RCPT":
                    recipients.append(line[len("RCPT TO:<") : line.index("@")])
                elif verb == "DATA":
                    say("354 go on")
                    content = _unstuffed(lines)
                elif verb == "BDAT":
                    content += lines.read(int(line.split(" ")[1]))
                if verb == "DATA" or line.endswith(" LAST"):
                    for one in recipients:
                        assert one not in self.taken, "it came twice"
                        self.taken[one] = (mail, content)
                say("221 bye" if verb == "QUIT" else "250 ok")


def _unstuffed(lines: BinaryIO) -> bytes:
    """Content that ends in CRLF.CRLF, and in nothing else."""
    content, line, before = [], lines.readline(), b"\r\n"
    while not (line == b".\r\n" and before.endswith(b"\r\n")):
        assert line, "the session ended in the content"
        content.append(line.removeprefix(b".") if before.endswith(b"\r\n") else line)
        before, line = line, lines.readline()
    return b"".join(content)


class Sending:
    """One message as it is sent: with these parameters of MAIL, in chunks or not."""

    def __init__(self, octets: bytes, parameters: str, *, chunks: bool) -> None:
        self.octets = octets
        self.parameters = parameters
        self.chunks = chunks
        self.binary = "BINARYMIME" in parameters
        self.utf8 = "SMTPUTF8" in parameters

    def send(self, client: Client, recipients: list[str]) -> None:
        group = [
            f"MAIL FROM:<sender@example.com>{self.parameters}",
            *(f"RCPT TO:<{one}>" for one in recipients),
        ]
        if not self.chunks:
            *said, data = client.say(*group, "DATA")
            assert data.startswith("354 ")
            stuffed = re.sub(rb"(?m)^\.", b"..", self.octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
            client.socket.sendall(stuffed + b".\r\n")
        else:
            said = client.say(*group)
            middle = len(self.octets) // 2
            for part, last in ((self.octets[:middle], ""), (self.octets[middle:], " LAST")):
                client.socket.sendall(b"BDAT %d%b\r\n" % (len(part), last.encode()) + part)
            said.append(client.reply())
        assert all(reply.startswith("250 ") for reply in said), said
        assert (reply := client.reply()).startswith("250 2.0.0 queued as "), reply


def sendings() -> Iterator[tuple[str, Sending]]:
    """Each message in each way that it can go, with a name that is a local-part."""
    for number, path in enumerate(sorted(path for path in MAIL.rglob("*") if path.is_file())):
        raw = path.read_bytes()
        text = raw.replace(b"\r\n", b"\n")
        if b"\0" in text or b"\r" in text:
            yield f"b{number}", Sending(raw, " BODY=BINARYMIME", chunks=True)
            continue
        octets = text.removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n"
        body = "" if text.isascii() else " BODY=8BITMIME"
        yield f"d{number}", Sending(octets, body, chunks=False)
        yield f"c{number}", Sending(octets, body, chunks=True)
        if body:
            yield f"u{number}", Sending(octets, body + " SMTPUTF8", chunks=False)


@pytest.mark.skipif(not MAIL.is_dir(), reason="needs the collection of mail")
@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_collected_mail_comes_out_as_it_went_in(tmp_path: Path, kind: str) -> None:
    """DAT-4, DAT-10, TRC-1, CLI-5, 8BM-1, 8BM-2, 8BM-5, BDT-1, EAI-2, EAI-5."""
    with ExitStack() as stack:
        sinks = {name: Sink(offer) for name, offer in HOPS.items()}
        for sink in sinks.values():
            stack.callback(sink.close)
        routes = "".join(
            f'[[route]]\ndomains = ["{name}.example"]\nsmtp = "127.0.0.1:{sink.port}"\n'
            for name, sink in sinks.items()
        )
        service = Daemon(tmp_path, f"{kind}:spool", routes=routes)
        stack.callback(service.stop)
        client = Client(service.port)
        stack.callback(client.close)
        client.say("EHLO client.example")
        sent = dict(sendings())
        assert len(sent) > 180
        for name, sending in sent.items():
            sending.send(
                client,
                [f"{name}@{domain}" for domain in ("example.com", *(f"{hop}.example" for hop in HOPS))],
            )
        outcomes: dict[tuple[str, str], dict[str, object]] = {}
        while len(outcomes) < len(sent) * (len(HOPS) + 1):
            record = json.loads(service.wait_for('"recipient"'))
            name, _, domain = record["recipient"].partition("@")
            if name in sent:
                assert record["event"] != "delayed", str(record)
                outcomes[name, domain.removesuffix(".example")] = record
        for name, sending in sent.items():
            (delivered,) = service.mailbox(name)
            assert delivered.endswith(in_a_mailbox(sending))
            for hop, sink in sinks.items():
                outcome = outcomes[name, hop]
                if outcome["event"] == "relayed":
                    check(sending, sink.offer, *sink.taken.pop(name))
                else:
                    assert outcome["event"] == "failed"
                    assert outcome["status"] in may_fail(sending, sink.offer), (name, outcome)
        assert not any(sink.taken for sink in sinks.values()), "what was told as failed was sent"
        returned = sum(outcome["event"] == "failed" for outcome in outcomes.values())
        assert returned < len(outcomes) / 20, "what can be converted is"


def in_a_mailbox(sending: Sending) -> bytes:
    """What a Maildir has of a message, behind what delivery adds: LF lines, and no Return-Path of its own."""
    text = sending.octets.replace(b"\r\n", b"\n")
    header, empty, body = text.partition(b"\n\n")
    return RETURN_PATH.sub(b"", header + empty[:1]) + empty[1:] + body


def may_fail(sending: Sending, offer: tuple[str, ...]) -> list[str]:
    """The enhanced codes with which this message may be returned for lack of an extension."""
    codes = []
    if sending.binary and "BINARYMIME" not in offer:
        codes.append("5.6.3")
    if not sending.octets.isascii() and "8BITMIME" not in offer:
        codes.append("5.6.3")
    if sending.utf8 and "SMTPUTF8" not in offer:
        codes.append("5.6.9")
    return codes


def check(sending: Sending, offer: tuple[str, ...], mail: str, octets: bytes) -> None:
    """What a next hop with this offer got of a message."""
    for keyword in ("SMTPUTF8", "8BITMIME", "BINARYMIME"):
        assert keyword not in mail or keyword in offer, mail
    found = TRACE.match(octets)
    assert found is not None
    content = octets[found.end() :]
    if sending.binary and "BINARYMIME" not in offer:
        fits = False
    else:
        fits = sending.octets.isascii() or "8BITMIME" in offer
    if fits:
        assert content == sending.octets
    else:
        assert octets.isascii() or "8BITMIME" in offer
        assert b"\0" not in octets and b"\r" not in octets.replace(b"\r\n", b"")
        assert leaves(content) == leaves(sending.octets)


def leaves(message: bytes) -> list[object]:
    """The decoded parts of a message that are not made of parts."""
    parsed = email.message_from_bytes(message)
    return [part.get_payload(decode=True) for part in parsed.walk() if not part.is_multipart()]
