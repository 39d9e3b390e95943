"""Listeners as the configuration makes them: each role, its guards, TLS and logins, through a real smtpd."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import certificates
import daemon
import pytest
from daemon import Client, Daemon

from mether.auth.verifier import make

Start = Callable[..., Daemon]

PLAIN = "AUTH PLAIN " + base64.b64encode(b"\0ann@example.com\0secret").decode()
WRONG = "AUTH PLAIN " + base64.b64encode(b"\0ann@example.com\0guess").decode()
SUBMISSION = 'role = "submission"\ntls = "none"\n'
AUTH = '[auth]\npasswords = "passwords"\nclear_from = ["127.0.0.0/8"]\n'


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "passwords").write_text(f"ann@example.com:{make('scram-sha-256', 'secret', os.urandom)}\n")
    (tmp_path / "passwords").chmod(0o600)
    running: list[Daemon] = []

    def begin(listen: str, more: str = "") -> Daemon:
        running.append(Daemon(tmp_path, "memory:", listen=listen, routes=more))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


@contextlib.contextmanager
def client(smtpd: Daemon, hello: str = "EHLO client.example") -> Iterator[Client]:
    one = Client(smtpd.port)
    try:
        if hello:
            one.say(hello)
        yield one
    finally:
        one.close()


def offered(one: Client, hello: str = "EHLO client.example") -> list[str]:
    """The lines of the reply to EHLO, after the first."""
    one.socket.sendall(f"{hello}\r\n".encode())
    lines = []
    while True:
        line = one.file.readline().decode().rstrip()
        lines.append(line[4:])
        if line[3:4] != "-":
            return lines[1:]


def secured(one: Client, tmp_path: Path, name: str = "mx.example.com") -> None:
    """Go on under TLS, trusting the tests' authority alone."""
    context = ssl.create_default_context(cafile=certificates.ca_file(tmp_path))
    one.file.close()
    one.socket = context.wrap_socket(one.socket, server_hostname=name)
    one.file = one.socket.makefile("rb")


def tls(tmp_path: Path) -> str:
    chain, key = certificates.pair(tmp_path, "mx.example.com")
    return f'[tls]\ncertificate = ["{chain}"]\nkey = ["{key}"]\n'


def test_an_mx_relays_for_nobody(start: Start) -> None:
    """SEC-1"""
    smtpd = start('role = "mx"')
    with client(smtpd) as one:
        assert not [line for line in offered(one) if line.startswith(("AUTH", "STARTTLS"))]
        replies = one.say(
            "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>", "RCPT TO:<bob@example.com>"
        )
    assert [reply[:9] for reply in replies] == ["250 2.1.0", "550 5.7.1", "250 2.1.5"]
    assert smtpd.stop() == 0


def test_submission_wants_a_login_and_mends_the_header(start: Start) -> None:
    """SUB-1, SUB-2, SUB-5, AUT-4, DAT-13"""
    smtpd = start(SUBMISSION, AUTH)
    with client(smtpd) as one:
        assert one.say("MAIL FROM:<ann@example.com>")[0].startswith("530 5.7.0")
        assert one.say(WRONG)[0].startswith("535 5.7.8")
        assert one.say(PLAIN)[0].startswith("235 2.7.0")
        assert one.say("MAIL FROM:<ann@host>")[0].startswith("554 5.1.8")
        assert one.say("MAIL FROM:<ann@example.com>")[0].startswith("250 ")
        assert one.say("RCPT TO:<bob@host>", "RSET")[0].startswith("554 5.1.2")
        to = ("ann@example.com", "bob@example.com")
        assert one.mail(*to).startswith("554 5.6.0")
        assert one.mail(*to, content="From: a@b.example\r\nFrom: c@d.example\r\n\r\nx").startswith(
            "554 5.6.0"
        )
        answer = one.mail(*to, content="From: ann@example.com\r\nMessage-ID: none\r\n\r\nhello")
        ident = answer.rpartition(" ")[2]
        assert answer.startswith("250 2.0.0")
    smtpd.wait_for("removed", ident)
    (message,) = smtpd.mailbox("bob")
    head, _, body = message.partition(b"\n\n")
    assert b" with ESMTPA id " in head
    assert head.count(b"\nDate: ") == 1
    assert f"\nMessage-ID: <{ident}@mx.example.com>\n".encode() in head
    assert b"none" not in head
    assert b"\nSender: " not in head
    assert body == b"hello\n"
    assert smtpd.stop() == 0


