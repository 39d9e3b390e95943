"""`smtp` and `smtpqer` as the mailers of a central mail router, as the manual of 1986 means them.

Postfix runs them by pipe(8), with the vector that sendmail's ``P=smtp, A=smtp $h $g $u`` gives; Exim by its
pipe transport.  The exit status must be understood as delivered, deferred and bounced.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from peers import until

BIN = Path(sys.executable).parent
MESSAGE = b"From: <a@example.com>\nTo: <b@example.net>\nSubject: routed\n\nHello.\n.\nLast line.\n"

# Exim since 4.96 puts nothing that a peer said into an argument vector; a shell has it from the environment.
EXIM = """  command = /bin/sh -c 'exec {} "\\$SENDER" "\\$RECIPIENT"'\n"""

# What smtp-sink does with RCPT, and what Postfix and Exim then log.
FATES = [
    pytest.param((), "sent", "=>", id="delivered"),
    pytest.param(("-r", "rcpt"), "deferred", "==", id="deferred"),
    pytest.param(("-f", "rcpt"), "bounced", "**", id="bounced"),
]


@pytest.fixture
def routed(postfix, swaks, tmp_path):
    """Sends MESSAGE through a Postfix whose mailer is this command; returns the log line of its fate."""

    def send(command: str, next_hop: str, *recipients: str) -> str:
        mta = postfix(
            f"default_transport = mether:{next_hop}\nsmtputf8_enable = no\nnotify_classes =\n",
            f"mether unix - n n - - pipe\n  user=nobody null_sender= argv={command}\n",
        )
        (tmp_path / "message").write_bytes(MESSAGE.replace(b"\n", b"\r\n"))
        to = ",".join(recipients or ["b@example.net"])
        who = ("--from", "a@example.com", "--to", to, "--data", f"@{tmp_path / 'message'}")
        swaks("--server", f"127.0.0.1:{mta.port}", *who)

        def fate():
            return [
                line for line in mta.log().splitlines() if "/pipe[" in line and "to=<b@example.net>" in line
            ]

        until(fate)
        return fate()[0]

    return send


@pytest.mark.parametrize(("options", "status", "mark"), FATES)
def test_smtp_under_postfix(options, status, mark, routed, door, smtp_sink):
    sink = smtp_sink(*options)
    command = (
        f"{door.script(str(BIN / 'smtp'))} -h router.example.test ${{nexthop}} ${{sender}} ${{recipient}}"
    )
    line = routed(command, f"127.0.0.1:{sink.port}")
    assert f"status={status}" in line, line
    [(arguments, _)] = [call for call in door.calls if call[0][-1] == "b@example.net"]
    assert arguments == [
        "-h",
        "router.example.test",
        f"127.0.0.1:{sink.port}",
        "a@example.com",
        "b@example.net",
    ]
    if status == "sent":
        [message] = sink.messages()
        assert "X-Helo-Args: router.example.test" in message
        assert "Hello.\n.\nLast line.\n" in message


def test_several_recipients_under_postfix(routed, door, smtp_sink):
    """One vector, one transaction, as far as the next hop is the same."""
    sink = smtp_sink()
    command = f"{door.script(str(BIN / 'smtp'))} ${{nexthop}} ${{sender}} ${{recipient}}"
    assert "status=sent" in routed(command, f"127.0.0.1:{sink.port}", "b@example.net", "c@example.net")
    [message] = sink.messages()
    assert "X-Rcpt-Args: <b@example.net>" in message
    assert "X-Rcpt-Args: <c@example.net>" in message


@pytest.mark.parametrize(
    ("spool", "next_hop", "status"),
    [
        pytest.param("{tmp_path}/spool", "127.0.0.1:{port}", "sent", id="delivered"),
        pytest.param("/dev/null/spool", "127.0.0.1:{port}", "deferred", id="deferred"),
        pytest.param("{tmp_path}/spool", "not..a..host", "bounced", id="bounced"),
    ],
)
@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_smtpqer_under_postfix(kind, spool, next_hop, status, routed, door, smtp_sink, tmp_path):
    """smtpqer promises to deliver, so it succeeds once the message is queued."""
    sink = smtp_sink()
    where = f"{kind}:" + spool.format(tmp_path=tmp_path)
    target = next_hop.format(port=sink.port)
    smtpqer = door.script(str(BIN / "smtpqer"))
    line = routed(f"{smtpqer} --spool {where} {target} ${{sender}} ${{recipient}}", "example.net")
    assert f"status={status}" in line, line
    until(lambda: len(sink.messages()) == (status == "sent"))


@pytest.mark.parametrize(("options", "status", "mark"), FATES)
def test_smtp_under_exim(options, status, mark, exim, door, smtp_sink):
    sink = smtp_sink(*options)
    smtp = door.script(str(BIN / "smtp"))
    mta = exim(EXIM.format(f"{smtp} 127.0.0.1:{sink.port}"))
    mta.deliver("a@example.com", "b@example.net", content=MESSAGE)
    assert f" {mark} b" in mta.log(), mta.log()
    if status == "sent":
        [message] = sink.messages()
        assert "X-Mail-Args: <a@example.com>" in message
        assert "Hello.\n.\nLast line.\n" in message
    assert mta.queued() == (status == "deferred")
    assert (" <= <> " in mta.log()) == (status == "bounced"), mta.log()


@pytest.mark.parametrize(
    ("spool", "mark"),
    [pytest.param("{}/spool", "=>", id="delivered"), pytest.param("/dev/null/x", "==", id="deferred")],
)
def test_smtpqer_under_exim(spool, mark, exim, door, smtp_sink, tmp_path):
    """The upas rule: ``smtpqer -h dom.ain host sender recipient``."""
    sink = smtp_sink()
    smtpqer = f"{door.script(str(BIN / 'smtpqer'))} -h dom.ain --spool sqlite:{spool.format(tmp_path)}"
    mta = exim(EXIM.format(f"{smtpqer} 127.0.0.1:{sink.port}"))
    mta.deliver("a@example.com", "b@example.net", content=MESSAGE)
    assert f" {mark} b" in mta.log(), mta.log()
    if mark == "=>":
        until(lambda: sink.messages())
        assert "X-Helo-Args: dom.ain" in sink.messages()[0]
