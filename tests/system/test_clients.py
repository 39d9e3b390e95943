"""Real clients of `smtpd`, and `smtp` and `runsmtpq` as clients of real servers."""

from __future__ import annotations

import re
from email import message_from_bytes

import pytest
from aiosmtpd_server import Controller
from peers import free_port, until

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{port}"
[[route]]
domains = ["example.test"]
maildir = "mail/{{user}}"
"""

TO_SINK = """
[[route]]
domains = ["*"]
smtp = "127.0.0.1:%d"
"""

# Lines that begin with a dot, one of a dot alone, an empty one and a long one: what transport may spoil.
BODY = b"Hello,\n.\n..two dots\n.one dot\n\n" + b"x" * 900 + b"\nlast line\n"
MESSAGE = b"From: <you@example.net>\nTo: <friend@example.test>\nSubject: hello\n\n" + BODY


def delivered(daemon, user="friend"):
    """The messages in a user's Maildir."""
    return [path.read_bytes() for path in (daemon.base / "mail" / user / "new").glob("*")]


def body(message):
    """The body of a message, with LF line ends and without empty lines at its end."""
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n")


@pytest.fixture
def send(request, swaks, msmtp, curl, tmp_path):
    """Sends MESSAGE with the client that the test names."""
    server = "127.0.0.1"
    file = tmp_path / "message"

    def by_swaks(port):
        file.write_bytes(MESSAGE.replace(b"\n", b"\r\n"))
        who = ("--from", "you@example.net", "--to", "friend@example.test")
        swaks("--server", f"{server}:{port}", *who, "--data", f"@{file}", "--pipeline")

    def by_msmtp(port):
        options = (f"--host={server}", f"--port={port}", "--from=you@example.net")
        msmtp(*options, "friend@example.test", content=MESSAGE)

    def by_curl(port):
        file.write_bytes(MESSAGE.replace(b"\n", b"\r\n"))
        who = ("--mail-from", "you@example.net", "--mail-rcpt", "friend@example.test")
        curl("-sS", f"smtp://{server}:{port}/client.example.net", *who, "-T", str(file))

    return {"swaks": by_swaks, "msmtp": by_msmtp, "curl": by_curl}[request.param]


@pytest.mark.parametrize("send", ["swaks", "msmtp", "curl"], indirect=True)
def test_a_client_delivers_to_a_maildir(send, smtpd):
    daemon = smtpd(CONFIG)
    send(daemon.port)
    until(lambda: delivered(daemon))
    [message] = delivered(daemon)
    assert body(message) == BODY.rstrip(b"\n")
    fields = message_from_bytes(message)
    assert fields["Subject"] == "hello"
    assert "by mx.example.test" in fields["Received"]
    assert fields["Return-Path"] == "<you@example.net>"


@pytest.mark.parametrize("options", [(), ("-d",), ("-r", "5")], ids=["fresh", "kept open", "five recipients"])
def test_smtp_source_through_smtpd_to_smtp_sink(options, smtp_source, smtp_sink, smtpd, mether):
    """Every message that got its 250 arrives, with its envelope."""
    sink = smtp_sink()
    daemon = smtpd(CONFIG + TO_SINK % sink.port)
    load = ("-s", "10", "-m", "100", "-l", "4096", "-f", "a@example.com", "-t", "b@example.net")
    smtp_source(*load, *options, f"127.0.0.1:{daemon.port}")
    until(lambda: len(sink.messages()) >= 100)
    assert daemon.stop() == 0
    queue = mether("smtpq", "-C", str(daemon.config), "--json", check=True)
    assert queue.stdout == b""
    messages = sink.messages()
    assert len(messages) == 100
    assert all("X-Mail-Args: <a@example.com>" in message for message in messages)
    recipients = [re.findall(r"^X-Rcpt-Args: (<.*?>)", message, re.M) for message in messages]
    assert {len(each) for each in recipients} == {5 if "-r" in options else 1}


def test_a_large_message_is_relayed_whole(swaks, smtp_sink, smtpd, tmp_path):
    """Content above 64 KiB goes through a file in the spool."""
    sink = smtp_sink()
    daemon = smtpd(CONFIG + TO_SINK % sink.port)
    lines = b"".join(b"%07d abcdefghijklmnopqrstuvwxyz\r\n" % number for number in range(60_000))
    (tmp_path / "message").write_bytes(b"Subject: large\r\n\r\n" + lines)
    who = ("--from", "a@example.com", "--to", "b@example.net", "--data", f"@{tmp_path / 'message'}")
    swaks("--server", f"127.0.0.1:{daemon.port}", *who, "--suppress-data")
    expected = lines.replace(b"\r\n", b"\n").decode()
    until(lambda: any(expected in message for message in sink.messages()))


