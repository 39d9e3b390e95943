"""An SMTP server with STARTTLS, implicit TLS and AUTH, in a thread, with faults on demand.

`SecureServer` is what `tlspeer.Peer` runs.  It answers by the book but for what it is told to do wrong, and
keeps the commands of each session with whether they came under TLS.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterable
from typing import Any

from mether.smtp import sasl
from mether.smtp.sasl import Answer, CheckPassword, CheckToken, Done, Failed, FindKeys


class SecureServer:
    """One server.

    `context` None: no TLS.  `clear` and `secure` are the extensions offered before and after the handshake;
    `passwords` the logins; `starttls` the answer to STARTTLS; `behind` octets sent in clear with it;
    `garbage` what is sent in place of a handshake; `greeting` the first line.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        implicit: bool = False,
        clear: Iterable[str] = ("STARTTLS",),
        secure: Iterable[str] = (),
        passwords: dict[str, str] | None = None,
        starttls: str = "220 2.0.0 go on",
        behind: bytes = b"",
        garbage: bytes | None = None,
        greeting: str = "220 mx.example.com ESMTP",
        binding: bytes | None = None,
        rcpt: str = "250 2.1.5 OK",
        lying: bool = False,
    ) -> None:
        self.context = context
        self.implicit = implicit
        self.clear = tuple(clear)
        self.secure = tuple(secure)
        self.passwords = passwords or {}
        self.starttls = starttls
        self.behind = behind
        self.garbage = garbage
        self.greeting = greeting
        self.binding = binding
        self.rcpt = rcpt
        self.lying = lying
        self.sessions: list[list[str]] = []
        self.logins: list[str] = []
        self.messages: list[bytes] = []

    def __call__(self, sock: socket.socket) -> None:
        """Serve one connection."""
        with contextlib.ExitStack() as held:
            self._serve(sock, held)

    def _serve(self, sock: socket.socket, held: contextlib.ExitStack) -> None:
        said: list[str] = []
        self.sessions.append(said)
        secure = False
        if self.implicit:
            assert self.context is not None
            sock = held.enter_context(self.context.wrap_socket(sock, server_side=True))
            secure = True
        file = held.enter_context(sock.makefile("rb"))

        def say(line: str) -> None:
            sock.sendall(line.encode() + b"\r\n")

        say(self.greeting)
        while line := file.readline():
            text = line.decode().rstrip("\r\n")
            said.append(("tls " if secure else "") + text)
            verb = text.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO"):
                offer = ["mx.example.com", *(self.secure if secure else self.clear)]
                for number, one in enumerate(offer):
                    say(f"250{' ' if number == len(offer) - 1 else '-'}{one}")
            elif verb == "STARTTLS":
                sock.sendall(self.starttls.encode() + b"\r\n" + self.behind)
                if not self.starttls.startswith("220"):
                    continue
                if self.garbage is not None:
                    sock.recv(65536)
                    sock.sendall(self.garbage)
                    while sock.recv(65536):
                        pass
                    return
                assert self.context is not None
                sock = held.enter_context(self.context.wrap_socket(sock, server_side=True))
                file = held.enter_context(sock.makefile("rb"))
                secure = True
            elif verb == "AUTH":
                self._auth(text.split(" ", 2), say, file, said)
            elif verb == "DATA":
                say("354 go on")
                content = b""
                while (line := file.readline()) != b".\r\n":
                    content += line
                self.messages.append(content)
                say("250 2.0.0 queued")
            elif verb == "RCPT":
                say(self.rcpt)
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 OK")

    def _auth(self, words: list[str], say: Any, file: Any, said: list[str]) -> None:
        if self.lying:
            say("235 2.7.0 whoever you are")
            return
        try:
            exchange = sasl.server(words[1], random=os.urandom, secret=b"x" * 32, binding=self.binding)
            step = exchange.begin(sasl.decode_initial(words[2] if len(words) > 2 else ""))
            while not isinstance(step, Done | Failed):
                if isinstance(step, CheckPassword | FindKeys | CheckToken):
                    step = exchange.answer(self._answer(step))
                    continue
                sock_reply = step.reply
                say(f"334 {sock_reply.text}")
                line = file.readline().decode().rstrip("\r\n")
                said.append(line)
                step = exchange.respond(sasl.decode(line))
        except sasl.SaslError as error:
            say(str(error.reply))
            return
        if isinstance(step, Done):
            self.logins.append(f"{words[1]} {step.login}")
        say(str(step.reply))

    def _answer(self, question: CheckPassword | FindKeys | CheckToken) -> Answer:
        password = self.passwords.get(question.login)
        if isinstance(question, CheckPassword):
            return sasl.ACCEPTED if password == question.password else sasl.REJECTED
        if isinstance(question, CheckToken):
            return sasl.ACCEPTED if password == question.token else sasl.REJECTED
        if password is None:
            return sasl.REJECTED
        from mether.smtp.sasl_scram import keys

        return Answer.found(keys(password, b"salt" * 4, 4096))
