"""Postfix and Exim as clients of `smtpd`: as smart host with TLS and a login, and by LMTP."""

from __future__ import annotations

import re
import smtplib

import pytest
from peers import ROOT, free_port, libraries, until

from conftest import Daemon

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "submission"
require_tls = true
[[listen]]
address = "127.0.0.1:{lmtp}"
role = "lmtp"
[tls]
certificate = ["{certificate}"]
key = ["{key}"]
[auth]
passwords = "passwords"
[[route]]
domains = ["example.test"]
maildir = "mail/{{{{user}}}}"
[[route]]
domains = ["*"]
smtp = "127.0.0.1:{sink}"
"""

USER, PASSWORD = "mta@example.test", "correct"
BODY = "Grüße,\r\n.\r\n..\r\nlast line\r\n".encode()
HEADER = b"From: <a@example.com>\r\nMessage-ID: <1@example.com>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
MESSAGE = HEADER + MIME + b"Subject: hello\r\n\r\n" + BODY


class Kept:
    """smtpd, whose Maildirs keep what comes."""

    def __init__(self, base, files, mether):
        self.lmtp, self.base = free_port(), base
        certificate, key = files.server
        mether(
            *("mether", "passwd", "--file", str(base / "passwords"), "--scheme", "scram-sha-256", USER),
            content=PASSWORD.encode() + b"\n",
            check=True,
        )
        self.daemon = Daemon(base, CONFIG.format(lmtp=self.lmtp, certificate=certificate, key=key, sink=1))
        self.port = self.daemon.port

    def arrived(self, user):
        """The message that a user got, once it is there."""
        until(lambda: list((self.base / "mail" / user / "new").glob("*")))
        [path] = (self.base / "mail" / user / "new").glob("*")
        return path.read_bytes()


@pytest.fixture(scope="module")
def kept(tmp_path_factory, files, mether):
    service = Kept(tmp_path_factory.mktemp("kept"), files, mether)
    yield service
    service.daemon.stop()


def with_of(message):
    """The WITH of our own trace field."""
    found = re.search(rb"by mx\.example\.test\s+(?:\(.*?\)\s+)?with (\w+)", message, re.S)
    assert found, message
    return found[1].decode()


def body(message):
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n")


def submit(port, sender, recipients, *, mail=(), rcpt=()):
    """Hand MESSAGE to an MTA."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail(sender, recipients, MESSAGE, mail_options=mail, rcpt_options=rcpt)


@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_postfix_as_a_client(mechanism, postfix, kept, files, tmp_path):
    """STARTTLS verified, SASL, SMTPUTF8, and DSN: we report the success, and Postfix leaves that to us."""
    plugins = next(ROOT.glob("usr/lib/*/sasl2"))
    mta = postfix(
        f"relayhost = [127.0.0.1]:{kept.port}\n"
        "smtp_tls_security_level = verify\n"
        "smtp_tls_loglevel = 1\n"
        f"smtp_tls_CAfile = {files.ca}\n"
        "smtp_tls_verify_cert_match = mx.example.test\n"
        "smtp_sasl_auth_enable = yes\n"
        f"smtp_sasl_password_maps = static:{USER}:{PASSWORD}\n"
        "smtp_sasl_security_options = noanonymous\n"
        f"smtp_sasl_mechanism_filter = {mechanism}\n"
        f"import_environment = SASL_PATH={plugins} LD_LIBRARY_PATH={libraries()} TZ=UTC LANG=C MAIL_CONFIG\n"
    )
    user = f"postfix{mechanism}"
    options = ["RET=HDRS", "ENVID=x1", "SMTPUTF8", "BODY=8BITMIME"]
    sender = f"jürgen{mechanism}@example.test"
    submit(mta.port, sender, [f"{user}@example.test"], mail=options, rcpt=["NOTIFY=SUCCESS"])
    until(lambda: "relay=127.0.0.1" in mta.log())
    assert "status=sent (250 2.0.0" in mta.log(), mta.log()
    message = kept.arrived(user)
    assert message.startswith(f"Return-Path: <{sender}>".encode())
    assert with_of(message) == "UTF8SMTPSA"
    assert body(message) == BODY.replace(b"\r\n", b"\n").rstrip(b"\n")
    assert "Verified TLS connection established" in mta.log()
    report = kept.arrived(f"jürgen{mechanism}").decode()
    assert report.startswith("Return-Path: <>")
    assert "Action: delivered" in report
    assert "Original-Envelope-Id: x1" in report


