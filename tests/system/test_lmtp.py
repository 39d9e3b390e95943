"""Dovecot as a next hop by LMTP and as the keeper of logins; Postfix and others into our LMTP listener."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from dovecot import USERS
from peer import Peer
from peers import free_port, until

from conftest import Daemon

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "local"
[[listen]]
address = "127.0.0.1:{submission}"
role = "submission"
check_recipient_domain = false
[tls]
certificate = ["{certificate}"]
key = ["{key}"]
[auth]
dovecot = "{auth}"
max_failures = 0
[[route]]
domains = ["tcp.example"]
lmtp = "127.0.0.1:{lmtp_port}"
[[route]]
domains = ["socket.example"]
lmtp = "unix:{lmtp}"
[retry]
intervals = ["1h"]
"""

MESSAGE = b"From: <a@example.com>\nSubject: hello\n\n.\n..\nGr\xc3\xbc\xc3\x9fe\nlast line\n"
RETURN_PATH = b"Return-Path: <ann@%s>\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory, dovecot, files):
    """smtpd with Dovecot behind it; `submission` is its second port."""
    certificate, key = files.server
    submission = free_port()
    settings = CONFIG.format(
        submission=submission,
        certificate=certificate,
        key=key,
        auth=dovecot.auth,
        lmtp=dovecot.lmtp,
        lmtp_port=dovecot.port,
    )
    daemon = Daemon(tmp_path_factory.mktemp("lmtp"), settings)
    daemon.submission = submission
    yield daemon
    daemon.stop()


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_dovecot_as_a_next_hop(way, service, dovecot, mether):
    """LMT-1: a result of its own for each recipient, after one content."""
    domain = f"{way}.example"
    recipients = [f"{user}@{domain}" for user in ("ann", "bob", "nobody", "full")]
    sent = mether(
        "smtp", f"127.0.0.1:{service.port}", f"ann@{domain}", *recipients, content=MESSAGE, check=True
    )
    assert sent.stdout.count(b"relayed") == 4, sent

    def fate(user, action):
        return any(
            f"{user}@{domain}" in line and f"status={action}" in line for line in service.log().splitlines()
        )

    until(lambda: fate("nobody", "bounced") and fate("full", "deferred"))
    until(lambda: fate("ann", "sent") and fate("bob", "sent"))
    assert "4.2.0" in service.log()
    body = MESSAGE.partition(b"\n\n")[2]
    for user in ("ann", "bob"):
        arrived = [message.replace(b"\r\n", b"\n") for message in dovecot.mailbox(user)]
        [message] = [message for message in arrived if message.startswith(RETURN_PATH % domain.encode())]
        assert message.endswith(b"\n\n" + body)
    # The sender is told of the one that failed, through the same next hop.
    told = f"Final-Recipient: rfc822;nobody@{domain}".encode()
    until(lambda: any(told in message.replace(b"; ", b";") for message in dovecot.mailbox("ann")))
    queue = mether("smtpq", "-C", str(service.config), check=True).stdout.decode()
    assert f"full@{domain}" in queue
    assert f"bob@{domain}" not in queue


@pytest.mark.parametrize("target", ["tcp", "socket"])
def test_smtp_into_dovecot(target, dovecot, mether):
    """The one-shot talker, with a mixed result."""
    where = f"lmtp:127.0.0.1:{dovecot.port}" if target == "tcp" else f"unix:{dovecot.lmtp}"
    recipients = ("bob@smtp.example", "nobody@smtp.example", "full@smtp.example")
    done = mether("smtp", "-v", where, f"{target}@smtp.example", *recipients, content=MESSAGE)
    assert done.returncode != 0
    words = [line.split()[1] for line in done.stdout.decode().splitlines()]
    assert words == ["delivered", "failed", "delayed"], done
    sender = f"Return-Path: <{target}@smtp.example>".encode()
    assert sum(message.startswith(sender) for message in dovecot.mailbox("bob")) == 1


LIST = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "local"
[[route]]
lmtp = ["unix:{{base}}/nobody", "{first}", "unix:{second}"]
failover = ["4.2.2"]
[retry]
intervals = ["1h"]
"""


def test_a_list_of_stores(smtpd, dovecot):
    """The first that answers; for a reply that is listed the next, for the recipients alone that got it."""
    full = {"RCPT TO:<ann@list.example>": ["452 4.2.2 full"], "RCPT TO:<bob@list.example>": ["450 4.2.1 no"]}
    with Peer(full, lmtp=True) as first:
        daemon = smtpd(LIST.format(first=first.target.removeprefix("lmtp:"), second=dovecot.lmtp))
        with smtplib.SMTP("127.0.0.1", daemon.port) as client:
            recipients = [f"{one}@list.example" for one in ("ann", "bob", "cyd")]
            client.sendmail("eve@list.example", recipients, b"Subject: hello\r\n\r\nbody\r\n")
        until(lambda: daemon.log().count("status=") == 3)
    fates = {line.partition("to=<")[2][:3]: line for line in daemon.log().splitlines() if "status=" in line}
    assert "status=sent" in fates["ann"] and str(dovecot.lmtp) in fates["ann"]
    assert "status=deferred" in fates["bob"] and "450 4.2.1 no" in fates["bob"]
    assert "status=sent" in fates["cyd"] and f":{first.port}," in fates["cyd"]
    assert [one.recipients for one in first.messages] == [["cyd@list.example"]]
    assert any(b"Return-Path: <eve@list.example>" in one for one in dovecot.mailbox("ann"))


def test_dovecot_keeps_the_logins(service, files):
    """AUT-1: good, wrong and unknown; and a wrong password is answered as an unknown name is."""
    with smtplib.SMTP("127.0.0.1", service.submission) as client:
        client.starttls(context=ssl.create_default_context(cafile=files.ca))
        client.ehlo()
        assert set(client.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN"}
        client.user, client.password = "ann", "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
            client.auth("PLAIN", client.auth_plain)
        client.user = "stranger"
        with pytest.raises(smtplib.SMTPAuthenticationError) as unknown:
            client.auth("LOGIN", client.auth_login)
        assert wrong.value.args == unknown.value.args
        assert wrong.value.smtp_code == 535
        client.user, client.password = "ann", USERS["ann"]
        assert client.auth("PLAIN", client.auth_plain)[0] == 235
        # Whoever logged in may send to any domain.
        client.mail("ann@example.com")
        assert client.rcpt("b@elsewhere.example")[0] == 250
        client.rset()


def test_dovecot_checks_auth_login(service, files):
    with smtplib.SMTP("127.0.0.1", service.submission) as client:
        client.starttls(context=ssl.create_default_context(cafile=files.ca))
        client.ehlo()
        client.user, client.password = "bob", USERS["bob"]
        assert client.auth("LOGIN", client.auth_login)[0] == 235
