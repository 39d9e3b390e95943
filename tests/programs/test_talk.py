"""``smtp`` under TLS, logged in, as a question, and with what the message asks for."""

from __future__ import annotations

import json
from pathlib import Path

import certificates
import pytest
import tlspeer
from peer import CLOSE, Peer, fed
from secure_server import SecureServer

from mether.client.session import Timeouts
from mether.net import blocking
from mether.programs.smtp import main

MESSAGE = b"Subject: hi\n\nHello.\n"
ME, ANN, BOB = "me@example.org", "ann@example.net", "bob@example.net"


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METHER_CONFIG", "")
    monkeypatch.delenv("NOSYSEXITS", raising=False)


@pytest.fixture
def password(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text("secret\n")
    path.chmod(0o600)
    return str(path)


def smtp(capsys: pytest.CaptureFixture[str], *argv: str, message: bytes = MESSAGE) -> tuple[int, str, str]:
    with fed(message):
        status = main(list(argv))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def server(tmp_path: Path, *names: str, **more: object) -> SecureServer:
    context = tlspeer.server_context(certificates.pair(tmp_path, *(names or ("localhost",))))
    return SecureServer(context, **more)  # type: ignore[arg-type]


def test_tls_is_begun_where_it_is_offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 7435: any certificate is better than none."""
    peer_server = server(tmp_path, "other.example.com")
    with tlspeer.peer(peer_server) as peer:
        status, out, err = smtp(capsys, "-v", f"127.0.0.1:{peer.port}", ME, ANN)
    assert status == 0 and out == f"{ANN}: relayed (250 2.0.0 queued)\n"
    assert "-- TLS: " in err and "; certificate not verified\n" in err
    assert "tls DATA" in peer_server.sessions[0]


def test_a_failed_handshake_is_followed_by_clear_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TLS-6: at level may, and on a new connection."""
    peer_server = server(tmp_path, garbage=b"no tls here\r\n")
    with tlspeer.peer(peer_server) as peer:
        status, _, _ = smtp(capsys, f"127.0.0.1:{peer.port}", ME, ANN)
        assert status == 0
        status, out, _ = smtp(capsys, "--tls", "encrypt", f"127.0.0.1:{peer.port}", ME, ANN)
    assert status == 75 and "4.7.5" in out
    assert [said[-1] for said in peer_server.sessions] == ["STARTTLS", "QUIT", "STARTTLS"]


def test_no_tls_is_begun_where_none_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peer_server = server(tmp_path)
    with tlspeer.peer(peer_server) as peer:
        assert smtp(capsys, "--tls", "none", f"127.0.0.1:{peer.port}", ME, ANN)[0] == 0
    assert "DATA" in peer_server.sessions[0]


def test_the_name_must_be_right_for_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TLS-8: the name that was asked for, by an authority that is trusted."""
    peer_server, ca = server(tmp_path, "localhost"), certificates.ca_file(tmp_path)
    with tlspeer.peer(peer_server) as peer:
        target = f"localhost:{peer.port}"
        status, _, err = smtp(capsys, "-v", "--tls", "verify", "--ca", ca, target, ME, ANN)
        assert status == 0 and "; certificate verified (localhost)\n" in err
        status, out, _ = smtp(capsys, "--tls", "verify", "--ca", ca, f"127.0.0.1:{peer.port}", ME, ANN)
        assert status == 75 and "4.7.5" in out
        assert smtp(capsys, "--tls", "verify", target, ME, ANN)[0] == 75
    assert len(peer_server.messages) == 1


def test_tls_from_the_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 8314 section 3: as on port 465."""
    peer_server = server(tmp_path, implicit=True)
    with tlspeer.peer(peer_server) as peer:
        assert smtp(capsys, "--tls-on-connect", f"127.0.0.1:{peer.port}", ME, ANN)[0] == 0
    assert "tls DATA" in peer_server.sessions[0]
    assert smtp(capsys, "--tls-on-connect", "--tls", "none", "127.0.0.1:1", ME, ANN)[0] == 64


def test_a_message_that_demands_verified_tls_is_returned_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 8689 section 4.2.1: 550 5.7.10 is for good, and so is the action."""
    peer_server = server(tmp_path, "localhost")
    with tlspeer.peer(peer_server) as peer:
        status, out, _ = smtp(capsys, "--requiretls", f"localhost:{peer.port}", ME, ANN)
    assert status == 69 and out.startswith(f"{ANN}: failed (550 5.7.10 ")
    with Peer() as clear:
        status, out, _ = smtp(capsys, "--requiretls", clear.target, ME, ANN)
    assert status == 69 and out.startswith(f"{ANN}: failed (550 5.7.10 ")


def test_requiretls_is_asked_of_no_delivery_and_for_no_report(capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 8689 sections 4.1 and 4.4: a null reverse-path goes as any other; LMTP is no relaying."""
    with Peer() as peer, Peer(lmtp=True) as local:
        assert smtp(capsys, "--requiretls", peer.target, "", ANN)[0] == 0
        assert smtp(capsys, "--requiretls", local.target, ME, ANN)[0] == 0
    status, _, err = smtp(capsys, "--requiretls", "--tls", "none", "127.0.0.1:1", ME, ANN)
    assert status == 64 and "--requiretls contradicts --tls none" in err


def test_a_server_that_waits_for_tls_is_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8314: it says nothing before the handshake, and who is not told of that waits for a greeting."""
    monkeypatch.setattr(
        Timeouts.__init__, "__kwdefaults__", {**Timeouts.__init__.__kwdefaults__, "greeting": 0.1}
    )
    peer_server = server(tmp_path, implicit=True)
    for options in ((), ("--tls", "none")):
        with tlspeer.peer(peer_server) as peer:
            status, out, _ = smtp(capsys, *options, f"127.0.0.1:{peer.port}", ME, ANN)
        assert status == 75 and "delayed (451 4.4.2 " in out and "--tls-on-connect" in out
    with Peer({"greeting": [CLOSE]}) as silent:
        assert "--tls-on-connect" in smtp(capsys, silent.target, ME, ANN)[1]
    with Peer({"EHLO": [CLOSE]}) as greeted:
        assert "--tls-on-connect" not in smtp(capsys, greeted.target, ME, ANN)[1]


def test_authorities_are_judged_before_there_is_a_connection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, other = str(tmp_path / "none.pem"), tmp_path / "other.pem"
    other.write_text("no certificate\n")
    for path in (missing, str(other), str(tmp_path)):
        status, out, err = smtp(capsys, "--tls", "verify", "--ca", path, "127.0.0.1:1", ME, ANN)
        assert (status, out) == (66, "") and err.count("\n") == 1 and f"--ca: {path}: " in err


def test_authorities_that_nobody_asks_are_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], password: str
) -> None:
    ca = certificates.ca_file(tmp_path)
    for options in ((), ("--tls", "may"), ("--tls", "encrypt")):
        status, out, err = smtp(capsys, *options, "--ca", ca, "127.0.0.1:1", ME, ANN)
        assert (status, out) == (64, "") and "--tls verify" in err
    login = ("--auth-user", "ann", "--auth-password-file", password)
    for options in (login, ("--requiretls",), ("--tls", "verify")):
        assert smtp(capsys, *options, "--ca", ca, "127.0.0.1:1", ME, ANN)[0] == 75


@pytest.mark.parametrize("word", ["secret", "wrong"])
def test_logging_in(tmp_path: Path, capsys: pytest.CaptureFixture[str], password: str, word: str) -> None:
    """AUT-5: the password shows nowhere; a login that is refused is for somebody to mend, and mail waits."""
    Path(password).write_text(word)
    options = ("--ca", certificates.ca_file(tmp_path), "--auth-user", "ann", "--auth-password-file", password)
    peer_server = server(tmp_path, secure=("AUTH PLAIN",), passwords={"ann": "secret"})
    with tlspeer.peer(peer_server) as peer:
        status, out, err = smtp(capsys, "-v", "--tls", "verify", *options, f"localhost:{peer.port}", ME, ANN)
    if word == "secret":
        assert status == 0 and peer_server.logins == ["PLAIN ann"]
    else:
        assert status == 75 and f"{ANN}: delayed (454 4.7.8" in out and not peer_server.messages
    shown = [line for line in err.splitlines() if line.startswith("-> AUTH")]
    assert shown == ["-> AUTH PLAIN (secret)"]


def test_a_password_that_others_can_read_is_not_used(
    capsys: pytest.CaptureFixture[str], password: str
) -> None:
    Path(password).chmod(0o644)
    argv = ("--auth-user", "ann", "--auth-password-file", password, "127.0.0.1:1", ME, ANN)
    status, _, err = smtp(capsys, *argv)
    assert status == 75 and err.count("\n") == 1 and password in err
    Path(password).unlink()
    status, _, err = smtp(capsys, *argv)
    assert status == 75 and err.count("\n") == 1 and password in err
    assert smtp(capsys, "--auth-user", "ann", "127.0.0.1:1", ME, ANN)[0] == 64


def test_a_question_sends_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MAIL and RCPT are said, and then RSET; standard input is left alone."""
    monkeypatch.setattr("mether.programs.message.octets", lambda source: pytest.fail("stdin was read"))
    with Peer({"RCPT": ["250 2.1.5 fine", "550 5.1.1 no such user"]}) as peer:
        status, out, _ = smtp(capsys, "--probe", "--json", peer.target, ME, ANN, BOB)
        assert peer.said() == ["EHLO", "MAIL", "RCPT", "RCPT", "RSET", "QUIT"]
    assert status == 67 and not peer.messages
    first, second = (json.loads(line) for line in out.splitlines())
    assert (first["action"], first["reply"]) == ("acceptable", "250 2.1.5 fine")
    assert (second["action"], second["code"]) == ("failed", 550)


def test_a_question_whose_sender_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with Peer({"MAIL": ["550 5.7.1 not you"]}) as peer:
        status, out, _ = smtp(capsys, "--probe", peer.target, ME, ANN, BOB)
    assert status == 69 and out.count("550 5.7.1 not you") == 2


def test_what_the_message_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    """DSN-1, SMTPUTF8, BODY: as the options say, where it is offered."""
    offer = ("DSN", "SMTPUTF8", "8BITMIME", "SIZE 1000000")
    options = ("--dsn", "success,delay", "--dsn-return", "hdrs", "--dsn-envid", "a+b", "--smtputf8")
    with Peer(offer=offer) as peer:
        message = "Subject: grüß\n\nHello.\n".encode()
        assert smtp(capsys, *options, peer.target, ME, ANN, message=message)[0] == 0
    mail, rcpt = (
        next(line for line in peer.sessions[0] if line.startswith(verb)) for verb in ("MAIL", "RCPT")
    )
    assert mail.split()[2:] == ["SIZE=27", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=a+2Bb"]
    assert rcpt.split()[2:] == ["NOTIFY=SUCCESS,DELAY"]


@pytest.mark.parametrize(
    "options", [("--dsn", "often"), ("--dsn", "never,success"), ("--dsn-return", "all"), ("--body", "9bit")]
)
def test_what_no_message_can_ask_for(capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    status, _, err = smtp(capsys, *options, "127.0.0.1:1", ME, ANN)
    assert status == 64 and err.count("\n") == 1 and options[0] in err


def test_a_message_that_is_not_what_it_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """7bit is a promise: it is not quietly broken by saying BODY=8BITMIME."""
    with Peer() as peer:
        status, out, err = smtp(capsys, "--body", "7bit", peer.target, ME, ANN, message="ü\n".encode())
        assert (status, out) == (65, "") and err.count("\n") == 1 and "--body 7bit" in err
        assert not peer.sessions
        assert smtp(capsys, "--body", "7bit", peer.target, ME, ANN)[0] == 0
    assert "BODY=8BITMIME" not in peer.sessions[0][1]


def test_binary_content_goes_octet_for_octet(capsys: pytest.CaptureFixture[str]) -> None:
    """8BM-4, BDT-1: by BDAT alone, with nothing made a line end."""
    octets = b"Content-Type: application/octet-stream\r\n\r\n\0\r\n.\r\n\n\rend"
    with tlspeer.peer(_chunks) as peer:
        status, _, _ = smtp(capsys, "--body", "binarymime", f"127.0.0.1:{peer.port}", ME, ANN, message=octets)
    assert status == 0 and peer.results == [octets]


def _chunks(sock: blocking._socket.socket) -> bytes:
    """A server that takes one BDAT."""
    file = sock.makefile("rb")  # type: ignore[attr-defined]
    content = b""
    sock.sendall(b"220 here\r\n")
    while line := file.readline():
        verb, _, rest = line.decode().partition(" ")
        if verb == "EHLO":
            sock.sendall(b"250-here\r\n250-CHUNKING\r\n250 BINARYMIME\r\n")
            continue
        if verb == "BDAT":
            content = file.read(int(rest.split()[0]))
        sock.sendall(b"250 2.0.0 fine\r\n")
        if verb == "QUIT\r\n":
            break
    file.close()
    return content


def test_a_refused_rset_ends_the_session(capsys: pytest.CaptureFixture[str]) -> None:
    """CLI-7: what could not be asked is tried again later, and never failed by a 503 to the next MAIL."""
    many = [f"r{number}@example.net" for number in range(101)]
    with Peer({"RCPT": ["550 5.1.1 nobody"] * 100, "RSET": ["502 5.5.1 no"]}) as peer:
        status, out, _ = smtp(capsys, peer.target, ME, *many)
        assert peer.said().count("MAIL") == 1
    assert status == 76 and out.count("failed (550") == 100
    assert out.splitlines()[-1].startswith("r100@example.net: delayed (451 4.5.0")


def test_lmtp_where_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """LMT-4: a reply for each recipient."""
    with Peer({".": ["250 2.0.0 in", "452 4.2.2 full"]}, lmtp=True) as peer:
        status, out, _ = smtp(capsys, "--lmtp", peer.target.removeprefix("lmtp:"), ME, ANN, BOB)
    assert status == 75
    assert out.splitlines() == [f"{ANN}: delivered (250 2.0.0 in)", f"{BOB}: delayed (452 4.2.2 full)"]


def test_the_next_of_a_list_is_tried_when_one_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    """CLI-9: a dead host, one that refuses, then one that takes it."""
    with Peer({"greeting": ["421 4.3.2 busy"]}) as refusing, Peer() as taking:
        where = f"127.0.0.1:1,{refusing.target},{taking.target}"
        status, out, _ = smtp(capsys, "--tls", "none", where, ME, ANN)
    assert (status, out) == (0, f"{ANN}: relayed (250 2.0.0 taken)\n")
    assert len(refusing.sessions) == len(taking.messages) == 1


def test_a_list_of_which_none_can_be_used_may_be_tried_later(capsys: pytest.CaptureFixture[str]) -> None:
    """One host's refusal is not the answer of those that are down: RFC 5321 section 5.1."""
    with Peer({"greeting": ["554 5.3.2 no"]}) as refusing:
        status, out, _ = smtp(capsys, "--tls", "none", f"{refusing.target}*5,127.0.0.1:1*1", ME, ANN)
    assert status == 75 and "delayed (451 4.4.1" in out


def test_a_list_that_is_none_is_told_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = smtp(capsys, "a.test,a.test:25:1", ME, ANN)
    assert status == 64 and "expected a port" in err and err.count("\n") == 1