def test_the_login_stands_in_sender_only_where_that_was_asked_for(start: Start) -> None:
    """SUB-5"""
    smtpd = start(SUBMISSION + "add_sender = true\n", AUTH)
    with client(smtpd) as one:
        one.say(PLAIN)
        answer = one.mail("ann@example.com", "bob@example.com", content="From: boss@example.com\r\n\r\nx")
    smtpd.wait_for("removed", answer.rpartition(" ")[2])
    (message,) = smtpd.mailbox("bob")
    assert b"\nSender: <ann@example.com>\n" in message
    assert smtpd.stop() == 0


def test_a_login_may_be_tied_to_its_senders(start: Start, tmp_path: Path) -> None:
    """SUB-4: 550 5.7.1 at MAIL."""
    (tmp_path / "senders").write_text("ann@example.com  {login} @ann.example\n")
    smtpd = start(SUBMISSION, AUTH + 'senders = "senders"\n')
    with client(smtpd) as one:
        one.say(PLAIN)
        paths = ("<ann@example.com>", "<x@ann.example>", "<>", "<bob@example.com>")
        replies = [one.say(f"MAIL FROM:{path}", "RSET")[0][:9] for path in paths]
    assert replies == ["250 2.1.0"] * 3 + ["550 5.7.1"]
    assert smtpd.stop() == 0


def test_a_client_that_guesses_is_blocked(start: Start) -> None:
    """AUT-5, SEC-5: even with the right password, and in another session; the log says who, not by what."""
    smtpd = start(SUBMISSION, AUTH + "max_failures = 1\n")
    with client(smtpd) as one:
        assert one.say(WRONG)[0].startswith("535 5.7.8")
    with client(smtpd) as one:
        assert one.say(PLAIN)[0].startswith("454 4.7.0")
        assert one.say("MAIL FROM:<ann@example.com>")[0].startswith("530 5.7.0")
    assert smtpd.stop() == 0
    refused = [json.loads(line) for line in smtpd.lines if '"rejected"' in line]
    assert [(one["stage"], one["reply"]["code"], one.get("mechanism", "")) for one in refused] == [
        ("AUTH", 535, "PLAIN"),
        ("AUTH", 454, "PLAIN"),
        ("MAIL", 530, ""),
    ]
    assert refused[0]["login"] == "ann@example.com"
    assert (refused[0].get("sender"), refused[2]["sender"]) == (None, "ann@example.com")
    assert not [line for line in smtpd.lines if "guess" in line or "secret" in line]


def test_passwords_only_under_tls(start: Start, tmp_path: Path) -> None:
    """AUT-1, TLS-2: AUTH is offered once TLS is up, and what was said before does not count."""
    smtpd = start('role = "submission"\n', AUTH.partition("clear_from")[0] + tls(tmp_path))
    with client(smtpd, "") as one:
        before = offered(one)
        assert "STARTTLS" in before
        assert not [line for line in before if line.startswith("AUTH") and "PLAIN" in line]
        assert one.say(PLAIN)[0][:3] in ("504", "538", "530", "502")
        assert one.say("STARTTLS")[0].startswith("220 ")
        secured(one, tmp_path)
        assert one.say("MAIL FROM:<ann@example.com>")[0].startswith("503 ")
        after = offered(one)
        assert "STARTTLS" not in after
        assert any(line.startswith("AUTH ") and "PLAIN" in line for line in after)
        assert one.say(PLAIN)[0].startswith("235 ")
    assert smtpd.stop() == 0


