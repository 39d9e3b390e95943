"""The text log keeps Postfix's shape, one clean line at a time."""

import io
import logging
import re

import pytest

from mether.address import Address
from mether.event import mail, text
from mether.outcome import Outcome, Route
from mether.reply import Reply

ANN = Address("ann", "example.org")
BOB = Address("bob", "example.net")


@pytest.fixture
def log(monkeypatch):
    """The lines that the events of a test make, as ``component: text``."""
    lines = []

    def keep(name, fields):
        lines.extend(f"{component}: {line}" for component, line in text.lines(name, fields))

    monkeypatch.setattr(mail, "sinks", [keep])
    return lines


def test_a_message_from_a_client(log):
    mail.queued(
        "0ABC", ANN, 2, 4096, address="192.0.2.1", host="c.test", message_id="<1@c.test>", login="ann"
    )
    assert log == [
        "smtpd: 0ABC: client=c.test[192.0.2.1], sasl_username=ann",
        "cleanup: 0ABC: message-id=<1@c.test>",
        "qmgr: 0ABC: from=<ann@example.org>, size=4096, nrcpt=2 (queue active)",
    ]


def test_tls_with_a_client_and_with_a_host(log):
    mail.secured("192.0.2.1", "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)
    mail.secured("mx.test[::9]:25", "TLSv1.2", "X", 128, outgoing=True)
    mail.secured("mx.test[::9]:25", "TLSv1.2", "X", 128, outgoing=True, verified=True, name="mx.test")
    assert log == [
        "smtpd: Anonymous TLS connection established from unknown[192.0.2.1]: TLSv1.3 with cipher "
        "TLS_AES_256_GCM_SHA384 (256 bits)",
        "smtp: Untrusted TLS connection established to mx.test[::9]:25: TLSv1.2 with cipher X (128 bits)",
        "smtp: Verified TLS connection established to mx.test[::9]:25: TLSv1.2 with cipher X (128 bits)",
    ]


def test_a_message_from_a_local_program(log):
    mail.queued("0ABC", None, 1, 10, uid=1000)
    assert log == [
        "pickup: 0ABC: uid=1000 from=<>",
        "qmgr: 0ABC: from=<>, size=10, nrcpt=1 (queue active)",
    ]


@pytest.mark.parametrize(
    ("action", "reply", "status"),
    [
        ("relayed", Reply(250, "2.0.0", "ok"), "dsn=2.0.0, status=sent (250 2.0.0 ok)"),
        ("delayed", Reply(451, None, "later"), "dsn=4.0.0, status=deferred (451 later)"),
        ("failed", Reply(550, "5.1.1", "who"), "dsn=5.1.1, status=bounced (550 5.1.1 who)"),
    ],
)
def test_an_attempt(log, action, reply, status):
    outcome = Outcome(0, action, reply, remote_mta="mx.example.net[192.0.2.9]:25", at=112.0)
    mail.tried(
        "0ABC", BOB, Route("smtp", "example.net"), outcome, arrival=100.0, started=110.5, connected=110.75
    )
    assert log == [
        "smtp: 0ABC: to=<bob@example.net>, relay=mx.example.net[192.0.2.9]:25, delay=12, "
        f"delays=0/10/0.25/1.2, {status}"
    ]


def test_an_attempt_that_may_have_succeeded(log):
    """RFC 5321 section 4.5.3.2.6: a lost connection after the content leaves it open."""
    outcome = Outcome(0, "delayed", Reply(451, "4.4.2", "connection lost"), at=1.0, uncertain=True)
    mail.tried("0ABC", BOB, Route("smtp", "x.test"), outcome, arrival=1.0)
    assert log[0].endswith("status=deferred (451 4.4.2 connection lost; may have been delivered)")


def test_what_was_wrong_is_told_within_the_parentheses(log):
    """Programs that read Postfix's lines take all of them for the server's words."""
    outcome = Outcome(0, "failed", Reply(550, "5.1.1", "who?"), at=1.0)
    mail.tried("0ABC", BOB, Route("smtp", "x.test"), outcome, arrival=1.0, kind="no such user")
    assert log[0].endswith("dsn=5.1.1, status=bounced (550 5.1.1 who?; class=no-such-user)")


def test_an_original_recipient_is_told_when_it_differs(log):
    outcome = Outcome(0, "delivered", Reply(250, "2.0.0", "ok"), at=1.0)
    route = Route("maildir", "home")
    mail.tried("0ABC", BOB, route, outcome, arrival=1.0, orcpt="rfc822;Bob@Example.NET")
    mail.tried("0ABC", BOB, route, outcome, arrival=1.0, orcpt="rfc822;info@example.org")
    assert "orig_to" not in log[0]
    assert log[1].startswith(
        "maildir: 0ABC: to=<bob@example.net>, orig_to=<info@example.org>, relay=maildir, "
    )


def test_a_refusal_matches_what_fail2ban_looks_for(log):
    reply = Reply(554, "5.7.1", "Relay access denied")
    mail.rejected(
        "192.0.2.1", "RCPT", reply, reverse_path=ANN, forward_path=BOB, protocol="ESMTP", helo="c.test"
    )
    assert log == [
        "smtpd: NOQUEUE: reject: RCPT from unknown[192.0.2.1]: 554 5.7.1 <bob@example.net>: "
        "Relay access denied; from=<ann@example.org> to=<bob@example.net> proto=ESMTP helo=<c.test>"
    ]
    # fail2ban 1.0, filter.d/postfix.conf, mode normal
    assert re.search(
        r"(?:NOQUEUE: )?reject: RCPT from [^[]*\[(?P<host>[^]]+)\](?::\d+)?: 554 5\.7\.1 ",
        log[0],
    )


def test_a_failed_login_is_told_with_its_name_and_mechanism(log):
    """As Postfix writes them; there is no sender yet."""
    mail.rejected(
        "192.0.2.1",
        "AUTH",
        Reply(535, "5.7.8", "Authentication credentials invalid"),
        protocol="ESMTP",
        helo="c.test",
        login="ann",
        mechanism="PLAIN",
    )
    mail.rejected("192.0.2.1", "AUTH", Reply(454, "4.7.0", "too many failed logins"), mechanism="LOGIN")
    assert log == [
        "smtpd: NOQUEUE: reject: AUTH from unknown[192.0.2.1]: 535 5.7.8 Authentication credentials invalid; "
        "proto=ESMTP helo=<c.test>, sasl_method=PLAIN, sasl_username=ann",
        "smtpd: NOQUEUE: reject: AUTH from unknown[192.0.2.1]: 454 4.7.0 too many failed logins, "
        "sasl_method=LOGIN",
    ]


def test_a_start_says_what_was_found_queued(log):
    mail.started("smtpd", version="1", addresses=("127.0.0.1:25",), spool="sqlite:/s", queued=1)
    mail.started("smtpd", queued=0)
    mail.started("smtpd")
    assert log == [
        "master: smtpd started (mether 1), listening on 127.0.0.1:25, spool sqlite:/s, 1 message queued",
        "master: smtpd started, 0 messages queued",
        "master: smtpd started",
    ]


def test_a_session(log):
    mail.connected("192.0.2.1", host="c.test")
    mail.disconnected("192.0.2.1", host="c.test", commands={"ehlo": (1, 1), "mail": (1, 1), "rcpt": (0, 2)})
    mail.cut("192.0.2.1", "timeout", after="DATA")
    assert log == [
        "smtpd: connect from c.test[192.0.2.1]",
        "smtpd: disconnect from c.test[192.0.2.1] ehlo=1 mail=1 rcpt=0/2 commands=2/4",
        "smtpd: timeout after DATA from unknown[192.0.2.1]",
    ]


def test_a_session_on_a_pipe_has_no_address(log):
    mail.connected("")
    mail.rejected("", "RCPT", Reply(550, "5.1.1", "no such user"), forward_path=BOB)
    mail.disconnected("", commands={})
    assert log == [
        "smtpd: connect from local",
        "smtpd: NOQUEUE: reject: RCPT from local: 550 5.1.1 <bob@example.net>: no such user; "
        "from=<> to=<bob@example.net>",
        "smtpd: disconnect from local commands=0",
    ]


def test_the_end_of_a_message(log):
    mail.expired("0ABC", ANN)
    mail.reported("0ABC", "0DEF", "failed")
    mail.reported("0ABC", "0DEF", "delayed")
    mail.merged(["0DEF", "0GHJ"], "ann@example.org")
    mail.removed("0ABC")
    assert log == [
        "qmgr: 0ABC: from=<ann@example.org>, status=expired, returned to sender",
        "bounce: 0ABC: sender non-delivery notification: 0DEF",
        "bounce: 0ABC: sender delay notification: 0DEF",
        "bounce: 0DEF: 2 reports for <ann@example.org> go as one: 0DEF 0GHJ",
        "qmgr: 0ABC: removed",
    ]


def test_a_peer_cannot_write_lines_of_its_own(log):
    reply = Reply(550, None, "no\r\nOct  1 host postfix/smtpd[1]: 0XYZ: removed")
    mail.tried("0ABC", BOB, Route("smtp", "x"), Outcome(0, "failed", reply), arrival=0.0)
    mail.rejected("192.0.2.1", "EHLO", Reply(501, None, "bad"), helo="a\x1b[2Jb" + "c" * 5000)
    assert all(line.isprintable() and len(line) < 2100 for line in log)
    assert "no??Oct" in log[0]


def test_every_event_has_a_text():
    events = [
        name
        for name, value in vars(mail).items()
        if callable(value) and name.islower() and not name.startswith("_") and name != "tried"
    ]
    assert {*events, *text.STATUS} == set(text._LINES)


def test_lines_go_through_logging_with_time_host_and_pid(monkeypatch):
    stream = io.StringIO()
    root = logging.getLogger("mether")
    monkeypatch.setattr(root, "propagate", True)
    level = root.level
    handler = text.install(stream, host="mx", pid=77)
    try:
        text.sink("removed", {"queue_id": "0ABC"})
        text.sink("warning", {"queue_id": "", "what": "clock jumped"})
        text.sink("noted", {"queue_id": "", "what": "mx.pem: the certificate was read anew"})
        root.setLevel(logging.ERROR)
        text.sink("removed", {"queue_id": "0DEF"})
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    first, second, third = stream.getvalue().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d"
    assert re.fullmatch(stamp + r" mx mether/qmgr\[77\]: 0ABC: removed", first)
    assert second.endswith(" mx mether/master[77]: warning: clock jumped")
    assert third.endswith(" mx mether/master[77]: mx.pem: the certificate was read anew")


def test_under_the_journal_time_and_host_are_left_to_it():
    record = logging.LogRecord("mether.smtp", logging.INFO, "", 0, "hello", None, None)
    assert text.Formatter("mx", 7, bare=True).format(record) == "mether/smtp[7]: hello"
