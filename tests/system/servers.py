"""Real servers that keep what they get, and tell how it arrived: next hops for our client.

Each adapter has `port` (STARTTLS is offered there), `tls_port` (TLS from the first octet), `login` and
`password` (good under TLS), `strongest` (of its mechanisms), `offers` (what the tests may expect of it), and
`held(sender)`, the one message that came from `sender`.  `tls_fault` says why TLS cannot be had of it, and so
no login either.  They take mail for any domain but refused.example.
"""

from __future__ import annotations

import json
import re
import ssl
from typing import Any

import peers
from aiosmtpd.smtp import AuthResult
from aiosmtpd_server import Controller
from dovecot import USERS, Dovecot
from exim import EximServer
from opensmtpd import LOGIN, PASSWORD, OpenSmtpd
from postfix import Postfix

WORDS = ("NEVER", "SUCCESS", "FAILURE", "DELAY")


class Held:
    """A message as a server took it.

    `recipients` maps each address to the words of NOTIFY, sorted, and the address of ORCPT or "".
    """

    def __init__(self) -> None:
        self.recipients: dict[str, tuple[list[str], str]] = {}
        self.envid = ""
        self.login = ""
        self.secure = False
        self.body = b""


def _words(flags: int, order: tuple[str, ...]) -> list[str]:
    return sorted(word for number, word in enumerate(order) if flags & 1 << number)


class PostfixServer:
    """Postfix, with Dovecot to check its logins."""

    offers = frozenset({"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING"})
    login, password = "ann", USERS["ann"]
    strongest = "SCRAM-SHA-256"
    tls_fault = ""

    def __init__(self, certificate: str, key: str, dovecot: Dovecot) -> None:
        self.tls_port = peers.free_port()
        self.mta = Postfix(
            f"smtpd_tls_chain_files = {key}, {certificate}\n"
            "smtpd_tls_security_level = may\n"
            "smtpd_tls_auth_only = yes\n"
            "smtpd_tls_received_header = yes\n"
            "smtpd_sasl_auth_enable = yes\n"
            "smtpd_sasl_type = dovecot\n"
            f"smtpd_sasl_path = {dovecot.auth}\n"
            "smtpd_relay_restrictions = permit_mynetworks\n"
            "smtpd_recipient_restrictions =\n"
            "  check_recipient_access inline:{refused.example=REJECT}, permit_mynetworks, reject\n"
            "smtpd_data_restrictions = check_client_access static:HOLD\n",
            f"127.0.0.1:{self.tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n",
        )
        self.port = self.mta.port

    def held(self, sender: str) -> Held:
        queue = [json.loads(line) for line in self.mta.command("postqueue", "-j").splitlines()]
        [ident] = [entry["queue_id"] for entry in queue if entry["sender"] == sender]
        shown = self.mta.command("postcat", "-q", ident)
        held = Held()
        flags, original = 0, ""
        for name, value in re.findall(r"^(?:named_attribute: )?(\w+)[:=] ?(.*)$", shown, re.M):
            if name == "notify_flags":
                flags = int(value)
            elif name == "dsn_orig_rcpt":
                original = value.partition(";")[2]
            elif name == "envelope_id":
                held.envid = value
            elif name == "sasl_username":
                held.login = value
            elif name == "recipient":
                held.recipients[value] = (_words(flags, WORDS), original)
                flags, original = 0, ""
        held.secure = "(using TLSv1" in shown
        body = self.mta.command("postcat", "-qb", ident).encode(errors="surrogateescape")
        held.body = body.removeprefix(b"\n")
        return held

    def log(self) -> str:
        return self.mta.log()

    def stop(self) -> None:
        self.mta.stop()


class Exim4:
    """Exim."""

    offers = frozenset({"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING"})
    login, password = EximServer.LOGIN, EximServer.PASSWORD
    strongest = "PLAIN"
    tls_fault = ""

    def __init__(self, certificate: str, key: str) -> None:
        self.mta = EximServer(certificate, key)
        self.port, self.tls_port = self.mta.port, self.mta.tls_port

    def held(self, sender: str) -> Held:
        lines = self.mta.main_log().splitlines()
        [arrived] = [line for line in lines if f" <= {sender} " in line]
        found = re.search(r" \[(\d+)\] (\S+) <= ", arrived)
        assert found
        process, ident = found.groups()
        held = Held()
        for line in lines:
            said = re.search(rf" \[{process}\] (MAIL|RCPT) (.*)", line)
            if said:
                address = re.search(r"<(.*?)>", said[2])
                assert address
                notify = re.search(r"NOTIFY=(\S+)", said[2])
                original = re.search(r"ORCPT=\w+;(\S+)", said[2])
                envid = re.search(r"ENVID=(\S+)", said[2])
                held.envid = envid[1] if envid else held.envid
                if said[1] == "RCPT":
                    words = sorted(notify[1].split(",")) if notify else []
                    held.recipients[_octal(address[1])] = (words, original[1] if original else "")
        login = re.search(r" A=\w+:(\S+)", arrived)
        held.login = login[1] if login else ""
        held.secure = " X=TLS" in arrived
        held.body = self.mta.body(ident)
        return held

    def log(self) -> str:
        return self.mta.log()

    def stop(self) -> None:
        self.mta.stop()