def test_tls_can_be_demanded(start: Start, tmp_path: Path) -> None:
    """AUT-4: 530 5.7.0 where it is required but absent (RFC 3207 section 4)."""
    smtpd = start('role = "mx"\nrequire_tls = true\n', tls(tmp_path))
    with client(smtpd) as one:
        assert one.say("MAIL FROM:<a@b.example>")[0].startswith("530 5.7.0")
        smtpd.wait_for("rejected", "MAIL", "5.7.0", "a@b.example")
        one.say("STARTTLS")
        secured(one, tmp_path)
        one.say("EHLO client.example")
        assert one.say("MAIL FROM:<a@b.example>")[0].startswith("250 ")
    assert smtpd.stop() == 0


def test_a_client_that_waits_where_tls_comes_first_is_in_the_log(start: Start, tmp_path: Path) -> None:
    """RFC 8314: at once, not when its time is over; and one that gets on is there once."""
    smtpd = start('role = "mx"\ntls = "implicit"\n', tls(tmp_path))
    with socket.create_connection(("127.0.0.1", smtpd.port)):
        smtpd.wait_for("connected", "127.0.0.1")
    smtpd.wait_for("cut", "handshake")
    smtpd.wait_for("disconnected", "127.0.0.1")
    context = ssl.create_default_context(cafile=certificates.ca_file(tmp_path))
    with (
        socket.create_connection(("127.0.0.1", smtpd.port)) as sock,
        context.wrap_socket(sock, server_hostname="mx.example.com") as one,
    ):
        assert one.recv(4).startswith(b"220 ")
        one.sendall(b"QUIT\r\n")
        smtpd.wait_for("disconnected", "127.0.0.1")
    assert smtpd.stop() == 0
    assert sum('"connected"' in line for line in smtpd.lines) == 2


def test_implicit_tls_behind_a_proxy(start: Start, tmp_path: Path) -> None:
    """SUB-1: TLS from the first octet; the proxy's header stands before it, whatever comes with it."""
    smtpd = start('role = "mx"\ntls = "implicit"\nproxy_from = ["127.0.0.1"]\n', tls(tmp_path))
    context = ssl.create_default_context(cafile=certificates.ca_file(tmp_path))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = context.wrap_bio(incoming, outgoing, server_hostname="mx.example.com")
    with socket.create_connection(("127.0.0.1", smtpd.port)) as sock:
        header = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 465\r\n"
        greeting = b""
        while not greeting:
            try:
                made.do_handshake()
                greeting = made.read()
            except ssl.SSLWantReadError:
                sock.sendall(header + outgoing.read())  # the first time with the header, in one piece
                header = b""
                incoming.write(sock.recv(65536))
        assert greeting.startswith(b"220 mx.example.com ")
    smtpd.wait_for("connect", "192.0.2.7")
    assert smtpd.stop() == 0


def test_an_lmtp_listener_answers_for_each_recipient(start: Start) -> None:
    """LMT-1, LMT-2"""
    smtpd = start('role = "lmtp"')
    with client(smtpd, "") as one:
        assert " LMTP " in one.greeting
        assert one.say("EHLO client.example")[0].startswith("500 ")
        assert {"PIPELINING", "ENHANCEDSTATUSCODES"} <= set(offered(one, "LHLO client.example"))
        replies = one.say(
            "MAIL FROM:<a@b.example>",
            "RCPT TO:<bob@example.com>",
            "RCPT TO:<x@elsewhere.example>",
            "RCPT TO:<eve@example.com>",
            "DATA",
        )
        assert [reply[:3] for reply in replies] == ["250", "250", "550", "250", "354"]
        one.socket.sendall(b"Subject: hi\r\n\r\nhello\r\n.\r\n")
        assert [one.reply()[:4] for _ in range(2)] == ["250 ", "250 "]
        assert one.say("NOOP")[0].startswith("250 ")
    smtpd.wait_for("removed")
    assert smtpd.mailbox("bob")
    assert smtpd.mailbox("eve")
    assert smtpd.stop() == 0