def test_smtpd_refuses_to_relay_for_strangers(swaks, smtpd):
    daemon = smtpd(CONFIG.replace("[[route]]", 'relay_from = ["192.0.2.0/24"]\n[[route]]', 1))
    who = ("--server", f"127.0.0.1:{daemon.port}", "--from", "a@example.com")
    refused = swaks(*who, "--to", "b@example.net", check=False)
    assert refused.returncode != 0
    assert b"550 5.7.1" in refused.stdout
    swaks(*who, "--to", "friend@example.test")


def test_smtp_into_smtp_sink(smtp_sink, mether):
    sink = smtp_sink()
    done = mether(
        "smtp", f"127.0.0.1:{sink.port}", "a@example.com", "b@example.net", "c@example.net", content=MESSAGE
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 2
    [message] = sink.messages()
    assert re.findall(r"^X-Rcpt-Args: <(.*?)>", message, re.M) == ["b@example.net", "c@example.net"]
    assert message.encode().endswith(BODY + b"\n") or BODY.rstrip(b"\n") in message.encode()


@pytest.mark.parametrize(
    ("options", "status"), [(("-r", "rcpt"), 75), (("-f", "rcpt"), 69), (("-q", "rcpt"), 75)]
)
def test_smtp_says_how_smtp_sink_refused(options, status, smtp_sink, mether):
    sink = smtp_sink(*options)
    done = mether("smtp", f"127.0.0.1:{sink.port}", "a@example.com", "b@example.net", content=MESSAGE)
    assert done.returncode == status, done
    assert b"b@example.net" in done.stdout
    assert b"Traceback" not in done.stderr


class Kept:
    """An aiosmtpd handler that keeps what it takes, and refuses some recipients."""

    def __init__(self):
        self.envelopes = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("later@"):
            return "451 4.2.1 not now"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        self.envelopes.append(envelope)
        return "250 2.0.0 taken"


@pytest.fixture
def aiosmtpd():
    """A running aiosmtpd: (its port, the envelopes it took)."""
    handler = Kept()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port, handler.envelopes
    controller.stop()


def test_smtp_into_aiosmtpd(aiosmtpd, mether):
    port, taken = aiosmtpd
    done = mether("smtp", f"127.0.0.1:{port}", "a@example.com", "b@example.net", content=MESSAGE)
    assert (done.returncode, done.stderr) == (0, b"")
    [envelope] = taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("a@example.com", ["b@example.net"])
    assert envelope.content == MESSAGE.replace(b"\n", b"\r\n")


@pytest.mark.parametrize(("refused", "status"), [("nobody@example.net", 67), ("later@example.net", 75)])
def test_a_refused_recipient_stops_no_other(refused, status, aiosmtpd, mether):
    """What was a BUG in 1986."""
    port, taken = aiosmtpd
    done = mether("smtp", f"127.0.0.1:{port}", "a@example.com", refused, "b@example.net", content=MESSAGE)
    assert done.returncode == status
    assert [envelope.rcpt_tos for envelope in taken] == [["b@example.net"]]


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_runsmtpq_into_aiosmtpd(kind, aiosmtpd, mether, tmp_path):
    """smtpqer queues it, runsmtpq sends it; what is refused for now stays."""
    port, taken = aiosmtpd
    spool = ("--spool", f"{kind}:{tmp_path / 'spool'}")
    paths = ("a@example.com", "b@example.net", "later@example.net")
    queued = mether("smtpqer", *spool, "-n", f"127.0.0.1:{port}", *paths, content=MESSAGE, check=True)
    ident = queued.stdout.decode().strip()
    assert taken == []
    mether("runsmtpq", *spool, check=True)
    [envelope] = taken
    assert envelope.rcpt_tos == ["b@example.net"]
    assert envelope.content.endswith(MESSAGE.replace(b"\n", b"\r\n"))
    listed = mether("smtpq", *spool, check=True).stdout.decode()
    assert ident in listed
    assert "later@example.net" in listed
    assert "b@example.net" not in listed.replace("later@example.net", "")


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_smtpqer_runs_the_queue_into_smtp_sink(kind, smtp_sink, mether, tmp_path):
    sink = smtp_sink()
    spool = ("--spool", f"{kind}:{tmp_path / 'spool'}")
    mether(
        "smtpqer",
        *spool,
        f"127.0.0.1:{sink.port}",
        "a@example.com",
        "b@example.net",
        content=MESSAGE,
        check=True,
    )
    until(lambda: len(sink.messages()) == 1)
    listed = mether("smtpq", *spool, "--json", check=True)
    assert listed.stdout == b""