def test_postfix_as_an_lmtp_client(postfix, kept):
    """A reply for each recipient after the final dot: one is sent, one bounced, and nobody told twice."""
    mta = postfix(f"default_transport = lmtp:inet:127.0.0.1:{kept.lmtp}\nnotify_classes =\n")
    submit(mta.port, "lmtp@example.com", ["one@example.test", "two@example.test", "x@elsewhere.example"])
    until(lambda: len(re.findall(r"postfix/lmtp\[.* to=<(?:one|two|x)@", mta.log())) == 3)
    fates = dict(re.findall(r"postfix/lmtp\[.* to=<(one|two|x)@.* status=(\w+)", mta.log()))
    assert fates == {"one": "sent", "two": "sent", "x": "bounced"}, mta.log()
    for user in ("one", "two"):
        assert with_of(kept.arrived(user)) == "LMTP"
        assert body(kept.arrived(user)) == BODY.replace(b"\r\n", b"\n").rstrip(b"\n")


SMTP = """\
  driver = smtp
  hosts = 127.0.0.1
  port = {port}
  protocol = {protocol}
  allow_localhost
  hosts_require_tls = {tls}
  tls_verify_certificates = {ca}
  tls_verify_hosts = {tls}
  hosts_require_auth = {tls}
  hosts_try_chunking = *
  hosts_pipe_connect = *
"""

AUTHENTICATORS = """\
begin authenticators
LOGIN:
  driver = plaintext
  public_name = {mechanism}
  client_send = {send}
"""


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_exim_as_a_client(mechanism, exim, kept, files):
    """STARTTLS verified, AUTH, CHUNKING; PIPE_CONNECT is not used with one who does not offer it."""
    send = {"PLAIN": f"^{USER}^{PASSWORD}", "LOGIN": f": {USER} : {PASSWORD}"}[mechanism]
    mta = exim(
        SMTP.format(port=kept.port, protocol="smtp", tls="*", ca=files.ca),
        "",
        AUTHENTICATORS.format(mechanism=mechanism, send=send),
    )
    user = f"exim{mechanism.lower()}"
    mta.deliver("a@example.com", f"{user}@example.test", content=MESSAGE)
    [line] = [line for line in mta.log().splitlines() if f"=> {user}@" in line]
    assert " K " in line  # it used BDAT
    assert "CV=yes" in line
    assert " A=LOGIN" in line
    message = kept.arrived(user)
    assert with_of(message) == "ESMTPSA"
    assert body(message) == BODY.replace(b"\r\n", b"\n").rstrip(b"\n")


def test_exim_with_smtputf8_and_reports(exim, kept, files):
    """What Exim was given with SMTPUTF8, NOTIFY and ENVID it asks of us, and we report the success."""
    mta = exim(
        SMTP.format(port=kept.port, protocol="smtp", tls="*", ca=files.ca),
        "smtputf8_advertise_hosts = *\ndsn_advertise_hosts = *\nacl_smtp_rcpt = accept\n",
        AUTHENTICATORS.format(mechanism="PLAIN", send=f"^{USER}^{PASSWORD}"),
    )
    session = (
        "EHLO client.example.com\r\n"
        "MAIL FROM:<käthe@example.test> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=exim1\r\n"
        "RCPT TO:<jürg@example.test> NOTIFY=SUCCESS ORCPT=rfc822;first@example.org\r\n"
        "DATA\r\n"
    ).encode()
    dotted = MESSAGE.replace(b"\r\n.", b"\r\n..")
    mta.run("-odq", "-bs", content=session + dotted + b".\r\nQUIT\r\n")
    mta.run("-qf")
    message = kept.arrived("jürg")
    assert with_of(message) == "UTF8SMTPSA", mta.log()
    assert body(message) == BODY.replace(b"\r\n", b"\n").rstrip(b"\n")
    report = kept.arrived("käthe").decode()
    assert "Action: delivered" in report
    assert "Original-Envelope-Id: exim1" in report
    assert "first@example.org" in report


def test_exim_as_an_lmtp_client(exim, kept, files):
    mta = exim(SMTP.format(port=kept.lmtp, protocol="lmtp", tls="", ca=files.ca))
    mta.deliver("a@example.com", "exim1@example.test", "exim2@example.test", content=MESSAGE)
    assert mta.log().count(" => exim") + mta.log().count(" -> exim") == 2, mta.log()
    assert with_of(kept.arrived("exim2")).startswith("LMTP")