def test_a_client_has_its_rates(start: Start) -> None:
    """SEC-5: messages and recipients a minute."""
    smtpd = start("max_messages_per_minute = 2\nmax_recipients_per_minute = 3\n")
    with client(smtpd) as one:
        for _ in range(2):
            assert one.say("MAIL FROM:<a@b.example>", "RSET")[0].startswith("250 ")
        assert one.say("MAIL FROM:<a@b.example>")[0].startswith("450 4.7.0")
    smtpd.stop()
    smtpd = start("max_recipients_per_minute = 3\n")
    with client(smtpd) as one:
        one.say("MAIL FROM:<a@b.example>")
        replies = [one.say(f"RCPT TO:<{user}@example.com>")[0][:9] for user in "abcd"]
    assert replies == ["250 2.1.5"] * 3 + ["450 4.7.0"]
    assert smtpd.stop() == 0


def test_a_long_session_ends_outside_a_transaction(start: Start) -> None:
    """TMO-1: with 421, and only where it brings no mail."""
    smtpd = start('session_timeout = "1ms"')
    with client(smtpd, "") as one:
        while (reply := one.say("NOOP")[0]).startswith("250 "):
            pass
        assert reply.startswith("421 4.3.2")
        assert one.reply() == ""
    assert smtpd.stop() == 0


def test_bare_newlines_are_refused_or_made_line_ends(start: Start) -> None:
    """DAT-3"""
    smtpd = start("")
    with client(smtpd) as one:
        assert one.mail("a@b.example", "bob@example.com", content="X: y\r\n\r\na\nb").startswith("550 5.6.0")
    smtpd.stop()
    smtpd = start('bare_newlines = "normalize"')
    with client(smtpd) as one:
        assert one.mail("a@b.example", "bob@example.com", content="X: y\r\n\r\na\nb").startswith("250 ")
    smtpd.wait_for("removed")
    assert smtpd.mailbox("bob")[0].endswith(b"\n\na\nb\n")
    assert smtpd.stop() == 0


def test_what_is_switched_off_is_not_offered(start: Start) -> None:
    smtpd = start('extensions_off = ["chunking", "SMTPUTF8"]')
    with client(smtpd) as one:
        words = [line.split()[0] for line in offered(one)]
        assert "PIPELINING" in words
        assert not {"CHUNKING", "BINARYMIME", "SMTPUTF8"} & set(words)
        assert one.say("MAIL FROM:<a@b.example> SMTPUTF8")[0].startswith("555 ")
    assert smtpd.stop() == 0


def test_xclient_is_for_listed_front_ends(start: Start) -> None:
    """SEC-1: what it says decides who may relay."""
    smtpd = start('xclient_from = ["127.0.0.1"]')
    with client(smtpd, "") as one:
        assert any(line.startswith("XCLIENT ") for line in offered(one))
        assert one.say("XCLIENT ADDR=192.0.2.7 NAME=c.example")[0].startswith("220 ")
        one.say("EHLO c.example")
        one.say("MAIL FROM:<a@b.example>")
        assert one.say("RCPT TO:<x@elsewhere.example>")[0].startswith("550 5.7.1")
    smtpd.stop()
    smtpd = start("")
    with client(smtpd, "") as one:
        assert not any(line.startswith("XCLIENT ") for line in offered(one))
        assert one.say("XCLIENT ADDR=192.0.2.7")[0][:3] in ("500", "502")
    assert smtpd.stop() == 0


@pytest.fixture
def place() -> Iterator[str]:
    """A Unix socket's path, which is to be short."""
    with tempfile.TemporaryDirectory() as base:
        yield f"{base}/lmtp"


