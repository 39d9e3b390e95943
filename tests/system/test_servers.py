"""`smtp` and the relay into Postfix, Exim, OpenSMTPD and aiosmtpd, with all that each of them offers."""

from __future__ import annotations

import base64
import re

import pytest

BODY = "Grüße,\n.\n..two dots\n\nlast line\n".encode()
HEADER = b"From: <a@example.com>\nTo: <b@example.net>\nSubject: hello\nMIME-Version: 1.0\n"
MESSAGE = HEADER + b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + BODY


@pytest.fixture(scope="module")
def password(tmp_path_factory, server):
    """A file with the password that the server takes."""
    path = tmp_path_factory.mktemp("passwords") / "password"
    path.write_text(server.password + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def secured(server):
    """Leaves out what needs TLS where the server has none that works."""
    if server.tls_fault:
        pytest.skip(server.tls_fault)


@pytest.fixture
def talk(mether, server):
    """Runs smtp into the server: (exit status, each recipient's line, the dialogue)."""

    def run(*options, sender, to=("b@example.net",), implicit=False, content=MESSAGE):
        host = f"127.0.0.1:{server.tls_port if implicit else server.port}"
        done = mether("smtp", "-v", *options, host, sender, *to, content=content)
        assert b"Traceback" not in done.stderr
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify"])
def test_smtp_with_tls(level, talk, server, files):
    """STARTTLS where it is wanted, and every octet of 8-bit content arrives."""
    sender = f"{level}@example.com"
    status, lines, dialogue = talk("--tls", level, "--ca", files.ca, sender=sender)
    if server.tls_fault and level in ("encrypt", "verify"):
        assert (status, "4.7.5" in lines) == (75, True), (lines, dialogue)
        return
    assert status == 0, (lines, dialogue)
    held = server.held(sender)
    assert held.secure is (level != "none" and not server.tls_fault)
    assert held.body == BODY
    assert list(held.recipients) == ["b@example.net"]
    assert ("BODY=8BITMIME" in dialogue) is ("8BITMIME" in server.offers)
    assert ("-> BDAT" in dialogue) is ("CHUNKING" in server.offers)


@pytest.mark.usefixtures("secured")
def test_smtp_with_implicit_tls(talk, server, files):
    options = ("--tls-on-connect", "--tls", "verify", "--ca", files.ca)
    status, lines, dialogue = talk(*options, sender="implicit@example.com", implicit=True)
    assert status == 0, (lines, dialogue)
    assert "STARTTLS" not in re.sub(r"<-.*", "", dialogue)
    assert server.held("implicit@example.com").secure


@pytest.mark.usefixtures("secured")
def test_an_unknown_authority_is_not_believed(talk, server, files):
    """Level verify with another authority: nothing is sent, and it may be tried again (4.7.5)."""
    status, lines, dialogue = talk("--tls", "verify", "--ca", files.other_ca, sender="unknown@example.com")
    assert (status, "4.7.5" in lines) == (75, True), (lines, dialogue)
    assert "MAIL FROM" not in dialogue


@pytest.mark.usefixtures("secured")
def test_smtp_logs_in(talk, server, password):
    options = ("--tls", "encrypt", "--auth-user", server.login, "--auth-password-file", password)
    status, lines, dialogue = talk(*options, sender="login@example.com")
    assert status == 0, (lines, dialogue)
    assert server.held("login@example.com").login == server.login
    assert base64.b64encode(server.password.encode()).decode() not in dialogue
    assert "-> AUTH PLAIN (secret)" in dialogue


@pytest.mark.usefixtures("secured")
def test_smtp_logs_in_under_implicit_tls(talk, server, password, files):
    """The level is verify, as a password is to be shown."""
    options = ("--tls-on-connect", "--ca", files.ca, "--auth-user", server.login)
    options += ("--auth-password-file", password)
    status, lines, dialogue = talk(*options, sender="login465@example.com", implicit=True)
    assert status == 0, (lines, dialogue)
    assert server.held("login465@example.com").login == server.login


@pytest.mark.usefixtures("secured")
def test_a_wrong_password_is_told(talk, server, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("guess\n")
    wrong.chmod(0o600)
    options = ("--tls", "encrypt", "--auth-user", server.login, "--auth-password-file", str(wrong))
    status, lines, dialogue = talk(*options, sender="wrong@example.com")
    assert status == 77, (lines, dialogue)
    assert "535" in lines
    assert "MAIL FROM" not in dialogue


def test_a_refused_recipient_stops_no_other(talk, server):
    to = ("b@example.net", "nobody@refused.example", "c@example.net")
    status, lines, dialogue = talk(sender="several@example.com", to=to)
    assert status in (67, 69), (lines, dialogue)
    assert sorted(server.held("several@example.com").recipients) == ["b@example.net", "c@example.net"]
    assert [line.split(" ")[1] for line in lines.splitlines()] == ["relayed", "failed", "relayed"]
    if "PIPELINING" in server.offers:  # all commands go before the first answer
        assert re.search(r"-> MAIL FROM:.*\n(-> RCPT TO:.*\n){3}<- 2", dialogue), dialogue


def test_dsn_parameters_arrive(talk, server):
    options = ("--dsn", "success,delay", "--dsn-envid", "id+1", "--dsn-return", "hdrs")
    status, lines, dialogue = talk(*options, sender="dsn@example.com")
    assert status == 0, (lines, dialogue)
    held = server.held("dsn@example.com")
    if "DSN" in server.offers:
        assert held.recipients["b@example.net"][0] == ["DELAY", "SUCCESS"]
        assert held.envid in ("id+1", "id+2B1")
        assert "RET=HDRS" in dialogue
    else:
        assert "NOTIFY" not in re.sub(r"<-.*", "", dialogue)


def test_smtputf8(talk, server):
    """Where the server lacks it the mail is returned, for its local-part cannot be said otherwise (5.6.7)."""
    status, lines, dialogue = talk("--smtputf8", sender="utf8@example.com", to=("jürgen@example.net",))
    if "SMTPUTF8" in server.offers:
        assert status == 0, (lines, dialogue)
        assert list(server.held("utf8@example.com").recipients) == ["jürgen@example.net"]
    else:
        assert status == 65, (lines, dialogue)
        assert "5.6.7" in lines