def _octal(text: str) -> str:
    """Exim's log writes octets outside ASCII in octal."""
    return re.sub(rb"\\(\d{3})", lambda one: bytes([int(one[1], 8)]), text.encode()).decode()


class OpenSmtpd6:
    """OpenSMTPD."""

    offers = frozenset({"8BITMIME", "DSN"})
    login, password = LOGIN, PASSWORD
    strongest = "PLAIN"

    def __init__(self, certificate: str, key: str) -> None:
        self.mta = OpenSmtpd(certificate, key)
        self.tls_fault = ""
        if self.mta.version < (7, 3):
            # https://github.com/OpenSMTPD/OpenSMTPD/issues/1171
            self.tls_fault = "OpenSMTPD before 7.3 cannot complete a TLS handshake with OpenSSL 3"
        self.port, self.tls_port = self.mta.port, self.mta.tls_port

    def held(self, sender: str) -> Held:
        [(content, envelopes)] = [
            (content, envelopes)
            for content, envelopes in self.mta.queue()
            if envelopes[0]["sender"] == sender
        ]
        held = Held()
        for envelope in envelopes:
            words = _words(int(envelope.get("dsn-notify", "0")), ("SUCCESS", "FAILURE", "DELAY", "NEVER"))
            original = envelope.get("dsn-orcpt", "").rpartition(";")[2]
            held.recipients[envelope["rcpt"]] = (words, original)
            held.envid = envelope.get("dsn-envid", "")
        ident = re.search(r"with \w+ id (\w+)", content)
        assert ident
        log = self.mta.log()
        arrived = re.search(rf"^(\w+) smtp message msgid={ident[1]}", log, re.M)
        assert arrived
        login = re.search(rf'^{arrived[1]} smtp authentication user="?([^\s"]+)', log, re.M)
        held.login = login[1] if login else ""
        held.secure = re.search(rf"^{arrived[1]} smtp tls ", log, re.M) is not None
        held.body = content.partition("\n\n")[2].encode(errors="surrogateescape")
        return held

    def log(self) -> str:
        return self.mta.log()

    def stop(self) -> None:
        self.mta.stop()


class Aiosmtpd:
    """aiosmtpd, in a thread here."""

    offers = frozenset({"8BITMIME", "SMTPUTF8"})
    login, password = "ann@example.test", "secret"
    strongest = "PLAIN"
    tls_fault = ""

    def __init__(self, certificate: str, key: str) -> None:
        self.envelopes: list[tuple[Any, str, bool]] = []
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        common = {"enable_SMTPUTF8": True, "authenticator": self._check, "hostname": "127.0.0.1"}
        starttls = Controller(self, port=peers.free_port(), tls_context=context, **common)
        # It counts TLS from the first octet as none, and would then offer no AUTH.
        implicit = Controller(
            self, port=peers.free_port(), ssl_context=context, auth_require_tls=False, **common
        )
        self.controllers = (starttls, implicit)
        for controller in self.controllers:
            controller.start()
        self.port, self.tls_port = starttls.port, implicit.port

    def _check(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = (data.login, data.password) == (self.login.encode(), self.password.encode())
        return AuthResult(success=good, handled=False, auth_data=self.login if good else None)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.endswith("@refused.example"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        secure = server.transport.get_extra_info("cipher") is not None
        self.envelopes.append((envelope, session.auth_data or "", secure))
        return "250 2.0.0 taken"

    def held(self, sender: str) -> Held:
        held = Held()
        [(envelope, held.login, held.secure)] = [one for one in self.envelopes if one[0].mail_from == sender]
        held.recipients = {address: ([], "") for address in envelope.rcpt_tos}
        held.body = envelope.content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
        return held

    def log(self) -> str:
        return repr([one[0].mail_from for one in self.envelopes])

    def stop(self) -> None:
        for controller in self.controllers:
            controller.stop()