def over_unix(place: str, *lines: str) -> list[str]:
    """Each reply's last line, the greeting's first."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(place)
        with one.makefile("rb") as file:

            def reply() -> str:
                while True:
                    line = file.readline().decode().rstrip()
                    if line[3:4] != "-":
                        return line

            said = [reply()]
            for line in lines:
                one.sendall(f"{line}\r\n".encode())
                said.append(reply())
            return said


def test_lmtp_on_a_unix_socket(start: Start, place: str, tmp_path: Path) -> None:
    """RFC 2033 section 5; SEC-1: who has no address may reach local domains only."""
    smtpd = start(f'[[listen]]\naddress = "unix:{place}"\nsocket_mode = "0600"\n')
    assert Path(place).stat().st_mode & 0o777 == 0o600
    assert f"unix:{place}" in smtpd.lines[-1]
    said = over_unix(place, "LHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>", "QUIT")
    assert [line[:3] for line in said] == ["220", "250", "250", "550", "221"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "smtp"), f"unix:{place}", "a@b.example", "bob@example.com"],
        input=b"Subject: hi\n\nHello.\n",
        capture_output=True,
        env={**os.environ, "METHER_CONFIG": str(smtpd.config)},
    )
    assert done.returncode == 0, done.stderr
    smtpd.wait_for("removed")
    (mail,) = smtpd.mailbox("bob")
    assert b" with LMTP" in mail
    # A killed one leaves its socket, which is no hindrance to the next; a stopped one takes it along.
    smtpd.stop(signal.SIGKILL)
    assert Path(place).exists()
    smtpd.start()
    assert over_unix(place)[0].startswith("220 ")
    second = subprocess.run(
        [str(Path(sys.executable).parent / "smtpd"), "-C", str(smtpd.config), "-l", f"unix:{place}"],
        capture_output=True,
        text=True,
    )
    assert second.returncode == 69
    assert second.stderr.startswith(f"smtpd: cannot listen on unix:{place}: ")
    assert over_unix(place)[0].startswith("220 ")
    assert smtpd.stop() == 0
    assert not Path(place).exists()


def test_a_route_leads_to_a_unix_socket(start: Start, place: str, tmp_path: Path) -> None:
    """From one service to another's LMTP; and mail that would come back to its own is a loop."""
    store = tmp_path / "store"
    store.mkdir()
    there = Daemon(store, "memory:", listen=f'[[listen]]\naddress = "unix:{place}"\n')
    try:
        routes = f'[[route]]\ndomains = ["list.example"]\nlmtp = "unix:{place}"\n'
        own = f"{place}2"
        routes += f'[[route]]\ndomains = ["loop.example"]\nlmtp = "unix:{own}"\n'
        here = start(f'[[listen]]\naddress = "unix:{own}"\n', routes)
        with client(here) as one:
            assert one.mail("bob@example.com", "joe@list.example").startswith("250 ")
            here.wait_for("relay", "550")  # list.example is not that service's
            assert one.mail("bob@example.com", "joe@loop.example").startswith("250 ")
            here.wait_for("loop", "554")
        assert here.stop() == 0
    finally:
        assert there.stop() == 0


def test_programs_of_this_host_are_trusted_on_a_unix_socket(start: Start, place: str) -> None:
    smtpd = start(f'role = "mx"\n[[listen]]\naddress = "unix:{place}"\nrole = "local"\n')
    asked = (
        "EHLO c",
        "MAIL FROM:<a@b.example> MT-PRIORITY=1 AUTH=<>",
        "RCPT TO:<x@elsewhere.example>",
        "QUIT",
    )
    assert [line[:3] for line in over_unix(place, *asked)] == ["220", "250", "250", "250", "221"]
    with client(smtpd) as one:  # the network gains nothing by it
        replies = one.say("MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>")
    assert replies[1].startswith("550 5.7.1")
    assert smtpd.stop() == 0


def test_a_password_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    config = tmp_path / "m.toml"
    auth = AUTH.replace('"passwords"', '"nowhere"')
    config.write_text(f'[[listen]]\naddress = "127.0.0.1:0"\n{SUBMISSION}{auth}')
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "smtpd"), "-C", str(config), "--spool", "memory:"],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 78
    assert ended.stderr.startswith(f"smtpd: {config}:6: auth.passwords: ")
    assert ended.stderr.count("\n") == 1


