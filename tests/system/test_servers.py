"""`smtp` and the relay into Postfix, Exim, OpenSMTPD and aiosmtpd, with all that each of them offers."""

from __future__ import annotations

import base64
import re
import smtplib

import pytest
from peers import until

from conftest import Daemon

RELAY = """
[service]
hostname = "relay.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "local"
[tls]
ca = "{ca}"
send = "may"
[retry]
intervals = ["1h"]
[[login]]
sender = "relayed@*"
user = "{login}"
password_file = "{password}"
[[login]]
sender = "guess@*"
user = "{login}"
password_file = "{wrong}"
"""

ROUTE = """
[[route]]
domains = ["{name}.example"]
smtp = "{host}:{port}"
{tls}
"""

# One next hop has one level; localhost is another than its address.
LEVELS = {
    "verify": ("127.0.0.1", 'tls = "verify"\ntls_names = ["mx.example.test"]'),
    "another": ("localhost", 'tls = "verify"\ntls_names = ["elsewhere.example"]'),
}

ONCE = """
[service]
hostname = "relay.example.test"
[tls]
ca = "{ca}"
send = "{level}"
"""

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
    trust = ("--ca", files.ca) if level == "verify" else ()
    status, lines, dialogue = talk("--tls", level, *trust, sender=sender)
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
    assert f"-> AUTH {server.strongest} " in dialogue


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
    assert status == 75, (lines, dialogue)
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


@pytest.fixture(scope="module")
def relay(tmp_path_factory, server, password, files):
    """smtpd with the server as its next hop, verified, and again under a name that it cannot prove."""
    base = tmp_path_factory.mktemp("relay")
    wrong = base / "wrong"
    wrong.write_text("guess\n")
    wrong.chmod(0o600)
    settings = RELAY.format(ca=files.ca, login=server.login, password=password, wrong=wrong)
    for name, (host, tls) in LEVELS.items():
        if name == "verify" and server.tls_fault:
            tls = 'tls = "may"'
        settings += ROUTE.format(name=name, host=host, port=server.port, tls=tls)
    daemon = Daemon(base, settings)
    yield daemon
    daemon.stop()


@pytest.fixture
def hand_over(relay):
    """Gives the relay a message, and waits for its fate: the log's line."""

    def send(sender, to, *, mail=(), rcpt=()):
        with smtplib.SMTP("127.0.0.1", relay.port) as client:
            client.sendmail(
                sender, [to], MESSAGE.replace(b"\n", b"\r\n"), mail_options=mail, rcpt_options=rcpt
            )

        def fate():
            lines = relay.log().splitlines()
            return [line for line in lines if f"to=<{to}>" in line and "status=" in line]

        until(fate)
        return fate()[0]

    return send


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify"])
def test_runsmtpq_at_every_level(level, server, files, mether, tmp_path):
    """What the queue holds goes out with as much TLS as is demanded, or waits."""
    config = tmp_path / "mether.toml"
    config.write_text(ONCE.format(ca=files.ca, level=level))
    common = ("-C", str(config), "--spool", f"sqlite:{tmp_path}/spool")
    sender = f"queue-{level}@example.com"
    to = (f"127.0.0.1:{server.port}", sender, "b@example.net")
    mether("smtpqer", *common, "-n", *to, content=MESSAGE, check=True)
    done = mether("runsmtpq", *common)
    assert b"Traceback" not in done.stderr
    if server.tls_fault and level in ("encrypt", "verify"):
        assert b"status=deferred" in done.stderr
        assert b"4.7.5" in done.stderr
        return
    assert b"status=sent" in done.stderr, done
    held = server.held(sender)
    assert held.secure is (level != "none" and not server.tls_fault)
    assert held.body == BODY


def test_a_certificate_for_another_name_is_refused(hand_over, server):
    """TLS-5 (RFC 9525): level verify, a known authority, the wrong name."""
    line = hand_over("another@example.com", "b@another.example")
    assert "status=deferred" in line, line
    assert "4.7.5" in line, line


def test_dsn_is_carried_to_the_next_hop(hand_over, server):
    """DSN-5: NOTIFY, ORCPT and ENVID arrive as they came, and where they cannot the sender is told."""
    to, original = "c@verify.example", "rfc822;Original+2Bx@example.org"
    rcpt = ["NOTIFY=FAILURE,DELAY", f"ORCPT={original}"]
    line = hand_over("carried@example.com", to, mail=["ENVID=QQ314159", "RET=HDRS"], rcpt=rcpt)
    assert "status=sent" in line, line
    held = server.held("carried@example.com")
    if "DSN" in server.offers:
        assert held.envid == "QQ314159"
        words, address = held.recipients[to]
        assert words == ["DELAY", "FAILURE"]
        assert address in ("Original+2Bx@example.org", "Original+x@example.org")


@pytest.mark.usefixtures("secured")
def test_relaying_with_a_login(hand_over, server):
    """The login of a sender; its level is verify although `send` says may, so the route may say less."""
    line = hand_over("relayed@example.com", "b@verify.example")
    assert "status=sent" in line, line
    assert server.held("relayed@example.com").login == server.login
    line = hand_over("guess@example.com", "d@verify.example")
    assert "status=deferred" in line, line
    assert "535" in line, line