def test_clients_are_counted_before_their_handshake(start: Start, tmp_path: Path) -> None:
    """SEC-5: whoever connects and says nothing under implicit TLS has a limit too."""
    smtpd = start('tls = "implicit"\nmax_connections_per_client = 2\n', tls(tmp_path))
    silent = [socket.create_connection(("127.0.0.1", smtpd.port)) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", smtpd.port)) as third, contextlib.suppress(ConnectionError):
        assert third.recv(1) == b""
    smtpd.wait_for("rejected", "CONNECT", "4.3.2")
    for one in silent:
        one.close()
    smtpd.wait_for("cut", "127.0.0.1")
    assert smtpd.stop() == 0


def proxied(smtpd: Daemon, address: str) -> Client:
    """A client that comes from this address through a proxy."""
    family, own = ("TCP6", "2001:db8::1") if ":" in address else ("TCP4", "198.51.100.1")
    return Client(smtpd.port, first=f"PROXY {family} {address} {own} 40000 25\r\n".encode())


def test_a_network_of_ipv6_is_one_client(start: Start) -> None:
    """SEC-5: who has an address has its /64, and a new address for every connection."""
    smtpd = start('proxy_from = ["127.0.0.1"]\nmax_connections_per_client = 1\n')
    first = proxied(smtpd, "2001:db8:1:2::1")
    assert first.greeting.startswith("220 ")
    second = proxied(smtpd, "2001:db8:1:2:ffff::9")
    assert second.greeting.startswith("421 4.3.2")
    neighbour = proxied(smtpd, "2001:db8:1:3::1")
    assert neighbour.greeting.startswith("220 ")
    for one in (first, second, neighbour):
        one.close()


def test_limits_count_the_client_behind_a_proxy(start: Start, tmp_path: Path) -> None:
    """SEC-5: connections, messages and failed logins, also under TLS; one client pays for no other."""
    smtpd = start(
        'role = "submission"\nproxy_from = ["127.0.0.1"]\nmax_connections_per_client = 1\n'
        "max_messages_per_minute = 1\n",
        AUTH.partition("clear_from")[0] + "max_failures = 1\n" + tls(tmp_path),
    )

    def ready(address: str) -> Client:
        one = proxied(smtpd, address)
        assert one.greeting.startswith("220 ")
        one.say("EHLO client.example")
        assert one.say("STARTTLS")[0].startswith("220 ")
        secured(one, tmp_path)
        one.say("EHLO client.example")
        return one

    first, second = ready("192.0.2.7"), ready("192.0.2.8")
    third = proxied(smtpd, "192.0.2.7")
    assert third.greeting.startswith("421 4.3.2")
    third.close()
    assert first.say(WRONG)[0].startswith("535 ")
    assert first.say(PLAIN)[0].startswith("454 4.7.0")
    assert second.say(PLAIN)[0].startswith("235 ")
    for one in (second, ready("192.0.2.9")):
        one.say(PLAIN)
        assert one.say("MAIL FROM:<ann@example.com>")[0].startswith("250 ")
        one.say("RSET")
        assert one.say("MAIL FROM:<ann@example.com>")[0].startswith("450 4.7.0")
        one.close()
    first.close()
    assert '"192.0.2.7"' in smtpd.wait_for("rejected", "AUTH")
    assert smtpd.stop() == 0


def test_clients_are_refused_before_descriptors_come_to_an_end(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEC-5: with a reply, a line in the log, and room left for those whose mail is being queued."""
    few = tmp_path / "bin"
    few.mkdir()
    (few / "smtpd").write_text(f'#!/bin/sh\nulimit -n 64\nexec {daemon.BIN}/smtpd "$@"\n')
    (few / "smtpd").chmod(0o755)
    monkeypatch.setattr(daemon, "BIN", few)
    smtpd = start("")
    assert any("may need 1628 file descriptors, and a process may have 64" in line for line in smtpd.lines)
    clients = [Client(smtpd.port)]
    while clients[-1].greeting.startswith("220"):
        clients.append(Client(smtpd.port))
    assert clients[-1].greeting.startswith("421 4.3.2 ")
    smtpd.wait_for("file descriptors are in use", "get 421 4.3.2")
    clients[0].say("EHLO client.example")
    assert clients[0].mail("a@b.example", "ann@example.com").startswith("250")
    for one in clients:
        one.close()
    for _ in clients[:-1]:
        smtpd.wait_for('"disconnected"')
    with client(smtpd) as one:
        assert one.greeting.startswith("220")
    assert smtpd.stop() == 0
